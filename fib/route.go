package fib

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// What can be wrong with a change.
var (
	ErrNotFound = errors.New("not found")
	ErrInvalid  = errors.New("invalid")
	ErrFull     = errors.New("table full")
)

// A Type says what a route is for. The zero Type is refused.
type Type uint8

const (
	_               Type = iota
	TypeUnicast          // send on to a next hop
	TypeLocal            // for this node: Skein answers itself
	TypePunt             // for this node: the host behind a tap answers
	TypeBlackhole        // drop and say nothing
	TypeUnreachable      // drop and send destination unreachable
	TypeProhibit         // drop and send administratively prohibited
	numTypes
)

var typeNames = [numTypes]string{
	TypeUnicast: "unicast", TypeLocal: "local", TypePunt: "punt",
	TypeBlackhole: "blackhole", TypeUnreachable: "unreachable", TypeProhibit: "prohibit",
}

var typeKinds = [numTypes]Kind{
	TypeLocal: Local, TypePunt: Punt, TypeBlackhole: Blackhole,
	TypeUnreachable: Unreachable, TypeProhibit: Prohibit,
}

func (t Type) String() string {
	if t == 0 || t >= numTypes {
		return "undecided"
	}
	return typeNames[t]
}

func typeLeadsNowhere(t Type) bool { return t > TypePunt }

// A Source says who wants a route. Of several routes to one prefix, that of
// the lowest Source is in force, and among those of one Source that of the
// lowest metric. The zero Source is refused.
type Source uint8

const (
	_               Source = iota
	SourceConnected        // the addresses of our own interfaces
	SourcePod              // the addresses of pods
	SourceStatic           // the configuration
	SourceAPI              // whoever speaks to the API
	SourceHost             // mirrored from the host's routing table
	SourceBGP              // learned from other routers
	SourceNeighbor         // a neighbor on a link of ours, the metric being the interface; made by the RIB alone
	numSources
)

var sourceNames = [numSources]string{
	SourceConnected: "connected", SourcePod: "pod", SourceStatic: "static",
	SourceAPI: "api", SourceHost: "host", SourceBGP: "bgp", SourceNeighbor: "neighbor",
}

func (s Source) String() string {
	if s == 0 || s >= numSources {
		return "undecided"
	}
	return sourceNames[s]
}

// NoIface is the index that no interface has.
const NoIface = 0

// MaxNextHops is the number of next hops that a route may have, and that flows
// are spread over after all recursion.
const MaxNextHops = 64

// A NextHop is one way for a route to go on.
//
//	Iface and Via: to the neighbor Via on the link of Iface
//	Iface alone:   onto the link of Iface; on Ethernet, ask for the destination
//	Via alone:     wherever the route to Via goes
type NextHop struct {
	Iface  uint32     // interface index, or NoIface
	Via    netip.Addr // of the family of the prefix, without a zone; or the zero Addr
	Weight uint8      // share of the flows; 0 means 1
}

// A Route is one wish of one source. Prefix, Source and Metric identify it.
type Route struct {
	Prefix   netip.Prefix // without host bits
	Type     Type
	Source   Source
	Metric   uint32    // lower is better
	NextHops []NextHop // at least one for TypeUnicast; at most an Iface for TypeLocal and TypePunt; else none

	// Link is the interface whose link a prefix of link-local IPv6 addresses
	// is on: there may be an fe80::/64 on each (RFC 4007, section 5). It is
	// part of what identifies the route. 0 stands for the Iface of the first
	// next hop; for other prefixes it must be 0.
	Link uint32
}

// OnLink returns the interface whose link the prefix is on, NoIface if it is
// not a link-local one or does not say.
func (r *Route) OnLink() uint32 {
	switch {
	case !isLinkLocal(r.Prefix.Addr()):
		return NoIface
	case r.Link == NoIface && len(r.NextHops) > 0:
		return r.NextHops[0].Iface
	}
	return r.Link
}

// scoped returns the prefix as the RIB has it.
func (r *Route) scoped() netip.Prefix {
	if r.Prefix.Addr().Is4() {
		return r.Prefix
	}
	return inScope(r.Prefix, r.OnLink())
}

// Check reports what is wrong with the route, as an ErrInvalid.
func (r *Route) Check() error {
	if why := r.fault(); why != "" {
		return fmt.Errorf("fib: route %v: %s: %w", r.Prefix, why, ErrInvalid)
	}
	return nil
}

func (r *Route) fault() string {
	switch {
	case !r.Prefix.IsValid():
		return "not a prefix"
	case r.Prefix != r.Prefix.Masked():
		return "bits set outside of the prefix"
	case r.linkFault() != "":
		return r.linkFault()
	case r.Type == 0 || r.Type >= numTypes:
		return "no type"
	case r.Source == 0 || r.Source >= SourceNeighbor:
		return "no source"
	case r.Type == TypeUnicast:
		return r.unicastFault()
	case typeLeadsNowhere(r.Type) && len(r.NextHops) > 0:
		return "has a next hop, though it leads nowhere"
	case len(r.NextHops) > 1:
		return "more than one interface"
	case len(r.NextHops) == 1 && (r.NextHops[0].Via.IsValid() || r.NextHops[0].Weight > 1 || r.NextHops[0].Iface == NoIface):
		return "its next hop can be an interface alone"
	}
	return ""
}

func (r *Route) linkFault() string {
	switch {
	case !isLinkLocal(r.Prefix.Addr()):
		if r.Link != NoIface {
			return "on a link, though it is not link-local"
		}
	case r.Prefix.Bits() < linkBits || !onLinkPrefix.Contains(r.Prefix.Addr()):
		return "link-local, but not within fe80::/64"
	case r.OnLink() == NoIface:
		return "link-local, but on no link"
	case r.Type == TypeUnicast && slices.ContainsFunc(r.NextHops, func(n NextHop) bool { return n.Iface != r.OnLink() }):
		return "link-local, but leaves its link"
	}
	return ""
}

func (r *Route) unicastFault() string {
	if len(r.NextHops) == 0 {
		return "no next hop"
	}
	if len(r.NextHops) > MaxNextHops {
		return "too many next hops"
	}
	is4 := r.Prefix.Addr().Is4()
	for _, n := range r.NextHops {
		switch why := n.fault(); {
		case why != "":
			return why
		case n.Via.IsValid() && n.Via.Is4() != is4:
			return "a next hop is not an " + map[bool]string{true: "IPv4", false: "IPv6"}[is4] + " address"
		}
	}
	if r.hasTwice() {
		return "the same next hop twice"
	}
	return ""
}

// hasTwice reports whether there are two next hops between which flows cannot
// be spread.
func (r *Route) hasTwice() bool {
	if len(r.NextHops) < 2 {
		return false
	}
	var scratch [MaxNextHops]NextHop
	hops := append(scratch[:0], r.NextHops...)
	for i := range hops {
		if !hops[i].Via.IsValid() && r.Prefix.IsSingleIP() {
			hops[i].Via = r.Prefix.Addr()
		}
	}
	compare := func(a, b NextHop) int { return cmp.Or(cmp.Compare(a.Iface, b.Iface), a.Via.Compare(b.Via)) }
	slices.SortFunc(hops, compare)
	for i := range hops[1:] {
		if compare(hops[i], hops[i+1]) == 0 {
			return true
		}
	}
	return false
}

func (n NextHop) fault() string {
	switch {
	case n.Via.IsValid():
		return n.viaFault()
	case n.Iface == NoIface:
		return "a next hop has neither address nor interface"
	}
	return ""
}

// viaFault says why the address is not that of one host (RFC 1122, section
// 3.2.1.3; RFC 4291, section 2.5), or not enough to find it.
func (n NextHop) viaFault() string {
	a := n.Via
	switch {
	case a.IsUnspecified(), a.IsMulticast(), a.IsLoopback(), a.Is4In6(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "a next hop is not a unicast address"
	case a.Zone() != "":
		return "a next hop has a zone, which its interface says already"
	case isLinkLocal(a) && n.Iface == NoIface:
		return "a link-local next hop has no interface"
	}
	return ""
}
