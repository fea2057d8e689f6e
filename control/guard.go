package control

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/state"
)

// What is dropped before anything else is done with it: sources that nothing is
// wanted of, at all uplinks, and what exceeds an interface's rate. A device that
// can drops by itself (drivers.Guarded), and else the graph does.

// A Denied is a prefix whose packets are dropped at the uplinks.
type Denied struct {
	Prefix     netip.Prefix
	Configured bool // by the file, not by the API
}

// A denyList is what is denied, by whom, and what the data plane has of it.
type denyList struct {
	by    map[netip.Prefix]bool // whether the file says so; nil: not loaded yet
	all   []netip.Prefix        // its keys, in order
	state *state.Deny           // nil: none
}

// newDenyList returns the list of so many prefixes.
func newDenyList(by map[netip.Prefix]bool) (l denyList, err error) {
	l.by = by
	if len(by) == 0 {
		return l, nil
	}
	if len(by) > configs.MaxDeny {
		return l, fmt.Errorf("control: %d prefixes to deny: %w: at most %d are possible", len(by), fib.ErrFull, configs.MaxDeny)
	}
	for p := range by {
		l.all = append(l.all, p)
	}
	slices.SortFunc(l.all, comparePrefixes)
	if l.state, err = state.NewDeny(l.all); err != nil {
		return l, fmt.Errorf("control: %w: %w", ErrInvalid, err)
	}
	return l, nil
}

// comparePrefixes orders IPv4 before IPv6, then by address and length.
func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// loadDeny takes up what the configuration denies, and what the API was asked
// to, before there is an uplink.
func (c *Control) loadDeny() error {
	c.mu.Lock() // the API may be asked already
	defer c.mu.Unlock()
	by := map[netip.Prefix]bool{}
	asked, err := c.store.Deny()
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	for _, p := range asked {
		by[p] = false
	}
	for i, text := range c.cfg.Deny {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("deny[%d]: %w", i, err)
		}
		by[p] = true
	}
	if c.deny, err = newDenyList(by); err != nil {
		return err
	}
	return c.publish()
}

// Denied returns the prefixes that are denied, in order.
func (c *Control) Denied() (out []Denied) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.deny.all {
		out = append(out, Denied{p, c.deny.by[p]})
	}
	return out
}

// Deny has packets from these sources dropped at all uplinks, as well. It does
// so for all of them or for none. Prefixes have no bits beyond their length.
func (c *Control) Deny(add ...netip.Prefix) error {
	return c.changeDeny(add, func(by map[netip.Prefix]bool, p netip.Prefix) error {
		if err := configs.CheckDeny(p); err != nil {
			return fmt.Errorf("control: %w: %w", ErrInvalid, err)
		}
		if _, there := by[p]; !there {
			by[p] = false
		}
		return nil
	})
}

// Undeny lets packets pass from prefixes that were denied by Deny: from all of
// them or from none.
func (c *Control) Undeny(del ...netip.Prefix) error {
	return c.changeDeny(del, func(by map[netip.Prefix]bool, p netip.Prefix) error {
		configured, there := by[p]
		switch {
		case !there:
			return fmt.Errorf("control: %s on the deny list: %w", p, ErrNotFound)
		case configured:
			return fmt.Errorf("control: %w: the configuration denies %s", ErrBusy, p)
		}
		delete(by, p)
		return nil
	})
}

func (c *Control) changeDeny(prefixes []netip.Prefix, edit func(map[netip.Prefix]bool, netip.Prefix) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.deny
	if was.by == nil {
		return fmt.Errorf("control: %w: the daemon is starting", ErrBusy)
	}
	by := make(map[netip.Prefix]bool, len(was.by))
	for p, configured := range was.by {
		by[p] = configured
	}
	for _, p := range prefixes {
		if err := edit(by, p); err != nil {
			return err
		}
	}
	next, err := newDenyList(by)
	if err != nil {
		return err
	}
	c.deny = next
	if err := c.guardUplinks(); err != nil {
		c.deny = was
		return errors.Join(err, c.guardUplinks())
	}
	if err := c.publish(); err != nil {
		return err
	}
	return c.remembered(c.store.ChangeDeny(next.without(was), was.without(next)))
}

// without returns what another list has not.
func (l *denyList) without(other denyList) (out []netip.Prefix) {
	for _, p := range l.all {
		if _, there := other.by[p]; !there {
			out = append(out, p)
		}
	}
	return out
}

// guardUplinks has all uplinks drop what is to be dropped now. c.mu is held.
func (c *Control) guardUplinks() error {
	for _, p := range c.ports {
		if p == nil || p.Kind != iface.Uplink {
			continue
		}
		if err := p.guard(c.deny.all); err != nil {
			return fmt.Errorf("control: interface %s: %w", p.Name, err)
		}
	}
	return nil
}

// guard has the interface drop what its limits say and, if it is an uplink,
// what is denied: the device, as far as it can, and else the features of the
// graph. Bits are always counted by the graph.
func (p *port) guard(deny []netip.Prefix) error {
	in, out := limitOf(p.rxLimit), limitOf(p.txLimit)
	dev, byDevice := p.device.(drivers.Guarded)
	if byDevice = byDevice && p.Kind == iface.Uplink; byDevice {
		if err := dev.SetGuard(deviceGuard(p.rxLimit, deny)); err != nil {
			return err
		}
	}
	p.RxLimit, p.TxLimit = in, out
	for _, f := range []FeatureChange{
		{arcDeviceInput, featureDeny, p.Kind == iface.Uplink && len(deny) > 0 && !byDevice},
		{arcDeviceInput, featureLimitIn, in.PerByte != 0 || in.PerPacket != 0 && !byDevice},
		{arcInterfaceOutput, featureLimitOut, out != iface.Limit{}},
	} {
		if err := p.feature(f); err != nil {
			return err
		}
	}
	return nil
}

// deviceGuard returns what a device can drop by itself.
func deviceGuard(r configs.RateLimit, deny []netip.Prefix) drivers.Guard {
	g := drivers.Guard{Deny: deny}
	if r.Packets != 0 {
		l := limitOf(r)
		g.PerPacket, g.Depth = l.PerPacket, l.Depth
	}
	return g
}

// limited returns uplinks with what may come in by them from the first packet
// on: what the API was asked for, and else what the configuration says.
func (c *Control) limited(uplinks []configs.Uplink) ([]configs.Uplink, error) {
	asked, err := c.store.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	uplinks = slices.Clone(uplinks)
	for i := range uplinks {
		for _, x := range asked {
			if x.Name == uplinkPrefix+uplinks[i].Interface && x.RxLimit != nil {
				uplinks[i].RateLimit = *x.RxLimit
			}
		}
	}
	return uplinks, nil
}

// limitOf returns what the data plane goes by.
func limitOf(r configs.RateLimit) iface.Limit {
	// As much as TCP needs at a round trip of 100 ms.
	burst := cmp.Or(r.Burst, max(r.Packets, r.Bandwidth)/10, 1)
	if r.Packets != 0 {
		return iface.PacketRate(r.Packets, burst)
	}
	return iface.Bandwidth(r.Bandwidth, burst)
}

// What a file may deny, a device can.
var _ = [1]struct{}{}[configs.MaxDeny-drivers.MaxDeny]

const (
	arcDeviceInput     = "device-input"
	arcInterfaceOutput = "interface-output"
	featureDeny        = "deny-list"
	featureLimitIn     = "rate-limit-in"
	featureLimitOut    = "rate-limit-out"
)

// follows says what a feature follows from, if it is none that somebody enables
// as such.
func follows(feature string) string {
	switch feature {
	case featureDeny:
		return "the deny list"
	case featureLimitIn, featureLimitOut:
		return "the interface's rate limit"
	}
	return ""
}
