package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/state"
)

// EthernetInput decides by the link header whether a frame is routed, bridged
// between an uplink and its host tap, or nobody's business here.
//
// Host and uplink have the same MAC address and are bridged, not routed, so
// that the host sees its link as if Skein were not there: no TTL is taken, and
// DHCP, routers' advertisements and whatever else it speaks pass. Only these
// are not bridged: IP to our own MAC (it may be a pod's; what is the host's is
// punted after the lookup), but for IPv6 within the link, of which Skein has
// only the answers to its own pings; ARP, neighbour
// solicitations and advertisements; and what the host sends to the tap's own
// MAC, which is to be routed. Where policy has a say about what the host sends by
// an uplink, all its IP unicast beyond the link is routed, so that it has flows.
//
// An interface without a link-local address has no IPv6 (RFC 4291, section
// 2.1): there it is bridged or dropped like any protocol that Skein lacks.
//
// Frames with VLAN tags are all the host's, whose stack has the interfaces and
// addresses of its VLANs. A tag of VLAN 0 names no VLAN but a priority
// (IEEE 802.1Q, section 9.6), and is taken off at the uplink.
//
// In: the packet starts at an Ethernet header.
// Out: routed: the packet starts behind it, L3 is set. Bridged: TxIf is set
// and the packet is as it was.
var EthernetInput = graph.Spec{
	Name: "ethernet-input",
	Arcs: []graph.To{
		etherIP4:     {Reason: "ip4", Node: "ip4-input"},
		etherIP6:     {Reason: "ip6", Node: "ip6-input"},
		etherARP:     {Reason: "arp", Node: "arp-input"},
		etherND:      {Reason: "nd", Node: "nd-input"},
		etherBridge:  {Reason: "bridged", Node: "interface-output"},
		etherRunt:    {Reason: "shorter than an Ethernet header", Node: graph.Drop},
		etherNotUs:   {Reason: "link address is not ours", Node: graph.Drop},
		etherVLAN:    {Reason: "VLAN tag, and no host to hand it to", Node: graph.Drop},
		etherUnknown: {Reason: "unknown ethertype", Node: graph.Drop},
		etherGroup:   {Reason: "link multicast nobody listens to", Node: graph.Drop},
		etherSource:  {Reason: "link source is a group address", Node: graph.Drop},
		etherRelay:   {Reason: "dhcp taken by the relay", Node: graph.Drop},
	},
	New:      func() graph.Node { return ethernetInput{} },
	Describe: describeEther,
}

// The ways out of ethernet-input.
const (
	_            graph.Arc = iota
	etherIP4               // to be routed
	etherIP6               // to be routed
	etherARP               // both for us and for the host
	etherND                // likewise
	etherBridge            // the host's
	etherRunt              // no whole header
	etherNotUs             // the interface is promiscuous, and this is another station's
	etherVLAN              // IEEE 802.1Q or 802.1ad; or sent to Skein, which is in no VLAN
	etherUnknown           // no host to hand it to
	etherGroup             // IP multicast or broadcast, and no host to hand it to
	etherSource            // no station sends from such an address (IEEE 802.3, 3.2.3)
	etherRelay             // control/dhcprelay has a copy of its own
)

type ethernetInput struct{}

func (ethernetInput) Process(w *graph.Worker, v *graph.Vector) {
	ifaces := w.State.Ifaces
	rx, in := uint32(0), &ifaces[0]
	mac, paired := in.MAC.Word(), false
	for i, b := range v.Bufs() {
		if b.RxIf != rx {
			rx = b.RxIf
			in = &ifaces[rx]
			mac, paired = in.MAC.Word(), in.Peer != 0 || in.Kind == iface.Tap
		}
		if b.Len() < hdr.EtherLen {
			v.Arc[i] = etherRunt
			continue
		}
		h := b.Ether()
		toUs, t := h.ToWord() == mac, h.Type()
		switch { // the usual cases in one look: IP, to us
		case toUs && t == hdr.TypeIPv4:
			l3 := b.Off() + hdr.EtherLen
			b.Seek(l3)
			b.L3 = uint16(l3)
			v.Arc[i] = etherIP4
			switch {
			case !paired:
			case in.Kind == iface.Tap:
				b.Flags |= buf.Originated // host and Skein are one hop to others
			case b.IPv4().Protocol() == hdr.ProtoUDP && answersDHCP(b):
				b.Advance(-hdr.EtherLen)
				b.L3 = 0
				v.Arc[i] = bridge(b, in)
			}
		case toUs && t == hdr.TypeIPv6 && in.LinkLocal.Hi != 0 && plain6(b):
			v.Arc[i] = route6(b, in)
		default:
			v.Arc[i] = etherOther(w.State, b, h, in)
		}
	}
}

// bridge sends a frame on to the other side.
func bridge(b *buf.Buffer, in *iface.Iface) graph.Arc {
	b.TxIf = in.Peer
	b.Flags |= buf.Bridged
	return etherBridge
}

// dhcpClient is the port of DHCP clients (RFC 2131, section 4.1).
const dhcpClient = 68

// answersDHCP reports whether an IPv4 packet is for a DHCP client. A server
// sends it to the address that it offers, which the host has not got yet, so
// that no route says whose it is.
func answersDHCP(b *buf.Buffer) bool {
	h := b.IPv4()
	at := hdr.IPv4Len + 2 // of the port, in a header without options as servers send it
	return b.Len() >= hdr.IPv4Len+hdr.UDPLen && h[0] == 0x45 && h.Protocol() == hdr.ProtoUDP &&
		h.Frag()&hdr.FragOffset == 0 && b.Bytes()[at] == 0 && b.Bytes()[at+1] == dhcpClient
}

// dhcpServer is the port of DHCP servers and relays (RFC 2131, section 4.1).
const dhcpServer = 67

// asksDHCP reports whether a frame is what a DHCP relay takes from a client: an
// IPv4 datagram that is broadcast to servers, whole and in a header without
// options (see dhcprelay).
func asksDHCP(b *buf.Buffer) bool {
	const port = hdr.EtherLen + hdr.IPv4Len + 2
	p := b.Bytes()
	if len(p) < hdr.EtherLen+hdr.IPv4Len+hdr.UDPLen || b.Ether().Dst() != hdr.BroadcastMAC {
		return false
	}
	h := (*hdr.IPv4)(p[hdr.EtherLen:])
	return h[0] == 0x45 && h.Protocol() == hdr.ProtoUDP && h.Frag()&(hdr.MoreFragments|hdr.FragOffset) == 0 &&
		p[port] == 0 && p[port+1] == dhcpServer
}

// plain6 reports whether a frame with IPv6 is neither neighbour discovery nor
// within the link, whatever else it is.
func plain6(b *buf.Buffer) bool {
	b.Advance(hdr.EtherLen)
	h := b.IPv6()
	b.Advance(-hdr.EtherLen)
	return b.Len() >= hdr.EtherLen+hdr.IPv6Len && h.NextHeader() != hdr.ProtoICMPv6 && !withinLink(h[:])
}

// withinLink reports whether an IPv6 packet is to a link-local or multicast
// address, fe80::/10 or ff00::/8; there is little else in fe00::/7.
func withinLink(p []byte) bool { return p[24] >= 0xfe }

// route6 takes the link header off an IPv6 packet.
func route6(b *buf.Buffer, in *iface.Iface) graph.Arc {
	b.L3 = uint16(b.Off() + hdr.EtherLen)
	b.Advance(hdr.EtherLen)
	if in.Kind == iface.Tap {
		b.Flags |= buf.Originated // host and Skein are one hop to others
	}
	return etherIP6
}

// ether6 decides about IPv6 to our own address or to a group.
func ether6(st *state.State, b *buf.Buffer, in *iface.Iface, group bool) graph.Arc {
	p := b.Bytes()[hdr.EtherLen:]
	switch {
	case isND(p):
		b.L3 = uint16(b.Off() + hdr.EtherLen)
		b.Advance(hdr.EtherLen)
		return etherND
	case in.Peer != 0 && (group || in.Kind == iface.Uplink && len(p) >= hdr.IPv6Len && withinLink(p) && !answersOnLink(st, p, in)):
		return bridge(b, in)
	case group:
		return etherGroup
	}
	return route6(b, in)
}

// answersOnLink reports whether an IPv6 packet within the link answers a ping
// of Skein's own, which asks there by the host's address. Answers behind
// extension headers are the host's, who ignores them.
func answersOnLink(st *state.State, p []byte, in *iface.Iface) bool {
	if st.EchoID == 0 || len(p) < hdr.IPv6Len+hdr.ICMPLen {
		return false
	}
	h, m := (*hdr.IPv6)(p), (*hdr.ICMP)(p[hdr.IPv6Len:])
	return h.NextHeader() == hdr.ProtoICMPv6 && m.Type() == hdr.ICMP6EchoReply && m.ID() == st.EchoID && h.Dst() == in.LinkLocal
}

// etherOther decides about every frame but the usual ones to our own address.
func etherOther(st *state.State, b *buf.Buffer, h *hdr.Ether, in *iface.Iface) graph.Arc {
	if h.Src().IsGroup() {
		return etherSource
	}
	group := h.Dst().IsGroup()
	if group {
		b.Flags |= buf.LinkBroadcast
	}
	switch t := h.Type(); {
	case t == hdr.TypeVLAN || t == hdr.TypeQinQ:
		return etherTagged(st, b, h, in)
	case t == hdr.TypeARP && (group || h.Dst() == in.MAC):
		b.L3 = uint16(b.Off() + hdr.EtherLen)
		b.Advance(hdr.EtherLen)
		return etherARP
	case t == hdr.TypeIPv6 && in.LinkLocal.Hi != 0 && (group || h.Dst() == in.MAC):
		return ether6(st, b, in, group)
	case in.Kind == iface.Uplink && !group && h.Dst() != in.MAC:
		return etherNotUs
	case in.Kind == iface.Tap && !group && h.Dst() != in.MAC && guarded(st, in.Peer):
		return etherGuarded(b, t, in)
	case in.Peer != 0 && (in.Kind != iface.Tap || h.Dst() != in.MAC):
		return bridge(b, in)
	case group && t == hdr.TypeIPv4:
		if in.DHCPRelay && asksDHCP(b) {
			return etherRelay
		}
		return etherGroup
	case !group && h.Dst() != in.MAC:
		return etherNotUs
	}
	return etherUnknown
}

// guarded reports whether policy has a say about what the host sends by an
// uplink, or receives: then it has to see both.
func guarded(st *state.State, uplink uint32) bool {
	return st.Policy != nil && st.Policy.At(uplink) != nil
}

// etherGuarded routes what the host of a guarded uplink sends to somebody, so
// that it has a flow. What stays within the link is bridged all the same.
func etherGuarded(b *buf.Buffer, t uint16, in *iface.Iface) graph.Arc {
	switch {
	case t == hdr.TypeIPv4:
		b.L3 = uint16(b.Off() + hdr.EtherLen)
		b.Advance(hdr.EtherLen)
		b.Flags |= buf.Originated
		return etherIP4
	case t == hdr.TypeIPv6 && in.LinkLocal.Hi != 0 && b.Len() >= hdr.EtherLen+hdr.IPv6Len:
		if p := b.Bytes()[hdr.EtherLen:]; !isND(p) && !withinLink(p) {
			return route6(b, in)
		}
	}
	return bridge(b, in)
}

// etherTagged decides about a frame with a VLAN tag. To which address it goes
// does not matter: an interface of a VLAN may have one of its own, and the
// host's stack knows it.
func etherTagged(st *state.State, b *buf.Buffer, h *hdr.Ether, in *iface.Iface) graph.Arc {
	if in.Kind == iface.Uplink && isPriorityTag(b) {
		untag(b)
		if h = b.Ether(); h.Dst() != in.MAC || h.Type() != hdr.TypeIPv4 {
			return etherOther(st, b, h, in)
		}
		b.L3 = uint16(b.Off() + hdr.EtherLen)
		b.Advance(hdr.EtherLen)
		return etherIP4
	}
	if in.Peer == 0 || in.Kind == iface.Tap && h.Dst() == in.MAC {
		return etherVLAN
	}
	return bridge(b, in)
}

// isPriorityTag reports whether the frame has a tag that names no VLAN, with
// another header behind it that is no tag.
func isPriorityTag(b *buf.Buffer) bool {
	if b.Len() < hdr.EtherLen+hdr.TagLen {
		return false
	}
	p := b.Bytes()
	inner := uint16(p[16])<<8 | uint16(p[17])
	return p[14]&0x0f == 0 && p[15] == 0 && inner != hdr.TypeVLAN && inner != hdr.TypeQinQ
}

// untag moves the addresses over the tag. All else stays where it is.
func untag(b *buf.Buffer) {
	copy(b.Bytes()[hdr.TagLen:], b.Bytes()[:12])
	b.Advance(hdr.TagLen)
}

func describeEther(r *graph.Record) string {
	if r.L3 >= 0 && r.Reason != "bridged" {
		return "" // the header is no longer at the front
	}
	return linkLine(r.Bytes)
}
