package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/session"
)

// IP4Masquerade decides whether a flow leaves with a source address of the
// node, or one that its own is mapped to for good. It follows ip4-policy, which
// so sees who it is, and leaves it to ip4-open to find a port: only there two
// flows in one vector know of each other.
//
// In: the packet starts at its IPv4 header; Adj is set, Flow is a draft.
// Out: the draft's Out has the source to leave with. Meta is the nat.Why.
var IP4Masquerade = graph.Spec{
	Name:     "ip4-masquerade",
	Arcs:     masqueradeArcs("ip4", "ip4-arp"),
	New:      func() graph.Node { return ip4Masquerade{} },
	Describe: describeMasquerade,
}

type ip4Masquerade struct{}

func (m ip4Masquerade) Process(w *graph.Worker, v *graph.Vector) {
	for i, b := range v.Bufs() {
		adj := w.State.FIB4.Adj(b.Adj)
		v.Arc[i] = m.decide(w, b, w.Flows.Drafts4.At(b.Flow), adj)
		if v.Arc[i] == 0 {
			v.Arc[i] = plainArc[adj.Kind%fib.NumKinds]
		}
	}
}

// decide returns 0 for what is neither translated nor to be remembered.
func (m ip4Masquerade) decide(w *graph.Worker, b *buf.Buffer, d *session.Draft[session.Key4], adj *fib.Adj) graph.Arc {
	b.Meta = 0
	if w.State.NAT != nil && d.Session.Dir() == session.Forward {
		if arc := m.source(w, b, d, adj); arc != 0 {
			return arc
		}
	}
	if d.Out != d.Key {
		return masqueradeOpen
	}
	if d.Flags&flagRemember != 0 || d.Session == 0 && answersLeave(w, b, adj, nat.Addr4(d.Key.Src()), nat.Addr4(d.Key.Dst()), d.Key.Proto(), d.Key.DstPort()) {
		return masqueradeOpen
	}
	return 0
}

// source sets the source that a flow is to leave with.
func (m ip4Masquerade) source(w *graph.Worker, b *buf.Buffer, d *session.Draft[session.Key4], adj *fib.Adj) graph.Arc {
	k := d.Key
	if d.Session != 0 {
		d.Flags |= w.Flows.At(d.Session.Index()).Flags & flagAsked
	}
	out, flags := d.Out, uint16(0)
	l := goingOut(w, b, adj, nat.Addr4(k.Src()), nat.Addr4(out.Dst()), d.Flags)
	a, port, why := newSource(w.State, adj, &l, k.Proto(), k.SrcPort())
	src := hdr.Addr4(a.Lo)
	b.Meta = uint32(why)
	if why.Masquerade() {
		// To the host, which has asked a service and answers for it, its own
		// address would be forged; what it has asked is an address that it
		// sends to by way of Skein.
		if src = w.State.Source4(adj.Iface); l.ToHost {
			src = k.Dst()
		}
		if src == 0 {
			return masqueradeNone
		}
		flags = flagMasqueraded
	}
	switch {
	case src == k.Src() && d.Session == 0:
		return 0
	case d.Session != 0:
		if src != out.Src() {
			forget(w, d.Session, w.Flows.Find4(d.Key, d.Hash))
			return masqueradeChanged
		}
		return 0
	case d.Part != session.Whole:
		return masqueradeAlone
	}
	d.Out = session.MakeKey4(src, out.Dst(), port, out.DstPort(), k.Proto(), k.Zone())
	d.Flags |= flags
	return 0
}
