package nodes

import (
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/session"
)

// IP4ACL asks of each packet the access list of the interface that it came in
// by, and policy that is not to track flows. What the latter allows skips all
// that follows of sessions.
//
// A later fragment shows no ports: rules on ports, ICMP types or sets with ports
// do not match it.
//
// In: the packet starts at a sound IPv4 header; L4 is set.
// Out: the same. Meta says who has decided (rulingWord).
var IP4ACL = graph.Spec{
	Name:     "ip4-acl",
	Arcs:     aclArcs("ip4"),
	On:       IP4UnicastArc,
	New:      func() graph.Node { return new(ip4ACL) },
	Describe: describeList,
}

type ip4ACL struct{ aclNode[session.Packet4] }

func (n *ip4ACL) Process(w *graph.Worker, v *graph.Vector) { n.arriving(w, v, keys4) }
