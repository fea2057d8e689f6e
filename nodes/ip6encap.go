package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/session"
)

// IP6Encap puts packets of flows that go to another node's backend, as they
// are, into packets of IPv6 to that node (RFC 2473). To be forwarded into the
// tunnel costs them a hop. What came by a tunnel never enters one, so no limit of
// encapsulations is sent along (RFC 2473, section 4.1.1).
//
// In: the packet starts at a sound IPv6 header; Flow is a session that is
// tunnelled, or a draft about one.
// Out: L3 is the tunnel's header, at which the packet starts, and L4 that in it.
// Towards icmp6-error, the packet is as it came, and Meta holds the error.
var IP6Encap = graph.Spec{
	Name:     "ip6-encap",
	Arcs:     encapArcs("ip6", "icmp6"),
	New:      func() graph.Node { return new(ip6Encap) },
	Describe: describeTunnel,
}

type ip6Encap struct{ gsoSegment }

func (e *ip6Encap) Process(w *graph.Worker, v *graph.Vector) {
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
func (e *ip6Encap) end(w *graph.Worker, b *buf.Buffer) (to hdr.Addr6, _ graph.Arc) {
	r := session.Ref(b.Flow)
	if session.IsDraft(b.Flow) {
		d := w.Flows.Drafts6.At(b.Flow)
		if r = d.Session; r == 0 {
			return d.Out.Dst(), 0
		}
		d.Flags |= flagTunnelled
	}
	r &^= session.Reverse
	out := w.Flows.Out6(r)
	to = out.Dst()
	arc := graph.Arc(0)
	switch {
	case b.Flags&buf.Tunnelled != 0:
		arc = encapAgain
	case !takesTunnels(w) || !w.State.NAT.Peers.Has(to):
		arc = encapGone
	default:
		switch u := upper6(b); {
		case u.Proto == hdr.ProtoTCP && !u.NotFirst:
			answered(w, r, b.TCP().Flags())
		case u.Proto != hdr.ProtoICMPv6:
			answered(w, r, 0)
		}
		return to, 0
	}
	k := w.Flows.Key6(r)
	forget(w, r, w.Flows.Find6(&k, w.Flows.Hash6(&k)))
	return to, arc
}

// enter puts a packet into a tunnel, in segments if it is a superpacket.
func (e *ip6Encap) enter(w *graph.Worker, b *buf.Buffer, to hdr.Addr6) graph.Arc {
	h, adj := b.IPv6(), w.State.FIB6.Adj(w.State.FIB6.Lookup(to, hash6(b)))
	src := w.State.Source6(adj.Iface)
	if src.IsUnspecified() {
		return encapSource
	}
	if h.HopLimit() <= 1 {
		b.Meta = icmpError(hdr.ICMP6TimeExceeded, hdr.ICMP6HopLimit, 0)
		return encapTTL
	}
	if mtu := tunnelMTU(adj.MTU, hdr.IPv6Len); wireLen(b) > mtu {
		if wireLen(b) <= hdr.MinMTU6 {
			return encapCut // RFC 2473, section 7.1, would fragment the tunnel's packet
		}
		b.Meta = icmpError(hdr.ICMP6TooBig, 0, uint16(max(mtu, hdr.MinMTU6)))
		return encapTooBig
	}
	if b.GSOType == buf.GSONone {
		if b.Flags&buf.CsumPartial != 0 && !finishChecksum(b) {
			return encapSum
		}
		h.DecHopLimit()
		wrap6(b, src, to)
		return encapSent
	}
	pieces, arc := e.cutForTunnel(w, b)
	if arc != 0 {
		return arc
	}
	for _, piece := range pieces {
		piece.IPv6().DecHopLimit()
		wrap6(piece, src, to)
		w.Emit(encapSent, piece)
	}
	w.Free(b)
	return graph.Kept
}

// wrap6 puts a tunnel's header before a packet. It has the packet's traffic
// class (RFC 2473, section 6.4; RFC 6040, section 4.1), and a flow label by which
// routers keep its flow on one of equal paths (RFC 6438, section 3).
func wrap6(b *buf.Buffer, src, to hdr.Addr6) {
	class, label, n := b.IPv6().TrafficClass(), hash6(b), b.Len()
	b.L4 = uint16(b.Off())
	b.Prepend(hdr.IPv6Len)
	b.L3 = uint16(b.Off())
	h := b.IPv6()
	h.SetFirst(class, label)
	h.SetPayloadLen(n)
	h.SetNextHeader(hdr.ProtoIPv6)
	h.SetHopLimit(tunnelTTL)
	h.SetSrc(src)
	h.SetDst(to)
	b.Flags = b.Flags&^buf.CsumValid | buf.Originated
}

// tunnelKey6 returns the key with which a flow with key k is remembered to leave
// for another node.
func tunnelKey6(k session.Key6, to hdr.Addr6, try uint64) session.Key6 {
	service := k.Dst()
	return session.MakeKey6(k.Src(), to, k.SrcPort(), k.DstPort(), k.Proto(), tunnelZone(service.Hi^service.Lo, try))
}

// unwrap6 takes the tunnel's header off again, for an error about the packet in
// it: what does not fit there is that much longer than what its sender sent.
func unwrap6(b *buf.Buffer) {
	b.Seek(int(b.L4))
	b.L3 = uint16(b.Off())
	b.L4 = b.L3 + uint16(upper6(b).Off)
	b.Flags &^= buf.Originated
	if mtu := b.Meta & 0xffff; b.Meta>>24 == hdr.ICMP6TooBig {
		b.Meta = icmpError(hdr.ICMP6TooBig, 0, uint16(max(hdr.MinMTU6, int(mtu)-hdr.IPv6Len)))
	}
}
