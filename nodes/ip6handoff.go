package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/session"
)

// IP6Handoff hands packets over to the worker that has the sessions of their
// flow, where there are several workers. It is IP4Handoff for IPv6.
//
// In: the packet starts at a sound IPv6 header; L4 is set.
// Out: the same.
var IP6Handoff = graph.Spec{
	Name: "ip6-handoff",
	Arcs: handoffArcs("ip6"),
	On:   IP6UnicastArc,
	New:  func() graph.Node { return &ip6Handoff{gathering: newGathering()} },
}

type ip6Handoff struct {
	gathering
	packet session.Packet6 // lent to session.Parse6
}

func (h *ip6Handoff) Process(w *graph.Worker, v *graph.Vector) {
	by := w.Sharding()
	for i, b := range v.Bufs() {
		if by == nil {
			v.Arc[i] = graph.NextFeature(b)
			continue
		}
		ip := b.IPv6()
		is := transports[ip.NextHeader()]
		if int32(b.End()-int(b.L4)) >= is.least {
			h.packet.Key.SetPlain(ip, b.UDP().Ports()&is.ports)
			v.Arc[i] = deliver(w, Owner6(w.State, by, h.packet.Key), b)
			continue
		}
		v.Arc[i] = h.unusual(w, by, b)
	}
}

// unusual does so for what has extension headers, and for ICMPv6.
func (h *ip6Handoff) unusual(w *graph.Worker, by *session.Sharding, b *buf.Buffer) graph.Arc {
	p := &h.packet
	switch part := session.Parse6(b.Bytes(), 0, p); part {
	case session.Bad:
		return graph.NextFeature(b) // ip6-session says so
	case session.First, session.Later:
		f, sport, dport := p.Frag(), p.Key.SrcPort(), p.Key.DstPort()
		if arc := h.fragment(w, b, &f, part, &sport, &dport); arc != 0 {
			return arc
		}
		p.Key = p.Key.WithPorts(sport, dport)
	}
	return deliver(w, Owner6(w.State, by, p.Key), b)
}
