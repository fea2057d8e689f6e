// Command gen answers one question: what do two network namespaces get through
// to each other?
//
// It floods one with datagrams from the other, connects to it, or asks it, and
// prints what arrived, how often and how soon. Each is bounded, by a second
// unless -for says otherwise, and a minute at most; -count ends it earlier.
//
//	sudo go run ./bench/gen udp -from pod-a -to pod-b -at 10.244.0.3 -size 22 -senders 2
//	sudo go run ./bench/gen udp -from pod-a -to pod-b -at 10.244.0.3 -size 1400 -segment 40
//	sudo go run ./bench/gen connects -from pod-a -to pod-b -at [fd00::3]:8080 -by [fd00:96::1]:80
//	sudo go run ./bench/gen requests -from pod-a -to pod-b -at 10.244.0.3 -conns 16 -flood 50000
//
// -from and -to are names in /run/netns, or paths; both are needed, so that nothing
// is sent by the machine's own network. The benchmarks of package bench do the same
// by package traffic. It needs root. Maturity: stable.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/bench/traffic"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Stdout, os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Options are those of all loads; each takes what concerns it.
type options struct {
	from, to, at, by                                     string
	size, senders, flows, batch, segment, clients, conns int
	rate, flood                                          float64
	count                                                uint64
	duration                                             time.Duration
}

func run(ctx context.Context, out io.Writer, args []string) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return errors.New("gen: what? One of udp, connects, requests; -h after it lists its options")
	}
	var o options
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&o.from, "from", "", "namespace that sends: a name in /run/netns, or a path")
	f.StringVar(&o.to, "to", "", "namespace that receives")
	f.StringVar(&o.at, "at", "", "address of the receiver, with a port or without")
	f.StringVar(&o.by, "by", "", "address and port that stand for it, such as a service's")
	f.DurationVar(&o.duration, "for", time.Second, "how long, at most "+traffic.MaxDuration.String())
	f.Uint64Var(&o.count, "count", 0, "how many at most; 0: as many as go")
	do := map[string]func(context.Context, io.Writer, options, ends) error{"udp": udp, "connects": connects, "requests": requests}[args[0]]
	switch args[0] {
	case "udp":
		f.IntVar(&o.size, "size", 22, "bytes of payload")
		f.IntVar(&o.senders, "senders", 1, "threads that send")
		f.IntVar(&o.flows, "flows", 0, "source ports; 0: one for each sender")
		f.IntVar(&o.batch, "batch", 32, "datagrams for each system call")
		f.IntVar(&o.segment, "segment", 0, "datagrams in a superpacket; 0: none are made")
		f.Float64Var(&o.rate, "rate", 0, "datagrams a second; 0: as many as go")
	case "connects":
		f.IntVar(&o.clients, "clients", 1, "threads that connect")
	case "requests":
		f.IntVar(&o.conns, "conns", 1, "connections, each with one question at a time")
		f.IntVar(&o.size, "size", 1, "bytes of a question and of its answer")
		f.Float64Var(&o.flood, "flood", 0, "datagrams of 22 bytes a second meanwhile; 0: none")
	default:
		return fmt.Errorf("gen: %q: not one of udp, connects, requests", args[0])
	}
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	e, err := endsOf(o, f.Args())
	if err != nil {
		return err
	}
	return do(ctx, out, o, e)
}

// ends are who sends to whom.
type ends struct {
	from, to traffic.Place
	at, by   netip.AddrPort
}

func endsOf(o options, rest []string) (e ends, err error) {
	if len(rest) > 0 {
		return e, fmt.Errorf("gen: %q: not an option", rest[0])
	}
	if o.from == "" || o.to == "" || o.at == "" {
		return e, errors.New("gen: -from, -to and -at are needed")
	}
	if e.at, err = netip.ParseAddrPort(o.at); err != nil {
		a, err := netip.ParseAddr(strings.Trim(o.at, "[]"))
		if err != nil {
			return e, fmt.Errorf("gen: -at: %w", err)
		}
		e.at = netip.AddrPortFrom(a, 0)
	}
	if o.by != "" {
		if e.by, err = netip.ParseAddrPort(o.by); err != nil {
			return e, fmt.Errorf("gen: -by: %w", err)
		}
		if e.at.Port() == 0 {
			return e, errors.New("gen: -by needs a port in -at")
		}
	}
	e.from, e.to = space(o.from), space(o.to)
	return e, nil
}

func udp(ctx context.Context, out io.Writer, o options, e ends) error {
	f, err := traffic.UDP{From: e.from, To: e.to, Addr: e.at, By: e.by, Size: o.size, Senders: o.senders, Flows: o.flows,
		Batch: o.batch, Segment: o.segment, Rate: o.rate, Count: o.count, Duration: o.duration}.Run(ctx)
	if err != nil {
		return err
	}
	flooded(out, f)
	return nil
}

func flooded(out io.Writer, f traffic.Flooded) {
	fmt.Fprintf(out, "%d datagrams sent, %d received in %v, %d lost, %d not taken by the sender's kernel: %.1f kpps, %.3f Gbit/s\n",
		f.Sent, f.Received, f.Elapsed.Round(time.Millisecond), f.Lost(), f.Refused, f.PerSecond()/1000, f.Gbps())
}

func connects(ctx context.Context, out io.Writer, o options, e ends) error {
	t, err := traffic.Connects{From: e.from, To: e.to, Addr: e.at, By: e.by, Clients: o.clients, Count: o.count, Duration: o.duration}.Run(ctx)
	if err != nil {
		return err
	}
	taken(out, "connections", t)
	return nil
}

func requests(ctx context.Context, out io.Writer, o options, e ends) error {
	r := traffic.Requests{From: e.from, To: e.to, Addr: e.at, By: e.by, Conns: o.conns, Size: o.size, Count: o.count, Duration: o.duration}
	if o.flood == 0 {
		t, err := r.Run(ctx)
		if err != nil {
			return err
		}
		taken(out, "answers", t)
		return nil
	}
	t, f, err := r.Beside(ctx, traffic.UDP{From: e.from, To: e.to, Addr: netip.AddrPortFrom(e.at.Addr(), 0), Size: 22, Rate: o.flood, Duration: o.duration})
	if err != nil {
		return err
	}
	taken(out, "answers", t)
	flooded(out, f)
	return nil
}

func taken(out io.Writer, what string, t *traffic.Taken) {
	fmt.Fprintf(out, "%d %s in %v: %.0f a second; median %v, p99 %v, p99.9 %v, at most %v\n", t.Times.Count(), what,
		t.Elapsed.Round(time.Millisecond), t.PerSecond(), t.Times.Quantile(0.5), t.Times.Quantile(0.99), t.Times.Quantile(0.999), t.Times.Max())
}

// A space is a namespace by its name in /run/netns, or its path.
type space string

// Do runs f inside, on a thread that goes back afterwards, or ends where it can't.
func (s space) Do(f func() error) error {
	path := string(s)
	if !strings.Contains(path, "/") {
		path = filepath.Join("/run/netns", path)
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // a locked goroutine takes its thread with it
		home, err := enter(path)
		if err != nil {
			done <- fmt.Errorf("gen: namespace %s: %w", s, err)
			return
		}
		err = f()
		if unix.Setns(home, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		_ = unix.Close(home)
		done <- err
	}()
	return <-done
}

// enter takes the thread into a namespace, and returns the one that it was in.
func enter(path string) (home int, err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer func() { _ = unix.Close(fd) }()
	if home, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return -1, err
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		_ = unix.Close(home)
		return -1, err
	}
	return home, nil
}
