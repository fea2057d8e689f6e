package nodes

import (
	"github.com/skein-dataplane/skein/graph"
)

// UplinkOutput, TapOutput and TunOutput hand packets to the devices. They are
// three so that each has its own counters and place in a trace.
//
// In: TxIf is set, and the packet is as its device takes it.
// Out: the packet is the device's, which sends it at the end of the sweep.
var (
	UplinkOutput = outputSpec("uplink-output")
	TapOutput    = outputSpec("tap-output")
	TunOutput    = outputSpec("tun-output")
)

func outputSpec(name string) graph.Spec {
	return graph.Spec{
		Name:     name,
		Arcs:     []graph.To{outputGone: {Reason: "interface has no device", Node: graph.Drop}},
		New:      func() graph.Node { return output{} },
		Describe: describeOutput,
	}
}

const (
	_          graph.Arc = iota
	outputGone           // it is being removed
)

type output struct{}

func (output) Process(w *graph.Worker, v *graph.Vector) {
	bufs := v.Bufs()
	v.All(graph.Kept)
	for i := 0; i < len(bufs); {
		to, j := bufs[i].TxIf, i+1
		for j < len(bufs) && bufs[j].TxIf == to {
			j++
		}
		if !w.Send(to, bufs[i:j]) {
			for k := i; k < j; k++ {
				v.Arc[k] = outputGone
			}
		}
		i = j
	}
}
