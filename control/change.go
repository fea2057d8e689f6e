package control

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nodes"
)

// A Change is what is to be different about an interface. What it leaves out
// stays as it is.
type Change struct {
	Up       *bool           // down, packets to it are dropped and its routes are not used
	MTU      *uint32         // largest IP packet that Skein sends to it, bytes
	Add, Del []netip.Prefix  // Skein's own addresses on it
	Features []FeatureChange // in this order

	RxLimit, TxLimit *configs.RateLimit // how much may come in by it, and go out
}

// A FeatureChange enables or disables a feature on an arc.
type FeatureChange struct {
	Arc, Feature string
	Enable       bool
}

const minMTU = 68 // RFC 791, section 3.2

// Change changes an interface: all that is asked for, or, if any of it can't
// be, nothing.
func (c *Control) Change(name string, ch Change) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.index(name)
	if !ok {
		return fmt.Errorf("control: interface %q: %w", name, ErrNotFound)
	}
	p := c.ports[i]
	next := *p
	next.addrs = slices.Clone(p.addrs)
	if err := next.edit(ch); err != nil {
		return err
	}
	routes, err := c.changeAddrs(p, &next, ch)
	if err != nil {
		return err
	}
	if err := next.guard(c.deny.all); err != nil {
		return errors.Join(fmt.Errorf("control: interface %s: %w", name, err), p.guard(c.deny.all))
	}
	if err := c.rib.SetIface(next.link()); err != nil {
		return errors.Join(fmt.Errorf("control: interface %s: %w", name, err), p.guard(c.deny.all))
	}
	if err := c.rib.Apply(routes...); err != nil {
		// The link and its guard were sound before: they are again.
		_ = c.rib.SetIface(p.link())
		return errors.Join(fmt.Errorf("control: addresses of %s: %w", name, err), p.guard(c.deny.all))
	}
	p.Iface, p.addrs, p.adminDown = next.Iface, next.addrs, next.adminDown
	p.rxLimit, p.txLimit = next.rxLimit, next.txLimit
	if err := c.publish(); err != nil {
		return err
	}
	return c.remember(p, ch)
}

// edit makes the changes that concern the interface alone.
func (p *port) edit(ch Change) error {
	if ch.Up != nil {
		p.adminDown = !*ch.Up
		p.settle()
	}
	if ch.MTU != nil {
		if most := p.maxMTU(); int64(*ch.MTU) > int64(most) || *ch.MTU < minMTU {
			return fmt.Errorf("control: %w: the device of %s takes an MTU from %d to %d", ErrInvalid, p.Name, minMTU, most)
		}
		p.MTU = *ch.MTU
	}
	for _, f := range ch.Features {
		if from := follows(f.Feature); from != "" {
			return fmt.Errorf("control: %w: the feature %s follows from %s", ErrBusy, f.Feature, from)
		}
		if err := p.feature(f); err != nil {
			return err
		}
	}
	return p.setLimits(ch.RxLimit, ch.TxLimit)
}

// setLimits changes what may pass the interface. What is nil stays.
func (p *port) setLimits(rx, tx *configs.RateLimit) error {
	for _, x := range []struct{ to, from *configs.RateLimit }{{&p.rxLimit, rx}, {&p.txLimit, tx}} {
		if x.from == nil {
			continue
		}
		if err := x.from.Check(); err != nil {
			return fmt.Errorf("control: %w: rate limit: %w", ErrInvalid, err)
		}
		*x.to = *x.from
	}
	return nil
}

// maxMTU returns the largest MTU that the interface can have: its device's, or
// what that has got since.
func (p *port) maxMTU() int {
	if p.most != 0 {
		return p.most
	}
	return p.device.Info().MTU
}

func (p *port) feature(f FeatureChange) error {
	for _, a := range nodes.FeatureArcs() {
		if a.Name != f.Arc {
			continue
		}
		if !slices.Contains(a.Features, f.Feature) {
			return fmt.Errorf("control: feature %q on arc %s: %w", f.Feature, f.Arc, ErrNotFound)
		}
		mask, err := a.Mask(f.Feature)
		if err != nil {
			return fmt.Errorf("control: %w: %w", ErrInvalid, err)
		}
		if p.Feat[a.ID] |= mask; !f.Enable {
			p.Feat[a.ID] &^= mask &^ iface.FeatEnd
		}
		return nil
	}
	return fmt.Errorf("control: feature arc %q: %w", f.Arc, ErrNotFound)
}

// changeAddrs edits next's own addresses, and returns what that means for the
// routes. c.mu is held.
func (c *Control) changeAddrs(p, next *port, ch Change) (steps []fib.Change, err error) {
	if len(ch.Add)+len(ch.Del) == 0 {
		return nil, nil
	}
	if p.Kind != iface.Tun {
		return nil, fmt.Errorf("control: %w: the host's own configuration decides the addresses of %s, and Skein follows it", ErrBusy, p.Name)
	}
	for _, a := range ch.Del {
		at := slices.Index(next.addrs, a)
		if at < 0 {
			return nil, fmt.Errorf("control: address %s on %s: %w", a, p.Name, ErrNotFound)
		}
		next.addrs = slices.Delete(next.addrs, at, at+1)
	}
	for _, a := range ch.Add {
		if slices.Contains(next.addrs, a) {
			continue
		}
		if err := c.addrFree(p, a); err != nil {
			return nil, err
		}
		next.addrs = append(next.addrs, a)
	}
	next.Addr4, next.Addr6 = firstAddrs(next.addrs)
	return ownSteps(p, next), nil
}

// broadcast4 is the limited broadcast address (RFC 919, section 7).
var broadcast4 = hdr.Broadcast4.Addr()

// addrFree reports whether an interface may have an address of its own. Its
// prefix may be on no other link: packets would go to one of the two only.
// c.mu is held.
func (c *Control) addrFree(p *port, a netip.Prefix) error {
	if x := a.Addr(); x.IsUnspecified() || x.IsMulticast() || x.IsLoopback() || x.Is4In6() || x == broadcast4 {
		return fmt.Errorf("control: %w: %s is no address of a host", ErrInvalid, x)
	}
	for _, other := range c.ports {
		if other == nil {
			continue
		}
		for _, has := range slices.Concat(other.addrs, other.peer.Addrs) {
			if has.Addr() == a.Addr() {
				return fmt.Errorf("control: address %s: %w at %s", a.Addr(), ErrExists, other.Name)
			}
		}
		for _, has := range other.addrs {
			if other != p && !has.IsSingleIP() && has.Masked() == a.Masked() {
				return fmt.Errorf("control: prefix %s: %w on the link of %s", a.Masked(), ErrExists, other.Name)
			}
		}
	}
	return nil
}

// ownSteps returns the changes of routes between two sets of own addresses.
func ownSteps(was, next *port) (steps []fib.Change) {
	wanted := map[netip.Prefix]bool{}
	for _, r := range ownRoutes(next) {
		wanted[r.Prefix] = true
		steps = append(steps, fib.Change{Op: fib.OpAdd, Route: r})
	}
	for _, r := range ownRoutes(was) {
		if !wanted[r.Prefix] {
			wanted[r.Prefix] = true // once is enough
			steps = append(steps, fib.Change{Op: fib.OpDelete, Route: r})
		}
	}
	return steps
}

// ownRoutes returns what an interface's own addresses mean: packets to them
// are Skein's, the rest of their prefixes is on the link.
func ownRoutes(p *port) (out []fib.Route) {
	at := []fib.NextHop{{Iface: p.index}}
	for _, a := range p.addrs {
		out = append(out, fib.Route{Prefix: netip.PrefixFrom(a.Addr(), a.Addr().BitLen()), Type: fib.TypeLocal, Source: fib.SourceConnected, NextHops: at})
		if !a.IsSingleIP() {
			out = append(out, fib.Route{Prefix: a.Masked(), Type: fib.TypeUnicast, Source: fib.SourceConnected, NextHops: at})
		}
	}
	return out
}
