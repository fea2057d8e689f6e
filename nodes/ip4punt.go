package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
)

// IP4Punt hands the host what is addressed to it. No hop is taken off: to its
// peers the host is where it was before Skein came.
//
// In: the packet starts at L3; Adj leads to a host tap.
// Out: TxIf is the tap, and the packet starts at an Ethernet header: its own,
// if it came by the tap's uplink.
var IP4Punt = graph.Spec{
	Name: "ip4-punt",
	Arcs: []graph.To{
		puntHost: {Reason: "to host", Node: "interface-output"},
		puntLoop: {Reason: "host sends to itself", Node: graph.Drop},
		puntEcho: {Reason: "echo reply to Skein", Node: "icmp4-input"},
	},
	New: func() graph.Node { return ip4Punt{} },
}

// The ways out of ip4-punt.
const (
	_        graph.Arc = iota
	puntHost           //
	puntLoop           // what the host sends to its own address never leaves it, unless forged or by way of a service
	puntEcho           // Skein has pinged from the host's address
)

type ip4Punt struct{}

func (ip4Punt) Process(w *graph.Worker, v *graph.Vector) {
	routes, ifaces := w.State.FIB4, w.State.Ifaces
	for i, b := range v.Bufs() {
		tap := routes.Adj(b.Adj).Iface
		if b.RxIf == tap && !isTranslated(w, b) {
			v.Arc[i] = puntLoop
			continue
		}
		if w.State.EchoID != 0 && answersEcho(b, w.State.EchoID) {
			v.Arc[i] = puntEcho
			continue
		}
		toHost(b, ifaces, tap, hdr.TypeIPv4)
		v.Arc[i] = puntHost
	}
}

// toHost sends a packet of either family on to the host behind a tap.
func toHost(b *buf.Buffer, ifaces []iface.Iface, tap uint32, etherType uint16) {
	to := &ifaces[tap]
	if b.RxIf == to.Peer && b.RxIf != 0 {
		b.Seek(int(b.L3) - hdr.EtherLen) // nothing has touched its own header
	} else {
		b.Prepend(hdr.EtherLen)
		b.Ether().Fill(ifaces[to.Peer].MAC, to.MAC, etherType)
	}
	b.TxIf = tap
}

// answersEcho reports whether the packet is an echo reply with Skein's own
// identifier.
func answersEcho(b *buf.Buffer, id uint16) bool {
	h := b.IPv4AtL3()
	return h.Protocol() == hdr.ProtoICMP && h.Frag()&(hdr.MoreFragments|hdr.FragOffset) == 0 &&
		b.End() >= int(b.L4)+hdr.ICMPLen && b.ICMP().Type() == hdr.ICMPEchoReply && b.ICMP().ID() == id
}
