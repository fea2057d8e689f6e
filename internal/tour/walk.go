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

// Ways returns all pairs: pods, the host, the gateway and the remote host.
func (t *Tour) Ways() []Way {
	return []Way{
		{t.PodA, t.PodB, lab.OtherPodAddr},
		{t.PodB, t.PodA, lab.PodAddr},
		{t.PodA, t.Node, lab.NodeAddr},
		{t.Node, t.PodA, lab.PodAddr},
		{t.PodA, t.Router, lab.GatewayAddr},
		{t.PodA, t.Remote, lab.RemoteAddr},
		{t.Remote, t.PodA, lab.PodAddr},
		{t.Node, t.Router, lab.GatewayAddr},
		{t.Node, t.Remote, lab.RemoteAddr},
		{t.Remote, t.Node, lab.NodeAddr},
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
		fmt.Fprintf(out, "  %-38s %d of %d answered, best %v\n", w, len(replies), len(replies), best.Round(time.Microsecond))
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
		fmt.Fprintf(out, "  %-38s %.1f Gbit/s\n", w, rate.Gbps())
	}
	return nil
}

func (t *Tour) traceroute(ctx context.Context, out io.Writer) error {
	return trace(ctx, out, t.PodA, lab.RemoteAddr, lab.NodeAddr, lab.GatewayAddr, lab.RemoteAddr)
}

func (t *Tour) traceback(ctx context.Context, out io.Writer) error {
	return trace(ctx, out, t.Remote, lab.PodAddr, "198.51.100.254", lab.NodeAddr, lab.PodAddr)
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
		fmt.Fprintf(out, "  %d  %-16s %-20s %v\n", i+1, r.From, r.What, r.RTT.Round(time.Microsecond))
		if i >= len(hops) || r.From.String() != hops[i] {
			return fmt.Errorf("hop %d is %s, not as expected: %s", i+1, r.From, strings.Join(hops, ", "))
		}
	}
	if len(got) != len(hops) {
		return fmt.Errorf("%d hops, expected %s", len(got), strings.Join(hops, ", "))
	}
	return nil
}
