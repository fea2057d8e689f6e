package hdr

import "encoding/binary"

// Numbers of IPv6 extension headers (IANA, IPv6 Extension Header Types).
const (
	ProtoHopByHop = 0
	ProtoRouting  = 43
	ProtoFragment = 44
	ProtoESP      = 50
	ProtoAH       = 51
	ProtoNone     = 59 // nothing follows (RFC 8200, section 4.7)
	ProtoDstOpts  = 60
	ProtoMobility = 135
	ProtoHIP      = 139
	ProtoShim6    = 140
)

// ExtLen is the least length of an extension header, in bytes.
const ExtLen = 8

// Ext is the beginning of an extension header (RFC 8200, section 4).
//
//	| next header | length | data, by type |
type Ext [ExtLen]byte

func (h *Ext) NextHeader() uint8 { return h[0] }

// Len returns the length in bytes, given the header's own number: the field
// counts units of 8 bytes after the first (RFC 6564, section 4), and for AH
// units of 4 bytes after the second (RFC 4302, section 2.2); a fragment header
// has always 8 (RFC 8200, section 4.5).
func (h *Ext) Len(proto uint8) int {
	switch proto {
	case ProtoFragment:
		return ExtLen
	case ProtoAH:
		return (int(h[1]) + 2) * 4
	}
	return (int(h[1]) + 1) * 8
}

// Routing returns the type of a routing header and how many segments are left
// (RFC 8200, section 4.4).
func (h *Ext) Routing() (typ, left uint8) { return h[2], h[3] }

// Fragment is a fragment header (RFC 8200, section 4.5).
//
//	| next header | reserved | offset, 13 bits | 0 0 M |
//	| identification                                   |
type Fragment [ExtLen]byte

func (h *Fragment) NextHeader() uint8 { return h[0] }

// Offset returns where the fragment belongs, in bytes.
func (h *Fragment) Offset() int { return int(binary.BigEndian.Uint16(h[2:4]) &^ 7) }
func (h *Fragment) More() bool  { return h[3]&1 != 0 }
func (h *Fragment) ID() uint32  { return binary.BigEndian.Uint32(h[4:8]) }

// IsExt reports whether proto is that of an extension header that a node can
// step over: one of a known length, that is not encrypted.
func IsExt(proto uint8) bool {
	switch proto {
	case ProtoHopByHop, ProtoRouting, ProtoFragment, ProtoAH, ProtoDstOpts, ProtoMobility, ProtoHIP, ProtoShim6:
		return true
	}
	return false
}

// MaxExts is the number of extension headers that Chain steps over. Each of
// those that RFC 8200, section 4.1, knows comes once, destination options
// twice.
const MaxExts = 8

// What can be wrong with a chain.
const (
	ChainOK        = iota
	ChainShort     // it ends before the upper layer does begin
	ChainLong      // more than MaxExts headers
	ChainMisplaced // hop-by-hop options that are not first (RFC 8200, section 4.1)
)

// A Chain6 is what a walk over the extension headers of a packet has found.
type Chain6 struct {
	Fault    uint8 // ChainOK, or why the walk ended where it did
	Proto    uint8 // the upper layer's; ESP and None are such
	Off      int   // of its header, or of the header at fault, from the start of the IPv6 header
	NextAt   int   // of the byte that says Proto, for the pointer of an ICMP error
	Frag     int   // of the fragment header; 0 if there is none, and that of a fragment if there are several
	Routing  int   // of the first routing header; 0 if there is none
	Routing0 bool  // there is one of type 0, which nobody is to follow (RFC 5095)
	HopByHop bool
	NotFirst bool // a fragment behind the first: there is no upper layer's header
}

// Walk6 steps over the extension headers of packet p, which begins with its
// fixed header and ends with its payload. In a fragment behind the first, what
// follows the fragment header is not looked at.
func Walk6(p []byte) (c Chain6) {
	if len(p) < IPv6Len {
		c.Fault = ChainShort
		return c
	}
	c.Proto, c.Off, c.NextAt = p[6], IPv6Len, 6
	for n := 0; IsExt(c.Proto); n++ {
		if !c.step(p, n) {
			return c
		}
	}
	return c
}

// step takes c over header n, if it can.
func (c *Chain6) step(p []byte, n int) bool {
	switch {
	case n == MaxExts:
		c.Fault = ChainLong
		return false
	case len(p)-c.Off < ExtLen:
		c.Fault = ChainShort
		return false
	}
	h := (*Ext)(p[c.Off:])
	size := h.Len(c.Proto)
	if size > len(p)-c.Off {
		c.Fault = ChainShort
		return false
	}
	switch c.Proto {
	case ProtoHopByHop:
		if n > 0 {
			c.Fault = ChainMisplaced
			return false
		}
		c.HopByHop = true
	case ProtoRouting:
		if c.Routing == 0 {
			c.Routing = c.Off
		}
		if typ, _ := h.Routing(); typ == 0 {
			c.Routing0 = true
		}
	case ProtoFragment:
		// Of several, the first counts that says that the packet is not whole.
		if c.Frag == 0 || !(*Fragment)(p[c.Frag:]).More() {
			c.Frag = c.Off
		}
		c.NotFirst = (*Fragment)(h).Offset() != 0
	}
	c.NextAt = c.Off
	c.Proto, c.Off = h.NextHeader(), c.Off+size
	return !c.NotFirst
}
