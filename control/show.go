package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/internal/tsc"
	"github.com/skein-dataplane/skein/nodes"
)

// An Interface is an interface as it is shown.
type Interface struct {
	iface.Iface
	Index      uint32
	Addrs      []netip.Prefix // Skein's own on it
	Peer       Peer           // zero for an uplink
	Info       drivers.Info
	Queues     int
	Candidates []Candidate // the drivers that were considered
	Counters   graph.PortStats
}

// Features returns the enabled features of an arc, in order.
func (i *Interface) Features(arc *graph.FeatureArc) []string { return arc.Names(i.Feat[arc.ID]) }

// Interfaces returns all interfaces, or those of the given names, by index.
func (c *Control) Interfaces(ctx context.Context, names ...string) ([]Interface, error) {
	var counters map[uint32]graph.PortStats
	if err := c.do(ctx, func() error { counters = c.worker.Ports(); return nil }); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Interface
	if len(names) == 0 {
		for _, p := range c.ports {
			if p != nil {
				out = append(out, p.view(counters))
			}
		}
	}
	for _, name := range names {
		i, ok := c.index(name)
		if !ok {
			return nil, fmt.Errorf("control: interface %q: %w", name, ErrNotFound)
		}
		out = append(out, c.ports[i].view(counters))
	}
	return out, nil
}

func (p *port) view(counters map[uint32]graph.PortStats) Interface {
	return Interface{Iface: p.Iface, Index: p.index, Addrs: p.addrs, Peer: p.peer, Info: p.device.Info(),
		Queues: len(p.device.Queues()), Candidates: p.candidates, Counters: counters[p.index]}
}

func (c *Control) interfaceOf(ctx context.Context, p *port) (*Interface, error) {
	all, err := c.Interfaces(ctx, p.Name)
	if err != nil {
		return nil, err
	}
	return &all[0], nil
}

// SetUp sets an interface up or down in Skein. Down, packets to it are dropped
// and its routes are not used.
func (c *Control) SetUp(name string, up bool) error {
	return c.change(name, func(p *port) error { p.Up = up; return nil })
}

// SetMTU sets the largest IP packet that Skein sends to an interface, in bytes.
func (c *Control) SetMTU(name string, mtu uint32) error {
	return c.change(name, func(p *port) error {
		if int(mtu) > p.device.Info().MTU || mtu < minMTU {
			return fmt.Errorf("control: %w: the device of %s takes an MTU from %d to %d", ErrInvalid, name, minMTU, p.device.Info().MTU)
		}
		p.MTU = mtu
		return nil
	})
}

const minMTU = 68 // RFC 791, section 3.2

// SetFeature enables or disables a feature on an arc of an interface.
func (c *Control) SetFeature(name, arc, feature string, enable bool) error {
	for _, a := range nodes.FeatureArcs() {
		if a.Name != arc {
			continue
		}
		mask, err := a.Mask(feature)
		if err != nil {
			return fmt.Errorf("control: %w: %w", ErrInvalid, err)
		}
		return c.change(name, func(p *port) error {
			if p.Feat[a.ID] |= mask; !enable {
				p.Feat[a.ID] &^= mask &^ iface.FeatEnd
			}
			return nil
		})
	}
	return fmt.Errorf("control: feature arc %q: %w", arc, ErrNotFound)
}

// change edits an interface and publishes it, or leaves it as it was.
func (c *Control) change(name string, edit func(p *port) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.index(name)
	if !ok {
		return fmt.Errorf("control: interface %q: %w", name, ErrNotFound)
	}
	p := c.ports[i]
	was := p.Iface
	if err := edit(p); err != nil {
		p.Iface = was
		return err
	}
	if err := c.rib.SetIface(p.link()); err != nil {
		p.Iface = was
		return fmt.Errorf("control: interface %s: %w", name, err)
	}
	return c.publish()
}

// DeleteInterface removes a pod's TUN. Uplinks and their taps come and go with
// the configuration.
func (c *Control) DeleteInterface(ctx context.Context, name string) error {
	p, err := c.find(name)
	if err != nil {
		return err
	}
	if p.Kind != iface.Tun {
		return fmt.Errorf("control: %w: %s belongs to an uplink, which the configuration names", ErrBusy, name)
	}
	return c.removePort(ctx, p)
}

// A Runtime is what the worker has done since its counters were cleared.
type Runtime struct {
	Nodes   []graph.NodeStats
	Load    graph.Load
	Elapsed time.Duration
	ClockHz float64
}

// Runtime returns what the worker has done.
func (c *Control) Runtime(ctx context.Context) (r Runtime, err error) {
	r.ClockHz = tsc.Hz()
	err = c.do(ctx, func() error {
		r.Nodes, r.Load = c.worker.Stats(), c.worker.Load()
		r.Elapsed = time.Duration(c.worker.Now - r.Load.Since)
		return nil
	})
	return r, err
}

// ClearNodes sets the nodes' counters to zero.
func (c *Control) ClearNodes(ctx context.Context) error {
	return c.do(ctx, func() error { c.worker.ClearNodes(); return nil })
}

// ClearPorts sets the interfaces' counters to zero.
func (c *Control) ClearPorts(ctx context.Context) error {
	return c.do(ctx, func() error { c.worker.ClearPorts(); return nil })
}

// TraceNode has the next n packets traced that reach a node.
func (c *Control) TraceNode(ctx context.Context, node string, n int) error {
	err := c.do(ctx, func() error { return c.worker.Trace(node, n) })
	if errors.Is(err, graph.ErrNoNode) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}

// TraceInterface has the next n packets traced that an interface receives.
func (c *Control) TraceInterface(ctx context.Context, name string, n int) error {
	p, err := c.find(name)
	if err != nil {
		return err
	}
	return c.do(ctx, func() error { c.worker.TraceIface(p.index, n); return nil })
}

// Traces returns the records of all traced packets, oldest first.
func (c *Control) Traces(ctx context.Context) (out []graph.Record, err error) {
	err = c.do(ctx, func() error { out = c.worker.Traces(); return nil })
	return out, err
}

// ClearTrace forgets all traces.
func (c *Control) ClearTrace(ctx context.Context) error {
	return c.do(ctx, func() error { c.worker.ClearTrace(); return nil })
}

// Buffers returns the numbers of the worker's buffers.
func (c *Control) Buffers(ctx context.Context) (out buf.Stats, err error) {
	err = c.do(ctx, func() error { out = c.pool.Stats(); return nil })
	return out, err
}

// Uptime returns how long the daemon has run.
func (c *Control) Uptime() time.Duration { return time.Since(c.started) }
