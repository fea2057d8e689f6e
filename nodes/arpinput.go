package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/state"
)

// ARPInput learns from ARP packets and answers those that ask for us
// (RFC 826). Between an uplink and its tap it lets all others pass, so that
// the host resolves its neighbours, defends its addresses and is found by
// others as without Skein. On the tap it answers for what Skein routes itself,
// pods above all (RFC 1027).
//
// In: the packet starts behind its Ethernet header, at L3.
// Out: the packet starts at its Ethernet header; TxIf is set.
var ARPInput = graph.Spec{
	Name: "arp-input",
	Arcs: []graph.To{
		arpReply:     {Reason: "arp reply sent", Node: "interface-output"},
		arpBridge:    {Reason: "bridged", Node: "interface-output"},
		arpMalformed: {Reason: "arp malformed", Node: graph.Drop},
		arpSender:    {Reason: "arp sender is not a station", Node: graph.Drop},
		arpNotOurs:   {Reason: "arp for another station", Node: graph.Drop},
		arpLearnt:    {Reason: "arp reply taken in", Node: graph.Drop},
	},
	New:      func() graph.Node { return arpInput{} },
	Describe: describeARP,
}

// The ways out of arp-input.
const (
	_            graph.Arc = iota
	arpReply               // it asks for an address of ours
	arpBridge              // the other side wants it too
	arpMalformed           // not IPv4 over Ethernet, or cut off
	arpSender              // a group address
	arpNotOurs             // nobody here wants it
	arpLearnt              // an answer to us alone
)

type arpInput struct{}

func (arpInput) Process(w *graph.Worker, v *graph.Vector) {
	for i, b := range v.Bufs() {
		v.Arc[i] = arp(w, b)
	}
}

func arp(w *graph.Worker, b *buf.Buffer) graph.Arc {
	if b.Len() < hdr.ARPLen || !b.ARP().Valid() {
		return arpMalformed
	}
	h, in := b.ARP(), &w.State.Ifaces[b.RxIf]
	if h.SenderMAC().IsGroup() {
		return arpSender
	}
	routes := w.State.FIB4
	target := routes.Adj(routes.Lookup(h.TargetIP(), 0))
	learn(w, b.RxIf, h, target.Kind)
	b.Seek(int(b.L3) - hdr.EtherLen)
	switch {
	case h.Op() == hdr.ARPRequest && h.SenderIP() != h.TargetIP() && (proxies(in, b.RxIf, target, h.SenderIP() == 0) ||
		answers(w.State, in, target, target.Via == h.TargetIP(), h.SenderIP() == 0)):
		reply(b, h, in.MAC)
		return arpReply
	case in.Peer != 0:
		b.TxIf = in.Peer
		b.Flags |= buf.Bridged
		return arpBridge
	case h.Op() == hdr.ARPReply:
		return arpLearnt
	}
	return arpNotOurs
}

// answers reports whether Skein speaks for the address that is asked for:
// always for its own, and on a tap for pods and for what the host asks for
// there only because Skein's routes lead it there. A station on the link of any
// uplink speaks for itself. What is refused later is answered for as well.
//
// onLink says that target is its own next hop, and probe that the asker wants
// to know whether the address is free (RFC 5227, section 2.1.1; RFC 4862,
// section 5.4): it is on no route to it yet.
func answers(st *state.State, in *iface.Iface, target *fib.Adj, onLink, probe bool) bool {
	switch target.Kind {
	case fib.Local:
		return true
	case fib.Forward, fib.Resolve, fib.Glean:
		if in.Kind != iface.Tap {
			return false
		}
		if st.Ifaces[target.Iface].Kind == iface.Tun {
			return true
		}
		return !probe && target.Kind != fib.Glean && !onLink
	case fib.Blackhole, fib.Unreachable, fib.Prohibit:
		return in.Kind == iface.Tap && !probe
	}
	return false
}

// proxies reports whether Skein speaks for an address on a pod's Ethernet
// device: for everything that is not behind it, its gateway above all
// (RFC 1027). What a pod takes for on its link is found so as well.
func proxies(in *iface.Iface, rx uint32, target *fib.Adj, probe bool) bool {
	return in.Kind == iface.Tun && !probe && target.Iface != rx
}

func reply(b *buf.Buffer, h *hdr.ARP, mac hdr.MAC) {
	asker, askerIP, target := h.SenderMAC(), h.SenderIP(), h.TargetIP()
	h.Fill(hdr.ARPReply, mac, target, asker, askerIP)
	b.Ether().Fill(asker, mac, hdr.TypeARP)
	b.TxIf = b.RxIf
}

// learn tells control of a neighbour's link address, if it is news or the
// answer to a question: a station on a link that is asked for, or speaks to
// us, or one that we know and that has changed (RFC 826, Packet Reception).
func learn(w *graph.Worker, i uint32, h *hdr.ARP, target fib.Kind) {
	ip := h.SenderIP()
	if ip == 0 {
		return // a probe (RFC 5227, section 1.1)
	}
	routes := w.State.FIB4
	adj := routes.Adj(routes.Lookup(ip, 0))
	if adj.Iface != i {
		return
	}
	answer := h.Op() == hdr.ARPReply
	known := adj.Kind == fib.Forward && adj.Via == ip
	changed := known && hdr.MAC(adj.Rewrite[:6]) != h.SenderMAC()
	onLink := adj.Kind == fib.Glean || adj.Kind == fib.Resolve
	toUs := answer || target == fib.Local || target == fib.Punt
	if changed || known && answer || onLink && toUs {
		w.Notify(state.Notice{Kind: state.NeighborSeen, Iface: i, IP: state.Mapped(ip), MAC: h.SenderMAC()})
	}
}
