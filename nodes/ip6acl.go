package nodes

import (
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/session"
)

// IP6ACL asks of each packet the access list of the interface that it came in
// by, and policy that is not to track flows. What the latter allows skips all
// that follows of sessions.
//
// A later fragment shows no ports: rules on ports, ICMP types or sets with ports
// do not match it.
//
// In: the packet starts at a sound IPv6 header; L4 is set.
// Out: the same. Meta says who has decided (rulingWord).
var IP6ACL = graph.Spec{
	Name:     "ip6-acl",
	Arcs:     aclArcs("ip6"),
	On:       IP6UnicastArc,
	New:      func() graph.Node { return new(ip6ACL) },
	Describe: describeList,
}

type ip6ACL struct{ aclNode[session.Packet6] }

func (n *ip6ACL) Process(w *graph.Worker, v *graph.Vector) { n.arriving(w, v, keys6) }
