package nodes

import (
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/session"
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

func (n *ip4ACLOutput) Process(w *graph.Worker, v *graph.Vector) { n.leaving(w, v, keys4) }
