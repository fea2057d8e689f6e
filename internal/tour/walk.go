package tour

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
)

// A Way is a pair of stations that are to reach each other.
type Way struct {
	From *lab.Namespace
	To   *lab.Namespace
	Addr string // of To
}

func (w Way) String() string {
	return fmt.Sprintf("%s → %s (%s)", w.From.Name(), w.To.Name(), w.Addr)
}

// Ways returns all pairs, in both families: pods, the host, the gateway and
// the remote host.
func (t *Tour) Ways() []Way {
	return append(t.ways(lab.PodAddr, lab.OtherPodAddr, lab.NodeAddr, lab.GatewayAddr, lab.RemoteAddr),
		t.ways(lab.PodAddr6, lab.OtherPodAddr6, lab.NodeAddr6, lab.GatewayAddr6, lab.RemoteAddr6)...)
}

func (t *Tour) ways(pod, other, node, gateway, remote string) []Way {
	return []Way{
		{t.PodA, t.PodB, other},
		{t.PodB, t.PodA, pod},
		{t.PodA, t.Node, node},
		{t.Node, t.PodA, pod},
		{t.PodA, t.Router, gateway},
		{t.PodA, t.Remote, remote},
		{t.Remote, t.PodA, pod},
		{t.Node, t.Router, gateway},
		{t.Node, t.Remote, remote},
		{t.Remote, t.Node, node},
	}
}

// Walk sends pings, a TCP transfer and a traceroute across, and writes what
// happened. It fails if anything does not arrive.
func (t *Tour) Walk(ctx context.Context, out io.Writer) error {
	for _, step := range []struct {
		title string
		run   func(context.Context, io.Writer) error
	}{
		{"Pings, all ways", t.pings},
		{fmt.Sprintf("TCP, %d MiB each, every byte compared", t.opts.Bytes>>20), t.transfers},
		{"The way from pod-a to the remote host", t.traceroute},
		{"The way from the remote host to pod-a", t.traceback},
	} {
		fmt.Fprintf(out, "\n%s\n", step.title)
		if err := step.run(ctx, out); err != nil {
			return fmt.Errorf("tour: %s: %w", strings.ToLower(step.title[:1])+step.title[1:], err)
		}
	}
	return nil
}

func (t *Tour) pings(ctx context.Context, out io.Writer) error {
	for _, w := range t.Ways() {
		addr, err := netip.ParseAddr(w.Addr)
		if err != nil {
			return err
		}
		replies, err := w.From.Ping(ctx, addr, lab.Ping{Count: 3, Timeout: 2 * time.Second, Interval: 5 * time.Millisecond})
		if err != nil {
			return fmt.Errorf("%s: %w", w, err)
		}
		var best time.Duration
		for _, r := range replies {
			if !r.OK() {
				return fmt.Errorf("%s: %s %s", w, r.What, r.From)
			}
			if best == 0 || r.RTT < best {
				best = r.RTT
			}
		}
		fmt.Fprintf(out, "  %-42s %d of %d answered, best %v\n", w, len(replies), len(replies), best.Round(time.Microsecond))
	}
	return nil
}

func (t *Tour) transfers(ctx context.Context, out io.Writer) error {
	for _, w := range t.Ways() {
		if w.To == t.Router || w.From == t.PodB {
			continue
		}
		addr, err := netip.ParseAddr(w.Addr)
		if err != nil {
			return err
		}
		rate, err := lab.Transfer{From: w.From, To: w.To, Addr: netip.AddrPortFrom(addr, 0), Bytes: t.opts.Bytes}.Run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", w, err)
		}
		fmt.Fprintf(out, "  %-42s %.1f Gbit/s\n", w, rate.Gbps())
	}
	return nil
}

func (t *Tour) traceroute(ctx context.Context, out io.Writer) error {
	if err := trace(ctx, out, t.PodA, lab.RemoteAddr, lab.NodeAddr, lab.GatewayAddr, lab.RemoteAddr); err != nil {
		return err
	}
	return trace(ctx, out, t.PodA, lab.RemoteAddr6, lab.NodeAddr6, lab.GatewayAddr6, lab.RemoteAddr6)
}

func (t *Tour) traceback(ctx context.Context, out io.Writer) error {
	if err := trace(ctx, out, t.Remote, lab.PodAddr, "198.51.100.254", lab.NodeAddr, lab.PodAddr); err != nil {
		return err
	}
	return trace(ctx, out, t.Remote, lab.PodAddr6, "2001:db8:100::254", lab.NodeAddr6, lab.PodAddr6)
}

// trace fails if the hops are not those that are expected.
func trace(ctx context.Context, out io.Writer, from *lab.Namespace, to string, hops ...string) error {
	addr, err := netip.ParseAddr(to)
	if err != nil {
		return err
	}
	got, err := from.Trace(ctx, addr, 8, 2*time.Second)
	if err != nil {
		return err
	}
	for i, r := range got {
		fmt.Fprintf(out, "  %d  %-20s %-20s %v\n", i+1, r.From, r.What, r.RTT.Round(time.Microsecond))
		if i >= len(hops) || r.From.String() != hops[i] {
			return fmt.Errorf("hop %d is %s, not as expected: %s", i+1, r.From, strings.Join(hops, ", "))
		}
	}
	if len(got) != len(hops) {
		return fmt.Errorf("%d hops, expected %s", len(got), strings.Join(hops, ", "))
	}
	return nil
}
