package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/session"
)

// IP4Handoff hands packets over to the worker that has the sessions of their
// flow, where there are several workers: by a hash of addresses, protocol and
// ports, the same for both directions. ICMP errors go with the flow that they
// quote.
//
// Fragments first meet at a worker by their identification, as only the first one
// has ports; from there all go to that of their flow, the first one first.
//
// In: the packet starts at a sound IPv4 header; L4 is set.
// Out: the same.
var IP4Handoff = graph.Spec{
	Name: "ip4-handoff",
	Arcs: handoffArcs("ip4"),
	On:   IP4UnicastArc,
	New:  func() graph.Node { return &ip4Handoff{gathering: newGathering()} },
}

type ip4Handoff struct {
	gathering
	keys   [graph.MaxVector]session.Key4
	owners [graph.MaxVector]uint8
	packet session.Packet4 // lent to session.Parse4
}

func (h *ip4Handoff) Process(w *graph.Worker, v *graph.Vector) {
	by, bufs := w.Sharding(), v.Bufs()
	if by == nil {
		for i, b := range bufs {
			v.Arc[i] = graph.NextFeature(b)
		}
		return
	}
	for i, b := range bufs {
		ip := b.IPv4()
		is := transports[ip.Protocol()]
		if ip.IsWhole() && int32(b.End()-int(b.L4)) >= is.least {
			h.keys[i] = session.PlainKey4(ip, ip.PlainPorts()&is.ports)
			continue
		}
		v.Arc[i] = h.unusual(w, b, &h.keys[i])
	}
	owners4(w.State, by, h.keys[:len(bufs)], h.owners[:])
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

// unusual does so for what is not one whole packet with nothing odd about it.
func (h *ip4Handoff) unusual(w *graph.Worker, b *buf.Buffer, key *session.Key4) graph.Arc {
	p := &h.packet
	part := session.Parse4(b.Bytes(), 0, p)
	*key = p.Key
	switch part {
	case session.Bad:
		return graph.NextFeature(b) // ip4-session says so
	case session.First, session.Later:
		f, sport, dport := p.Frag(), p.Key.SrcPort(), p.Key.DstPort()
		if arc := h.fragment(w, b, &f, p.At, part, &sport, &dport); arc != 0 {
			return arc
		}
		*key = p.Key.WithPorts(sport, dport)
	}
	return 0
}
