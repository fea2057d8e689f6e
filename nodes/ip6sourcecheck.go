package nodes

import (
	"github.com/skein-dataplane/skein/graph"
)

// IP6SourceCheck lets a packet pass only if its source lies behind the very
// interface that it came in by (strict reverse path forwarding, RFC 3704,
// section 2.2). It is on for every pod.
//
// In: the packet starts at a sound IPv6 header.
// Out: the same.
var IP6SourceCheck = graph.Spec{
	Name: "ip6-source-check",
	Arcs: []graph.To{
		sourceForged: {Reason: "ip6 source is not behind this interface", Node: graph.Drop},
	},
	On:  IP6UnicastArc,
	New: func() graph.Node { return ip6SourceCheck{} },
}

type ip6SourceCheck struct{}

func (ip6SourceCheck) Process(w *graph.Worker, v *graph.Vector) {
	routes := w.State.FIB6
	for i, b := range v.Bufs() {
		src := b.IPv6().Src()
		to, only := routes.Only(routes.Leaf(src))
		if !only || src.IsLinkLocal() {
			to = lookup6(routes, b.RxIf, src, hash6(b))
		}
		if adj := routes.Adj(to); adj.Iface != b.RxIf || !behind(adj.Kind) {
			v.Arc[i] = sourceForged
			continue
		}
		v.Arc[i] = graph.NextFeature(b)
	}
}
