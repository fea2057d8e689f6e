package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/state"
)

// IP4ARP parks packets until the link address of their next hop is known, and
// asks for it (RFC 826; RFC 1122, section 2.3.2). The answer reaches control
// by arp-input; with the State that it then publishes the packets go on.
//
// In: the packet starts at its IPv4 header; Adj is one to resolve or to glean.
// Out: the packet as it came, to be looked up again. Towards icmp4-error, Meta
// holds the error.
var IP4ARP = graph.Spec{
	Name: "ip4-arp",
	Arcs: []graph.To{
		parkAsked:    {Reason: "arp request sent", Node: "interface-output"},
		parkResolved: {Reason: "arp resolved", Node: "ip4-lookup"},
		parkFailed:   {Reason: "arp next hop does not answer", Node: "icmp4-error", Dies: true},
		parkFull:     {Reason: "arp queue of the next hop is full", Node: graph.Drop},
		parkCrowded:  {Reason: "arp too many unresolved next hops", Node: graph.Drop},
		parkNoSource: {Reason: "arp no own address to ask from", Node: graph.Drop},
	},
	New:      newParking[hdr.Addr4, arp4],
	Describe: describeRoute,
}

// arp4 asks by ARP for the neighbours of IPv4.
type arp4 struct{}

func (arp4) adj(st *state.State, b *buf.Buffer) uint32 {
	return st.FIB4.Lookup(b.IPv4().Dst(), hash4(b))
}

func (arp4) wants(st *state.State, b *buf.Buffer, i uint32) (*fib.Adj, hdr.Addr4) {
	adj := st.FIB4.Adj(i)
	if adj.Kind == fib.Glean {
		return adj, b.IPv4().Dst()
	}
	return adj, adj.Via
}

func (arp4) source(st *state.State, iface uint32) bool { return st.Source4(iface) != 0 }

func (arp4) question(st *state.State, b *buf.Buffer, iface uint32, hop hdr.Addr4) {
	fillRequest(b, st.Ifaces[iface].MAC, hdr.BroadcastMAC, st.Source4(iface), hop)
}

// fillRequest makes b an ARP request for ip that goes to the station to.
func fillRequest(b *buf.Buffer, mac, to hdr.MAC, src, ip hdr.Addr4) {
	b.SetLen(hdr.EtherLen + hdr.ARPLen)
	b.Ether().Fill(to, mac, hdr.TypeARP)
	b.Advance(hdr.EtherLen)
	b.ARP().Fill(hdr.ARPRequest, mac, src, hdr.MAC{}, ip)
	b.Advance(-hdr.EtherLen)
}

func (arp4) hash(hop hdr.Addr4) uint64      { return uint64(hop) }
func (arp4) mapped(hop hdr.Addr4) hdr.Addr6 { return state.Mapped(hop) }
func (arp4) failed() uint32 {
	return icmpError(hdr.ICMPUnreachable, hdr.ICMPHostUnreachable, 0)
}
