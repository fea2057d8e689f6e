package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
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
		routed := b.Flags&buf.Originated == 0
		if routed && h.TTL() <= 1 {
			b.Meta = icmpError(hdr.ICMPTimeExceeded, hdr.ICMPTTLExceeded, 0)
			v.Arc[i] = rewriteTTL
			continue
		}
		if wireLen(b) > int(adj.MTU) {
			v.Arc[i] = tooBig(b, adj.MTU)
			continue
		}
		if routed {
			h.DecTTL()
		}
		link(b, adj)
		b.Feat = ifaces[b.TxIf].Feat[IP4OutputArc.ID]
		v.Arc[i] = graph.NextFeature(b)
	}
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

// link puts the link header of adj before the packet. The copy is one of a
// fixed size: Ethernet's 14 bytes are by far the most frequent.
func link(b *buf.Buffer, adj *fib.Adj) {
	b.TxIf = adj.Iface
	switch adj.RewriteLen {
	case 0:
	case hdr.EtherLen:
		*(*[hdr.EtherLen]byte)(b.Prepend(hdr.EtherLen)) = [hdr.EtherLen]byte(adj.Rewrite[:])
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
