package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/control/store"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/state"
)

const (
	// maxNeighbors bounds those that are known, and maxUnresolved those that
	// have not answered: whoever scans a prefix fills up only the latter, and
	// they are there to be shown (RFC 6583, section 6.1).
	maxNeighbors  = 8192
	maxUnresolved = 1024
	// reachable is how long a neighbour counts as reachable after it was
	// heard of (RFC 4861, section 10: REACHABLE_TIME, and Linux for IPv4).
	reachable = 30 * time.Second
	// probeEvery is the time between two questions to a neighbour that was
	// not heard of for so long (RFC 4861, section 10: RETRANS_TIMER), and
	// maxProbes how many go unanswered before it is forgotten.
	probeEvery = time.Second
	maxProbes  = 3
)

type neighborKey struct {
	iface uint32
	ip    netip.Addr
}

type neighbor struct {
	mac    hdr.MAC
	state  NeighborState
	static bool
	probes int
	heard  time.Time // when it was last confirmed
}

// unresolved reports whether nothing is known of it but that somebody wants it.
func (n *neighbor) unresolved() bool { return n.state == Incomplete || n.state == Failed }

// A NeighborState says what is known of a neighbour's link address (RFC 4861,
// section 7.3.2, as far as it applies to ARP).
type NeighborState uint8

const (
	Incomplete NeighborState = iota + 1 // asked for, not answered yet
	Reachable                           // confirmed lately
	Stale                               // used as it was, and asked for again
	Failed                              // did not answer
)

// A Neighbor is a station on a link.
type Neighbor struct {
	Interface string
	IP        netip.Addr
	MAC       hdr.MAC
	State     NeighborState
	Static    bool
	Age       time.Duration // since it was last confirmed
}

// watchNotices takes in what a worker has seen.
func (c *Control) watchNotices(ctx context.Context, w *graph.Worker) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.Notices():
		}
		c.mu.Lock()
		changed := false
		for n, ok := w.NextNotice(); ok; n, ok = w.NextNotice() {
			changed = c.notice(n) || changed
		}
		if changed {
			if err := c.publish(); err != nil {
				c.log.Error("publish neighbours", zap.Error(err))
			}
		}
		c.mu.Unlock()
	}
}

// notice takes in one notice, and reports whether the State has to change.
// c.mu is held.
func (c *Control) notice(n state.Notice) bool {
	if n.Kind == state.EchoReply {
		c.pings.reply(n)
		return false
	}
	if int(n.Iface) >= len(c.ports) || c.ports[n.Iface] == nil {
		return false // it has gone since
	}
	switch n.Kind {
	case state.DeviceGone:
		return c.deviceGone(c.ports[n.Iface])
	case state.PolicyLog:
		c.logMatch(n)
		return false
	}
	key := neighborKey{n.Iface, n.Addr()}
	known := c.neighbors[key]
	switch n.Kind {
	case state.NeighborSeen:
		return c.heard(key, known, n.MAC)
	case state.NeighborWanted:
		if known == nil && c.unresolved < maxUnresolved {
			c.neighbors[key] = &neighbor{state: Incomplete, heard: time.Now()}
			c.unresolved++
		}
	case state.NeighborFailed:
		if known != nil && known.state == Incomplete {
			known.state = Failed
		}
	}
	return false
}

// heard takes in a neighbour's link address. c.mu is held.
func (c *Control) heard(key neighborKey, known *neighbor, mac hdr.MAC) bool {
	if known == nil {
		if len(c.neighbors)-c.unresolved >= maxNeighbors {
			return false
		}
		known = &neighbor{}
		c.neighbors[key] = known
	}
	if known.static {
		return false
	}
	if known.unresolved() {
		c.unresolved--
	}
	had := known.state == Reachable || known.state == Stale // a link address
	changed := !had || known.mac != mac
	known.mac, known.state, known.probes, known.heard = mac, Reachable, 0, time.Now()
	if !changed {
		return false
	}
	if had {
		// Anybody can say that a neighbour has moved. It is asked there at the
		// next tick, and soon forgotten, to be looked for anew, if nobody
		// answers (as in RFC 4861, section 7.2.5).
		known.state, known.heard = Stale, known.heard.Add(-reachable)
	}
	if err := c.rib.SetNeighbor(key.iface, key.ip, mac); err != nil {
		c.log.Warn("neighbour not taken in", zap.Stringer("ip", key.ip), zap.Error(err))
		return false
	}
	c.log.Debug("neighbour", zap.Stringer("ip", key.ip), zap.String("interface", c.name(key.iface)), zap.String("mac", macText(mac)))
	return true
}

// ageNeighbors asks neighbours that were not heard of for a while whether they
// are still there (RFC 1122, section 2.3.2.1, method 2: unicast poll; RFC 4861,
// section 7.3.3).
func (c *Control) ageNeighbors(ctx context.Context) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if err := c.probe(ctx, c.age(now)); err != nil && ctx.Err() == nil {
				c.log.Warn("ask neighbours", zap.Error(err))
			}
		}
	}
}

// age returns the neighbours that are to be asked, and forgets those that have
// not answered.
func (c *Control) age(now time.Time) (ask []Neighbor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := false
	for key, n := range c.neighbors {
		if n.static || now.Sub(n.heard) < reachable {
			continue
		}
		if n.unresolved() || n.probes == maxProbes {
			changed = c.forget(key, n) || changed
			continue
		}
		n.state = Stale
		n.probes++
		ask = append(ask, Neighbor{Interface: c.name(key.iface), IP: key.ip, MAC: n.mac})
	}
	if changed {
		if err := c.publish(); err != nil {
			c.log.Error("publish neighbours", zap.Error(err))
		}
	}
	return ask
}

// dropNeighbor takes a neighbour out of the table. c.mu is held.
func (c *Control) dropNeighbor(key neighborKey, n *neighbor) {
	delete(c.neighbors, key)
	if n.unresolved() {
		c.unresolved--
	}
}

// forget deletes a neighbour, and reports whether the State has to change.
// c.mu is held.
func (c *Control) forget(key neighborKey, n *neighbor) bool {
	c.dropNeighbor(key, n)
	if n.unresolved() {
		return false
	}
	if err := c.rib.DelNeighbor(key.iface, key.ip); err != nil && !errors.Is(err, fib.ErrNotFound) {
		c.log.Warn("forget a neighbour", zap.Stringer("ip", key.ip), zap.Error(err))
	}
	return true
}

// probe asks neighbours at their known link addresses.
func (c *Control) probe(ctx context.Context, all []Neighbor) error {
	if len(all) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeEvery)
	defer cancel()
	w := c.first()
	return c.do(ctx, w, func() error {
		st := c.pub.Load()
		for _, n := range all {
			i := slices.IndexFunc(st.Ifaces, func(x iface.Iface) bool { return x.Name == n.Interface })
			if i <= 0 {
				continue
			}
			var one [1]*buf.Buffer
			if w.Pool.Get(one[:]) == 0 {
				return nil // a busy moment; they are asked again in a second
			}
			nodes.Probe(one[0], st, uint32(i), n.IP, n.MAC)
			w.Inject("interface-output", one[0])
		}
		return nil
	})
}

// Neighbors returns all neighbours, by interface and address.
func (c *Control) Neighbors() (out []Neighbor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, n := range c.neighbors {
		out = append(out, Neighbor{Interface: c.name(key.iface), IP: key.ip, MAC: n.mac, State: n.state,
			Static: n.static, Age: time.Since(n.heard)})
	}
	slices.SortFunc(out, func(a, b Neighbor) int {
		return cmp.Or(cmp.Compare(a.Interface, b.Interface), a.IP.Compare(b.IP))
	})
	return out
}

// AddNeighbor sets a neighbour's link address by hand. It is never asked for.
func (c *Control) AddNeighbor(name string, ip netip.Addr, mac hdr.MAC) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.index(name)
	if !ok {
		return fmt.Errorf("control: interface %q: %w", name, ErrNotFound)
	}
	if !c.ports[i].Ethernet {
		return fmt.Errorf("control: %w: %s has no link addresses", ErrInvalid, name)
	}
	if mac.IsGroup() || mac == (hdr.MAC{}) {
		return fmt.Errorf("control: %w: %s is no station's address", ErrInvalid, macText(mac))
	}
	if err := c.rib.SetNeighbor(i, ip, mac); err != nil {
		return fmt.Errorf("control: %w", err)
	}
	if old := c.neighbors[neighborKey{i, ip}]; old != nil {
		c.dropNeighbor(neighborKey{i, ip}, old)
	}
	c.neighbors[neighborKey{i, ip}] = &neighbor{mac: mac, state: Reachable, static: true, heard: time.Now()}
	if err := c.publish(); err != nil {
		return err
	}
	return c.remembered(c.store.PutNeighbor(store.Neighbor{Interface: name, IP: ip, MAC: macText(mac)}))
}

// DelNeighbor forgets a neighbour.
func (c *Control) DelNeighbor(name string, ip netip.Addr) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.index(name)
	if !ok {
		return fmt.Errorf("control: interface %q: %w", name, ErrNotFound)
	}
	key := neighborKey{i, ip}
	n := c.neighbors[key]
	if n == nil {
		return fmt.Errorf("control: neighbour %s on %s: %w", ip, name, ErrNotFound)
	}
	c.forget(key, n)
	if err := c.publish(); err != nil || !n.static {
		return err
	}
	return c.remembered(c.store.DelNeighbor(name, ip))
}

func macText(m hdr.MAC) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}
