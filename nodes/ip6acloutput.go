package nodes

import (
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/session"
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

func (n *ip6ACLOutput) Process(w *graph.Worker, v *graph.Vector) { n.leaving(w, v, keys6) }
