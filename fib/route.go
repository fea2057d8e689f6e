package fib

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/skein-dataplane/skein/hdr"
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
	Via    netip.Addr // IPv4 address, or the zero Addr
	Weight uint8      // share of the flows; 0 means 1
}

// A Route is one wish of one source. Prefix, Source and Metric identify it.
type Route struct {
	Prefix   netip.Prefix // IPv4, without host bits
	Type     Type
	Source   Source
	Metric   uint32    // lower is better
	NextHops []NextHop // at least one for TypeUnicast; at most an Iface for TypeLocal and TypePunt; else none
}

// hop returns the next hop as the RIB has it. A host route onto a link is its
// own next hop there: nothing else could be asked for.
func (n NextHop) hop(p netip.Prefix) path {
	out := path{iface: n.Iface, weight: max(1, n.Weight)}
	switch {
	case n.Via.IsValid():
		out.via = hdr.Addr4From(n.Via)
	case p.Bits() == 32:
		out.via = hdr.Addr4From(p.Addr())
	}
	return out
}

// paths returns the next hops in their one order.
func (r *Route) paths(into []path) []path {
	for _, n := range r.NextHops {
		if r.Type == TypeUnicast {
			into = append(into, n.hop(r.Prefix))
		} else {
			into = append(into, path{iface: n.Iface, weight: 1})
		}
	}
	if len(into) > 1 {
		slices.SortFunc(into, comparePaths)
	}
	return into
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
	case !r.Prefix.IsValid() || !r.Prefix.Addr().Is4():
		return "not an IPv4 prefix"
	case r.Prefix != r.Prefix.Masked():
		return "bits set outside of the prefix"
	case r.Type == 0 || r.Type >= numTypes:
		return "no type"
	case r.Source == 0 || r.Source >= SourceNeighbor:
		return "no source"
	case r.Type == TypeUnicast:
		return r.unicastFault()
	case r.Type != TypeLocal && r.Type != TypePunt && len(r.NextHops) > 0:
		return "has a next hop, though it leads nowhere"
	case len(r.NextHops) > 1:
		return "more than one interface"
	case len(r.NextHops) == 1 && (r.NextHops[0].Via.IsValid() || r.NextHops[0].Weight > 1 || r.NextHops[0].Iface == NoIface):
		return "its next hop can be an interface alone"
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
	for _, n := range r.NextHops {
		if why := n.fault(); why != "" {
			return why
		}
	}
	if len(r.NextHops) > 1 {
		p := r.paths(make([]path, 0, MaxNextHops))
		for i := range p[1:] {
			if p[i].iface == p[i+1].iface && p[i].via == p[i+1].via {
				return "the same next hop twice"
			}
		}
	}
	return ""
}

func (n NextHop) fault() string {
	if !n.Via.IsValid() {
		if n.Iface == NoIface {
			return "a next hop has neither address nor interface"
		}
		return ""
	}
	if !n.Via.Is4() {
		return "a next hop is not an IPv4 address"
	}
	// None of these is the address of one host (RFC 1122, section 3.2.1.3).
	if a := hdr.Addr4From(n.Via); a == 0 || a.IsMulticast() || a.IsLoopback() || a == hdr.Broadcast4 {
		return "a next hop is not a unicast address"
	}
	return ""
}
