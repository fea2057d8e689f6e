package hdr

import "encoding/binary"

// IPv6Len is the length of the fixed IPv6 header, in bytes.
const IPv6Len = 40

// MinMTU6 is the largest packet that every IPv6 link can carry, in bytes
// (RFC 8200, section 5).
const MinMTU6 = 1280

// IPv6 is the fixed IPv6 header, in network byte order (RFC 8200, section 3).
//
//	|Version| Traffic Class |           Flow Label                  |
//	|         Payload Length        |  Next Header  |   Hop Limit   |
//	|                    Source Address, 16                         |
//	|                    Destination Address, 16                    |
type IPv6 [IPv6Len]byte

func (h *IPv6) Version() uint8      { return h[0] >> 4 }
func (h *IPv6) TrafficClass() uint8 { return h[0]<<4 | h[1]>>4 }
func (h *IPv6) FlowLabel() uint32   { return binary.BigEndian.Uint32(h[0:4]) & 0xf_ffff }
func (h *IPv6) PayloadLen() int     { return int(binary.BigEndian.Uint16(h[4:6])) }
func (h *IPv6) NextHeader() uint8   { return h[6] }
func (h *IPv6) HopLimit() uint8     { return h[7] }
func (h *IPv6) Src() Addr6          { return addr6((*[16]byte)(h[8:24])) }
func (h *IPv6) Dst() Addr6          { return addr6((*[16]byte)(h[24:40])) }

// SetFirst sets the version, the traffic class and the flow label, of which the
// low 20 bits count.
func (h *IPv6) SetFirst(class uint8, label uint32) {
	binary.BigEndian.PutUint32(h[0:4], 6<<28|uint32(class)<<20|label&0xf_ffff)
}

// SetPayloadLen sets the number of bytes after the fixed header.
func (h *IPv6) SetPayloadLen(n int) { binary.BigEndian.PutUint16(h[4:6], uint16(n)) }

func (h *IPv6) SetNextHeader(p uint8) { h[6] = p }
func (h *IPv6) SetHopLimit(n uint8)   { h[7] = n }
func (h *IPv6) SetSrc(a Addr6)        { a.put((*[16]byte)(h[8:24])) }
func (h *IPv6) SetDst(a Addr6)        { a.put((*[16]byte)(h[24:40])) }

// DecHopLimit decrements the hop limit. No checksum covers it.
func (h *IPv6) DecHopLimit() { h[7]-- }

// PseudoSum returns the sum of the pseudo-header for n bytes of the upper
// layer proto (RFC 8200, section 8.1).
func (h *IPv6) PseudoSum(proto uint8, n int) uint16 {
	return Fold(Sum(h[8:40], 0) + uint64(n) + uint64(proto))
}

// Checksum returns the checksum of p, an upper layer's header and payload of
// protocol proto, that goes behind h. Its own checksum field is to be zero; if
// it is not, the result is zero when it is right. Where the protocol is UDP,
// zero is to be sent as 0xffff (RFC 8200, section 8.1).
func (h *IPv6) Checksum(proto uint8, p []byte) uint16 {
	return ^Fold(Sum(p, uint64(h.PseudoSum(proto, len(p)))))
}
