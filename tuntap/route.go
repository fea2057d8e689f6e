package tuntap

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A Route is a way that packets of the namespace take over an interface.
type Route struct {
	Dst    netip.Prefix // 0.0.0.0/0 and ::/0 are the default routes
	Via    netip.Addr   // gateway; the zero Addr: none, the interface will do
	Src    netip.Addr   // preferred source; the zero Addr: the kernel chooses
	MTU    int          // bytes; 0: the interface's
	Metric int          // 0: the kernel's, which is 1024 for IPv6
	AdvMSS int          // bytes; 0: the kernel takes it from the MTU
	Table  int          // 0: main
}

// AddRoute adds a route, marked as Protocol, or replaces the interface's own to
// the same destination with the same metric. One of another interface stays: the
// error then names it and wraps os.ErrExist. The interface is up.
func (l *Link) AddRoute(r Route) error {
	what, route := fmt.Sprintf("add route to %v", r.Dst), l.route(r)
	if err := l.taken(route); err != nil {
		return l.wrap(what, err)
	}
	return l.wrap(what, l.nl.RouteReplace(route))
}

// ip6Metric is what the kernel takes for an IPv6 route's metric 0
// (IP6_RT_PRIO_USER, linux/ipv6_route.h).
const ip6Metric = 1024

// taken says who has the place of a route: replacing it would take it away.
func (l *Link) taken(r *netlink.Route) error {
	family, metric := netlink.FAMILY_V4, r.Priority
	if r.Dst.IP.To4() == nil {
		if family = netlink.FAMILY_V6; metric == 0 {
			metric = ip6Metric
		}
	}
	filter := &netlink.Route{Dst: r.Dst, Table: cmp.Or(r.Table, unix.RT_TABLE_MAIN)}
	list, err := l.nl.RouteListFiltered(family, filter, netlink.RT_FILTER_DST|netlink.RT_FILTER_TABLE)
	if err != nil {
		return err
	}
	for _, has := range list {
		if has.Priority != metric || has.LinkIndex == l.index || has.LinkIndex == 0 {
			continue
		}
		other := fmt.Sprint("interface ", has.LinkIndex)
		if link, err := l.nl.LinkByIndex(has.LinkIndex); err == nil {
			other = link.Attrs().Name
		}
		return fmt.Errorf("%s has it: %w", other, os.ErrExist)
	}
	return nil
}

// DelRoute removes a route that AddRoute has added. One that is gone is no
// error.
func (l *Link) DelRoute(r Route) error {
	err := l.nl.RouteDel(l.route(r))
	if errors.Is(err, unix.ESRCH) {
		err = nil
	}
	return l.wrap(fmt.Sprintf("delete route to %v", r.Dst), err)
}

// Routes returns Skein's own routes over the interface.
func (l *Link) Routes() ([]Route, error) {
	var routes []Route
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		filter := &netlink.Route{LinkIndex: l.index, Protocol: Protocol}
		list, err := l.nl.RouteListFiltered(family, filter, netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
		if err != nil {
			return nil, l.wrap("list routes", err)
		}
		for _, k := range list {
			r := Route{MTU: k.MTU, Metric: k.Priority, AdvMSS: k.AdvMSS, Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0)}
			if family == netlink.FAMILY_V6 {
				r.Dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
			}
			if p, ok := fromIPNet(k.Dst); ok {
				r.Dst = p
			}
			if a, ok := netip.AddrFromSlice(k.Gw); ok {
				r.Via = a.Unmap()
			}
			if a, ok := netip.AddrFromSlice(k.Src); ok {
				r.Src = a.Unmap()
			}
			routes = append(routes, r)
		}
	}
	return routes, nil
}

func (l *Link) route(r Route) *netlink.Route {
	k := &netlink.Route{LinkIndex: l.index, Dst: toIPNet(r.Dst.Masked()), Protocol: Protocol, MTU: r.MTU, Priority: r.Metric, AdvMSS: r.AdvMSS, Table: r.Table}
	if r.Src.IsValid() {
		k.Src = r.Src.AsSlice()
	}
	if r.Via.IsValid() {
		// A gateway on a TUN or behind a /32 is on no connected network.
		k.Gw, k.Flags = r.Via.AsSlice(), int(netlink.FLAG_ONLINK)
	} else if r.Dst.Addr().Is4() {
		k.Scope = netlink.SCOPE_LINK
	}
	return k
}
