package control

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/control/redirect"
	"github.com/skein-dataplane/skein/control/takeover"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/service"
)

// The node's own processes reach NodePorts and hostPorts by a table of nftables
// in the host's namespace.

// redirects are what that table is.
type redirects struct {
	mu     sync.Mutex // held while the table is changed, and comes before Control.mu
	table  redirect.Table
	closed bool          // nothing is changed any more
	news   chan struct{} // has room for one

	why string // the table is not what it should be; "" if it is. Control.mu guards it.
}

// redirectCheck is how often one looks whether somebody has removed the table,
// as "nft flush ruleset" does, and tries again what has failed.
const redirectCheck = 10 * time.Second

// watchRedirects has the table follow services and pods. What a predecessor has
// left stays as it is until all is known again.
func (c *Control) watchRedirects(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-c.ready:
	}
	for {
		var again <-chan time.Time // nobody looks while there is no table
		if c.redirect() {
			again = time.After(redirectCheck)
		}
		select {
		case <-ctx.Done():
			return
		case <-c.nat.redirects.news:
		case <-again:
		}
	}
}

// redirect makes the table what it should be, and reports whether it is to be
// looked after.
func (c *Control) redirect() bool {
	r := c.nat.redirects
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	want, takes := c.wantedRedirects()
	noted := slices.ContainsFunc(takes, (*takeover.Takeover).Redirects)
	if len(want) == 0 && !noted {
		return false // there is none, and never was
	}
	err := noteRedirects(takes)
	if err == nil {
		err = r.table.Set(want)
	}
	c.sayRedirects(err)
	return err != nil || len(want) > 0
}

// noteRedirects has the table removed with any of the uplinks, however the
// daemon ends. That is known before the table is there.
func noteRedirects(takes []*takeover.Takeover) error {
	for _, t := range takes {
		if err := t.NoteRedirects(); err != nil {
			return fmt.Errorf("control: %w", err)
		}
	}
	return nil
}

// sayRedirects keeps for show services what is wrong, and logs it once.
func (c *Control) sayRedirects(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	why := ""
	if err != nil {
		why = err.Error()
	}
	if was := c.nat.redirects.why; why != was && why != "" {
		c.log.Warn("the node's own processes do not reach its NodePorts and hostPorts", zap.Error(err))
	} else if why != was {
		c.log.Info("the node's own processes reach its NodePorts and hostPorts")
	}
	c.nat.redirects.why = why
}

// redirectAlarms returns what is wrong with the table. c.mu is held.
func (c *Control) redirectAlarms() []service.Alarm {
	if why := c.nat.redirects.why; why != "" {
		return []service.Alarm{{What: "the node's own processes do not reach its NodePorts and hostPorts: " + why}}
	}
	return nil
}

// keepRedirects has the table stay as it is: for a successor, or for Restore,
// which removes it with the first uplink that goes back.
func (c *Control) keepRedirects() {
	r := c.nat.redirects
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

// wantedRedirects returns what is to be in the table, and the uplinks that it
// goes with.
func (c *Control) wantedRedirects() (want redirect.Ports, takes []*takeover.Takeover) {
	c.mu.Lock()
	for _, p := range c.ports {
		if p != nil && p.Kind == iface.Uplink && p.follow != nil {
			takes = append(takes, p.follow.take)
		}
	}
	t := &c.nat
	on, now, own := c.cfg.Services.RedirectHost, t.last, slices.Clone(t.world.Own)
	cidrs, routed := t.cidrs, t.vips.routed // both are replaced, never changed
	c.mu.Unlock()
	if !on || now == nil {
		return nil, takes
	}
	return redirectsOf(now.Services, own, func(a netip.Addr) bool {
		return routed[netip.PrefixFrom(a, a.BitLen())] || slices.ContainsFunc(cidrs, func(p netip.Prefix) bool { return p.Contains(a) })
	}), takes
}

// redirectsOf returns where what is for the node's addresses goes: for a
// NodePort to its service's ClusterIP, where Skein does what is to be done, and
// for a hostPort to the pod. The host has to have a route to a ClusterIP.
func redirectsOf(services *nat.Services, own []netip.Addr, reached func(netip.Addr) bool) redirect.Ports {
	vips := map[*nat.Service]netip.AddrPort{}
	for f := range services.All {
		vip := netip.AddrPortFrom(f.Key.Addr.Addr().Unmap(), f.Key.Port)
		if was, there := vips[f.Service]; f.Kind == nat.ClusterIP && reached(vip.Addr()) && (!there || vip.Compare(was) < 0) {
			vips[f.Service] = vip
		}
	}
	out := redirect.Ports{}
	for _, any := range []bool{true, false} { // what is of one address goes before what is of all
		for f := range services.All {
			if (f.Key.Addr == nat.AnyAddr(f.Key.Addr)) == any {
				addRedirect(out, f, vips[f.Service], own)
			}
		}
	}
	return out
}

// addRedirect adds a front if it is one of the node's ports, at all of the
// node's addresses that it is at.
func addRedirect(out redirect.Ports, f *nat.Front, vip netip.AddrPort, own []netip.Addr) {
	to, at := vip, f.Key.Addr.Addr().Unmap()
	switch {
	case f.Kind == nat.HostPort && len(f.Service.All) > 0:
		b := &f.Service.All[0]
		to = netip.AddrPortFrom(b.Addr.Addr().Unmap(), b.Port)
	case f.Kind != nat.NodePort || !vip.IsValid():
		return
	}
	for _, a := range own {
		if a == at || at.IsUnspecified() && a.Is6() == to.Addr().Is6() {
			out[redirect.Key{To: netip.AddrPortFrom(a, f.Key.Port), Proto: f.Key.Proto}] = to
		}
	}
}
