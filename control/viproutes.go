package control

import (
	"net/netip"
	"slices"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/service"
	"github.com/skein-dataplane/skein/tuntap"
)

// ClusterIPs outside services.cidrs have a route each, so that the host reaches
// services that come without being announced by the configuration.

// vipRoutes are those routes.
type vipRoutes struct {
	of     map[string][]netip.Addr // ClusterIPs by service
	used   map[netip.Addr]int      // how many services have one
	routed map[netip.Prefix]bool   // what the RIB has, and the host is to have
	stale  bool                    // used has changed since
}

// set notes the ClusterIPs of a service; of nil, that it is gone.
func (v *vipRoutes) set(ref string, s *service.Service) {
	if s != nil && slices.Equal(v.of[ref], s.ClusterIPs) {
		return // most changes are of something else
	}
	for _, a := range v.of[ref] {
		if v.used[a]--; v.used[a] == 0 {
			delete(v.used, a)
		}
	}
	delete(v.of, ref)
	v.stale = true
	if s == nil {
		return
	}
	v.of[ref] = s.ClusterIPs
	for _, a := range s.ClusterIPs {
		v.used[a]++
	}
}

// routeVIPs has the RIB have the routes, and hosts too, soon. What is for a
// ClusterIP but for no port of its service is unreachable, as in services.cidrs.
// c.mu is held.
func (c *Control) routeVIPs() {
	v := &c.nat.vips
	if !v.stale {
		return
	}
	var links []netip.Prefix
	for _, p := range c.ports {
		if p != nil && p.Kind == iface.Uplink {
			links = append(links, p.addrs...)
		}
	}
	want := map[netip.Prefix]bool{}
	for a := range v.used {
		if needsRoute(a, c.nat.cidrs, links) {
			want[netip.PrefixFrom(a, a.BitLen())] = true
		}
	}
	steps := vipSteps(v.routed, want)
	if v.stale = false; len(steps) == 0 {
		return
	}
	if err := c.rib.Apply(steps...); err != nil {
		c.log.Error("routes to ClusterIPs", zap.Error(err))
		return
	}
	v.routed = want
	for _, p := range c.ports {
		if p != nil && p.follow != nil {
			p.follow.poke()
		}
	}
}

// needsRoute reports whether a ClusterIP has to have a route of its own. One on
// a network of the node's has none: it may be somebody's there, such as the
// gateway's.
func needsRoute(a netip.Addr, cidrs, links []netip.Prefix) bool {
	in := func(p netip.Prefix) bool { return p.Contains(a) }
	return !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !a.IsLinkLocalUnicast() &&
		!slices.ContainsFunc(cidrs, in) && !slices.ContainsFunc(links, in)
}

func vipSteps(was, want map[netip.Prefix]bool) (steps []fib.Change) {
	change := func(op fib.Op, p netip.Prefix) {
		r := fib.Route{Prefix: p, Type: fib.TypeUnreachable, Source: fib.SourceStatic, Metric: lastMetric}
		steps = append(steps, fib.Change{Op: op, Route: r})
	}
	for p := range want {
		if !was[p] {
			change(fib.OpAdd, p)
		}
	}
	for p := range was {
		if !want[p] {
			change(fib.OpDelete, p)
		}
	}
	return steps
}

// vipHostRoutes returns the host's routes to ClusterIPs by an uplink.
func (c *Control) vipHostRoutes(rank uint32) (out []tuntap.Route) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range c.nat.vips.routed {
		out = append(out, hostRoute(p, int(rank)))
	}
	return out
}
