package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control/store"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/tuntap"
)

// A port is an interface as control has it: what the data plane sees, and
// what stands behind it.
type port struct {
	iface.Iface
	index      uint32
	device     drivers.Device
	servedBy   []bool         // by number of the worker: it sends by the device, or knows who does
	placed     []int          // by number of the queue: which worker serves it
	addrs      []netip.Prefix // Skein's own on it
	peer       Peer
	netNS      string // uplink: path of the namespace that the NIC is in
	candidates []Candidate
	undo       func() error // what is to be done once the queues are closed

	asked     store.Interface // what the API has changed
	adminDown bool            // set down by the API
	linkDown  bool            // uplink, TAP: so is its link
	most      int             // largest MTU that may be set, bytes; 0: the device's

	space tuntap.NetNSID // TUN: the namespace that it was made in

	rxLimit, txLimit configs.RateLimit // how much may come in, and go out

	rank   uint32      // uplink: how many come before it
	ways   []fib.Route // uplink: what the host's addresses and routes on it mean
	follow *follower   // uplink: keeps it in step with the host
}

// A Peer is the kernel's interface at the other end of a TUN or TAP.
type Peer struct {
	Name    string         // as the kernel has it
	NetNS   string         // path of its namespace; empty: the daemon's own
	Mirrors string         // TAP: the uplink that it stands for
	Addrs   []netip.Prefix // that packets are routed to it for

	Workload   configs.Workload   // TUN: what runs there, where somebody has said
	Attachment configs.Attachment // TUN: what a container runtime knows it by
	Routes     []string           // TUN: the pod's, besides its default route
	Bandwidth  configs.Bandwidth  // TUN: how much may pass
	MAC        net.HardwareAddr   // veth: its link address
}

// addPort gives the data plane an interface. The device is closed if that
// fails.
func (c *Control) addPort(ctx context.Context, p *port) error {
	c.mu.Lock()
	err := c.register(p)
	c.mu.Unlock()
	if err != nil {
		return errors.Join(err, c.closeDevice(ctx, p.device))
	}
	if err := c.serve(ctx, p); err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		return errors.Join(err, c.unregister(p), c.closeDevice(ctx, p.device))
	}
	return nil
}

// register gives an interface its index and its place in the State. c.mu is
// held.
func (c *Control) register(p *port) error {
	if c.closing {
		return fmt.Errorf("control: %w: the daemon is stopping", ErrBusy)
	}
	if _, taken := c.index(p.Name); taken {
		return fmt.Errorf("control: interface %s: %w", p.Name, ErrExists)
	}
	p.index, p.servedBy = c.freeIndex(time.Now()), make([]bool, c.cfg.Workers.Number())
	p.placed = dealt(p.index, len(p.device.Queues()), len(p.servedBy))
	for i := range p.Feat {
		p.Feat[i] |= iface.FeatEnd
	}
	if err := errors.Join(p.guard(c.deny.all), p.coalesce()); err != nil {
		c.gone = append(c.gone, goneIndex{p.index, time.Now()})
		return fmt.Errorf("control: interface %s: %w", p.Name, err)
	}
	if err := c.rib.SetIface(p.link()); err != nil {
		c.gone = append(c.gone, goneIndex{p.index, time.Now()})
		return fmt.Errorf("control: interface %s: %w", p.Name, err)
	}
	if p.Kind == iface.Tun {
		if err := c.setWorkload(p); err != nil {
			c.gone = append(c.gone, goneIndex{p.index, time.Now()})
			return errors.Join(err, c.rib.DelIface(p.index))
		}
	}
	c.ports[p.index] = p
	return c.publish()
}

// quarantine is how long an index stays nobody's after its interface has gone:
// longer than packets wait in a node (ip4-arp: 3 s), so that none of them comes
// back to life as another's.
const quarantine = 10 * time.Second

// A goneIndex is one whose interface has gone.
type goneIndex struct {
	index uint32
	since time.Time
}

// freeIndex returns an index for a new interface, and makes room for it. c.mu
// is held.
func (c *Control) freeIndex(now time.Time) uint32 {
	if len(c.gone) > 0 && now.Sub(c.gone[0].since) >= quarantine {
		i := c.gone[0].index
		c.gone = c.gone[1:]
		return i
	}
	c.ports = append(c.ports, nil)
	return uint32(len(c.ports) - 1)
}

// link returns what the RIB needs to know of the interface.
func (p *port) link() fib.Iface {
	return fib.Iface{Index: p.index, MTU: p.MTU, MAC: p.MAC, PointToPoint: !p.Ethernet, Up: p.Up}
}

// unregister takes an interface out of the State. c.mu is held.
func (c *Control) unregister(p *port) error {
	for k, n := range c.neighbors {
		if k.iface == p.index {
			c.dropNeighbor(k, n)
		}
	}
	if p.Kind == iface.Tun {
		c.dropWorkload(p)
	}
	c.ports[p.index] = nil
	c.gone = append(c.gone, goneIndex{p.index, time.Now()})
	err := c.rib.Apply(c.withoutIface(p.index)...)
	return errors.Join(err, c.rib.DelIface(p.index), c.publish())
}

// withoutIface returns the changes that take the ways over an interface out of
// all routes, and delete those that have no other. c.mu is held.
func (c *Control) withoutIface(i uint32) (changes []fib.Change) {
	over := func(nh fib.NextHop) bool { return nh.Iface == i }
	for e := range c.rib.over(i) {
		r := e.Route
		if r.Source == fib.SourceNeighbor {
			continue // what the RIB makes of neighbours it takes away itself
		}
		op := fib.OpAdd // which replaces it
		if r.NextHops = slices.DeleteFunc(slices.Clone(r.NextHops), over); len(r.NextHops) == 0 {
			op = fib.OpDelete
		}
		changes = append(changes, fib.Change{Op: op, Route: r})
	}
	return changes
}

// removePort takes an interface away: out of the State, then its queues, then
// what stands behind it.
func (c *Control) removePort(ctx context.Context, p *port) error {
	c.mu.Lock()
	if c.ports[p.index] != p {
		c.mu.Unlock()
		return nil // somebody was faster
	}
	follow := p.follow
	p.follow = nil
	c.mu.Unlock()
	var err error
	if follow != nil {
		err = follow.halt()
	}
	c.mu.Lock()
	if c.ports[p.index] != p {
		c.mu.Unlock()
		return err
	}
	p.ways = nil
	_, failed := c.mirrorRoutes()
	err = errors.Join(err, failed, c.unregister(p))
	c.mu.Unlock()
	err = errors.Join(err, c.unserve(ctx, p), c.freeOwner(ctx, p.index), p.device.Close())
	if p.undo != nil {
		err = errors.Join(err, p.undo())
	}
	return err
}

// closeDevice closes a device that no worker has got. Its buffers go back to a
// worker's pool, so the worker does it.
func (c *Control) closeDevice(ctx context.Context, d drivers.Device) error {
	w := c.first()
	return c.do(ctx, w, func() (failed error) {
		for _, q := range d.Queues() {
			failed = errors.Join(failed, q.Close(w.Pool))
		}
		return errors.Join(failed, d.Close())
	})
}

// find returns a named interface.
func (c *Control) find(name string) (*port, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.index(name)
	if !ok {
		return nil, fmt.Errorf("control: interface %q: %w", name, ErrNotFound)
	}
	return c.ports[i], nil
}

// enable sets features of an arc on an interface that is not published yet.
func (p *port) enable(arc iface.Arc, features ...string) error {
	for _, a := range nodes.FeatureArcs() {
		if a.ID == arc {
			mask, err := a.Mask(features...)
			p.Feat[arc] |= mask
			return err
		}
	}
	return fmt.Errorf("control: no feature arc %d", arc)
}

// coalesce has what comes in small pieces written as superpackets, where the
// host or a pod takes them.
func (p *port) coalesce() error {
	if p.Kind == iface.Uplink || p.Offload&(drivers.TSO4|drivers.TSO6|drivers.USO) == 0 {
		return nil
	}
	return p.enable(iface.InterfaceOutput, "gro")
}

// checkSources has what is behind the interface send from its own addresses
// only.
func (p *port) checkSources() error {
	return errors.Join(p.enable(iface.IP4Unicast, "ip4-source-check"), p.enable(iface.IP6Unicast, "ip6-source-check"))
}

// firstAddrs returns the first address of each family, 0 where there is none.
func firstAddrs(all []netip.Prefix) (v4 hdr.Addr4, v6 hdr.Addr6) {
	for _, p := range all {
		if p.Addr().Is4() {
			v4 = cmp.Or(v4, hdr.Addr4From(p.Addr()))
		} else {
			v6 = cmp.Or(v6, hdr.Addr6From(p.Addr()))
		}
	}
	return v4, v6
}

// deviceGone sets an interface down whose device somebody has deleted. c.mu is
// held.
func (c *Control) deviceGone(p *port) bool {
	c.log.Warn("the device of an interface is gone", zap.String("interface", p.Name))
	p.adminDown = true
	p.settle()
	if err := c.rib.SetIface(p.link()); err != nil {
		c.log.Error("set an interface down", zap.String("interface", p.Name), zap.Error(err))
	}
	return true
}
