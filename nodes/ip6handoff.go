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
	keys   [graph.MaxVector]session.Key6
	owners [graph.MaxVector]uint8
	packet session.Packet6 // lent to session.Parse6
}

func (h *ip6Handoff) Process(w *graph.Worker, v *graph.Vector) {
	by, bufs := w.Sharding(), v.Bufs()
	if by == nil {
		for i, b := range bufs {
			v.Arc[i] = graph.NextFeature(b)
		}
		return
	}
	for i, b := range bufs {
		ip := b.IPv6()
		is := transports[ip.NextHeader()]
		if int32(b.End()-int(b.L4)) >= is.least {
			h.keys[i].SetPlain(ip, b.UDP().Ports()&is.ports)
			continue
		}
		v.Arc[i] = h.unusual(w, b, &h.keys[i])
	}
	owners6(w.State, by, h.keys[:len(bufs)], h.owners[:])
	own := uint8(w.ID())
	for i, b := range bufs {
		switch {
		case v.Arc[i] != 0:
		case h.owners[i] == own:
			v.Arc[i] = graph.NextFeature(b)
		default:
			v.Arc[i] = handOver(w, int(h.owners[i]), graph.NextFeature(b), b)
		}
	}
}

// unusual does so for what has extension headers, and for ICMPv6.
func (h *ip6Handoff) unusual(w *graph.Worker, b *buf.Buffer, key *session.Key6) graph.Arc {
	p := &h.packet
	part := session.Parse6(b.Bytes(), 0, p)
	*key = p.Key
	switch part {
	case session.Bad:
		return graph.NextFeature(b) // ip6-session says so
	case session.First, session.Later:
		f, sport, dport := p.Frag(), p.Key.SrcPort(), p.Key.DstPort()
		if arc := h.fragment(w, b, &f, p.At, part, &sport, &dport); arc != 0 {
			return arc
		}
		*key = p.Key.WithPorts(sport, dport)
	}
	return 0
}
