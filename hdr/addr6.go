package hdr

import (
	"cmp"
	"encoding/binary"
	"net/netip"
)

// Addr6 is an IPv6 address as two words in host byte order, so that prefixes
// are shifts and interface identifiers (RFC 4291, section 2.5.1) are Lo.
type Addr6 struct{ Hi, Lo uint64 }

// Addr6From returns a as an Addr6. A zone is left out; an IPv4 address comes
// out mapped (RFC 4291, section 2.5.5.2).
func Addr6From(a netip.Addr) Addr6 {
	b := a.As16()
	return addr6(&b)
}

func addr6(b *[16]byte) Addr6 {
	return Addr6{binary.BigEndian.Uint64(b[0:8]), binary.BigEndian.Uint64(b[8:16])}
}

func (a Addr6) put(b *[16]byte) {
	binary.BigEndian.PutUint64(b[0:8], a.Hi)
	binary.BigEndian.PutUint64(b[8:16], a.Lo)
}

// Addr returns the address as the standard library has it, without a zone.
func (a Addr6) Addr() netip.Addr {
	var b [16]byte
	a.put(&b)
	return netip.AddrFrom16(b)
}

func (a Addr6) String() string { return a.Addr().String() }

// Compare orders addresses by their bytes, as cmp.Compare does.
func (a Addr6) Compare(b Addr6) int {
	if a.Hi != b.Hi {
		return cmp.Compare(a.Hi, b.Hi)
	}
	return cmp.Compare(a.Lo, b.Lo)
}

// LinkLocalHi is the upper word of all link-local addresses that are assigned:
// fe80::/64 (RFC 4291, section 2.5.6).
const LinkLocalHi = 0xfe80 << 48

// Well-known groups (RFC 4291, section 2.7.1; RFC 3810, section 8).
var (
	AllNodes6     = Addr6{0xff02 << 48, 1}
	AllRouters6   = Addr6{0xff02 << 48, 2}
	MLDv2Routers6 = Addr6{0xff02 << 48, 0x16}
)

// IsUnspecified reports whether the address is :: (RFC 4291, section 2.5.2).
func (a Addr6) IsUnspecified() bool { return a.Hi|a.Lo == 0 }

// IsLoopback reports whether the address is ::1 (RFC 4291, section 2.5.3).
func (a Addr6) IsLoopback() bool { return a.Hi == 0 && a.Lo == 1 }

// IsMulticast reports whether the address is in ff00::/8 (RFC 4291, section 2.7).
func (a Addr6) IsMulticast() bool { return a.Hi>>56 == 0xff }

// IsLinkLocal reports whether the address is in fe80::/10 (RFC 4291, section
// 2.4): no router forwards a packet from it or to it (section 2.5.6).
func (a Addr6) IsLinkLocal() bool { return a.Hi>>54 == 0xfe80>>6 }

// IsMapped4 reports whether the address is in ::ffff:0:0/96, which is not to
// appear on a wire (RFC 4291, section 2.5.5.2; RFC 6890, table 20).
func (a Addr6) IsMapped4() bool { return a.Hi == 0 && a.Lo>>32 == 0xffff }

// Scopes of multicast addresses (RFC 7346, section 2).
const (
	ScopeInterface = 1
	ScopeLink      = 2
	ScopeRealm     = 3
	ScopeAdmin     = 4
	ScopeSite      = 5
	ScopeOrg       = 8
	ScopeGlobal    = 0xe
)

// MulticastScope returns the scope field of a multicast address (RFC 4291,
// section 2.7).
func (a Addr6) MulticastScope() uint8 { return uint8(a.Hi>>48) & 0xf }

// solicitedHi, solicitedLo are ff02::1:ff00:0.
const solicitedHi, solicitedLo = 0xff02 << 48, 0x1_ff00_0000

// SolicitedNode returns the group that neighbors ask for the address:
// ff02::1:ff00:0/104 and the low 24 bits (RFC 4291, section 2.7.1).
func (a Addr6) SolicitedNode() Addr6 {
	return Addr6{solicitedHi, solicitedLo | a.Lo&0xff_ffff}
}

// IsSolicitedNode reports whether the address is a solicited-node group.
func (a Addr6) IsSolicitedNode() bool {
	return a.Hi == solicitedHi && a.Lo&^0xff_ffff == solicitedLo
}

// MulticastMAC returns the link address of a multicast address on Ethernet:
// 33:33 and its low 32 bits (RFC 2464, section 7).
func (a Addr6) MulticastMAC() MAC {
	return MAC{0x33, 0x33, byte(a.Lo >> 24), byte(a.Lo >> 16), byte(a.Lo >> 8), byte(a.Lo)}
}
