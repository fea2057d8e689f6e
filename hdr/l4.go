package hdr

import "encoding/binary"

const (
	UDPLen  = 8  // bytes of a UDP header
	TCPLen  = 20 // bytes of a TCP header without options
	ICMPLen = 8  // bytes of an ICMP header
)

// UDP is a UDP header (RFC 768).
//
//	| source port | destination port |
//	| length      | checksum         |
type UDP [UDPLen]byte

func (h *UDP) SrcPort() uint16 { return binary.BigEndian.Uint16(h[0:2]) }
func (h *UDP) DstPort() uint16 { return binary.BigEndian.Uint16(h[2:4]) }

// Ports returns both ports, the source in the high half. TCP and SCTP have
// them in the same place.
func (h *UDP) Ports() uint32 { return binary.BigEndian.Uint32(h[0:4]) }

func (h *UDP) Len() int             { return int(binary.BigEndian.Uint16(h[4:6])) }
func (h *UDP) SetLen(n int)         { binary.BigEndian.PutUint16(h[4:6], uint16(n)) }
func (h *UDP) Checksum() uint16     { return binary.BigEndian.Uint16(h[6:8]) }
func (h *UDP) SetChecksum(c uint16) { binary.BigEndian.PutUint16(h[6:8], c) }

// Bits of the flags byte of a TCP header (RFC 9293, section 3.1; RFC 3168).
const (
	TCPFin = 1 << iota
	TCPSyn
	TCPRst
	TCPPsh
	TCPAck
	TCPUrg
	TCPEce
	TCPCwr
)

// TCP is the fixed part of a TCP header (RFC 9293, section 3.1).
//
//	| source port           | destination port |
//	| sequence number                          |
//	| acknowledgment number                    |
//	| offset | flags        | window           |
//	| checksum              | urgent pointer   |
type TCP [TCPLen]byte

func (h *TCP) SrcPort() uint16      { return binary.BigEndian.Uint16(h[0:2]) }
func (h *TCP) DstPort() uint16      { return binary.BigEndian.Uint16(h[2:4]) }
func (h *TCP) Seq() uint32          { return binary.BigEndian.Uint32(h[4:8]) }
func (h *TCP) SetSeq(s uint32)      { binary.BigEndian.PutUint32(h[4:8], s) }
func (h *TCP) HeaderLen() int       { return int(h[12]>>4) * 4 }
func (h *TCP) Flags() uint8         { return h[13] }
func (h *TCP) SetFlags(f uint8)     { h[13] = f }
func (h *TCP) Checksum() uint16     { return binary.BigEndian.Uint16(h[16:18]) }
func (h *TCP) SetChecksum(c uint16) { binary.BigEndian.PutUint16(h[16:18], c) }

// ICMP types and codes of IPv4 (IANA, ICMP Parameters).
const (
	ICMPEchoReply    = 0
	ICMPUnreachable  = 3
	ICMPRedirect     = 5
	ICMPEcho         = 8
	ICMPTimeExceeded = 11
	ICMPParamProblem = 12

	ICMPNetUnreachable   = 0
	ICMPHostUnreachable  = 1
	ICMPProtoUnreachable = 2
	ICMPPortUnreachable  = 3
	ICMPFragNeeded       = 4
	ICMPAdminProhibited  = 13
	ICMPTTLExceeded      = 0
)

// ICMP is an ICMP header (RFC 792).
//
//	| type | code | checksum |
//	| rest, by type          |
type ICMP [ICMPLen]byte

func (h *ICMP) Type() uint8          { return h[0] }
func (h *ICMP) Code() uint8          { return h[1] }
func (h *ICMP) SetType(t uint8)      { h[0] = t }
func (h *ICMP) SetCode(c uint8)      { h[1] = c }
func (h *ICMP) Checksum() uint16     { return binary.BigEndian.Uint16(h[2:4]) }
func (h *ICMP) SetChecksum(c uint16) { binary.BigEndian.PutUint16(h[2:4], c) }
func (h *ICMP) ID() uint16           { return binary.BigEndian.Uint16(h[4:6]) }

// SetRest sets the second word: zero, an identifier and sequence number, or,
// for fragmentation needed, the next hop's MTU (RFC 1191, section 4).
func (h *ICMP) SetRest(v uint32) { binary.BigEndian.PutUint32(h[4:8], v) }
