package kerneldiff

import (
	"encoding/binary"

	"github.com/skein-dataplane/skein/hdr"
)

var (
	// oddSources4 have no way back, or are no station's.
	oddSources4 = addrs("203.0.113.7", "10.67.0.7", "10.66.0.7", "0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.7", "255.255.255.255",
		"192.0.2.1", "198.51.100.1", "192.0.2.255", "169.254.3.3")
	dests4 = addrs("10.2.0.7", "10.2.0.7", "10.2.9.9", "10.2.0.8", "10.2.0.7", "198.51.100.2", "10.1.0.9", "192.0.2.1", "192.0.2.1", "198.51.100.1",
		"10.2.3.7", "10.2.3.8", "10.2.3.9", "10.2.8.8", "10.2.1.7", "198.51.100.2", "10.1.2.9", "192.0.2.1", "192.0.2.1", "198.51.100.1",
		"192.0.2.255", "198.51.100.255", "10.66.0.1", "10.67.0.1", "10.68.0.1", "203.0.113.9", "203.0.113.9", "0.0.0.0", "0.9.9.9",
		"127.0.0.1", "127.3.2.1", "224.0.0.1", "239.1.1.1", "240.1.1.1", "255.255.255.255", "169.254.9.9")
	// icmpTypes are errors, queries, one from behind the end of Linux's list.
	icmpTypes = []uint8{0, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 30, 42}
)

// frame4 makes a frame with IPv4.
func (s source) frame4() frame {
	in := left
	if s.one(6) {
		in = right
	}
	opts := s.options4()
	u := s.transport(hdr.ProtoICMP, icmpTypes, hdr.ICMPEcho)
	p := make([]byte, hdr.IPv4Len, hdr.IPv4Len+len(opts)+len(u.bytes))
	h := (*hdr.IPv4)(p)
	*h = hdr.IPv4{0: 0x40 | byte((hdr.IPv4Len+len(opts))/4), 1: byte(s.Uint32()), 8: s.hops(), 9: u.proto}
	if s.one(2) {
		h[1] = 0
	}
	h.SetID(uint16(s.Uint32()))
	h.SetFrag(s.frag4())
	h.SetSrc(s.source4())
	h.SetDst(hdr.Addr4From(pick(s, dests4)))
	if u.proto == unknownProtos[0] && s.one(4) {
		h[9] = hdr.ProtoIGMP
	}
	s.sum(&u, (*hdr.IPv4)(withProto(h, u.proto)).PseudoSum(len(u.bytes)))
	p = append(append(p, opts...), u.bytes...)
	p = p[:min(len(p), ports[in].mtu)]
	(*hdr.IPv4)(p).SetLen(len(p))
	return s.ether(s.spoil4(p), in, hdr.TypeIPv4)
}

// source4 is a source address, of those behind the stations mostly another
// each time: Linux remembers whom it has told that there is no route, and does
// not tell him again soon.
func (s source) source4() hdr.Addr4 {
	switch s.IntN(10) {
	case 0:
		return hdr.Addr4From(pick(s, oddSources4))
	case 1:
		return 10<<24 | 2<<16 | hdr.Addr4(s.Uint32()>>16)
	}
	return 10<<24 | 1<<16 | hdr.Addr4(s.Uint32()>>16)
}

func withProto(h *hdr.IPv4, proto uint8) []byte {
	c := *h
	c[9] = proto
	return c[:]
}

func (s source) frag4() uint16 {
	switch s.IntN(10) {
	case 0, 1, 2:
		return hdr.DontFragment
	case 3:
		return hdr.MoreFragments
	case 4:
		return pick(s, []uint16{uint16(1 + s.IntN(180)), uint16(hdr.FragOffset - s.IntN(180))})
	case 5:
		return uint16(s.Uint32())
	}
	return 0
}

// options4 makes the options of one packet in five, in a multiple of 4 bytes.
func (s source) options4() (opts []byte) {
	if !s.one(5) {
		return nil
	}
	for range 1 + s.IntN(3) {
		opts = append(opts, s.option4()...)
	}
	for len(opts)%4 != 0 {
		opts = append(opts, 0)
	}
	return opts[:min(len(opts), 40)]
}

func (s source) option4() []byte {
	const nop, rr, ts, security, lsrr, ssrr, alert = 1, 7, 68, 130, 131, 137, 148
	switch s.IntN(12) {
	case 0, 1:
		return []byte{nop}
	case 2:
		o := make([]byte, 3+4*s.IntN(4)) // RFC 791, section 3.1
		o[0], o[1], o[2] = rr, byte(len(o)), byte(4+4*s.IntN(4))
		return o
	case 3:
		o := make([]byte, 4+8*s.IntN(3))
		o[0], o[1], o[2], o[3] = ts, byte(len(o)), byte(5+4*s.IntN(4)), byte(s.IntN(4))
		return o
	case 4:
		return append([]byte{pick(s, []byte{lsrr, ssrr}), 7, pick(s, []byte{4, 8})}, 10, 2, 0, 9)
	case 5, 6:
		return []byte{alert, 4, 0, 0} // RFC 2113
	case 7:
		return s.odd4(pick(s, []byte{rr, ts, security, 134, alert, 30, 222}))
	}
	o := s.bytes(2 + s.IntN(8))
	o[0], o[1] = pick(s, []byte{30, 158, 94, 222, security}), byte(len(o)) // 30, 94, 158, 222: for experiments (RFC 4727)
	return o
}

// odd4 is an option whose length is nobody's.
func (s source) odd4(kind byte) []byte {
	return []byte{kind, pick(s, []byte{0, 1, 2, 3, 5, 39, 40, 255}), byte(s.Uint32()), 0}
}

// spoil4 makes one packet in six unsound, in one way.
func (s source) spoil4(p []byte) []byte {
	h := (*hdr.IPv4)(p)
	seal := func() {
		n := min(max(h.HeaderLen(), hdr.IPv4Len), len(p))
		h.SetChecksum(0)
		h.SetChecksum(hdr.Checksum(p[:n]))
	}
	seal()
	if !s.one(6) {
		return p
	}
	switch s.IntN(8) {
	case 0:
		h[0] = byte(s.IntN(16))<<4 | h[0]&15
		seal()
	case 1:
		h[0] = 0x40 | byte(s.IntN(16))
		seal()
	case 2:
		h.SetLen(pick(s, []int{0, 10, 19, 20, 21, 24, len(p) - 1, len(p) + 1, 0xffff, s.IntN(2 * len(p))}))
		seal()
	case 3:
		binary.BigEndian.PutUint16(p[10:], uint16(s.Uint32()))
	case 4:
		return p[:s.IntN(len(p))]
	case 5:
		p[s.IntN(len(p))] ^= 1 << s.IntN(8)
	default:
		h[pick(s, []int{1, 2, 3, 4, 5, 6, 7, 8})] ^= 1 << s.IntN(8)
		seal()
	}
	return p
}
