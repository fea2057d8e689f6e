package nodes

import (
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
)

// IP6ACLOutput asks of each packet the access list of the interface that it is
// routed out of.
//
// In: the packet starts at its link header, if it has one; L3, L4 and TxIf are
// set.
// Out: the same. Meta says who has decided (rulingWord).
var IP6ACLOutput = graph.Spec{
	Name:     "ip6-acl-output",
	Arcs:     aclOutputArcs("ip6"),
	On:       IP6OutputArc,
	New:      func() graph.Node { return new(ip6ACLOutput) },
	Describe: describeList,
}

type ip6ACLOutput struct{ aclNode[session.Packet6] }

func (n *ip6ACLOutput) Process(w *graph.Worker, v *graph.Vector) {
	bufs := v.Bufs()
	for from := 0; from < len(bufs); {
		to := from + runBy(bufs[from:], sender)
		run, arcs := bufs[from:to], v.Arc[from:to]
		r := outRules(w.State, run[0].TxIf)
		if from = to; r == nil {
			passAll(run, arcs)
			continue
		}
		for i, b := range run {
			aclKey6(&n.batch.Keys[i], &n.packet, b)
		}
		n.ask(w, run, arcs, r, run[0].TxIf, state.GateOut)
	}
}
