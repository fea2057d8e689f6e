package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/internal/tsc"
	"github.com/skein-dataplane/skein/tuntap"
)

// An Interface is an interface as it is shown.
type Interface struct {
	iface.Iface
	Index      uint32
	LinkUp     bool           // the kernel's interface is up, and packets can pass
	Addrs      []netip.Prefix // Skein's own on it
	Peer       Peer           // zero for an uplink
	Info       drivers.Info
	Queues     int
	Candidates []Candidate // the drivers that were considered
	RxRate     configs.RateLimit
	TxRate     configs.RateLimit
	Counters   graph.PortStats
}

// Features returns the enabled features of an arc, in order.
func (i *Interface) Features(arc *graph.FeatureArc) []string { return arc.Names(i.Feat[arc.ID]) }

// Interfaces returns all interfaces, or those of the given names, by index.
func (c *Control) Interfaces(ctx context.Context, names ...string) ([]Interface, error) {
	counters, err := c.PortStats(ctx)
	if err != nil {
		return nil, err
	}
	ports, err := c.portsOf(names)
	if err != nil {
		return nil, err
	}
	out := make([]Interface, len(ports))
	for i, p := range ports {
		// The kernel is asked without c.mu: it may take its time.
		out[i] = p.view(counters)
		out[i].LinkUp = p.kernelSide().running()
	}
	return out, nil
}

// portsOf returns copies of the ports of the given names, or of all.
func (c *Control) portsOf(names []string) (out []port, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.ports {
		if p != nil && len(names) == 0 {
			out = append(out, *p)
		}
	}
	for _, name := range names {
		i, ok := c.index(name)
		if !ok {
			return nil, fmt.Errorf("control: interface %q: %w", name, ErrNotFound)
		}
		out = append(out, *c.ports[i])
	}
	return out, nil
}

// A kernelSide is where the kernel has the interface at the other end.
type kernelSide struct{ netNS, name string }

func (p *port) kernelSide() kernelSide {
	if p.Kind == iface.Uplink {
		return kernelSide{p.netNS, strings.TrimPrefix(p.Name, uplinkPrefix)}
	}
	return kernelSide{p.peer.NetNS, p.peer.Name}
}

// running reports whether packets can pass. They can't where the interface has
// gone, as a pod's does with its namespace.
func (k kernelSide) running() bool {
	l, err := tuntap.OpenLink(k.netNS, k.name)
	if err != nil {
		return false
	}
	defer l.Close()
	st, err := l.State()
	return err == nil && st.Running
}

func (p *port) view(counters map[uint32]graph.PortStats) Interface {
	return Interface{Iface: p.Iface, Index: p.index, Addrs: p.addrs, Peer: p.peer, Info: p.device.Info(),
		Queues: len(p.device.Queues()), Candidates: p.candidates, RxRate: p.rxLimit, TxRate: p.txLimit, Counters: counters[p.index]}
}

func (c *Control) interfaceOf(ctx context.Context, p *port) (*Interface, error) {
	all, err := c.Interfaces(ctx, p.Name)
	if err != nil {
		return nil, err
	}
	return &all[0], nil
}

// DeleteInterface removes a pod's TUN. Uplinks and their taps come and go with
// the configuration.
func (c *Control) DeleteInterface(ctx context.Context, name string) error {
	if err := c.AwaitReady(ctx); err != nil {
		return err
	}
	unlock, err := c.lockTun(ctx, &name)
	if err != nil {
		return err
	}
	defer unlock()
	p, err := c.find(name)
	if err != nil {
		return err
	}
	if p.Kind != iface.Tun {
		return fmt.Errorf("control: %w: %s belongs to an uplink, which the configuration names", ErrBusy, name)
	}
	ctx, cancel := undisturbed(ctx)
	defer cancel()
	return c.deleteTun(ctx, p)
}

// A Runtime is what a worker has done since its counters were cleared.
type Runtime struct {
	Nodes   []graph.NodeStats
	Load    graph.Load
	Elapsed time.Duration
	ClockHz float64
}

// Runtime returns what each worker has done.
func (c *Control) Runtime(ctx context.Context) (all []Runtime, err error) {
	err = c.doAll(ctx, func(w *graph.Worker) error {
		r := Runtime{Nodes: w.Stats(), Load: w.Load(), ClockHz: tsc.Hz()}
		r.Elapsed = time.Duration(w.Now - r.Load.Since)
		all = append(all, r)
		return nil
	})
	return all, err
}

// Nodes returns what the nodes of all workers have done together.
func (c *Control) Nodes(ctx context.Context) ([]graph.NodeStats, error) {
	all, err := c.Runtime(ctx)
	if err != nil {
		return nil, err
	}
	sum := all[0].Nodes
	for _, r := range all[1:] {
		for i, n := range r.Nodes { // the same nodes in the same order
			sum[i].Add(&n)
		}
	}
	return sum, nil
}

// ClearNodes sets the nodes' counters to zero, and returns what they were, by
// worker.
func (c *Control) ClearNodes(ctx context.Context) (was [][]graph.NodeStats, err error) {
	err = c.doAll(ctx, func(w *graph.Worker) error {
		was = append(was, w.Stats())
		w.ClearNodes()
		return nil
	})
	return was, err
}

// PortStats returns what the interfaces have seen, by index.
func (c *Control) PortStats(ctx context.Context) (map[uint32]graph.PortStats, error) {
	all, err := c.WorkerPorts(ctx)
	if err != nil {
		return nil, err
	}
	sum := all[0]
	for _, ports := range all[1:] {
		for i, p := range ports {
			st := sum[i]
			st.Add(&p)
			sum[i] = st
		}
	}
	return sum, nil
}

// WorkerPorts returns what the interfaces have seen, by worker and index.
func (c *Control) WorkerPorts(ctx context.Context) (all []map[uint32]graph.PortStats, err error) {
	err = c.doAll(ctx, func(w *graph.Worker) error { all = append(all, w.Ports()); return nil })
	return all, err
}

// ClearPorts sets the interfaces' counters to zero, and returns what they
// were, by worker and index.
func (c *Control) ClearPorts(ctx context.Context) (was []map[uint32]graph.PortStats, err error) {
	err = c.doAll(ctx, func(w *graph.Worker) error {
		was = append(was, w.Ports())
		w.ClearPorts()
		return nil
	})
	return was, err
}

// TraceNode has the next n packets traced that reach a node, at each worker.
func (c *Control) TraceNode(ctx context.Context, node string, n int) error {
	err := c.doAll(ctx, func(w *graph.Worker) error { return w.Trace(node, n) })
	if errors.Is(err, graph.ErrNoNode) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}

// TraceInterface has the next n packets traced that an interface receives, at
// each worker.
func (c *Control) TraceInterface(ctx context.Context, name string, n int) error {
	p, err := c.find(name)
	if err != nil {
		return err
	}
	return c.doAll(ctx, func(w *graph.Worker) error { w.TraceIface(p.index, n); return nil })
}

// Traces returns the records of all traced packets by worker, oldest first, and
// how many packets there was no room for. No two workers give the same numbers.
func (c *Control) Traces(ctx context.Context) (all [][]graph.Record, missed uint64, err error) {
	err = c.doAll(ctx, func(w *graph.Worker) error {
		records := w.Traces()
		for i := range records {
			p := &records[i].Packet
			*p = (*p-1)*uint64(w.Peers()) + uint64(w.ID()) + 1
		}
		all = append(all, records)
		missed += w.Untraced()
		return nil
	})
	return all, missed, err
}

// ClearTrace forgets all traces.
func (c *Control) ClearTrace(ctx context.Context) error {
	return c.doAll(ctx, func(w *graph.Worker) error { w.ClearTrace(); return nil })
}

// Buffers returns the numbers of each worker's buffers.
func (c *Control) Buffers(ctx context.Context) (all []buf.Stats, err error) {
	err = c.doAll(ctx, func(w *graph.Worker) error { all = append(all, w.Pool.Stats()); return nil })
	return all, err
}

// Uptime returns how long the daemon has run.
func (c *Control) Uptime() time.Duration { return time.Since(c.started) }
