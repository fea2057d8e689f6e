package hdr

import "encoding/binary"

// IPv6Len is the length of the fixed IPv6 header, in bytes.
const IPv6Len = 40

// IPv6 is the fixed IPv6 header, in network byte order (RFC 8200, section 3).
type IPv6 [IPv6Len]byte

func (h *IPv6) Version() uint8    { return h[0] >> 4 }
func (h *IPv6) PayloadLen() int   { return int(binary.BigEndian.Uint16(h[4:6])) }
func (h *IPv6) NextHeader() uint8 { return h[6] }
func (h *IPv6) HopLimit() uint8   { return h[7] }

// SetPayloadLen sets the number of bytes after the fixed header.
func (h *IPv6) SetPayloadLen(n int) { binary.BigEndian.PutUint16(h[4:6], uint16(n)) }

// PseudoSum returns the sum of the pseudo-header for n bytes of the upper
// layer proto (RFC 8200, section 8.1).
func (h *IPv6) PseudoSum(proto uint8, n int) uint16 {
	return Fold(Sum(h[8:40], 0) + uint64(n) + uint64(proto))
}
