package nodes

import (
	"encoding/binary"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/state"
)

// ICMP6Input answers echo requests (RFC 4443, section 4.2) and tells control
// of echo replies. What is neighbour discovery's goes to nd-input.
//
// In: the packet starts at a sound IPv6 header of a whole ICMPv6 packet for
// this node; L4 is set.
// Out: the reply, to be looked up.
var ICMP6Input = graph.Spec{
	Name: "icmp6-input",
	Arcs: []graph.To{
		icmp6Reply:     {Reason: "echo reply sent", Node: "ip6-lookup"},
		icmp6Truncated: {Reason: "icmp6 truncated", Node: graph.Drop},
		icmp6Checksum:  {Reason: "icmp6 bad checksum", Node: graph.Drop},
		icmp6Ignored:   {Reason: "icmp6 type for this node is not handled", Node: graph.Drop},
	},
	New: func() graph.Node { return icmp6Input{} },
}

// The ways out of icmp6-input.
const (
	_              graph.Arc = iota
	icmp6Reply               //
	icmp6Truncated           // RFC 4443 has 8 bytes of header in all messages
	icmp6Checksum            //
	icmp6Ignored             //
)

type icmp6Input struct{}

func (icmp6Input) Process(w *graph.Worker, v *graph.Vector) {
	for i, b := range v.Bufs() {
		v.Arc[i] = icmp6(w, b)
	}
}

func icmp6(w *graph.Worker, b *buf.Buffer) graph.Arc {
	if b.End()-int(b.L4) < hdr.ICMPLen {
		return icmp6Truncated
	}
	if b.Flags&buf.CsumPartial == 0 && b.IPv6().Checksum(hdr.ProtoICMPv6, b.Bytes()[int(b.L4)-b.Off():]) != 0 {
		return icmp6Checksum
	}
	switch m := b.ICMP(); m.Type() {
	case hdr.ICMP6EchoRequest:
		echo6(b)
		return icmp6Reply
	case hdr.ICMP6EchoReply:
		h := b.IPv6()
		w.Notify(state.Notice{Kind: state.EchoReply, TTL: h.HopLimit(), Iface: b.RxIf, IP: h.Src(),
			Echo: binary.BigEndian.Uint32(m[4:8]), Len: uint32(b.End() - int(b.L4))})
		w.Free(b)
		return graph.Kept
	}
	return icmp6Ignored
}

// echo6 turns a request into its reply, without the extension headers of the
// request, if it has any (RFC 8200, section 8.4, of routing headers).
func echo6(b *buf.Buffer) {
	src, dst := b.IPv6().Src(), b.IPv6().Dst()
	b.Seek(int(b.L4))
	b.ICMP().SetType(hdr.ICMP6EchoReply)
	b.Flags &^= buf.CsumPartial | buf.CsumValid
	own6(b)
	fillIP6(b, dst, src, initialTTL)
	fillChecksum6(b)
}

// own6 makes b Skein's own, on the link that it came in by.
func own6(b *buf.Buffer) {
	b.Flags |= buf.Originated
	b.TxIf, b.RxIf = link6(b), 0
}

// fillChecksum6 sets the checksum of the ICMPv6 message at L4 of a packet that
// starts at its IPv6 header.
func fillChecksum6(b *buf.Buffer) {
	m := b.ICMP()
	m.SetChecksum(0)
	m.SetChecksum(b.IPv6().Checksum(hdr.ProtoICMPv6, b.Bytes()[int(b.L4)-b.Off():]))
}

// fillIP6 puts an IPv6 header before the ICMPv6 message that b starts at.
func fillIP6(b *buf.Buffer, src, dst hdr.Addr6, hops uint8) {
	n := b.Len()
	b.L4 = uint16(b.Off())
	b.Prepend(hdr.IPv6Len)
	b.L3 = uint16(b.Off())
	h := b.IPv6()
	*h = hdr.IPv6{0: 0x60, 6: hdr.ProtoICMPv6, 7: hops}
	h.SetPayloadLen(n)
	h.SetSrc(src)
	h.SetDst(dst)
}
