package hdr

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"unsafe"
)

// IPv4Len is the length of an IPv4 header without options, in bytes.
const IPv4Len = 20

// IP protocol numbers (IANA, Protocol Numbers).
const (
	ProtoICMP   = 1
	ProtoIGMP   = 2
	ProtoIPv4   = 4 // a packet of IPv4 (RFC 2003)
	ProtoTCP    = 6
	ProtoUDP    = 17
	ProtoIPv6   = 41 // a packet of IPv6 (RFC 2473)
	ProtoICMPv6 = 58
	ProtoSCTP   = 132
)

// Bits of the flags and fragment offset field.
const (
	DontFragment  = 0x4000
	MoreFragments = 0x2000
	FragOffset    = 0x1fff // in units of 8 bytes
)

// IPv4 is the fixed part of an IPv4 header, in network byte order
// (RFC 791, section 3.1).
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	|Version|  IHL  |Type of Service|          Total Length         |
//	|         Identification        |Flags|      Fragment Offset    |
//	|  Time to Live |    Protocol   |         Header Checksum       |
//	|                       Source Address                          |
//	|                    Destination Address                        |
type IPv4 [IPv4Len]byte

// Addr4 is an IPv4 address in host byte order, so that prefixes are shifts.
type Addr4 uint32

// Addr4From returns a, which must be an IPv4 address, as an Addr4.
func Addr4From(a netip.Addr) Addr4 {
	b := a.As4()
	return Addr4(binary.BigEndian.Uint32(b[:]))
}

// Addr returns the address as the standard library has it.
func (a Addr4) Addr() netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(a))
	return netip.AddrFrom4(b)
}

func (a Addr4) String() string { return a.Addr().String() }

// IsMulticast reports whether the address is in 224.0.0.0/4 (RFC 5771).
func (a Addr4) IsMulticast() bool { return a>>28 == 0xe }

// IsLoopback reports whether the address is in 127.0.0.0/8 (RFC 1122, section 3.2.1.3).
func (a Addr4) IsLoopback() bool { return a>>24 == 127 }

// Broadcast4 is the limited broadcast address.
const Broadcast4 Addr4 = 0xffffffff

func (h *IPv4) Version() uint8   { return h[0] >> 4 }
func (h *IPv4) HeaderLen() int   { return int(h[0]&0xf) * 4 }
func (h *IPv4) TOS() uint8       { return h[1] }
func (h *IPv4) Len() int         { return int(binary.BigEndian.Uint16(h[2:4])) }
func (h *IPv4) ID() uint16       { return binary.BigEndian.Uint16(h[4:6]) }
func (h *IPv4) Frag() uint16     { return binary.BigEndian.Uint16(h[6:8]) }
func (h *IPv4) TTL() uint8       { return h[8] }
func (h *IPv4) Protocol() uint8  { return h[9] }
func (h *IPv4) Checksum() uint16 { return binary.BigEndian.Uint16(h[10:12]) }
func (h *IPv4) Src() Addr4       { return Addr4(binary.BigEndian.Uint32(h[12:16])) }
func (h *IPv4) Dst() Addr4       { return Addr4(binary.BigEndian.Uint32(h[16:20])) }

func (h *IPv4) SetLen(n int)         { binary.BigEndian.PutUint16(h[2:4], uint16(n)) }
func (h *IPv4) SetID(id uint16)      { binary.BigEndian.PutUint16(h[4:6], id) }
func (h *IPv4) SetFrag(f uint16)     { binary.BigEndian.PutUint16(h[6:8], f) }
func (h *IPv4) SetTTL(ttl uint8)     { h[8] = ttl }
func (h *IPv4) SetChecksum(c uint16) { binary.BigEndian.PutUint16(h[10:12], c) }
func (h *IPv4) SetSrc(a Addr4)       { binary.BigEndian.PutUint32(h[12:16], uint32(a)) }
func (h *IPv4) SetDst(a Addr4)       { binary.BigEndian.PutUint32(h[16:20], uint32(a)) }

// DecTTL decrements the time to live, which is at least 1, and patches the
// checksum to match (RFC 1624, eqn. 3), both in one word.
//
//	| time to live | protocol | checksum, high | low |
//
// Read with the first byte as the lowest, the time to live counts ones, and
// the checksum, its bytes swapped, 2^16s. 0x0100 is to be added to it, which
// swapped is 1; the carry out of the top comes back in below. A sum of ff ff is
// carried too, as it is another zero: fe ff becomes 00 00, which is what
// summing up anew gives, and ff ff becomes 01 00.
func (h *IPv4) DecTTL() {
	word := uint64(binary.LittleEndian.Uint32(h[8:12]))
	carry := (word + 2<<16) >> 32
	binary.LittleEndian.PutUint32(h[8:12], uint32(word+1<<16-1+carry<<16))
}

// IsPlain reports whether the header is what that of nearly all packets is: of
// version 4, without options, of no fragment, of a packet of n bytes, and with
// the right checksum.
//
// All but the checksum is one comparison of the first 8 bytes:
//
//	45 .. | length | .. .. | 0.0 fragment
func (h *IPv4) IsPlain(n int) bool {
	const mask = 0xff00ffff<<32 | MoreFragments | FragOffset
	return binary.BigEndian.Uint64(h[0:8])&mask == 0x45<<56|uint64(n)<<32 && h.SumsUp()
}

// IsWhole reports whether a header is of version 4, without options and of no
// fragment.
func (h *IPv4) IsWhole() bool {
	const mask = 0xff<<56 | MoreFragments | FragOffset
	return binary.BigEndian.Uint64(h[0:8])&mask == 0x45<<56
}

// SumsUp reports whether the checksum of a header of 20 bytes, not all of them
// zero, is right: the ones' complement sum of its words is 0xffff (RFC 1071,
// section 1), and so a multiple of that however wide the words are that one
// adds, as 2^64-1 is one too (section 2, part C). The compiler turns the
// remainder into a multiplication.
func (h *IPv4) SumsUp() bool {
	s, c := bits.Add64(binary.BigEndian.Uint64(h[0:8]), binary.BigEndian.Uint64(h[8:16]), 0)
	s, c = bits.Add64(s, uint64(binary.BigEndian.Uint32(h[16:20])), c)
	return (s+c)%0xffff == 0
}

// Sum20 returns that sum, folded to 16 bits.
func (h *IPv4) Sum20() uint16 { return Fold(Sum(h[:], 0)) }

// PlainPorts returns the four bytes that follow a header without options: both
// ports, the source in the high half, if the protocol has any.
func (h *IPv4) PlainPorts() uint32 {
	return (*UDP)(unsafe.Add(unsafe.Pointer(h), IPv4Len)).Ports()
}

// PseudoSum returns the sum of the pseudo-header for n bytes of transport
// header and payload (RFC 9293, section 3.1; RFC 768).
func (h *IPv4) PseudoSum(n int) uint16 {
	s := uint64(binary.BigEndian.Uint32(h[12:16])) + uint64(binary.BigEndian.Uint32(h[16:20])) +
		uint64(h[9]) + uint64(n)
	return fold(s, 0)
}
