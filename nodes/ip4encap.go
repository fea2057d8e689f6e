package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/session"
)

// IP4Encap puts packets of flows that go to another node's backend, as they
// are, into packets of IPv4 to that node (RFC 2003). To be forwarded into the
// tunnel costs them a hop.
//
// It precedes ip4-lookup, which finds the way to the node, and what policy is
// still to be asked about them it finds in the draft.
//
// In: the packet starts at a sound IPv4 header; Flow is a session that is
// tunnelled, or a draft about one.
// Out: L3 is the tunnel's header, at which the packet starts, and L4 that in it.
// Towards icmp4-error, the packet is as it came, and Meta holds the error.
var IP4Encap = graph.Spec{
	Name:     "ip4-encap",
	Arcs:     encapArcs("ip4", "icmp4"),
	New:      func() graph.Node { return new(ip4Encap) },
	Describe: describeTunnel,
}

type ip4Encap struct{ gsoSegment }

func (e *ip4Encap) Process(w *graph.Worker, v *graph.Vector) {
	for i, b := range v.Bufs() {
		to, arc := e.end(w, b)
		if arc == 0 {
			arc = e.enter(w, b, to)
		}
		v.Arc[i] = arc
	}
}

// end returns where a packet's tunnel ends, or why it has none. A flow that
// can't go on is forgotten.
func (e *ip4Encap) end(w *graph.Worker, b *buf.Buffer) (to hdr.Addr4, _ graph.Arc) {
	r := session.Ref(b.Flow)
	if session.IsDraft(b.Flow) {
		d := w.Flows.Drafts4.At(b.Flow)
		if r = d.Session; r == 0 {
			return d.Out.Dst(), 0
		}
		d.Flags |= flagTunnelled
	}
	r &^= session.Reverse
	to = w.Flows.Out4(r).Dst()
	arc := graph.Arc(0)
	switch {
	case b.Flags&buf.Tunnelled != 0:
		arc = encapAgain
	case !takesTunnels(w) || !w.State.NAT.Peers.Has(nat.Addr4(to)):
		arc = encapGone
	default:
		if h := b.IPv4(); h.Protocol() == hdr.ProtoTCP && h.Frag()&hdr.FragOffset == 0 {
			answered(w, r, b.TCP().Flags())
		} else if h.Protocol() != hdr.ProtoICMP {
			answered(w, r, 0)
		}
		return to, 0
	}
	k := w.Flows.Key4(r)
	forget(w, r, w.Flows.Find4(k, w.Flows.Hash4(k)))
	return 0, arc
}

// enter puts a packet into a tunnel, in pieces if need be.
func (e *ip4Encap) enter(w *graph.Worker, b *buf.Buffer, to hdr.Addr4) graph.Arc {
	h, adj := b.IPv4(), w.State.FIB4.Adj(w.State.FIB4.Lookup(to, hash4(b)))
	src := w.State.Source4(adj.Iface)
	if src == 0 {
		return encapSource
	}
	if h.TTL() <= 1 {
		b.Meta = icmpError(hdr.ICMPTimeExceeded, hdr.ICMPTTLExceeded, 0)
		return encapTTL
	}
	if mtu := tunnelMTU(adj.MTU, hdr.IPv4Len); wireLen(b) > mtu {
		if h.Frag()&hdr.DontFragment == 0 && b.GSOType == buf.GSONone {
			return e.fragments(w, b, mtu, src, to)
		}
		b.Meta = icmpError(hdr.ICMPUnreachable, hdr.ICMPFragNeeded, uint16(mtu))
		return encapTooBig
	}
	if b.GSOType == buf.GSONone {
		if b.Flags&buf.CsumPartial != 0 && !finishChecksum(b) {
			return encapSum
		}
		h.DecTTL()
		wrap4(b, src, to)
		return encapSent
	}
	pieces, arc := e.cutForTunnel(w, b)
	if arc != 0 {
		return arc
	}
	for _, piece := range pieces {
		piece.IPv4().DecTTL()
		wrap4(piece, src, to)
		w.Emit(encapSent, piece)
	}
	w.Free(b)
	return graph.Kept
}

// fragments puts a packet that may be cut into a tunnel in pieces. Each is whole
// to the tunnel, so that its other end has nothing to reassemble.
func (e *ip4Encap) fragments(w *graph.Worker, b *buf.Buffer, mtu int, src, to hdr.Addr4) graph.Arc {
	var pieces [maxFragments]*buf.Buffer
	more, arc := cut4(w, b, mtu, &pieces)
	if arc != 0 {
		return encapCut
	}
	wrap4(b, src, to)
	w.Emit(encapSent, b)
	for _, piece := range pieces[:more] {
		wrap4(piece, src, to)
		w.Emit(encapSent, piece)
	}
	return graph.Kept
}

// wrap4 puts a tunnel's header before a packet. It has what the packet says of
// its service and of congestion (RFC 2003, section 3.1; RFC 6040, section 4.1).
// It is never fragmented, so its identification has no meaning (RFC 6864,
// section 4.1).
func wrap4(b *buf.Buffer, src, to hdr.Addr4) {
	tos, n := b.IPv4().TOS(), b.Len()+hdr.IPv4Len
	b.L4 = uint16(b.Off())
	b.Prepend(hdr.IPv4Len)
	b.L3 = uint16(b.Off())
	h := b.IPv4()
	*h = hdr.IPv4{0: 0x45, 1: tos, 8: tunnelTTL, 9: hdr.ProtoIPv4}
	h.SetLen(n)
	h.SetFrag(hdr.DontFragment)
	h.SetSrc(src)
	h.SetDst(to)
	h.SetChecksum(hdr.Checksum(h[:]))
	b.Flags = b.Flags&^buf.CsumValid | buf.Originated
}

// tunnelKey4 returns the key with which a flow with key k is remembered to leave
// for another node.
func tunnelKey4(k session.Key4, to hdr.Addr4, try uint64) session.Key4 {
	return session.MakeKey4(k.Src(), to, k.SrcPort(), k.DstPort(), k.Proto(), tunnelZone(uint64(k.Dst()), try))
}

// unwrap4 takes the tunnel's header off again, for an error about the packet in
// it: what does not fit there is that much longer than what its sender sent.
func unwrap4(b *buf.Buffer) {
	b.Seek(int(b.L4))
	b.L3 = uint16(b.Off())
	b.L4 = b.L3 + uint16(b.IPv4().HeaderLen())
	b.Flags &^= buf.Originated
	if mtu := b.Meta & 0xffff; b.Meta>>16 == hdr.ICMPUnreachable<<8|hdr.ICMPFragNeeded {
		b.Meta -= min(mtu, hdr.IPv4Len)
	}
}
