package nodes

import (
	"encoding/binary"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/session"
)

// IP6Decap takes packets out of the tunnels of other nodes (RFC 2473), for the
// services whose backends on this node answer. It is switched on for uplinks
// while there are such services, and believes nobody but the nodes it knows:
// all else, such as tunnels that the host has itself, passes.
//
// Errors about a tunnel's packets come to the node that has sent them, and go
// from there to who has sent what was in them (RFC 2473, section 8).
//
// In: the packet starts at a sound IPv6 header; L4 is set.
// Out: towards ip6-input, the packet starts at the inner header, and says
// buf.Tunnelled. Towards icmp6-error, it starts at the header of the packet that
// is quoted, as far as it is, and Meta holds the error.
var IP6Decap = graph.Spec{
	Name:     "ip6-decap",
	Arcs:     decapArcs("ip6", "icmp6"),
	On:       IP6UnicastArc,
	New:      func() graph.Node { return ip6Decap{} },
	Describe: describeTunnel,
}

type ip6Decap struct{}

func (ip6Decap) Process(w *graph.Worker, v *graph.Vector) {
	on := takesTunnels(w)
	for i, b := range v.Bufs() {
		v.Arc[i] = 0
		if proto := b.IPv6().NextHeader(); on && (proto == hdr.ProtoIPv6 || stepOver[proto]) && fromPeer6(w, b) {
			v.Arc[i] = leave6(b)
		} else if on && proto == hdr.ProtoICMPv6 {
			v.Arc[i] = quotedTunnel6(w, b)
		}
		if v.Arc[i] == 0 {
			v.Arc[i] = graph.NextFeature(b)
		}
	}
}

// superInTunnel6 reports whether a superpacket is one of packets that a device
// has taken together in their tunnel, which ip6-decap takes it out of.
func superInTunnel6(w *graph.Worker, b *buf.Buffer) bool {
	return takesTunnels(w) && b.IPv6().NextHeader() == hdr.ProtoIPv6 && fromUplink(w, b) && fromPeer6(w, b)
}

// fromPeer6 reports whether a packet is from another node to this one.
func fromPeer6(w *graph.Worker, b *buf.Buffer) bool {
	h := b.IPv6()
	return w.State.NAT.Peers.Has(h.Src()) && w.State.NAT.Services.IsOwn(h.Dst())
}

// leave6 takes a packet out of its tunnel. It returns 0 for what is none behind
// its extension headers.
func leave6(b *buf.Buffer) graph.Arc {
	u := upper6(b)
	switch {
	case u.Proto != hdr.ProtoIPv6:
		return 0
	case b.Flags&buf.Tunnelled != 0:
		return decapNested
	case u.fragment:
		return decapFragment
	}
	if p := b.Bytes()[u.Off:]; len(p) >= hdr.IPv6Len { // ip6-input says what is wrong with others
		inner := (*hdr.IPv6)(p)
		was := inner.TrafficClass()
		now, ok := outOfTunnel(was, b.IPv6().TrafficClass())
		if !ok {
			return decapECN
		}
		if now != was&ecnMask {
			inner[1] = inner[1]&^(ecnMask<<4) | now<<4
		}
	}
	b.Seek(int(b.L4))
	b.L3, b.Hash = uint16(b.Off()), 0 // it is another flow
	b.Flags = b.Flags&^buf.CsumValid | buf.Tunnelled
	return decapInner
}

// quotedTunnel6 makes an ICMPv6 error about a packet in one of this node's tunnels
// one about what was in it. It returns 0 for all others, also for those that
// quote so little that nobody can tell: they are the host's.
func quotedTunnel6(w *graph.Worker, b *buf.Buffer) graph.Arc {
	const least = hdr.ICMPLen + 2*hdr.IPv6Len + 4 // to the ports
	at := int(b.L4) - b.Off()
	if b.Len() < at+least {
		return 0
	}
	m, p := b.ICMP(), b.Bytes()[at+hdr.ICMPLen:]
	e := tunnelError6(m)
	outer := (*hdr.IPv6)(p)
	if e == 0 || outer.NextHeader() != hdr.ProtoIPv6 || outer.Src() != b.IPv6().Dst() || !w.State.NAT.Peers.Has(outer.Dst()) {
		return 0
	}
	p = p[hdr.IPv6Len:]
	inner, proto := (*hdr.IPv6)(p), p[6]
	if inner.Version() != 6 || b.Flags&buf.CsumPartial == 0 && b.IPv6().Checksum(hdr.ProtoICMPv6, b.Bytes()[at:]) != 0 {
		return 0
	}
	ports := binary.BigEndian.Uint32(p[hdr.IPv6Len:]) & portMask[proto]
	k := session.MakeKey6(inner.Src(), inner.Dst(), uint16(ports>>16), uint16(ports), proto, 0)
	if ours6(w, k) { // else another worker knows, and that it is about a tunnel to a node has to do
		if r := w.Flows.Find6(&k, w.Flows.Hash6(&k)); r == 0 || w.Flows.At(r.Index()).Flags&flagTunnelled == 0 {
			return 0
		}
	}
	b.Advance(at + hdr.ICMPLen + hdr.IPv6Len)
	b.L3 = uint16(b.Off())
	b.L4 = b.L3 + hdr.IPv6Len
	b.Meta = e
	return decapError
}

// tunnelError6 returns what the sender of a tunnelled packet is told of an error
// about the tunnel's, 0 if nothing (RFC 2473, section 8.1 and 8.2).
func tunnelError6(m *hdr.ICMP) uint32 {
	switch m.Type() {
	case hdr.ICMP6TooBig:
		mtu := int(min(binary.BigEndian.Uint32(m[4:8]), 0xffff))
		return icmpError(hdr.ICMP6TooBig, 0, uint16(max(hdr.MinMTU6, mtu-hdr.IPv6Len)))
	case hdr.ICMP6Unreachable, hdr.ICMP6TimeExceeded:
		return icmpError(hdr.ICMP6Unreachable, hdr.ICMP6AddrUnreachable, 0)
	}
	return 0
}
