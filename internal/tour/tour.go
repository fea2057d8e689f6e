// Package tour answers one question: what does Skein look like at work?
//
// It builds the reference topology in network namespaces, starts the daemon on
// the node's uplink, and sends traffic all ways across. skeinctl lab shows it
// to a newcomer; the end-to-end tests stand on it. Nothing of the machine's
// own network is touched. Maturity: stable.
package tour

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/internal/lab"
)

// Options say what is wanted.
type Options struct {
	Daemon  string // path of skeind
	Driver  string // "auto", "af_packet" or "af_xdp"; empty: auto
	Uplink  string // more of the uplink's configuration, on one line
	Wanted  lab.Wanted
	Config  string // lines instead of the configuration's routes
	Pods    []Pod  // besides pod-a and pod-b
	Workers int    // 0: one
	Bytes   int64  // of each TCP transfer; 0: 256 MiB

	WakeLatency string // that CPUs may take to wake while there are packets; empty: the kernel decides
	Nice        int    // of the daemon
}

// A Pod is one that the daemon is to attach.
type Pod struct {
	NetNS, Interface string
	Addrs            string // with commas between them
	Workload         string // YAML in one line: {name: web, labels: {app: web}}; may be empty
}

// A Tour is the reference topology with a daemon at the node.
type Tour struct {
	*lab.Reference
	Socket string // of the daemon
	Config string // its configuration file
	opts   Options
	dir    string
	daemon *lab.Process // nil once it is stopped
	last   *lab.Process // the same, for its log
}

// New builds the topology, without starting the daemon.
func New(opts Options) (*Tour, error) {
	l, err := lab.New(lab.Unique("skein"))
	if err != nil {
		return nil, err
	}
	if opts.Bytes == 0 {
		opts.Bytes = 256 << 20
	}
	t := &Tour{opts: opts}
	opts.Wanted.StaticRoutes = true
	if t.Reference, err = l.Reference(opts.Wanted); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if t.dir, err = os.MkdirTemp("", "skein-lab-"); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	t.Socket, t.Config = filepath.Join(t.dir, "api.sock"), filepath.Join(t.dir, "skeind.yaml")
	if err := os.WriteFile(t.Config, []byte(t.yaml()), 0o644); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// yaml returns the daemon's configuration.
func (t *Tour) yaml() string {
	driver, rest := t.opts.Driver, t.opts.Config
	if driver == "" {
		driver = "auto"
	}
	if rest == "" {
		rest = "routes: [blackhole " + lab.PodBlock + ", blackhole " + lab.PodBlock6 + "]\n"
	}
	wake := ""
	if t.opts.WakeLatency != "" {
		wake = ", wake_latency: " + t.opts.WakeLatency
	}
	pods := append([]Pod{
		{t.PodA.Path(), "eth0", lab.PodAddr + "/32, " + lab.PodAddr6 + "/128", "{namespace: default, name: pod-a, labels: {app: a}}"},
		{t.PodB.Path(), "eth0", lab.OtherPodAddr + "/32, " + lab.OtherPodAddr6 + "/128", "{namespace: default, name: pod-b, labels: {app: b}}"}}, t.opts.Pods...)
	var list strings.Builder
	for _, p := range pods {
		fmt.Fprintf(&list, "  - {netns: %s, interface: %s, addresses: [%s], workload: %s}\n", p.NetNS, p.Interface, p.Addrs, cmp.Or(p.Workload, "{}"))
	}
	return fmt.Sprintf(`run_dir: %s/run
uplinks:
  - interface: %s
    driver: %s
    host_routes: [10.244.0.0/16, %s]
    %s
pods:
%sapi: {socket: %s}
workers: {count: %d%s}
%s`, t.dir, lab.Uplink, driver, lab.PodBlock6, t.opts.Uplink, &list, t.Socket, max(1, t.opts.Workers), wake, rest)
}

// Start starts the daemon and waits until it is ready, as long as ctx allows.
// The daemon runs on after that, until Stop or Close.
func (t *Tour) Start(ctx context.Context) error {
	p, err := t.Node.Start(context.Background(), "nice", "-n", strconv.Itoa(t.opts.Nice), t.opts.Daemon, "--config", t.Config)
	if err != nil {
		return err
	}
	t.daemon, t.last = p, p
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for !strings.Contains(p.Output(), "ready") {
		select {
		case <-p.Done():
			t.daemon = nil
			return fmt.Errorf("tour: the daemon has ended: %w\n%s", p.Wait(), p.Output())
		case <-ctx.Done():
			return fmt.Errorf("tour: the daemon is not ready: %w\n%s", ctx.Err(), p.Output())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// PID returns the number of the process that moves packets, 0 if there is
// none.
func (t *Tour) PID() int {
	pid, err := t.DataPlane()
	if err != nil {
		return 0
	}
	return pid
}

// Daemon returns the path of skeind.
func (t *Tour) Daemon() string { return t.opts.Daemon }

// Log returns what the daemon has written.
func (t *Tour) Log() string {
	if t.last == nil {
		return ""
	}
	return t.last.Output()
}

// Stop ends the daemon as systemd would, and waits until it has given the
// uplink back.
func (t *Tour) Stop(ctx context.Context) error {
	p := t.daemon
	if p == nil {
		return nil
	}
	t.daemon = nil
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("tour: %w", err)
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		return fmt.Errorf("tour: the daemon does not stop: %w\n%s", ctx.Err(), p.Output())
	}
	if err := p.Wait(); err != nil {
		return fmt.Errorf("tour: the daemon has ended with %w\n%s", err, p.Output())
	}
	return nil
}

// Signal sends the daemon a signal.
func (t *Tour) Signal(s syscall.Signal) error {
	if t.daemon == nil {
		return errors.New("tour: no daemon runs")
	}
	return t.daemon.Signal(s)
}

// KillSupervisor kills the daemon's first process alone. The data plane sees that,
// stops as if it had been told to, and gives the uplink back: see Crash and KillAll
// for accidents that leave something behind.
func (t *Tour) KillSupervisor(ctx context.Context) error {
	p := t.daemon
	if p == nil {
		return nil
	}
	t.daemon = nil
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("tour: %w", err)
	}
	select {
	case <-p.Done():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("tour: the daemon does not die: %w", ctx.Err())
	}
}

// Client connects to the daemon.
func (t *Tour) Client(ctx context.Context) (*api.Client, error) {
	return api.Dial(ctx, t.Socket, 5*time.Second)
}

// Close ends the daemon and takes everything down.
func (t *Tour) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	return errors.Join(t.Stop(ctx), t.Lab.Close(), os.RemoveAll(t.dir))
}
