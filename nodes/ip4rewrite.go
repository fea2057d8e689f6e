package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
)

// IP4Rewrite sends a packet on its way: one hop less to live, the next hop's
// link header before it.
//
// In: the packet starts at a sound IPv4 header; Adj is one to forward by.
// Out: TxIf is set, and the packet starts at its link header, if the interface
// has one. A packet that can't be sent is unchanged.
var IP4Rewrite = graph.Spec{
	Name: "ip4-rewrite",
	Arcs: []graph.To{
		rewriteTTL:      {Reason: "ip4 time to live exceeded", Node: "icmp4-error", Dies: true},
		rewriteTooBig:   {Reason: "ip4 fragmentation needed but forbidden", Node: "icmp4-error", Dies: true},
		rewriteFragment: {Reason: "fragment", Node: "ip4-fragment"},
	},
	On:       IP4OutputArc,
	New:      func() graph.Node { return ip4Rewrite{} },
	Describe: describeRewrite,
}

// The ways out of ip4-rewrite, besides the ip4-output arc.
const (
	_               graph.Arc = iota
	rewriteTTL                // RFC 1812, section 5.3.1
	rewriteTooBig             // RFC 1191, section 3
	rewriteFragment           // RFC 1812, section 5.2.6
)

type ip4Rewrite struct{}

func (ip4Rewrite) Process(w *graph.Worker, v *graph.Vector) {
	routes, ifaces := w.State.FIB4, w.State.Ifaces
	for i, b := range v.Bufs() {
		adj := routes.Adj(b.Adj)
		h := b.IPv4()
		// The usual packet comes from elsewhere, lives on and fits the link.
		if b.Flags&buf.Originated == 0 && b.GSOType == buf.GSONone && h.TTL() > 1 && b.Len() <= int(adj.MTU) {
			h.DecTTL()
		} else if arc := leave(b, adj); arc != 0 {
			v.Arc[i] = arc
			continue
		}
		link(b, adj)
		v.Arc[i], b.Feat = graph.FirstFeature(ifaces[adj.Iface].Feat[iface.IP4Output])
	}
}

// leave takes a hop off any packet that is to go on, or returns the arc by which
// one leaves that can't.
func leave(b *buf.Buffer, adj *fib.Adj) graph.Arc {
	h := b.IPv4()
	routed := b.Flags&buf.Originated == 0
	if routed && h.TTL() <= 1 {
		b.Meta = icmpError(hdr.ICMPTimeExceeded, hdr.ICMPTTLExceeded, 0)
		return rewriteTTL
	}
	if wireLen(b) > int(adj.MTU) {
		return tooBig(b, adj.MTU)
	}
	if routed {
		h.DecTTL()
	}
	return 0
}

// wireLen returns the length that the packet has on a wire, in bytes: that of
// its longest segment for a superpacket.
func wireLen(b *buf.Buffer) int {
	if b.GSOType == buf.GSONone {
		return b.Len()
	}
	return min(b.Len(), int(b.HdrEnd)-b.Off()+int(b.GSOSize))
}

// tooBig says what becomes of a packet that is longer than the next link
// takes. A superpacket that may be fragmented is segmented first, elsewhere;
// its segments are as long as its sender's path allows, so it is refused.
func tooBig(b *buf.Buffer, mtu uint32) graph.Arc {
	if b.IPv4().Frag()&hdr.DontFragment == 0 && b.GSOType == buf.GSONone {
		return rewriteFragment
	}
	b.Meta = icmpError(hdr.ICMPUnreachable, hdr.ICMPFragNeeded, uint16(min(mtu, 0xffff)))
	return rewriteTooBig
}

// link puts the link header of adj before the packet. Ethernet's is by far the
// most frequent.
func link(b *buf.Buffer, adj *fib.Adj) {
	b.TxIf = adj.Iface
	switch adj.RewriteLen {
	case 0:
	case hdr.EtherLen:
		b.PrependEther((*hdr.Ether)(adj.Rewrite[:]))
	default:
		copy(b.Prepend(int(adj.RewriteLen)), adj.Rewrite[:])
	}
}

func describeRewrite(r *graph.Record) string {
	switch r.Reason {
	case "ip4 time to live exceeded", "ip4 fragmentation needed but forbidden":
		return ""
	}
	return describeRoute(r)
}
