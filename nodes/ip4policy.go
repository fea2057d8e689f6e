package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/session"
)

// IP4Policy asks the policy of both ends whether a flow may pass: that of where
// it comes from first. It knows both, as it follows ip4-lookup. It is asked once
// for each flow and each change of policy; what it allows, ip4-open remembers.
// A session that may not go on is kept, and judged at each packet.
//
// What answers Skein's own pings passes: it asks for them to learn who is there.
//
// In: the packet starts at its IPv4 header; Adj is set, Flow is a draft.
// Out: the packet is unchanged, and no longer to be judged. Meta says who has
// decided (rulingWord).
var IP4Policy = graph.Spec{
	Name:     "ip4-policy",
	Arcs:     policyArcs("ip4", "ip4-arp"),
	New:      func() graph.Node { return new(ip4Policy) },
	Describe: func(r *graph.Record) string { return describeRuling(r, r.State.FIB4.Adj(r.Meta.Adj)) },
}

type ip4Policy struct{ judge }

func (p *ip4Policy) Process(w *graph.Worker, v *graph.Vector) {
	for i, b := range v.Bufs() {
		b.Flags &^= buf.Judge
		adj := w.State.FIB4.Adj(b.Adj)
		v.Arc[i] = p.decide(w, b, adj)
		if w.State.NAT != nil && v.Arc[i] <= policyOpen {
			if v.Arc[i] == policyOpen {
				w.Flows.Drafts4.At(b.Flow).Flags |= flagRemember
			}
			v.Arc[i] = policyNAT
			continue
		}
		if v.Arc[i] == 0 {
			v.Arc[i] = passArc[adj.Kind%fib.NumKinds]
		}
	}
}

// decide returns the way out, 0 for what passes without a session.
func (p *ip4Policy) decide(w *graph.Worker, b *buf.Buffer, adj *fib.Adj) graph.Arc {
	d := w.Flows.Drafts4.At(b.Flow)
	if w.State.Policy == nil {
		return 0
	}
	var q question
	q.roles(w.State, b, adj, d.Session.Dir() == session.Reverse)
	if id := w.State.EchoID; id != 0 && q.to.kind == iface.Tap && answersEcho(b, id) {
		return 0
	}
	ruleKeys4(d, &q)
	arc := p.ask(w, &q)
	b.Meta = q.word
	switch {
	case arc > policyOpen:
		markDenied(w, d.Session, w.Flows.Find4(d.Key, d.Hash))
	case d.Session == 0 && d.Part != session.Whole:
		return 0
	}
	return arc
}

// ruleKeys4 sets what rules look at: the flow behind its destination's
// translation and before its source's.
func ruleKeys4(d *session.Draft[session.Key4], q *question) {
	to := d.Out
	if d.Flags&flagTunnelled != 0 {
		to = d.Key // which backend gets it, its node decides
	}
	q.key.Set4(d.Key.Src(), to.Dst(), d.Key.Proto(), d.Key.SrcPort(), to.DstPort())
	q.arrived.Set4(d.Key.Src(), d.Key.Dst(), d.Key.Proto(), d.Key.SrcPort(), d.Key.DstPort())
	if d.Key.Proto() == hdr.ProtoICMP {
		q.key.SetICMP(d.Type, d.Code)
		q.arrived.SetICMP(d.Type, d.Code)
	}
}
