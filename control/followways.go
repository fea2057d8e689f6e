package control

import (
	"math"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/control/takeover"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/tuntap"
)

// hostWays returns the routes that Skein has because the host has what s says.
// rank keeps apart the connected routes of uplinks on one network.
func hostWays(s *takeover.Snapshot, up, tap, rank uint32) (out []fib.Route) {
	if !s.Up {
		return nil // the kernel itself has none
	}
	for _, a := range s.Addrs {
		if linkLocal(a.Prefix.Addr()) {
			out = append(out, linkRoutes(a.Prefix.Addr(), up, tap, rank)...)
			continue
		}
		out = append(out, addrRoutes(a, up, tap, rank)...)
		out = append(out, prefixRoutes(a, s.Routes, up, rank)...)
	}
	for _, r := range slices.Concat(s.Routes, s.Learnt) {
		if mirrored, ok := mirrorRoute(r, up); ok {
			out = append(out, mirrored)
		}
	}
	return out
}

// addrRoutes returns what an address of the host means: its packets are the
// host's, its prefix is on the link.
func addrRoutes(a takeover.Addr, up, tap, rank uint32) []fib.Route {
	bits := a.Prefix.Addr().BitLen()
	own := netip.PrefixFrom(a.Prefix.Addr(), bits)
	out := []fib.Route{{Prefix: own, Type: fib.TypePunt, Source: fib.SourceConnected, NextHops: []fib.NextHop{{Iface: tap}}}}
	link := a.Prefix.Masked()
	if a.Peer.IsValid() {
		link = a.Peer.Masked()
	}
	if bits == 32 && link.Bits() < 31 { // RFC 3021: a /31 has no broadcast; IPv6 has none at all
		out = append(out, fib.Route{Prefix: netip.PrefixFrom(broadcast(link), 32), Type: fib.TypeBlackhole, Source: fib.SourceConnected, Metric: rank})
	}
	return out
}

// linkRoutes returns what a link-local address of the host means: its link has
// such addresses (RFC 4861, section 5.2), for Skein's own packets. Others'
// never leave the link: they are bridged, not routed.
func linkRoutes(own netip.Addr, up, tap, rank uint32) []fib.Route {
	link := netip.PrefixFrom(hdr.Addr6{Hi: hdr.LinkLocalHi}.Addr(), 64)
	if !link.Contains(own) {
		return nil // RFC 4291, section 2.5.6, has 54 zeros in all of them
	}
	return []fib.Route{
		{Prefix: netip.PrefixFrom(own, 128), Link: up, Type: fib.TypePunt, Source: fib.SourceConnected, Metric: rank, NextHops: []fib.NextHop{{Iface: tap}}},
		{Prefix: link, Type: fib.TypeUnicast, Source: fib.SourceConnected, Metric: rank, NextHops: []fib.NextHop{{Iface: up}}},
	}
}

// prefixRoutes returns the routes that lead to an address's prefix on the link.
// NetworkManager keeps the kernel from making one (noprefixroute), and makes one
// in its name, with another metric.
func prefixRoutes(a takeover.Addr, routes []takeover.Route, up, rank uint32) (out []fib.Route) {
	link := a.Prefix.Masked()
	if a.Peer.IsValid() {
		link = a.Peer.Masked()
	}
	add := func(metric uint32) {
		// Such that a rank can be added to it.
		out = append(out, fib.Route{Prefix: link, Type: fib.TypeUnicast, Source: fib.SourceConnected, Metric: min(metric, math.MaxUint32>>1) + rank,
			NextHops: []fib.NextHop{{Iface: up}}})
	}
	if a.Flags&unix.IFA_F_NOPREFIXROUTE == 0 {
		if !link.IsSingleIP() || a.Peer.IsValid() {
			add(prefixMetric(a))
		}
		return out
	}
	for _, r := range routes {
		if r.Dst == link && r.Table == unix.RT_TABLE_MAIN && r.Type == unix.RTN_UNICAST && r.Protocol == unix.RTPROT_KERNEL && !r.Via.IsValid() && r.TOS == 0 {
			add(uint32(r.Metric))
		}
	}
	return out
}

// ip6PrefixMetric is the metric of the route to an IPv6 prefix that is given
// none (IP6_RT_PRIO_ADDRCONF, linux/ipv6_route.h); for IPv4 it is 0.
const ip6PrefixMetric = 256

// prefixMetric returns the metric of the route that the kernel makes to an
// address's prefix.
func prefixMetric(a takeover.Addr) uint32 {
	metric := uint32(a.Metric)
	if metric == 0 && a.Prefix.Addr().Is6() {
		metric = ip6PrefixMetric
	}
	return metric
}

// broadcast returns the directed broadcast address of an IPv4 prefix, which is
// not forwarded to (RFC 2644).
func broadcast(p netip.Prefix) netip.Addr {
	a := hdr.Addr4From(p.Addr()) | hdr.Addr4(1<<(32-p.Bits())-1)
	return a.Addr()
}

// mirrorRoute returns the route that Skein needs for one of the host's, if it
// needs one: unicast of the main table, and neither what Skein has put there
// itself nor what follows from the addresses.
func mirrorRoute(r takeover.Route, up uint32) (fib.Route, bool) {
	if r.Table != unix.RT_TABLE_MAIN || r.Type != unix.RTN_UNICAST || r.TOS != 0 ||
		r.Protocol == tuntap.Protocol || r.Protocol == unix.RTPROT_KERNEL || r.Dst.Addr().IsMulticast() {
		return fib.Route{}, false
	}
	return fib.Route{Prefix: r.Dst.Masked(), Type: fib.TypeUnicast, Source: fib.SourceHost, Metric: uint32(r.Metric),
		NextHops: []fib.NextHop{{Iface: up, Via: r.Via}}}, true
}
