package nodes

import "github.com/skein-dataplane/skein/graph"

// DeviceInput sends packets on from the end of the device-input arc. An
// interface without a feature on that arc never comes here.
//
// In: as the device has handed it over.
// Out: the same.
var DeviceInput = graph.Spec{
	Name: "device-input-end",
	Arcs: []graph.To{
		deviceEther: {Reason: "ethernet", Node: EtherEntry},
		deviceIP:    {Reason: "ip", Node: IPEntry},
	},
	New: func() graph.Node { return deviceInput{} },
}

const (
	_ graph.Arc = iota
	deviceEther
	deviceIP
)

type deviceInput struct{}

func (deviceInput) Process(w *graph.Worker, v *graph.Vector) {
	ifaces := w.State.Ifaces
	for i, b := range v.Bufs() {
		v.Arc[i] = deviceIP
		if ifaces[b.RxIf].Ethernet {
			v.Arc[i] = deviceEther
		}
	}
}
