package nodes

import (
	"github.com/skein-dataplane/skein/graph"
)

// TunInput takes in what a pod sends, which starts at its IP header.
//
// In: any bytes.
// Out: L3 is set.
var TunInput = graph.Spec{
	Name: "tun-input",
	Arcs: []graph.To{
		tunIP4:     {Reason: "ip4", Node: "ip4-input"},
		tunIP6:     {Reason: "IPv6 not supported", Node: graph.Drop},
		tunEmpty:   {Reason: "empty packet", Node: graph.Drop},
		tunVersion: {Reason: "unknown IP version", Node: graph.Drop},
	},
	New: func() graph.Node { return tunInput{} },
}

// The ways out of tun-input.
const (
	_          graph.Arc = iota
	tunIP4               // version 4
	tunIP6               // version 6
	tunEmpty             // not a byte
	tunVersion           // neither
)

type tunInput struct{}

func (tunInput) Process(w *graph.Worker, v *graph.Vector) {
	for i, b := range v.Bufs() {
		b.L3 = uint16(b.Off())
		switch {
		case b.Len() == 0:
			v.Arc[i] = tunEmpty
		case b.IPv4().Version() == 4:
			v.Arc[i] = tunIP4
		case b.IPv4().Version() == 6:
			v.Arc[i] = tunIP6
		default:
			v.Arc[i] = tunVersion
		}
	}
}
