package nodes

import (
	"encoding/binary"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/state"
)

// ICMP4Input answers echo requests (RFC 1122, section 3.2.2.6) and tells
// control of echo replies.
//
// In: the packet starts at a sound IPv4 header of a whole ICMP packet for this
// node; L4 is set.
// Out: the reply, to be looked up.
var ICMP4Input = graph.Spec{
	Name: "icmp4-input",
	Arcs: []graph.To{
		icmpReply:     {Reason: "echo reply sent", Node: "ip4-lookup"},
		icmpTruncated: {Reason: "icmp truncated", Node: graph.Drop},
		icmpChecksum:  {Reason: "icmp bad checksum", Node: graph.Drop},
		icmpBroadcast: {Reason: "icmp echo to a broadcast", Node: graph.Drop},
		icmpIgnored:   {Reason: "icmp type for this node is not handled", Node: graph.Drop},
	},
	New: func() graph.Node { return icmp4Input{} },
}

// The ways out of icmp4-input.
const (
	_             graph.Arc = iota
	icmpReply               //
	icmpTruncated           // RFC 792 has 8 bytes of header
	icmpChecksum            //
	icmpBroadcast           // RFC 1122, section 3.2.2.6 lets us
	icmpIgnored             //
)

// initialTTL is what Skein's own packets have to live (RFC 1700, page 64).
const initialTTL = 64

type icmp4Input struct{}

func (icmp4Input) Process(w *graph.Worker, v *graph.Vector) {
	for i, b := range v.Bufs() {
		v.Arc[i] = icmp4(w, b)
	}
}

func icmp4(w *graph.Worker, b *buf.Buffer) graph.Arc {
	if b.End()-int(b.L4) < hdr.ICMPLen {
		return icmpTruncated
	}
	if b.Flags&buf.CsumPartial == 0 && hdr.Checksum(b.Bytes()[int(b.L4)-b.Off():]) != 0 {
		return icmpChecksum
	}
	switch m := b.ICMP(); m.Type() {
	case hdr.ICMPEcho:
		if b.Flags&buf.LinkBroadcast != 0 {
			return icmpBroadcast
		}
		echo(b, m)
		return icmpReply
	case hdr.ICMPEchoReply:
		w.Notify(state.Notice{Kind: state.EchoReply, TTL: b.IPv4().TTL(), Iface: b.RxIf, IP: state.Mapped(b.IPv4().Src()),
			Echo: binary.BigEndian.Uint32(m[4:8]), Len: uint32(b.End() - int(b.L4))})
		w.Free(b)
		return graph.Kept
	}
	return icmpIgnored
}

// echo turns a request into its reply. Swapping the addresses leaves the
// header's sum as it is, so only the changes of TTL and DF have to be patched
// in, and the type's in the ICMP checksum. The way back may be narrower than
// the way here: the reply may be fragmented.
func echo(b *buf.Buffer, m *hdr.ICMP) {
	h := b.IPv4()
	src := h.Src()
	h.SetSrc(h.Dst())
	h.SetDst(src)
	was := uint16(h.TTL())<<8 | uint16(h.Protocol())
	h.SetTTL(initialTTL)
	h.SetChecksum(hdr.Patch16(h.Checksum(), was, initialTTL<<8|uint16(h.Protocol())))
	h.SetChecksum(hdr.Patch16(h.Checksum(), h.Frag(), 0))
	h.SetFrag(0)
	m.SetType(hdr.ICMPEchoReply)
	c := hdr.Patch16(m.Checksum(), hdr.ICMPEcho<<8|uint16(m.Code()), uint16(m.Code()))
	if c == 0 {
		c = 0xffff // as good, and right also where all else is zero (RFC 1624, section 3)
	}
	m.SetChecksum(c)
	b.Flags |= buf.Originated
	b.RxIf = 0 // from here on it is nobody's but ours
}
