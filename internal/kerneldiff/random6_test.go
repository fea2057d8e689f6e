package kerneldiff

import (
	"encoding/binary"

	"github.com/skein-dataplane/skein/hdr"
)

var (
	sources6 = addrs("2001:db8:a::7", "2001:db8:a::7", "2001:db8:a::8", "2001:db8:a::7", "2001:db8:a:9::7", "2001:db8:1::2", "2001:db8:b::7",
		"fe80::2", "fe80::2", "2001:db8:dead::7", "2001:db8:67::7", "::", "::1", "::ffff:10.1.0.7", "ff02::1", "ff0e::7", "::10.1.0.7")
	dests6 = addrs("2001:db8:b::7", "2001:db8:b::7", "2001:db8:b:5::8", "2001:db8:b::9", "2001:db8:b::7", "2001:db8:2::2", "2001:db8:a::9",
		"2001:db8:1::1", "2001:db8:1::1", "2001:db8:2::1", "fe80::1:1", "fe80::1:1", "fe80::9", "2001:db8:66::1", "2001:db8:67::1", "2001:db8:68::1",
		"2001:db8:dead::9", "::", "::1", "::ffff:10.2.0.7", "ff02::1", "ff0e::5", "ff05::2")
	// icmp6Types are errors, answers, multicast listeners' messages, of
	// neighbour discovery those that say nothing here, and what nobody knows.
	icmp6Types = []uint8{0, 1, 2, 3, 4, 5, 100, 127, 128, 129, 130, 131, 132, 135, 136, 138, 139, 140, 143, 151, 200, 255}
)

// headers6 are extension headers, and what else may stand in their place.
var headers6 = []uint8{hdr.ProtoHopByHop, hdr.ProtoDstOpts, hdr.ProtoDstOpts, hdr.ProtoRouting, hdr.ProtoFragment, hdr.ProtoFragment, hdr.ProtoDstOpts,
	hdr.ProtoAH, hdr.ProtoMobility, hdr.ProtoHIP, hdr.ProtoShim6, hdr.ProtoNone, hdr.ProtoESP}

// frame6 makes a frame with IPv6.
func (s source) frame6() frame {
	in := left
	if s.one(6) {
		in = right
	}
	u := s.transport(hdr.ProtoICMPv6, icmp6Types, hdr.ICMP6EchoRequest)
	h := new(hdr.IPv6)
	h.SetFirst(byte(s.IntN(2))*byte(s.Uint32()), s.Uint32()>>12)
	h.SetHopLimit(s.hops())
	h.SetSrc(hdr.Addr6From(pick(s, sources6)))
	h.SetDst(hdr.Addr6From(pick(s, dests6)))
	s.sum(&u, h.PseudoSum(u.proto, len(u.bytes)))
	first, chain := s.chain6(u.proto)
	h.SetNextHeader(first)
	p := append(append(h[:], chain...), u.bytes...)
	p = p[:min(len(p), ports[in].mtu)]
	(*hdr.IPv6)(p).SetPayloadLen(len(p) - hdr.IPv6Len)
	return s.ether(s.spoil6(p), in, hdr.TypeIPv6)
}

// chain6 makes the extension headers of one packet in three, and returns the
// number of the first.
func (s source) chain6(proto uint8) (first uint8, chain []byte) {
	if !s.one(3) {
		return proto, nil
	}
	n := 1 + s.IntN(3)
	if s.one(20) {
		n = s.IntN(12)
	}
	next := proto
	for range n { // from the last to the first
		kind := pick(s, headers6)
		chain = append(s.extension6(kind, next), chain...)
		next = kind
	}
	if s.one(6) {
		chain = append(s.extension6(hdr.ProtoHopByHop, next), chain...)
		next = hdr.ProtoHopByHop
	}
	return next, chain
}

// extension6 makes a header of the kind, with another behind it.
func (s source) extension6(kind, next uint8) []byte {
	switch kind {
	case hdr.ProtoHopByHop, hdr.ProtoDstOpts:
		return s.options6(next)
	case hdr.ProtoFragment:
		h := s.bytes(hdr.ExtLen)
		h[0], h[1] = next, 0
		binary.BigEndian.PutUint16(h[2:], pick(s, []uint16{0, 0, 1, 1, 8, 8 | 1, 1400, uint16(s.Uint32())}))
		return h
	case hdr.ProtoAH:
		h := s.bytes(8 + 4*s.IntN(6))
		h[0], h[1] = next, byte(len(h)/4-2)
		return h
	case hdr.ProtoRouting:
		h := s.bytes(8 + 16*s.IntN(2))
		h[0], h[1], h[2], h[3] = next, byte(len(h)/8-1), pick(s, []byte{0, 0, 2, 3, 4, 253}), byte(s.IntN(3))
		return h
	}
	h := s.bytes(8 * (1 + s.IntN(2)))
	h[0], h[1] = next, byte(len(h)/8-1)
	return h
}

// options6 makes a header of options, each as RFC 8200, section 4.2, has them.
func (s source) options6(next uint8) []byte {
	h := []byte{next, 0}
	for range s.IntN(4) {
		var o []byte
		switch s.IntN(6) {
		case 0:
			o = []byte{0} // Pad1
		case 1:
			o = []byte{5, 2, 0, byte(s.IntN(3))} // router alert (RFC 2711)
		case 2:
			o = append([]byte{0xc2, 4}, s.bytes(4)...) // jumbo payload (RFC 2675)
		case 3:
			o = s.bytes(2 + s.IntN(12)) // any, and what to do with it if it is not known
			o[1] = byte(len(o) - 2)
		default:
			o = append([]byte{pick(s, []byte{0x1e, 0x3e, 0x5e, 0x9e, 0xde}), 2}, s.bytes(2)...) // for experiments (RFC 4727)
		}
		h = append(h, o...)
	}
	switch n := -len(h) & 7; n {
	case 0:
	case 1:
		h = append(h, 0)
	default:
		h = append(append(h, 1, byte(n-2)), make([]byte, n-2)...)
	}
	h[1] = byte(len(h)/8 - 1)
	if s.one(25) {
		h[1] = byte(s.Uint32())
	}
	return h
}

// spoil6 makes one packet in six unsound, in one way.
func (s source) spoil6(p []byte) []byte {
	if !s.one(6) {
		return p
	}
	h := (*hdr.IPv6)(p)
	switch s.IntN(6) {
	case 0:
		p[0] = byte(s.IntN(16))<<4 | p[0]&15
	case 1:
		h.SetPayloadLen(pick(s, []int{0, 1, 8, len(p) - 41, len(p) - 39, 0xffff, s.IntN(2 * len(p))}) & 0xffff)
	case 2:
		return p[:s.IntN(len(p))]
	case 3:
		p[6] = pick(s, append(headers6, unknownProtos...))
	case 4:
		if len(p) > 44 { // somewhere behind the addresses
			p[hdr.IPv6Len+s.IntN(min(len(p)-hdr.IPv6Len, 60))] ^= 1 << s.IntN(8)
		}
	default:
		p[pick(s, []int{0, 1, 2, 3, 4, 5, 7})] ^= 1 << s.IntN(8)
	}
	return p
}
