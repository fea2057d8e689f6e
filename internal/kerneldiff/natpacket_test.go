package kerneldiff

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/skein-dataplane/skein/hdr"
)

// Packets of flows, made and summed up here without the code that is tested.

// An end is one end of a flow; of ICMP the identifier is the port of both.
type end struct {
	addr netip.Addr
	port uint16
}

func (e end) String() string { return netip.AddrPortFrom(e.addr, e.port).String() }

// natPacket is a packet of a flow: the transport header, without its checksum, is
// l4.
func natPacket(src, dst netip.Addr, proto uint8, l4 []byte) []byte {
	var p []byte
	if src.Is4() {
		p = append([]byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, proto, 0, 0}, append(src.AsSlice(), dst.AsSlice()...)...)
		p = append(p, l4...)
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	} else {
		p = append([]byte{0x60, 0, 0, 0, 0, 0, proto, 64}, append(src.AsSlice(), dst.AsSlice()...)...)
		p = append(p, l4...)
		binary.BigEndian.PutUint16(p[4:], uint16(len(l4)))
	}
	sumUp(p)
	return p
}

// l4At returns where the transport header of a packet without options is, and
// its protocol.
func l4At(p []byte) (at int, proto uint8) {
	if p[0]>>4 == 4 {
		return hdr.IPv4Len, p[9]
	}
	return hdr.IPv6Len, p[6]
}

// checksums are where each protocol has it, in its header.
var checksums = map[uint8]int{hdr.ProtoTCP: 16, hdr.ProtoUDP: 6, hdr.ProtoICMP: 2, hdr.ProtoICMPv6: 2}

// sumUp gives a whole packet its checksums.
func sumUp(p []byte) {
	at, proto := l4At(p)
	if at == hdr.IPv4Len {
		clear(p[10:12])
		binary.BigEndian.PutUint16(p[10:], ^ones(p[:at], 0))
	}
	l4 := p[at:]
	if proto == hdr.ProtoSCTP {
		clear(l4[8:12])
		binary.LittleEndian.PutUint32(l4[8:], crc32.Checksum(l4, crc32.MakeTable(crc32.Castagnoli)))
		return
	}
	field := l4[checksums[proto]:][:2]
	clear(field)
	pseudo := uint32(0)
	if proto != hdr.ProtoICMP { // which has no pseudo header
		pseudo = uint32(ones(p[at-bothAddrs(at):at], uint32(proto)+uint32(len(l4))))
	}
	sum := ^ones(l4, pseudo)
	if sum == 0 && proto == hdr.ProtoUDP {
		sum = 0xffff // RFC 768: 0 says that there is none
	}
	binary.BigEndian.PutUint16(field, sum)
}

// bothAddrs is how many bytes both addresses have, which end an IP header.
func bothAddrs(header int) int {
	if header == hdr.IPv4Len {
		return 8
	}
	return 32
}

// ones is the sum of 16-bit words with end-around carry (RFC 1071).
func ones(p []byte, sum uint32) uint16 {
	for i := 0; i+1 < len(p); i += 2 {
		sum += uint32(p[i])<<8 | uint32(p[i+1])
	}
	if len(p)%2 == 1 {
		sum += uint32(p[len(p)-1]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// sound reports whether a whole packet has the checksums that it is to have.
func sound(p []byte) bool {
	c := bytes.Clone(p)
	sumUp(c)
	return bytes.Equal(c, p)
}

// sourcePort returns where a packet has the port, or identifier, of its source.
func sourcePort(p []byte) []byte {
	at, proto := l4At(p)
	if proto == hdr.ProtoICMP || proto == hdr.ProtoICMPv6 {
		at += 4
	}
	return p[at : at+2]
}

// ported returns the packet with another source port, and right checksums.
func ported(p []byte, port uint16) []byte {
	c := bytes.Clone(p)
	binary.BigEndian.PutUint16(sourcePort(c), port)
	sumUp(c)
	return c
}

// fragmented returns a packet in two or more fragments, in order or out of it.
func fragmented(r *rand.Rand, p []byte, id uint32) (out [][]byte) {
	at, proto := l4At(p)
	body := p[at:]
	for off := 0; off < len(body); {
		n := min(len(body)-off, 8*(20+r.IntN(60)))
		more := uint16(0)
		if off+n < len(body) {
			more = 1
		}
		f := bytes.Clone(p[:at])
		if at == hdr.IPv4Len {
			f = append(f, body[off:off+n]...)
			binary.BigEndian.PutUint16(f[2:], uint16(len(f)))
			binary.BigEndian.PutUint16(f[4:], uint16(id))
			binary.BigEndian.PutUint16(f[6:], more<<13|uint16(off/8))
			clear(f[10:12])
			binary.BigEndian.PutUint16(f[10:], ^ones(f[:at], 0))
		} else {
			f[6] = hdr.ProtoFragment
			f = append(f, proto, 0, byte(off>>8), byte(off)|byte(more), byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
			f = append(f, body[off:off+n]...)
			binary.BigEndian.PutUint16(f[4:], uint16(len(f)-at))
		}
		out = append(out, f)
		off += n
	}
	if r.IntN(2) == 0 {
		r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	}
	return out
}

// whole puts the fragments of one packet together. It returns nil if any is
// missing or does not fit.
func whole(frames []frame) []frame {
	if len(frames) == 0 {
		return nil
	}
	type part struct {
		at   int
		more bool
		body []byte
	}
	var parts []part
	first := frames[0].bytes[hdr.EtherLen:]
	at, proto := l4At(first)
	for _, f := range frames {
		p := f.bytes[hdr.EtherLen:]
		switch {
		case f.port != frames[0].port || p[0] != first[0]:
			return nil
		case at == hdr.IPv4Len:
			word := binary.BigEndian.Uint16(p[6:])
			parts = append(parts, part{int(word&0x1fff) * 8, word&0x2000 != 0, p[at:binary.BigEndian.Uint16(p[2:])]})
		case p[6] != hdr.ProtoFragment:
			return nil
		default:
			word := binary.BigEndian.Uint16(p[at+2:])
			proto = p[at]
			parts = append(parts, part{int(word &^ 7), word&1 != 0, p[at+8 : at+int(binary.BigEndian.Uint16(p[4:]))]})
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return a.at - b.at })
	var body []byte
	for i, x := range parts {
		if x.at != len(body) || x.more == (i == len(parts)-1) {
			return nil
		}
		body = append(body, x.body...)
	}
	out := append(bytes.Clone(frames[0].bytes[:hdr.EtherLen+at]), body...)
	p := out[hdr.EtherLen:]
	if at == hdr.IPv4Len {
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		clear(p[6:8])
		clear(p[10:12])
		binary.BigEndian.PutUint16(p[10:], ^ones(p[:at], 0))
	} else {
		binary.BigEndian.PutUint16(p[4:], uint16(len(body)))
		p[6] = proto
	}
	return []frame{{frames[0].port, out}}
}

// icmpError is an ICMP error about a packet, of which it has so many bytes.
func icmpError(r *rand.Rand, from, to netip.Addr, quote []byte) []byte {
	kinds := [][2]byte{{3, 0}, {3, 1}, {3, 2}, {3, 3}, {3, 4}, {3, 9}, {3, 13}, {11, 0}, {11, 1}, {12, 0}}
	proto := uint8(hdr.ProtoICMP)
	if from.Is6() {
		kinds = [][2]byte{{1, 0}, {1, 1}, {1, 3}, {1, 4}, {2, 0}, {3, 0}, {3, 1}, {4, 0}, {4, 1}}
		proto = hdr.ProtoICMPv6
	}
	kind := kinds[r.IntN(len(kinds))]
	l4 := []byte{kind[0], kind[1], 0, 0, 0, 0, 0, 0}
	switch {
	case proto == hdr.ProtoICMP && kind == [2]byte{3, 4}, proto == hdr.ProtoICMPv6 && kind[0] == 2:
		binary.BigEndian.PutUint16(l4[6:], uint16(1280+r.IntN(100))) // the next hop's MTU
	case proto == hdr.ProtoICMP && kind[0] == 12:
		l4[4] = byte(r.IntN(20)) // the pointer
	case kind[0] == 4:
		l4[7] = byte(r.IntN(40))
	}
	return natPacket(from, to, proto, append(l4, quote...))
}

// onWire is a packet on its way to the router.
func onWire(port int, p []byte) frame {
	e := make([]byte, hdr.EtherLen, hdr.EtherLen+len(p))
	typ := uint16(hdr.TypeIPv4)
	if p[0]>>4 == 6 {
		typ = hdr.TypeIPv6
	}
	(*hdr.Ether)(e).Fill(ports[port].mac, ports[port].station, typ)
	return frame{port, append(e, p...)}
}
