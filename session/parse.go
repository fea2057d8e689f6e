package session

import (
	"encoding/binary"

	"github.com/skein-dataplane/skein/hdr"
)

// A Part says what a packet is to the table.
type Part uint8

const (
	// Bad: too short for what it says it is, or contradictory. Drop it.
	Bad Part = iota
	// Whole: the key is complete.
	Whole
	// First fragment: the key is complete; tell Frags of it.
	First
	// Later fragment: the key lacks the ports; ask Frags for them.
	Later
	// Related: an ICMP error. The key is the one that the error would have if
	// it were an ordinary packet of the flow whose packet it quotes, so Find
	// gives that session and the error's own direction. An error opens no
	// session and is not Seen (RFC 5508, REQ-6).
	Related
	// Alone: ICMP that is neither echo nor error. It belongs to no session.
	Alone
)

// A Packet4 is what a table needs to know of a packet.
type Packet4 struct {
	Key Key4
	ID  uint16 // First, Later: the identification
	TCP uint8  // Whole and First of TCP: the flags
	At  Piece  // First, Later: where in its packet
}

// Frag returns the key of the packet for Frags.
func (p *Packet4) Frag() FragKey {
	k := p.Key
	return fragKey4(k.Src(), k.Dst(), uint32(p.ID), k.Proto(), k.Zone())
}

// Bytes of transport header without which a packet is Bad, so that flags and
// ports never lie in a later fragment (RFC 1858, section 3).
const (
	minTCP  = hdr.TCPLen
	minUDP  = hdr.UDPLen
	minSCTP = 12
	minICMP = hdr.ICMPLen
	// quoted is what an ICMP error quotes at least of its packet's payload
	// (RFC 792).
	quoted = 8
)

// Parse4 reads the packet p, from its IPv4 header on, and sets out.
func Parse4(p []byte, zone uint16, out *Packet4) Part { return parse4(p, zone, out, false) }

func parse4(p []byte, zone uint16, out *Packet4, inner bool) Part {
	if len(p) < hdr.IPv4Len {
		return Bad
	}
	h := (*hdr.IPv4)(p)
	l4 := h.HeaderLen()
	if h.Version() != 4 || l4 < hdr.IPv4Len || l4 > len(p) {
		return Bad
	}
	proto, frag := h.Protocol(), h.Frag()
	out.ID, out.TCP = h.ID(), 0
	out.Key = MakeKey4(h.Src(), h.Dst(), 0, 0, proto, zone)
	if off := frag & hdr.FragOffset; off != 0 {
		if proto == hdr.ProtoTCP && off == 1 {
			return Bad // rewrites the flags of the first one (RFC 1858, section 3.2.2)
		}
		out.At = piece(off, len(p)-l4, frag&hdr.MoreFragments != 0)
		return Later
	}
	p = p[l4:]
	out.At = piece(0, len(p), true)
	if proto == hdr.ProtoICMP {
		return icmp4(p, zone, out, inner, frag&hdr.MoreFragments != 0)
	}
	sport, dport, tcp, ok := ports(p, proto, inner)
	if !ok {
		return Bad
	}
	out.Key, out.TCP = out.Key.WithPorts(sport, dport), tcp
	if frag&hdr.MoreFragments != 0 {
		return First
	}
	return Whole
}

// ports reads a transport header. Protocols without ports have 0 for both. Of
// an inner packet, quoted by an error, there may be 8 bytes only.
func ports(p []byte, proto uint8, inner bool) (sport, dport uint16, tcp uint8, ok bool) {
	least := 0
	switch proto {
	case hdr.ProtoTCP:
		least = minTCP
	case hdr.ProtoUDP:
		least = minUDP
	case hdr.ProtoSCTP:
		least = minSCTP
	default:
		return 0, 0, 0, true
	}
	if inner {
		least = quoted
	}
	if len(p) < least {
		return 0, 0, 0, false
	}
	if proto == hdr.ProtoTCP && !inner {
		tcp = (*hdr.TCP)(p).Flags()
	}
	return binary.BigEndian.Uint16(p[0:2]), binary.BigEndian.Uint16(p[2:4]), tcp, true
}

// icmp4 completes the key of an ICMP packet, whose ICMP header p begins with.
func icmp4(p []byte, zone uint16, out *Packet4, inner, more bool) Part {
	if len(p) < minICMP {
		return Bad
	}
	h := (*hdr.ICMP)(p)
	switch h.Type() {
	case hdr.ICMPEcho:
		out.Key = out.Key.WithPorts(h.ID(), 0)
	case hdr.ICMPEchoReply:
		out.Key = out.Key.WithPorts(0, h.ID())
	case hdr.ICMPUnreachable, icmpSourceQuench, hdr.ICMPRedirect, hdr.ICMPTimeExceeded, hdr.ICMPParamProblem:
		// An error about an error is none (RFC 1122, section 3.2.2), and one in
		// fragments quotes nobody's packet whole.
		if inner || more {
			return Bad
		}
		// The error goes back to who sent the quoted packet.
		if part := parse4(p[minICMP:], zone, out, true); part != Whole && part != First {
			return Bad
		}
		out.Key = out.Key.Swap()
		return Related
	default:
		return Alone
	}
	if more {
		return First
	}
	return Whole
}

const icmpSourceQuench = 4 // deprecated (RFC 6633), but not gone
