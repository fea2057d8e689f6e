package session

import (
	"encoding/binary"

	"github.com/skein-dataplane/skein/hdr"
)

// A Packet6 is a Packet4 for IPv6.
type Packet6 struct {
	Key Key6
	ID  uint32
	TCP uint8
	At  Piece
}

// Frag returns the key of the packet for Frags.
func (p *Packet6) Frag() FragKey {
	return fragKey6(p.Key.src, p.Key.dst, p.ID, p.Key.Zone())
}

// Extension headers (IANA, IPv6 Extension Header Types).
const (
	extHopByHop    = 0
	extRouting     = 43
	extFragment    = 44
	extAuth        = 51
	extDestination = 60

	// maxExt bounds the extension headers of one packet. RFC 8200, section 4.1,
	// has each once and destination options twice: 7 with fragment and AH.
	maxExt = 8
)

// ICMPv6 types (RFC 4443): those below 128 are errors.
const (
	icmp6Echo      = 128
	icmp6EchoReply = 129
)

// Parse6 reads the packet p, from its IPv6 header on, and sets out.
func Parse6(p []byte, zone uint16, out *Packet6) Part { return parse6(p, zone, out, false) }

func parse6(p []byte, zone uint16, out *Packet6, inner bool) Part {
	if len(p) < hdr.IPv6Len || p[0]>>4 != 6 {
		return Bad
	}
	src, dst := addr6(p[8:24]), addr6(p[24:40])
	proto, frag, rest, ok := extensions(p[6], p[hdr.IPv6Len:])
	out.ID, out.TCP, out.At = frag.id, 0, frag.at
	out.Key = MakeKey6(src, dst, 0, 0, proto, zone)
	switch {
	case !ok:
		return Bad
	case frag.at.From == 8 && proto == hdr.ProtoTCP:
		return Bad // as in Parse4
	case frag.at.From != 0:
		return Later
	case proto == hdr.ProtoICMPv6:
		return icmp6(rest, zone, out, inner, frag.more)
	}
	sport, dport, tcp, ok := ports(rest, proto, inner)
	if !ok {
		return Bad
	}
	out.Key, out.TCP = out.Key.WithPorts(sport, dport), tcp
	if frag.more {
		return First
	}
	return Whole
}

// fragment is what a fragment header says (RFC 8200, section 4.5).
type fragment struct {
	id   uint32
	at   Piece
	more bool
}

// extensions goes over the extension headers that p begins with, the first of
// type next, and returns the upper layer's protocol and what follows. In a
// later fragment nothing is known to follow but the first one's next header.
func extensions(next uint8, p []byte) (proto uint8, frag fragment, rest []byte, ok bool) {
	for range maxExt {
		size := 0
		switch next {
		case extHopByHop, extRouting, extDestination:
			if len(p) < 8 {
				return next, frag, nil, false
			}
			size = 8 + 8*int(p[1])
		case extAuth: // RFC 4302, section 2.2: in words of 4 bytes, minus 2
			if len(p) < 8 {
				return next, frag, nil, false
			}
			size = 8 + 4*int(p[1])
		case extFragment:
			if len(p) < 8 || frag.id != 0 || frag.more || frag.at.From != 0 {
				return next, frag, nil, false
			}
			word := binary.BigEndian.Uint16(p[2:4])
			more := word&1 != 0
			frag = fragment{binary.BigEndian.Uint32(p[4:8]), piece(word>>3, len(p)-8, more), more}
			if frag.at.From != 0 {
				return p[0], frag, nil, true
			}
			size = 8
		default:
			return next, frag, p, true
		}
		if size > len(p) {
			return next, frag, nil, false
		}
		next, p = p[0], p[size:]
	}
	return next, frag, nil, false
}

// icmp6 completes the key of an ICMPv6 packet, whose header p begins with.
func icmp6(p []byte, zone uint16, out *Packet6, inner, more bool) Part {
	if len(p) < minICMP {
		return Bad
	}
	h := (*hdr.ICMP)(p)
	switch {
	case h.Type() == icmp6Echo:
		out.Key = out.Key.WithPorts(h.ID(), 0)
	case h.Type() == icmp6EchoReply:
		out.Key = out.Key.WithPorts(0, h.ID())
	case h.Type() >= 128:
		return Alone
	case inner || more: // RFC 4443, section 2.4 (e.1)
		return Bad
	default:
		if part := parse6(p[minICMP:], zone, out, true); part != Whole && part != First {
			return Bad
		}
		out.Key = out.Key.Swap()
		return Related
	}
	if more {
		return First
	}
	return Whole
}

func addr6(p []byte) hdr.Addr6 {
	return hdr.Addr6{Hi: binary.BigEndian.Uint64(p[0:8]), Lo: binary.BigEndian.Uint64(p[8:16])}
}
