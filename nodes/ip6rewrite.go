package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
)

// IP6Rewrite sends a packet on its way: one hop less to live, the next hop's
// link header before it. It never fragments (RFC 8200, section 5).
//
// In: the packet starts at a sound IPv6 header; Adj is one to forward by.
// Out: TxIf is set, and the packet starts at its link header, if the interface
// has one. A packet that can't be sent is unchanged.
var IP6Rewrite = graph.Spec{
	Name: "ip6-rewrite",
	Arcs: []graph.To{
		rewrite6Hops:   {Reason: "ip6 hop limit exceeded", Node: "icmp6-error", Dies: true},
		rewrite6TooBig: {Reason: "ip6 packet too big", Node: "icmp6-error", Dies: true},
		rewrite6Scope:  {Reason: "ip6 link-local source is not routed", Node: "icmp6-error", Dies: true},
	},
	On:       IP6OutputArc,
	New:      func() graph.Node { return ip6Rewrite{} },
	Describe: describeRewrite6,
}

// The ways out of ip6-rewrite, besides the ip6-output arc.
const (
	_              graph.Arc = iota
	rewrite6Hops             // RFC 4443, section 3.3
	rewrite6TooBig           // RFC 4443, section 3.2
	rewrite6Scope            // RFC 4291, section 2.5.6
)

type ip6Rewrite struct{}

func (ip6Rewrite) Process(w *graph.Worker, v *graph.Vector) {
	routes, ifaces := w.State.FIB6, w.State.Ifaces
	for i, b := range v.Bufs() {
		adj := routes.Adj(b.Adj)
		h := b.IPv6()
		routed := b.Flags&buf.Originated == 0
		if routed && h.HopLimit() <= 1 {
			b.Meta = icmpError(hdr.ICMP6TimeExceeded, hdr.ICMP6HopLimit, 0)
			v.Arc[i] = rewrite6Hops
			continue
		}
		if h.Src().IsLinkLocal() && b.RxIf != 0 {
			b.Meta = icmpError(hdr.ICMP6Unreachable, hdr.ICMP6BeyondScope, 0)
			v.Arc[i] = rewrite6Scope
			continue
		}
		if wireLen(b) > int(adj.MTU) {
			b.Meta = icmpError(hdr.ICMP6TooBig, 0, uint16(min(adj.MTU, 0xffff)))
			v.Arc[i] = rewrite6TooBig
			continue
		}
		if routed {
			h.DecHopLimit()
		}
		link(b, adj)
		b.Feat = ifaces[b.TxIf].Feat[IP6OutputArc.ID]
		v.Arc[i] = graph.NextFeature(b)
	}
}

func describeRewrite6(r *graph.Record) string {
	if r.Next == "icmp6-error" {
		return ""
	}
	return describeRoute6(r)
}
