package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/state"
)

// IP6ND parks packets until the link address of their next hop is known, and
// asks for it (RFC 4861, section 7.2.2). The answer reaches control by
// nd-input; with the State that it then publishes the packets go on.
//
// In: the packet starts at its IPv6 header; Adj is one to resolve or to glean.
// Out: the packet as it came, to be looked up again. Towards icmp6-error, Meta
// holds the error.
var IP6ND = graph.Spec{
	Name: "ip6-nd",
	Arcs: []graph.To{
		parkAsked:    {Reason: "nd solicitation sent", Node: "interface-output"},
		parkResolved: {Reason: "nd resolved", Node: "ip6-lookup"},
		parkFailed:   {Reason: "nd next hop does not answer", Node: "icmp6-error", Dies: true},
		parkFull:     {Reason: "nd queue of the next hop is full", Node: graph.Drop},
		parkCrowded:  {Reason: "nd too many unresolved next hops", Node: graph.Drop},
		parkNoSource: {Reason: "nd no own address to ask from", Node: graph.Drop},
	},
	New:      newParking[hdr.Addr6, nd6],
	Describe: describeRoute6,
}

// nd6 asks by solicitations for the neighbours of IPv6.
type nd6 struct{}

func (nd6) adj(st *state.State, b *buf.Buffer) uint32 {
	return lookup6(st.FIB6, link6(b), b.IPv6().Dst(), hash6(b))
}

func (nd6) wants(st *state.State, b *buf.Buffer, i uint32) (*fib.Adj, hdr.Addr6) {
	adj := st.FIB6.Adj(i)
	if adj.Kind == fib.Glean {
		return adj, b.IPv6().Dst()
	}
	return adj, st.FIB6.Via(i)
}

func (nd6) source(st *state.State, iface uint32) bool {
	return !st.LinkSource6(iface).IsUnspecified()
}

func (nd6) question(st *state.State, b *buf.Buffer, iface uint32, hop hdr.Addr6) {
	group := hop.SolicitedNode()
	m := nd{solicit: true, target: hop, mac: st.Ifaces[iface].MAC}
	m.fill(b, group.MulticastMAC(), st.LinkSource6(iface), group)
}

func (nd6) hash(hop hdr.Addr6) uint64      { return hop.Hi*0xff51afd7ed558ccd ^ hop.Lo }
func (nd6) mapped(hop hdr.Addr6) hdr.Addr6 { return hop }
func (nd6) failed() uint32 {
	return icmpError(hdr.ICMP6Unreachable, hdr.ICMP6AddrUnreachable, 0)
}
