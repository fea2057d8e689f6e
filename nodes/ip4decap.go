package nodes

import (
	"encoding/binary"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/session"
)

// IP4Decap takes packets out of the tunnels of other nodes (RFC 2003), for the
// services whose backends on this node answer. It is switched on for uplinks
// while there are such services, and believes nobody but the nodes it knows:
// all else, such as tunnels that the host has itself, passes.
//
// Errors about a tunnel's packets come to the node that has sent them, and go
// from there to who has sent what was in them (RFC 2003, section 4).
//
// In: the packet starts at a sound IPv4 header; L4 is set.
// Out: towards ip4-input, the packet starts at the inner header, and says
// buf.Tunnelled. Towards icmp4-error, it starts at the header of the packet that
// is quoted, as far as it is, and Meta holds the error.
var IP4Decap = graph.Spec{
	Name:     "ip4-decap",
	Arcs:     decapArcs("ip4", "icmp4"),
	On:       IP4UnicastArc,
	New:      func() graph.Node { return ip4Decap{} },
	Describe: describeTunnel,
}

type ip4Decap struct{}

func (ip4Decap) Process(w *graph.Worker, v *graph.Vector) {
	on := takesTunnels(w)
	for i, b := range v.Bufs() {
		v.Arc[i] = 0
		if proto := b.IPv4().Protocol(); on && proto == hdr.ProtoIPv4 && fromPeer4(w, b) {
			v.Arc[i] = leave4(b)
		} else if on && proto == hdr.ProtoICMP {
			v.Arc[i] = quotedTunnel4(w, b)
		}
		if v.Arc[i] == 0 {
			v.Arc[i] = graph.NextFeature(b)
		}
	}
}

// superInTunnel4 reports whether a superpacket is one of packets that a device
// has taken together in their tunnel, which ip4-decap takes it out of.
func superInTunnel4(w *graph.Worker, b *buf.Buffer) bool {
	return takesTunnels(w) && b.IPv4().Protocol() == hdr.ProtoIPv4 && fromUplink(w, b) && fromPeer4(w, b)
}

// fromPeer4 reports whether a packet is from another node to this one.
func fromPeer4(w *graph.Worker, b *buf.Buffer) bool {
	h := b.IPv4()
	return w.State.NAT.Peers.Has(nat.Addr4(h.Src())) && w.State.NAT.Services.IsOwn(nat.Addr4(h.Dst()))
}

// leave4 takes a packet out of its tunnel.
func leave4(b *buf.Buffer) graph.Arc {
	h := b.IPv4()
	switch {
	case b.Flags&buf.Tunnelled != 0:
		return decapNested
	case h.Frag()&(hdr.MoreFragments|hdr.FragOffset) != 0:
		return decapFragment
	}
	if p := b.Bytes()[int(b.L4)-b.Off():]; len(p) >= hdr.IPv4Len { // ip4-input says what is wrong with others
		inner := (*hdr.IPv4)(p)
		was := inner.TOS()
		now, ok := outOfTunnel(was, h.TOS())
		if !ok {
			return decapECN
		}
		if now != was&ecnMask {
			inner[1] = was&^ecnMask | now
			first := uint16(inner[0]) << 8
			inner.SetChecksum(hdr.Patch16(inner.Checksum(), first|uint16(was), first|uint16(inner[1])))
		}
	}
	b.Seek(int(b.L4))
	b.L3, b.Hash = uint16(b.Off()), 0 // it is another flow
	b.Flags = b.Flags&^buf.CsumValid | buf.Tunnelled
	return decapInner
}

// quotedTunnel4 makes an ICMP error about a packet in one of this node's tunnels
// one about what was in it. It returns 0 for all others, also for those that
// quote so little that nobody can tell: they are the host's.
func quotedTunnel4(w *graph.Worker, b *buf.Buffer) graph.Arc {
	const least = hdr.ICMPLen + 2*hdr.IPv4Len + 4 // to the ports
	at := int(b.L4) - b.Off()
	if b.Len() < at+least || b.IPv4().Frag()&(hdr.MoreFragments|hdr.FragOffset) != 0 {
		return 0
	}
	m, p := b.ICMP(), b.Bytes()[at+hdr.ICMPLen:]
	e := tunnelError4(m)
	outer := (*hdr.IPv4)(p)
	if e == 0 || outer[0] != 0x45 || outer.Protocol() != hdr.ProtoIPv4 || outer.Src() != b.IPv4().Dst() || !w.State.NAT.Peers.Has(nat.Addr4(outer.Dst())) {
		return 0
	}
	p = p[hdr.IPv4Len:]
	inner := (*hdr.IPv4)(p)
	head := inner.HeaderLen()
	if inner.Version() != 4 || head < hdr.IPv4Len || len(p) < head+4 {
		return 0
	}
	if b.Flags&buf.CsumPartial == 0 && hdr.Checksum(b.Bytes()[at:]) != 0 {
		return 0
	}
	ports := binary.BigEndian.Uint32(p[head:]) & portMask[inner.Protocol()]
	k := session.MakeKey4(inner.Src(), inner.Dst(), uint16(ports>>16), uint16(ports), inner.Protocol(), 0)
	if ours4(w, k) { // else another worker knows, and that it is about a tunnel to a node has to do
		if r := w.Flows.Find4(k, w.Flows.Hash4(k)); r == 0 || w.Flows.At(r.Index()).Flags&flagTunnelled == 0 {
			return 0
		}
	}
	b.Advance(at + hdr.ICMPLen + hdr.IPv4Len)
	b.L3 = uint16(b.Off())
	b.L4 = b.L3 + uint16(head)
	b.Meta = e
	return decapError
}

// tunnelError4 returns what the sender of a tunnelled packet is told of an error
// about the tunnel's, 0 if nothing (RFC 2003, sections 4.1 to 4.5).
func tunnelError4(m *hdr.ICMP) uint32 {
	const srcRoute, maxUnreachable = 5, 15
	switch m.Type() {
	case hdr.ICMPUnreachable:
		switch code := m.Code(); {
		case code == hdr.ICMPFragNeeded:
			mtu := binary.BigEndian.Uint16(m[6:8]) // RFC 1191, section 4
			return icmpError(hdr.ICMPUnreachable, hdr.ICMPFragNeeded, mtu-min(mtu, hdr.IPv4Len))
		case code != srcRoute && code <= maxUnreachable:
			return icmpError(hdr.ICMPUnreachable, hdr.ICMPHostUnreachable, 0)
		}
	case hdr.ICMPTimeExceeded:
		return icmpError(hdr.ICMPUnreachable, hdr.ICMPHostUnreachable, 0)
	}
	return 0
}
