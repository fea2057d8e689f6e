package nodes

import (
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
)

// IP4ACLOutput asks of each packet the access list of the interface that it is
// routed out of.
//
// In: the packet starts at its link header, if it has one; L3, L4 and TxIf are
// set.
// Out: the same. Meta says who has decided (rulingWord).
var IP4ACLOutput = graph.Spec{
	Name:     "ip4-acl-output",
	Arcs:     aclOutputArcs("ip4"),
	On:       IP4OutputArc,
	New:      func() graph.Node { return new(ip4ACLOutput) },
	Describe: describeList,
}

type ip4ACLOutput struct{ aclNode[session.Packet4] }

func (n *ip4ACLOutput) Process(w *graph.Worker, v *graph.Vector) {
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
			aclKey4(&n.batch.Keys[i], &n.packet, b)
		}
		n.ask(w, run, arcs, r, run[0].TxIf, state.GateOut)
	}
}
