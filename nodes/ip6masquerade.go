package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/session"
)

// IP6Masquerade decides whether a flow leaves with a source address of the
// node, or one that its own is mapped to for good. It follows ip6-policy, which
// so sees who it is, and leaves it to ip6-open to find a port: only there two
// flows in one vector know of each other.
//
// In: the packet starts at its IPv6 header; Adj is set, Flow is a draft.
// Out: the draft's Out has the source to leave with. Meta is the nat.Why.
var IP6Masquerade = graph.Spec{
	Name:     "ip6-masquerade",
	Arcs:     masqueradeArcs("ip6", "ip6-nd"),
	New:      func() graph.Node { return ip6Masquerade{} },
	Describe: describeMasquerade,
}

type ip6Masquerade struct{}

func (m ip6Masquerade) Process(w *graph.Worker, v *graph.Vector) {
	for i, b := range v.Bufs() {
		adj := w.State.FIB6.Adj(b.Adj)
		v.Arc[i] = m.decide(w, b, w.Flows.Drafts6.At(b.Flow), adj)
		if v.Arc[i] == 0 {
			v.Arc[i] = plainArc[adj.Kind%fib.NumKinds]
		}
	}
}

// decide returns 0 for what is neither translated nor to be remembered.
func (m ip6Masquerade) decide(w *graph.Worker, b *buf.Buffer, d *session.Draft[session.Key6], adj *fib.Adj) graph.Arc {
	b.Meta = 0
	if w.State.NAT != nil && d.Session.Dir() == session.Forward {
		if arc := m.source(w, b, d, adj); arc != 0 {
			return arc
		}
	}
	if d.Out != d.Key {
		return masqueradeOpen
	}
	if d.Flags&flagRemember != 0 || d.Session == 0 && answersLeave(w, b, adj, d.Key.Src(), d.Key.Dst(), d.Key.Proto(), d.Key.DstPort()) {
		return masqueradeOpen
	}
	return 0
}

// source sets the source that a flow is to leave with.
func (m ip6Masquerade) source(w *graph.Worker, b *buf.Buffer, d *session.Draft[session.Key6], adj *fib.Adj) graph.Arc {
	k := d.Key
	if d.Session != 0 {
		d.Flags |= w.Flows.At(d.Session.Index()).Flags & flagAsked
	}
	out, flags := d.Out, uint16(0)
	l := goingOut(w, b, adj, k.Src(), out.Dst(), d.Flags)
	src, port, why := newSource(w.State, adj, &l, k.Proto(), k.SrcPort())
	b.Meta = uint32(why)
	if why.Masquerade() {
		if src = w.State.Source6(adj.Iface); l.ToHost {
			src = k.Dst() // see IP4Masquerade
		}
		if src.IsUnspecified() {
			return masqueradeNone
		}
		flags = flagMasqueraded
	}
	switch {
	case src == k.Src() && d.Session == 0:
		return 0
	case d.Session != 0:
		if src != out.Src() {
			forget(w, d.Session, w.Flows.Find6(&d.Key, d.Hash))
			return masqueradeChanged
		}
		return 0
	case d.Part != session.Whole:
		return masqueradeAlone
	}
	d.Out = session.MakeKey6(src, out.Dst(), port, out.DstPort(), k.Proto(), k.Zone())
	d.Flags |= flags
	return 0
}
