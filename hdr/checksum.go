package hdr

import (
	"encoding/binary"
	"math/bits"
)

// Sum adds the bytes of p to sum as big-endian 16-bit words, an odd last byte
// padded with zero (RFC 1071). Sums over pieces add up as long as each piece
// but the last has an even length. Fold turns the result into 16 bits.
//
// It adds 8 bytes at a time with the carry brought around, which gives the
// same result modulo 2^16-1 (RFC 1071, section 2, parts B and C).
func Sum(p []byte, sum uint64) uint64 {
	var c uint64
	for len(p) >= 32 {
		sum, c = bits.Add64(sum, binary.BigEndian.Uint64(p[0:8]), c)
		sum, c = bits.Add64(sum, binary.BigEndian.Uint64(p[8:16]), c)
		sum, c = bits.Add64(sum, binary.BigEndian.Uint64(p[16:24]), c)
		sum, c = bits.Add64(sum, binary.BigEndian.Uint64(p[24:32]), c)
		p = p[32:]
	}
	for len(p) >= 8 {
		sum, c = bits.Add64(sum, binary.BigEndian.Uint64(p[0:8]), c)
		p = p[8:]
	}
	if len(p) > 0 {
		var last [8]byte
		copy(last[:], p)
		sum, c = bits.Add64(sum, binary.BigEndian.Uint64(last[:]), c)
	}
	// Keep the sum below 2^34, so that callers can add small numbers to it.
	return uint64(fold(sum, c))
}

// Fold reduces a sum to 16 bits.
func Fold(sum uint64) uint16 { return fold(sum, 0) }

func fold(sum, carry uint64) uint16 {
	sum = sum>>32 + sum&0xffffffff + carry // < 2^33 + 1
	sum = sum>>16 + sum&0xffff             // < 2^18
	sum = sum>>16 + sum&0xffff
	return uint16(sum>>16 + sum)
}

// Checksum returns the Internet checksum of p (RFC 1071).
func Checksum(p []byte) uint16 { return ^Fold(Sum(p, 0)) }

// Patch16 returns the checksum c after a 16-bit word that it covers changed
// from was to is (RFC 1624, eqn. 3).
func Patch16(c, was, is uint16) uint16 {
	return ^Fold(uint64(^c) + uint64(^was) + uint64(is))
}
