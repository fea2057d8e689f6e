package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/hdr"
)

// Check4 is what ip4-input sees in a packet that is not the usual one.
var Check4 = ip4Check

// Hash4 is the hash that ip4-input sets.
func Hash4(b *buf.Buffer) uint32 {
	h, ports := b.IPv4AtL3(), uint32(0)
	if portMask[h.Protocol()] != 0 && h.Frag()&(hdr.MoreFragments|hdr.FragOffset) == 0 && b.End() >= int(b.L4)+4 {
		ports = b.UDP().Ports()
	}
	return flowHash(h.Src(), h.Dst(), h.Protocol(), ports)
}

// ICMPError is what Meta holds towards icmp4-error.
var ICMPError = icmpError

// The options that a fragment behind the first carries.
var CopyOptions = copyOptions

// What tests need of IPv6.
var (
	Lookup6 = lookup6

	FlowHash6 = flowHash6
)

// Check6 does what ip6-input and, if need be, ip6-extensions do, and reports
// whether the packet has passed.
func Check6(b *buf.Buffer) bool {
	switch ip6Check(b) {
	case 0:
		b.Hash = upperHash(b, &upper{Chain6: hdr.Chain6{Proto: b.IPv6().NextHeader()}})
		return true
	case ip6HopByHop, ip6Extended:
		return extensions(b) == 0
	}
	return false
}

// Chain6 returns where the transport header of a packet is, its protocol, and
// whether the packet is whole.
func Chain6(p []byte) (at int, proto uint8, whole bool) {
	u, arc := walkUpper(p)
	return u.Off, u.Proto, arc == 0 && !u.fragment
}

// What tests need of tunnels.
var (
	OutOfTunnel = outOfTunnel
	Answered    = answered
	TunnelZone  = tunnelZone
)

const (
	FlagTranslated  = flagTranslated
	FlagMasqueraded = flagMasqueraded
	FlagRemember    = flagRemember
	FlagTunnelled   = flagTunnelled
)
