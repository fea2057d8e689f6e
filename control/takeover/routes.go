package takeover

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/tuntap"
)

// A Route is a route over an interface.
type Route struct {
	Dst      netip.Prefix `json:"dst"`
	Via      netip.Addr   `json:"via,omitzero"`
	Src      netip.Addr   `json:"src,omitzero"`
	Table    int          `json:"table"`
	Protocol int          `json:"protocol"`
	Scope    int          `json:"scope"`
	Type     int          `json:"type"`
	Metric   int          `json:"metric,omitempty"`
	TOS      int          `json:"tos,omitempty"`
	Flags    int          `json:"flags,omitempty"` // RTNH_F_ONLINK
	MTU      int          `json:"mtu,omitempty"`
	AdvMSS   int          `json:"advmss,omitempty"`
	More     RouteMetrics `json:"more,omitzero"`
}

// RouteMetrics are the rest of what a route can say, as ip-route(8) names it.
type RouteMetrics struct {
	Realm            int    `json:"realm,omitempty"`
	MTULock          bool   `json:"mtu_lock,omitempty"`
	Window           int    `json:"window,omitempty"`
	RTT              int    `json:"rtt,omitempty"`
	RTTVar           int    `json:"rttvar,omitempty"`
	SSThresh         int    `json:"ssthresh,omitempty"`
	Cwnd             int    `json:"cwnd,omitempty"`
	Reordering       int    `json:"reordering,omitempty"`
	HopLimit         int    `json:"hoplimit,omitempty"`
	InitCwnd         int    `json:"initcwnd,omitempty"`
	InitRwnd         int    `json:"initrwnd,omitempty"`
	Features         int    `json:"features,omitempty"`
	RTOMin           int    `json:"rto_min,omitempty"`
	RTOMinLock       bool   `json:"rto_min_lock,omitempty"`
	QuickACK         int    `json:"quickack,omitempty"`
	CongCtl          string `json:"congctl,omitempty"`
	FastOpenNoCookie int    `json:"fastopen_no_cookie,omitempty"`
}

// readRoutes returns the routes over a link that have to be there again. Left
// out are those that others bring back: the kernel's of table local, which
// come with the addresses; those of router advertisements, which the kernel
// asks for again when a link comes up (RFC 4861, section 6.3.7); and Skein's.
// odd are those that can't be mirrored.
func readRoutes(index int, addrs []Addr) (out []Route, odd []error, err error) {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		// Not filtered by interface: that would hide routes with several.
		all, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return nil, nil, fmt.Errorf("read routes: %w", err)
		}
		for _, r := range all {
			if !over(r, index) || r.Flags&unix.RTM_F_CLONED != 0 || r.Protocol == unix.RTPROT_RA || r.Protocol == tuntap.Protocol {
				continue
			}
			route, err := fromRoute(r, family)
			if err != nil {
				odd = append(odd, fmt.Errorf("takeover: route %s %w", routeText(route), err))
				continue
			}
			if !route.comesBack(addrs) {
				out = append(out, route)
			}
		}
	}
	return out, odd, nil
}

// readLearnt returns the IPv6 routes over a link that router advertisements
// have made.
func readLearnt(index int) (out []Route, err error) {
	all, err := netlink.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{LinkIndex: index, Protocol: unix.RTPROT_RA},
		netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return nil, fmt.Errorf("read routes of router advertisements: %w", err)
	}
	for _, r := range all {
		if route, err := fromRoute(r, netlink.FAMILY_V6); err == nil { // the kernel makes no others
			out = append(out, route)
		}
	}
	return out, nil
}

// over reports whether a route goes over an interface, perhaps among others.
func over(r netlink.Route, index int) bool {
	return r.LinkIndex == index || slices.ContainsFunc(r.MultiPath, func(n *netlink.NexthopInfo) bool { return n.LinkIndex == index })
}

// comesBack reports whether the kernel makes a route by itself: those of table
// local from the addresses, and on-link prefixes from router advertisements.
func (r Route) comesBack(addrs []Addr) bool {
	if r.Protocol != unix.RTPROT_KERNEL {
		return false
	}
	if r.Table == unix.RT_TABLE_LOCAL {
		return true
	}
	if r.Dst.Addr().Is4() {
		return false
	}
	return !slices.ContainsFunc(addrs, func(a Addr) bool { return r.Dst.Contains(a.Prefix.Addr()) || r.Dst.Contains(a.Peer.Addr()) })
}

func fromRoute(r netlink.Route, family int) (Route, error) {
	out := Route{Table: r.Table, Protocol: int(r.Protocol), Scope: int(r.Scope), Type: r.Type, Metric: r.Priority,
		TOS: r.Tos, Flags: r.Flags & unix.RTNH_F_ONLINK, MTU: r.MTU, AdvMSS: r.AdvMSS, More: RouteMetrics{
			Realm: r.Realm, MTULock: r.MTULock, Window: r.Window, RTT: r.Rtt, RTTVar: r.RttVar, SSThresh: r.Ssthresh,
			Cwnd: r.Cwnd, Reordering: r.Reordering, HopLimit: r.Hoplimit, InitCwnd: r.InitCwnd, InitRwnd: r.InitRwnd,
			Features: r.Features, RTOMin: r.RtoMin, RTOMinLock: r.RtoMinLock, QuickACK: r.QuickACK, CongCtl: r.Congctl,
			FastOpenNoCookie: r.FastOpenNoCookie}}
	if p, ok := fromIPNet(r.Dst); ok {
		out.Dst = p
	} else if family == netlink.FAMILY_V4 {
		out.Dst = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	} else {
		out.Dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	if a, ok := netip.AddrFromSlice(r.Gw); ok {
		out.Via = a.Unmap()
	}
	if a, ok := netip.AddrFromSlice(r.Src); ok {
		out.Src = a.Unmap()
	}
	switch {
	case len(r.MultiPath) > 0:
		return out, errors.New("has several next hops, of which one can't be moved alone: replace it by routes with one each")
	case r.Encap != nil || r.MPLSDst != nil || r.NewDst != nil:
		return out, errors.New("encapsulates, which can't be mirrored: delete it first")
	case r.Via != nil:
		return out, errors.New("has a gateway of another address family, which can't be mirrored: delete it first")
	}
	return out, nil
}

func (r Route) netlink(index int) *netlink.Route {
	m := r.More
	out := &netlink.Route{LinkIndex: index, Dst: toIPNet(r.Dst), Table: r.Table, Protocol: netlink.RouteProtocol(r.Protocol),
		Scope: netlink.Scope(r.Scope), Type: r.Type, Priority: r.Metric, Tos: r.TOS, Flags: r.Flags, MTU: r.MTU, AdvMSS: r.AdvMSS,
		Realm: m.Realm, MTULock: m.MTULock, Window: m.Window, Rtt: m.RTT, RttVar: m.RTTVar, Ssthresh: m.SSThresh,
		Cwnd: m.Cwnd, Reordering: m.Reordering, Hoplimit: m.HopLimit, InitCwnd: m.InitCwnd, InitRwnd: m.InitRwnd,
		Features: m.Features, RtoMin: m.RTOMin, RtoMinLock: m.RTOMinLock, QuickACK: m.QuickACK, Congctl: m.CongCtl,
		FastOpenNoCookie: m.FastOpenNoCookie}
	if r.Via.IsValid() {
		out.Gw = r.Via.AsSlice()
	}
	if r.Src.IsValid() {
		out.Src = r.Src.AsSlice()
	}
	return out
}

// ordered returns routes such that each gateway is reachable when its route is
// added: those without one first, the more specific ones before the default.
func ordered(all []Route) []Route {
	routes := slices.Clone(all)
	slices.SortStableFunc(routes, func(a, b Route) int {
		if a.Via.IsValid() != b.Via.IsValid() {
			if a.Via.IsValid() {
				return 1
			}
			return -1
		}
		return b.Dst.Bits() - a.Dst.Bits()
	})
	return routes
}
