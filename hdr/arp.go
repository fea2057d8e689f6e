package hdr

import "encoding/binary"

// ARPLen is the length of an ARP packet for IPv4 over Ethernet, in bytes.
const ARPLen = 28

// ARP operations (RFC 826).
const (
	ARPRequest = 1
	ARPReply   = 2
)

// ARP is an ARP packet for IPv4 over Ethernet (RFC 826).
//
//	| hardware type | protocol type |
//	| 6 | 4         | operation     |
//	| sender hardware address, 6    |
//	| sender protocol address, 4    |
//	| target hardware address, 6    |
//	| target protocol address, 4    |
type ARP [ARPLen]byte

var arpPrefix = [6]byte{0, 1, 0x08, 0x00, 6, 4}

// Valid reports whether the packet is of IPv4 over Ethernet at all.
func (h *ARP) Valid() bool { return [6]byte(h[0:6]) == arpPrefix }

func (h *ARP) Op() uint16      { return binary.BigEndian.Uint16(h[6:8]) }
func (h *ARP) SenderMAC() MAC  { return MAC(h[8:14]) }
func (h *ARP) SenderIP() Addr4 { return Addr4(binary.BigEndian.Uint32(h[14:18])) }
func (h *ARP) TargetMAC() MAC  { return MAC(h[18:24]) }
func (h *ARP) TargetIP() Addr4 { return Addr4(binary.BigEndian.Uint32(h[24:28])) }

// Fill sets the whole packet.
func (h *ARP) Fill(op uint16, senderMAC MAC, senderIP Addr4, targetMAC MAC, targetIP Addr4) {
	*(*[6]byte)(h[0:6]) = arpPrefix
	binary.BigEndian.PutUint16(h[6:8], op)
	*(*MAC)(h[8:14]) = senderMAC
	binary.BigEndian.PutUint32(h[14:18], uint32(senderIP))
	*(*MAC)(h[18:24]) = targetMAC
	binary.BigEndian.PutUint32(h[24:28], uint32(targetIP))
}
