// Package hdr answers one question: what do the bytes of a packet mean?
//
// A header is a fixed array with methods. Values are in host byte order; only
// this package sees the network's. No method checks a length: whoever turns
// bytes into a header has done it. Maturity: stable.
package hdr

import "encoding/binary"

// MAC is a link-layer address.
type MAC [6]byte

// BroadcastMAC addresses every station.
var BroadcastMAC = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// IsGroup reports whether the address is a multicast or the broadcast one
// (IEEE 802, the individual/group bit).
func (m MAC) IsGroup() bool { return m[0]&1 != 0 }

// Word returns the address as a number of 48 bits, the first byte the lowest.
func (m MAC) Word() uint64 {
	return uint64(binary.LittleEndian.Uint32(m[0:4])) | uint64(binary.LittleEndian.Uint16(m[4:6]))<<32
}

// EtherLen is the length of an Ethernet header without tags, in bytes.
const EtherLen = 14

// TagLen is the length of a VLAN tag, in bytes (IEEE 802.1Q, section 9.3).
const TagLen = 4

// EtherTypes (IANA, IEEE 802 Numbers).
const (
	TypeIPv4 = 0x0800
	TypeARP  = 0x0806
	TypeVLAN = 0x8100 // IEEE 802.1Q
	TypeQinQ = 0x88a8 // IEEE 802.1ad
	TypeIPv6 = 0x86dd
)

// Ether is an Ethernet II header.
type Ether [EtherLen]byte

func (h *Ether) Dst() MAC     { return MAC(h[0:6]) }
func (h *Ether) Src() MAC     { return MAC(h[6:12]) }
func (h *Ether) Type() uint16 { return binary.BigEndian.Uint16(h[12:14]) }

// ToWord returns the destination as MAC.Word does, and bit 48 set if the source
// is a group address. So one comparison tells that a frame is from a station, to
// that of a known address. It is one load: the group bit is the first to follow.
func (h *Ether) ToWord() uint64 { return binary.LittleEndian.Uint64(h[0:8]) & (1<<49 - 1) }

// Fill sets the whole header.
func (h *Ether) Fill(dst, src MAC, etherType uint16) {
	*(*MAC)(h[0:6]) = dst
	*(*MAC)(h[6:12]) = src
	binary.BigEndian.PutUint16(h[12:14], etherType)
}

// LinkLen returns the length of the frame's Ethernet header with up to two VLAN
// tags, in bytes. A frame that is cut off within them has one of EtherLen.
func LinkLen(frame []byte) int {
	n := EtherLen
	for range 2 {
		if len(frame) < n {
			return EtherLen
		}
		if t := binary.BigEndian.Uint16(frame[n-2:]); t != TypeVLAN && t != TypeQinQ {
			break
		}
		if n += TagLen; len(frame) < n {
			return EtherLen
		}
	}
	return n
}
