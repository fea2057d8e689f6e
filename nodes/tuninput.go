package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
)

// TunInput takes in what a pod sends, which starts at its IP header.
//
// In: any bytes.
// Out: L3 is set.
var TunInput = graph.Spec{
	Name: "tun-input",
	Arcs: []graph.To{
		tunIP4:     {Reason: "ip4", Node: "ip4-input"},
		tunIP6:     {Reason: "ip6", Node: "ip6-input"},
		tunEmpty:   {Reason: "empty packet", Node: graph.Drop},
		tunVersion: {Reason: "unknown IP version", Node: graph.Drop},
		tunND:      {Reason: "neighbour discovery from a pod", Node: graph.Drop},
		tunMLD:     {Reason: "multicast listener discovery from a pod", Node: graph.Drop},
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
	tunND                // a TUN has no neighbours, and a pod that says so lies (RFC 4861, section 11)
	tunMLD               // multicast is not routed
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
			v.Arc[i] = tun6(b)
		default:
			v.Arc[i] = tunVersion
		}
	}
}

// tun6 decides about IPv6. Messages that a link's stations have among
// themselves are none of a pod's: what every kernel sends by itself is named
// here, so that it does not stand among the drops that matter. Where they are
// hidden behind other headers they do no harm: no multicast is routed, and a
// hop further nobody believes them (RFC 4861, section 3.1).
func tun6(b *buf.Buffer) graph.Arc {
	p := b.Bytes()
	if len(p) <= hdr.IPv6Len || p[6] != hdr.ProtoICMPv6 && p[6] != hdr.ProtoHopByHop {
		return tunIP6
	}
	at := hdr.IPv6Len
	if p[6] == hdr.ProtoHopByHop { // reports of listeners have a router alert (RFC 3810, section 5)
		if len(p) < at+8 || p[at] != hdr.ProtoICMPv6 {
			return tunIP6
		}
		if at += int(p[at+1])*8 + 8; at >= len(p) {
			return tunIP6
		}
	}
	switch t := p[at]; {
	case t >= hdr.ICMP6RouterSol && t <= hdr.ICMP6Redirect:
		return tunND
	case t >= hdr.ICMP6MLDQuery && t <= hdr.ICMP6MLDDone, t == hdr.ICMP6MLDv2Report:
		return tunMLD
	}
	return tunIP6
}
