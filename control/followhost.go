package control

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/control/takeover"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
)

// mirror makes the data plane have what the host has on the TAP and the NIC on
// its side. If nothing has changed, nothing is published.
func (c *Control) mirror(f *follower, now *takeover.Snapshot, nic side) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	up, tap := f.up, f.tap
	if c.ports[up.index] != up || c.ports[tap.index] != tap {
		return nil // it is being given back
	}
	before := [2]iface.Iface{up.Iface, tap.Iface}
	up.linkDown, tap.linkDown = !nic.up || !nic.carrier, !now.Up
	if f.seen.mtu != nic.mtu { // else somebody may have chosen less by the API
		up.MTU, tap.MTU, up.most, tap.most = uint32(nic.mtu), uint32(nic.mtu), nic.mtu, nic.mtu
	}
	up.MAC = nic.mac
	if tap.MAC == up.MAC {
		tap.MAC = tapMAC(up.MAC) // the host has taken Skein's own
	}
	f.seen = nic
	up.setHost(now, tap.index)
	tap.standFor(up)
	up.settle()
	tap.settle()
	if before[0].Up && !up.Up {
		c.forgetLink(up.index) // who answers later may be another
	}
	var failed error
	for _, p := range []*port{up, tap} {
		failed = errors.Join(failed, c.rib.SetIface(p.link()))
	}
	changed, err := c.mirrorRoutes()
	if changed || before != [2]iface.Iface{up.Iface, tap.Iface} {
		err = errors.Join(err, c.publish())
	}
	return errors.Join(failed, err)
}

// settle says whether the interface is up: if nobody has set it down, and its
// link is.
func (p *port) settle() { p.Up = !p.adminDown && !p.linkDown }

// forgetLink forgets what is known of the neighbours on a link, but for what
// was set by hand. c.mu is held.
func (c *Control) forgetLink(i uint32) {
	for key, n := range c.neighbors {
		if key.iface == i && !n.static {
			c.forget(key, n)
		}
	}
}

// rank returns how many uplinks come before one. c.mu is held.
func (c *Control) rank(up *port) (before uint32) {
	for _, p := range c.ports[:up.index] {
		if p != nil && p.Kind == iface.Uplink {
			before++
		}
	}
	return before
}

// setHost takes over the host's addresses on an uplink, and works out the
// routes that they and the host's own routes mean.
func (p *port) setHost(s *takeover.Snapshot, tap uint32) {
	p.addrs = nil
	for _, a := range s.Addrs {
		p.addrs = append(p.addrs, a.Prefix)
	}
	p.Addr4, p.Addr6, p.LinkLocal = sourcesOf(s.Addrs)
	p.ways = hostWays(s, p.index, tap, p.rank)
}

// standFor gives a TAP what follows from its uplink. Skein speaks IPv6 on it,
// under an address of its own, if the host does.
func (p *port) standFor(up *port) {
	p.peer.Addrs, p.LinkLocal = up.addrs, hdr.Addr6{}
	if up.LinkLocal != (hdr.Addr6{}) {
		p.LinkLocal = linkLocalOf(p.MAC)
	}
}

// linkLocalOf returns the link-local address that a station makes of its link
// address (RFC 4291, appendix A: modified EUI-64).
func linkLocalOf(m hdr.MAC) hdr.Addr6 {
	id := [8]byte{m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]}
	return hdr.Addr6{Hi: hdr.LinkLocalHi, Lo: binary.BigEndian.Uint64(id[:])}
}

// sourcesOf returns the addresses that Skein sends from where the host has
// several: the first that others can answer to, and the first link-local one.
func sourcesOf(all []takeover.Addr) (v4 hdr.Addr4, v6, link hdr.Addr6) {
	var local4 hdr.Addr4 // a narrower one, if there is nothing better
	for _, a := range all {
		switch addr, wide := a.Prefix.Addr(), a.Scope == unix.RT_SCOPE_UNIVERSE; {
		case addr.Is4() && wide:
			v4 = cmp.Or(v4, hdr.Addr4From(addr))
		case addr.Is4():
			local4 = cmp.Or(local4, hdr.Addr4From(addr))
		case addr.IsLinkLocalUnicast():
			link = cmp.Or(link, hdr.Addr6From(addr))
		case wide:
			v6 = cmp.Or(v6, hdr.Addr6From(addr))
		}
	}
	return cmp.Or(v4, local4), v6, link
}

// A wayKey is what the RIB knows a route by.
type wayKey struct {
	prefix netip.Prefix
	source fib.Source
	metric uint32
	link   uint32 // of link-local prefixes, which each link may have
}

func keyOf(r fib.Route) wayKey { return wayKey{r.Prefix, r.Source, r.Metric, r.OnLink()} }

// mirrorRoutes makes the RIB have the routes of all uplinks, and reports
// whether that changed it. Of two routes that the RIB can't tell apart, that
// of the first uplink counts, and one that Skein has of its own before both.
// c.mu is held.
func (c *Control) mirrorRoutes() (changed bool, err error) {
	next := map[wayKey]fib.Route{}
	taken := c.ownKeys()
	for _, p := range c.ports {
		if p == nil {
			continue
		}
		for _, r := range p.ways {
			key := keyOf(r)
			if wrong := r.Check(); wrong != nil {
				err = errors.Join(err, fmt.Errorf("control: route of the host: %w", wrong))
				continue
			}
			if _, double := next[key]; double {
				continue
			}
			if owner := taken[key]; owner != "" {
				err = errors.Join(err, fmt.Errorf("control: %s of the host: %w at %s", r.Prefix, ErrExists, owner))
				continue
			}
			next[key] = r
		}
	}
	steps := waySteps(c.mirrored, next)
	if len(steps) == 0 {
		return false, err
	}
	if failed := c.rib.Apply(steps...); failed != nil {
		return false, errors.Join(err, fmt.Errorf("control: routes of the host: %w", failed))
	}
	c.mirrored = next
	return true, err
}

// ownKeys returns the routes that Skein has for addresses of its own, and the
// interfaces that have them. c.mu is held.
func (c *Control) ownKeys() map[wayKey]string {
	out := map[wayKey]string{}
	for _, p := range c.ports {
		if p != nil && p.Kind == iface.Tun {
			for _, r := range ownRoutes(p) {
				out[keyOf(r)] = p.Name
			}
		}
	}
	return out
}

// waySteps returns the changes that turn one set of routes into another,
// always in the same order.
func waySteps(was, next map[wayKey]fib.Route) (steps []fib.Change) {
	for key, r := range next {
		if old, ok := was[key]; !ok || old.Type != r.Type || !slices.Equal(old.NextHops, r.NextHops) {
			steps = append(steps, fib.Change{Op: fib.OpAdd, Route: r})
		}
	}
	for key, r := range was {
		if _, ok := next[key]; !ok {
			steps = append(steps, fib.Change{Op: fib.OpDelete, Route: r})
		}
	}
	slices.SortFunc(steps, func(a, b fib.Change) int {
		return cmp.Or(cmp.Compare(a.Op, b.Op), a.Route.Prefix.Compare(b.Route.Prefix),
			cmp.Compare(a.Route.Source, b.Route.Source), cmp.Compare(a.Route.Metric, b.Route.Metric))
	})
	return steps
}
