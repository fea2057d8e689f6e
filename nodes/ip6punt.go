package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
)

// IP6Punt hands the host what is addressed to it. No hop is taken off: to its
// peers the host is where it was before Skein came.
//
// In: the packet starts at L3; Adj leads to a host tap.
// Out: TxIf is the tap, and the packet starts at an Ethernet header: its own,
// if it came by the tap's uplink.
var IP6Punt = graph.Spec{
	Name: "ip6-punt",
	Arcs: []graph.To{
		puntHost: {Reason: "to host", Node: "interface-output"},
		puntLoop: {Reason: "ip6 host sends to itself", Node: graph.Drop},
		puntEcho: {Reason: "echo reply to Skein", Node: "icmp6-input"},
	},
	New: func() graph.Node { return ip6Punt{} },
}

type ip6Punt struct{}

func (ip6Punt) Process(w *graph.Worker, v *graph.Vector) {
	routes, ifaces := w.State.FIB6, w.State.Ifaces
	for i, b := range v.Bufs() {
		tap := routes.Adj(b.Adj).Iface
		if b.RxIf == tap && !isTranslated(w, b) {
			v.Arc[i] = puntLoop
			continue
		}
		if w.State.EchoID != 0 && answersEcho6(b, w.State.EchoID) {
			v.Arc[i] = puntEcho
			continue
		}
		toHost(b, ifaces, tap, hdr.TypeIPv6)
		v.Arc[i] = puntHost
	}
}

// answersEcho6 reports whether the packet is an echo reply with Skein's own
// identifier.
func answersEcho6(b *buf.Buffer, id uint16) bool {
	u := upper6(b)
	return u.Proto == hdr.ProtoICMPv6 && !u.fragment &&
		b.End() >= int(b.L4)+hdr.ICMPLen && b.ICMP().Type() == hdr.ICMP6EchoReply && b.ICMP().ID() == id
}
