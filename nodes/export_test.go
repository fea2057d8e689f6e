package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/session"
)

// Check4 is what ip4-input sees in a packet that is not the usual one.
var Check4 = ip4Check

// Hash4 and Hash6 are the hash of a packet's flow, whatever was known of it.
// HashOut is the same where a packet leaves.
func Hash4(b *buf.Buffer) uint32      { b.Hash = 0; return hash4(b) }
func Hash6(b *buf.Buffer) uint32      { b.Hash = 0; return hash6(b) }
func HashKey4(k session.Key4) uint32  { return keyHash4(k) }
func HashKey6(k *session.Key6) uint32 { return keyHash6(k) }
func HashOut(b *buf.Buffer) uint32    { b.Hash = 0; return hashOut(b) }

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

// Translate4 and Translate6 are what all nodes but ip4-session and ip6-session
// translate by.
var (
	Translate4 = translate4
	Translate6 = translate6
)

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
