package nodes

import (
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
)

// IP4SourceCheck lets a packet pass only if its source lies behind the very
// interface that it came in by (strict reverse path forwarding, RFC 3704,
// section 2.2). It is on for every pod.
//
// In: the packet starts at a sound IPv4 header.
// Out: the same.
var IP4SourceCheck = graph.Spec{
	Name: "ip4-source-check",
	Arcs: []graph.To{
		sourceForged: {Reason: "ip4 source is not behind this interface", Node: graph.Drop},
	},
	On:  IP4UnicastArc,
	New: func() graph.Node { return ip4SourceCheck{} },
}

const (
	_ graph.Arc = iota
	sourceForged
)

type ip4SourceCheck struct{}

func (ip4SourceCheck) Process(w *graph.Worker, v *graph.Vector) {
	routes := w.State.FIB4
	for i, b := range v.Bufs() {
		leaf := routes.Leaf(b.IPv4().Src())
		to, only := routes.Only(leaf)
		if !only {
			to = routes.Choose(leaf, hash4(b))
		}
		if adj := routes.Adj(to); adj.Iface != b.RxIf || !behind(adj.Kind) {
			v.Arc[i] = sourceForged
			continue
		}
		v.Arc[i] = graph.NextFeature(b)
	}
}

// behind reports whether there can be stations at the end of such a route.
func behind(k fib.Kind) bool { return k == fib.Forward || k == fib.Resolve || k == fib.Glean }
