package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
)

// ICMP4Error tells the sender of a packet why it could not be delivered
// (RFC 792; RFC 1812, section 4.3).
//
// In: the packet is unchanged since L3 was set, and starts there; L4 is set;
// Meta holds the error, from icmpError. If it is in a tunnel of this node's, the
// error is about what is in that.
// Out: the packet has become the ICMP error, to be looked up.
var ICMP4Error = graph.Spec{
	Name: "icmp4-error",
	Arcs: []graph.To{
		errorSent:    {Reason: "icmp error sent", Node: "ip4-lookup"},
		errorAboutIt: {Reason: "no icmp error may answer this packet", Node: graph.Drop},
		errorLimited: {Reason: "icmp error rate limit", Node: graph.Drop},
		errorSource:  {Reason: "no own address to send an icmp error from", Node: graph.Drop},
	},
	New:      func() graph.Node { return new(icmp4Error) },
	Describe: describeICMP,
}

// The ways out of icmp4-error.
const (
	_            graph.Arc = iota
	errorSent              //
	errorAboutIt           // RFC 1812, section 4.3.2.7
	errorLimited           // RFC 1812, section 4.3.2.8
	errorSource            // RFC 1812, section 4.3.2.4
)

// icmpError puts an error of either family into a word: type, code, and what
// the header's second word says: the MTU of the next hop, or the pointer of a
// parameter problem.
func icmpError(typ, code uint8, rest uint16) uint32 {
	return uint32(typ)<<24 | uint32(code)<<16 | uint32(rest)
}

// quoted is how much of a packet its error may quote, in bytes: the error is
// not to exceed 576 (RFC 1812, section 4.3.2.3).
const quoted = 576 - hdr.IPv4Len - hdr.ICMPLen

type icmp4Error struct{ errorLimits }

func (e *icmp4Error) Process(w *graph.Worker, v *graph.Vector) {
	for i, b := range v.Bufs() {
		v.Arc[i] = e.answer(w, b)
	}
}

func (e *icmp4Error) answer(w *graph.Worker, b *buf.Buffer) graph.Arc {
	if b.IPv4().Protocol() == hdr.ProtoIPv4 && inTunnel(w, b) {
		unwrap4(b)
	}
	h := b.IPv4()
	if !mayAnswer(b, h) {
		return errorAboutIt
	}
	own := w.State.Source4(b.RxIf)
	switch to := w.State.FIB4.Lookup(h.Dst(), hash4(b)); w.State.FIB4.Adj(to).Kind {
	case fib.Local:
		own = h.Dst() // who has asked an address is answered by it
	case fib.Blackhole:
		return errorAboutIt // nothing is said, and it may be a directed broadcast
	}
	if own == 0 {
		return errorSource
	}
	to := h.Src()
	if !e.allow(w, uint32(to)) {
		return errorLimited
	}
	tos := h.TOS()
	as, undo := undo4(w, b, to, h.Dst())
	b.Trim(min(b.Len(), quoted))
	b.GSOType, b.GSOSize = buf.GSONone, 0
	b.Flags = b.Flags&^(buf.CsumPartial|buf.CsumValid) | buf.Originated
	b.RxIf = 0 // from here on it is nobody's but ours
	rest := b.Meta & 0xffff
	if uint8(b.Meta>>24) == hdr.ICMPParamProblem {
		rest <<= 24 // the pointer is the first byte (RFC 792)
	}
	fillError(b, b.Meta, rest)
	fillIP4(b, own, to, errorTOS(tos))
	if undo && translate4(b, as) != nat.Done {
		return errorAboutIt
	}
	b.Flow = 0
	return errorSent
}

// errorTOS keeps the precedence of the packet, or takes that of internetwork
// control, whichever is higher (RFC 1812, section 4.3.2.5).
func errorTOS(tos uint8) uint8 { return max(tos&0xe0, 0xc0) }

// mayAnswer reports whether an error may be sent about the packet at all
// (RFC 1812, section 4.3.2.7): not about an ICMP error, a later fragment, or
// what came to or from more than one station.
func mayAnswer(b *buf.Buffer, h *hdr.IPv4) bool {
	if b.Flags&buf.LinkBroadcast != 0 || h.Frag()&hdr.FragOffset != 0 || martianSource(h.Src()) {
		return false
	}
	if h.Protocol() != hdr.ProtoICMP {
		return true
	}
	if b.End() < int(b.L4)+1 {
		return false // nobody can tell that it is not an error
	}
	switch b.ICMP().Type() {
	case hdr.ICMPUnreachable, hdr.ICMPRedirect, hdr.ICMPTimeExceeded, hdr.ICMPParamProblem, icmpSourceQuench:
		return false
	}
	return true
}

const icmpSourceQuench = 4 // RFC 6633 has done away with it, but it is an error all the same

// fillError puts the ICMP header before what is quoted: the type and code of
// e, and what the second word says.
func fillError(b *buf.Buffer, e, rest uint32) {
	b.Prepend(hdr.ICMPLen)
	b.L4 = uint16(b.Off())
	m := b.ICMP()
	m.SetType(uint8(e >> 24))
	m.SetCode(uint8(e >> 16))
	m.SetRest(rest)
	m.SetChecksum(0)
	m.SetChecksum(hdr.Checksum(b.Bytes()))
}

// fillIP4 puts an IPv4 header before an ICMP packet of ours. DF is set, so the
// identification has no meaning (RFC 6864, section 4.1).
func fillIP4(b *buf.Buffer, src, dst hdr.Addr4, tos uint8) {
	n := b.Len() + hdr.IPv4Len
	b.Prepend(hdr.IPv4Len)
	b.L3 = uint16(b.Off())
	h := b.IPv4()
	*h = hdr.IPv4{0: 0x45, 1: tos, 8: initialTTL, 9: hdr.ProtoICMP}
	h.SetLen(n)
	h.SetFrag(hdr.DontFragment)
	h.SetSrc(src)
	h.SetDst(dst)
	h.SetChecksum(hdr.Checksum(h[:]))
}
