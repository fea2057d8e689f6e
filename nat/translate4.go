package nat

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/hdr"
)

// A Tuple4 is what a packet is to leave with. As in a session's key an echo
// request has its identifier as source port, a reply as destination port; for
// protocols without ports both are 0.
//
// For an ICMP error it is what a packet of the flow that the error is about
// would leave with if it went the error's way: the translation of the key that
// session.Parse4 returns for it.
type Tuple4 struct {
	Src, Dst         hdr.Addr4
	SrcPort, DstPort uint16
}

func (t *Tuple4) ports() uint32 { return uint32(t.SrcPort)<<16 | uint32(t.DstPort) }

// swapped returns the ports of a packet the other way.
func (t *Tuple4) swapped() uint32 { return uint32(t.DstPort)<<16 | uint32(t.SrcPort) }

// Translate4 gives the packet that b starts with the addresses and ports of
// to, and changes its checksums by what that changes (RFC 1624), so that one
// that was wrong stays wrong. A fragment behind the first has no ports to
// change; a superpacket has one header like any other.
func Translate4(b *buf.Buffer, to *Tuple4) Result {
	p := b.Bytes()
	if len(p) < hdr.IPv4Len {
		return Short
	}
	h := (*hdr.IPv4)(p)
	at := h.HeaderLen()
	if at < hdr.IPv4Len || at > len(p) {
		return Short
	}
	frag := h.Frag()
	if frag&hdr.FragOffset == 0 {
		x := rewrite{ports: to.ports(), partial: partialAt(b, at)}
		x.addrs = differ(uint32(h.Src()), uint32(to.Src)) + differ(uint32(h.Dst()), uint32(to.Dst))
		if frag&hdr.MoreFragments == 0 {
			x.whole = len(p) - at
		}
		var res Result
		if proto := h.Protocol(); proto == hdr.ProtoICMP {
			if len(p) >= at+hdr.ICMPLen && isError4(p[at]) {
				return x.error4(h, p[at:], to)
			}
			res = x.icmp4(p[at:])
		} else {
			res = x.transport(p[at:], proto)
		}
		if res != Done {
			return res
		}
	}
	readdress4(h, to.Src, to.Dst)
	return Done
}

// readdress4 changes the addresses of a header, and its checksum.
func readdress4(h *hdr.IPv4, src, dst hdr.Addr4) {
	d := differ(uint32(h.Src()), uint32(src)) + differ(uint32(h.Dst()), uint32(dst))
	h.SetSrc(src)
	h.SetDst(dst)
	h.SetChecksum(patch(h.Checksum(), d))
}

// isError4 reports whether an ICMP type is that of an error.
func isError4(typ uint8) bool {
	const errors = 1<<hdr.ICMPUnreachable | 1<<icmpSourceQuench | 1<<hdr.ICMPRedirect | 1<<hdr.ICMPTimeExceeded | 1<<hdr.ICMPParamProblem
	return typ < 32 && uint32(errors)>>typ&1 != 0
}

const icmpSourceQuench = 4 // deprecated (RFC 6633), but not gone

// icmp4 rewrites an ICMP message that is no error. Of those that are no echo
// nothing changes.
func (x *rewrite) icmp4(p []byte) Result {
	if len(p) < 1 {
		return Short
	}
	switch p[0] {
	case hdr.ICMPEcho:
		return x.echo(p, false, 0)
	case hdr.ICMPEchoReply:
		return x.echo(p, true, 0)
	}
	return Done
}

// error4 rewrites an error p behind h. What it quotes went the other way, so
// it gets to's ends swapped: then its receiver finds its own packet in it (RFC
// 5508, REQ-4 and REQ-5).
//
// The error goes to the end that has sent what it quotes. It comes from the
// other end, or from a router on the way, and keeps its source unless that lies
// on the side whose address is translated: then nobody behind us would know a
// router's either, and the end's stands for it (as in Linux; RFC 5508, REQ-5).
func (x *rewrite) error4(h *hdr.IPv4, p []byte, to *Tuple4) Result {
	if p[0] == hdr.ICMPRedirect {
		return Redirect
	}
	q := p[hdr.ICMPLen:]
	if len(q) < hdr.IPv4Len {
		return Short
	}
	in := (*hdr.IPv4)(q)
	at := in.HeaderLen()
	if in.Version() != 4 || at < hdr.IPv4Len || at > len(q) || in.Frag()&hdr.FragOffset != 0 {
		return Short
	}
	if in.Src() != h.Dst() {
		return Misquoted
	}
	addrs := differ(uint32(in.Src()), uint32(to.Dst)) + differ(uint32(in.Dst()), uint32(to.Src))
	y := rewrite{addrs: addrs, ports: to.swapped(), partial: -1, quoted: true}
	if in.Frag()&hdr.MoreFragments == 0 {
		y.whole = max(0, in.Len()-at)
	}
	if res := y.quote4(q[at:], in.Protocol()); res != Done {
		return res
	}
	src := h.Src()
	if in.Dst() != to.Src {
		src = to.Src
	}
	was := in.Checksum()
	readdress4(in, to.Dst, to.Src)
	x.sumICMP(p, 0, y.made+addrs+differ16(was, in.Checksum()))
	readdress4(h, src, to.Dst)
	return Done
}

// quote4 rewrites the transport header of a packet that an error quotes.
func (x *rewrite) quote4(p []byte, proto uint8) Result {
	if proto != hdr.ProtoICMP {
		return x.transport(p, proto)
	}
	return x.icmp4(p)
}
