package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
)

// EthernetInput decides by the link header whether a frame is routed, bridged
// between an uplink and its host tap, or nobody's business here.
//
// Host and uplink have the same MAC address and are bridged, not routed, so
// that the host sees its link as if Skein were not there: no TTL is taken, and
// DHCP, IPv6 and whatever else it speaks pass. Only these are not bridged:
// IPv4 to our own MAC (it may be a pod's; what is the host's is punted after
// the lookup), ARP, and what the host sends to the tap's own MAC, which is to
// be routed.
//
// In: the packet starts at an Ethernet header.
// Out: routed: the packet starts behind it, L3 is set. Bridged: TxIf is set
// and the packet is as it was.
var EthernetInput = graph.Spec{
	Name: "ethernet-input",
	Arcs: []graph.To{
		etherIP4:     {Reason: "ip4", Node: "ip4-input"},
		etherARP:     {Reason: "arp", Node: "arp-input"},
		etherBridge:  {Reason: "bridged", Node: "interface-output"},
		etherRunt:    {Reason: "shorter than an Ethernet header", Node: graph.Drop},
		etherNotUs:   {Reason: "link address is not ours", Node: graph.Drop},
		etherVLAN:    {Reason: "VLAN tag not supported", Node: graph.Drop},
		etherUnknown: {Reason: "unknown ethertype", Node: graph.Drop},
		etherGroup:   {Reason: "link multicast nobody listens to", Node: graph.Drop},
		etherSource:  {Reason: "link source is a group address", Node: graph.Drop},
	},
	New:      func() graph.Node { return ethernetInput{} },
	Describe: describeEther,
}

// The ways out of ethernet-input.
const (
	_            graph.Arc = iota
	etherIP4               // to be routed
	etherARP               // both for us and for the host
	etherBridge            // the host's
	etherRunt              // no whole header
	etherNotUs             // the interface is promiscuous, and this is another station's
	etherVLAN              // IEEE 802.1Q or 802.1ad
	etherUnknown           // no host to hand it to
	etherGroup             // IPv4 multicast or broadcast, and no host to hand it to
	etherSource            // no station sends from such an address (IEEE 802.3, 3.2.3)
)

type ethernetInput struct{}

func (ethernetInput) Process(w *graph.Worker, v *graph.Vector) {
	ifaces := w.State.Ifaces
	for i, b := range v.Bufs() {
		if b.Len() < hdr.EtherLen {
			v.Arc[i] = etherRunt
			continue
		}
		in := &ifaces[b.RxIf]
		h := b.Ether()
		// The usual case in one look: IPv4, to us.
		if h.Dst() == in.MAC && h.Type() == hdr.TypeIPv4 && !h.Src().IsGroup() {
			b.L3 = uint16(b.Off() + hdr.EtherLen)
			b.Advance(hdr.EtherLen)
			if in.Kind == iface.Tap {
				b.Flags |= buf.Originated // host and Skein are one hop to others
			}
			v.Arc[i] = etherIP4
			continue
		}
		v.Arc[i] = etherOther(b, h, in)
	}
}

// etherOther decides about every frame but IPv4 to our own address.
func etherOther(b *buf.Buffer, h *hdr.Ether, in *iface.Iface) graph.Arc {
	if h.Src().IsGroup() {
		return etherSource
	}
	group := h.Dst().IsGroup()
	if group {
		b.Flags |= buf.LinkBroadcast
	}
	switch t := h.Type(); {
	case t == hdr.TypeVLAN || t == hdr.TypeQinQ:
		return etherVLAN
	case t == hdr.TypeARP && (group || h.Dst() == in.MAC):
		b.L3 = uint16(b.Off() + hdr.EtherLen)
		b.Advance(hdr.EtherLen)
		return etherARP
	case in.Kind == iface.Uplink && !group && h.Dst() != in.MAC:
		return etherNotUs
	case in.Peer != 0 && (in.Kind != iface.Tap || h.Dst() != in.MAC):
		b.TxIf = in.Peer
		b.Flags |= buf.Bridged
		return etherBridge
	case group && t == hdr.TypeIPv4:
		return etherGroup
	case !group && h.Dst() != in.MAC:
		return etherNotUs
	}
	return etherUnknown
}

func describeEther(r *graph.Record) string {
	if r.L3 >= 0 && r.Reason != "bridged" {
		return "" // the header is no longer at the front
	}
	return linkLine(r.Bytes)
}
