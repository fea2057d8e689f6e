package hdr

import "encoding/binary"

// ICMPv6 types and codes (IANA, ICMPv6 Parameters; RFC 4443, section 2.1).
const (
	ICMP6Unreachable  = 1
	ICMP6TooBig       = 2
	ICMP6TimeExceeded = 3
	ICMP6ParamProblem = 4
	ICMP6EchoRequest  = 128
	ICMP6EchoReply    = 129
	ICMP6MLDQuery     = 130 // RFC 2710, RFC 3810
	ICMP6MLDReport    = 131
	ICMP6MLDDone      = 132
	ICMP6RouterSol    = 133 // RFC 4861, section 4
	ICMP6RouterAdv    = 134
	ICMP6NeighborSol  = 135
	ICMP6NeighborAdv  = 136
	ICMP6Redirect     = 137
	ICMP6MLDv2Report  = 143

	ICMP6NoRoute         = 0
	ICMP6AdminProhibited = 1
	ICMP6BeyondScope     = 2
	ICMP6AddrUnreachable = 3
	ICMP6PortUnreachable = 4
	ICMP6HopLimit        = 0
	ICMP6ErroneousHeader = 0
	ICMP6UnknownNext     = 1
	ICMP6UnknownOption   = 2
)

// ICMP6IsError reports whether a type is that of an error message, to which no
// error is an answer (RFC 4443, sections 2.1 and 2.4).
func ICMP6IsError(typ uint8) bool { return typ < 128 }

// NDHopLimit is the hop limit of all neighbor discovery messages. One that has
// another has come from beyond the link (RFC 4861, section 3.1).
const NDHopLimit = 255

// Lengths of neighbor discovery messages without options, in bytes.
const (
	RouterSolLen   = 8
	RouterAdvLen   = 16
	NeighborSolLen = 24
	NeighborAdvLen = 24
	RedirectLen    = 40
)

// Neighbor is a neighbor solicitation or advertisement without its options
// (RFC 4861, sections 4.3 and 4.4).
//
//	| type | code | checksum      |
//	|R|S|O| reserved              |
//	| target address, 16          |
type Neighbor [NeighborSolLen]byte

// Flags of a neighbor advertisement (RFC 4861, section 4.4).
const (
	NDRouter    = 0x80
	NDSolicited = 0x40
	NDOverride  = 0x20
)

func (h *Neighbor) Type() uint8          { return h[0] }
func (h *Neighbor) Code() uint8          { return h[1] }
func (h *Neighbor) Checksum() uint16     { return binary.BigEndian.Uint16(h[2:4]) }
func (h *Neighbor) SetChecksum(c uint16) { binary.BigEndian.PutUint16(h[2:4], c) }
func (h *Neighbor) Flags() uint8         { return h[4] }
func (h *Neighbor) Target() Addr6        { return addr6((*[16]byte)(h[8:24])) }

// Fill sets the whole message, with a checksum of zero.
func (h *Neighbor) Fill(typ, flags uint8, target Addr6) {
	*h = Neighbor{0: typ, 4: flags}
	target.put((*[16]byte)(h[8:24]))
}

// RouterAdv is a router advertisement without its options (RFC 4861, section
// 4.2).
//
//	| type | code | checksum           |
//	| hop limit |M|O| router lifetime  |
//	| reachable time                   |
//	| retransmission timer             |
type RouterAdv [RouterAdvLen]byte

func (h *RouterAdv) HopLimit() uint8    { return h[4] }
func (h *RouterAdv) Managed() bool      { return h[5]&0x80 != 0 }
func (h *RouterAdv) OtherConfig() bool  { return h[5]&0x40 != 0 }
func (h *RouterAdv) Lifetime() uint16   { return binary.BigEndian.Uint16(h[6:8]) }   // seconds; 0: no default router
func (h *RouterAdv) Reachable() uint32  { return binary.BigEndian.Uint32(h[8:12]) }  // milliseconds; 0: unspecified
func (h *RouterAdv) Retransmit() uint32 { return binary.BigEndian.Uint32(h[12:16]) } // milliseconds; 0: unspecified

// Types of neighbor discovery options (IANA, IPv6 Neighbor Discovery Option
// Formats).
const (
	NDSourceLink = 1
	NDTargetLink = 2
	NDPrefix     = 3
	NDRedirected = 4
	NDMTU        = 5
	NDNonce      = 14 // RFC 3971, section 5.3.2; RFC 7527
	NDRouteInfo  = 24 // RFC 4191, section 2.3
	NDRDNSS      = 25 // RFC 8106, section 5.1
)

// NDLinkLen is the length of a link-layer address option on Ethernet, in bytes
// (RFC 2464, section 6).
const NDLinkLen = 8

// FillNDLink writes a source or target link-layer address option.
func FillNDLink(o *[NDLinkLen]byte, typ uint8, mac MAC) {
	o[0], o[1] = typ, NDLinkLen/8
	*(*MAC)(o[2:8]) = mac
}

// MaxNDOptions is the number of options of a message that ParseNDOptions looks
// at.
const MaxNDOptions = 32

// NDOptions are the options of a neighbor discovery message (RFC 4861, section
// 4.6), of each type the first; those of unknown types are passed over.
type NDOptions struct {
	Known      uint32 // bit i: there is one of type i
	SourceLink MAC
	TargetLink MAC
	MTU        uint32 // bytes
	Prefix     NDPrefixInfo
	Nonce      []byte // within the message
}

// NDPrefixInfo is a prefix information option (RFC 4861, section 4.6.2).
type NDPrefixInfo struct {
	Prefix     Addr6
	Bits       uint8
	OnLink     bool
	Autonomous bool
	Valid      uint32 // seconds; all ones: forever
	Preferred  uint32 // seconds; all ones: forever
}

// Has reports whether there is an option of a type below 32.
func (o *NDOptions) Has(typ uint8) bool { return o.Known>>(typ&31)&1 != 0 && typ < 32 }

// ParseNDOptions reads options, which fill p. It reports false if the message
// is to be dropped for one that has no length, or reaches beyond the message
// (RFC 4861, section 4.6), or has not the length of its type; and if there are
// more than MaxNDOptions, a limit of ours.
func ParseNDOptions(p []byte) (o NDOptions, ok bool) {
	for range MaxNDOptions {
		if len(p) == 0 {
			return o, true
		}
		if len(p) < 8 || p[1] == 0 || int(p[1])*8 > len(p) {
			return NDOptions{}, false
		}
		size := int(p[1]) * 8
		if !o.read(p[0], p[:size]) {
			return NDOptions{}, false
		}
		p = p[size:]
	}
	return o, len(p) == 0
}

// read takes in one option of at least 8 bytes, if it is the first of its type.
func (o *NDOptions) read(typ uint8, p []byte) bool {
	if typ >= 32 || o.Has(typ) {
		return true
	}
	switch typ {
	case NDSourceLink, NDTargetLink, NDMTU:
		if len(p) != 8 {
			return false
		}
	}
	switch typ {
	case NDSourceLink:
		o.SourceLink = MAC(p[2:8])
	case NDTargetLink:
		o.TargetLink = MAC(p[2:8])
	case NDMTU:
		o.MTU = binary.BigEndian.Uint32(p[4:8])
	case NDNonce:
		o.Nonce = p[2:]
	case NDPrefix:
		if len(p) < 32 || p[2] > 128 {
			return false
		}
		o.Prefix = NDPrefixInfo{
			Prefix: addr6((*[16]byte)(p[16:32])), Bits: p[2],
			OnLink: p[3]&0x80 != 0, Autonomous: p[3]&0x40 != 0,
			Valid: binary.BigEndian.Uint32(p[4:8]), Preferred: binary.BigEndian.Uint32(p[8:12]),
		}
	}
	o.Known |= 1 << typ
	return true
}
