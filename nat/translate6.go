package nat

import (
	"math/bits"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/hdr"
)

// A Tuple6 is a Tuple4 for IPv6.
type Tuple6 struct {
	Src, Dst         hdr.Addr6
	SrcPort, DstPort uint16
}

func (t *Tuple6) ports() uint32 { return uint32(t.SrcPort)<<16 | uint32(t.DstPort) }

func (t *Tuple6) swapped() uint32 { return uint32(t.DstPort)<<16 | uint32(t.SrcPort) }

// differ6 is differ for an address, folded to 33 bits.
func differ6(was, is hdr.Addr6) uint64 {
	s, c := bits.Add64(^was.Hi, is.Hi, 0)
	s, c = bits.Add64(s, ^was.Lo, c)
	s, c = bits.Add64(s, is.Lo, c)
	s, c = bits.Add64(s, 0, c)
	s += c
	return s>>32 + s&0xffffffff
}

// Translate6 is Translate4 for IPv6. Extension headers are stepped over.
//
// A packet whose routing header has segments left is refused: the checksum
// covers its last destination, which is not the one that it goes to now (RFC
// 8200, section 8.1).
func Translate6(b *buf.Buffer, to *Tuple6) Result {
	p := b.Bytes()
	c, res := upper6(p)
	if res != Done {
		return res
	}
	h := (*hdr.IPv6)(p)
	if !c.NotFirst {
		x := rewrite{ports: to.ports(), partial: partialAt(b, c.Off)}
		x.addrs = differ6(h.Src(), to.Src) + differ6(h.Dst(), to.Dst)
		if !more6(p, &c) {
			x.whole = len(p) - c.Off
		}
		var res Result
		if c.Proto == hdr.ProtoICMPv6 {
			if len(p) >= c.Off+hdr.ICMPLen && hdr.ICMP6IsError(p[c.Off]) {
				return x.error6(h, p[c.Off:], to)
			}
			res = x.icmp6(p[c.Off:])
		} else {
			res = x.transport(p[c.Off:], c.Proto)
		}
		if res != Done {
			return res
		}
	}
	h.SetSrc(to.Src)
	h.SetDst(to.Dst)
	return Done
}

// upper6 finds the upper layer of a packet.
func upper6(p []byte) (c hdr.Chain6, res Result) {
	if len(p) >= hdr.IPv6Len && (p[6] == hdr.ProtoTCP || p[6] == hdr.ProtoUDP) {
		return hdr.Chain6{Proto: p[6], Off: hdr.IPv6Len, NextAt: 6}, Done
	}
	c = hdr.Walk6(p)
	if c.Fault != hdr.ChainOK {
		return c, Short
	}
	if c.Routing != 0 && p[c.Routing+3] != 0 { // segments left (RFC 8200, section 4.4)
		return c, Unfixable
	}
	return c, Done
}

// more6 reports whether a packet is a fragment with others behind it.
func more6(p []byte, c *hdr.Chain6) bool {
	return c.Frag != 0 && (*hdr.Fragment)(p[c.Frag:]).More()
}

// icmp6 rewrites an ICMPv6 message that is no error. All of them are summed up
// with a pseudo-header (RFC 4443, section 2.3).
func (x *rewrite) icmp6(p []byte) Result {
	if len(p) < icmpSumAt+2 {
		return Short
	}
	switch p[0] {
	case hdr.ICMP6EchoRequest:
		return x.echo(p, false, x.addrs)
	case hdr.ICMP6EchoReply:
		return x.echo(p, true, x.addrs)
	}
	x.sumICMP(p, x.addrs, 0)
	return Done
}

// error6 is error4 for IPv6.
func (x *rewrite) error6(h *hdr.IPv6, p []byte, to *Tuple6) Result {
	q := p[hdr.ICMPLen:]
	if len(q) < hdr.IPv6Len || q[0]>>4 != 6 {
		return Short
	}
	c, res := upper6(q)
	switch {
	case res != Done:
		return res
	case c.NotFirst:
		return Short
	}
	in := (*hdr.IPv6)(q)
	if in.Src() != h.Dst() {
		return Misquoted
	}
	addrs := differ6(in.Src(), to.Dst) + differ6(in.Dst(), to.Src)
	y := rewrite{addrs: addrs, ports: to.swapped(), partial: -1, quoted: true}
	if !more6(q, &c) {
		y.whole = max(0, hdr.IPv6Len+in.PayloadLen()-c.Off)
	}
	if res := y.quote6(q[c.Off:], c.Proto); res != Done {
		return res
	}
	src := h.Src()
	if in.Dst() != to.Src {
		src = to.Src
	}
	in.SetSrc(to.Dst)
	in.SetDst(to.Src)
	x.sumICMP(p, differ6(h.Src(), src)+differ6(h.Dst(), to.Dst), y.made+addrs)
	h.SetSrc(src)
	h.SetDst(to.Dst)
	return Done
}

// quote6 rewrites the transport header of a packet that an error quotes. Errors
// are not quoted in errors (RFC 4443, section 2.4), so none is looked for.
func (x *rewrite) quote6(p []byte, proto uint8) Result {
	if proto != hdr.ProtoICMPv6 {
		return x.transport(p, proto)
	}
	return x.icmp6(p)
}
