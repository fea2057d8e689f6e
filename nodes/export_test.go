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
	if hasPorts(h.Protocol()) && h.Frag()&(hdr.MoreFragments|hdr.FragOffset) == 0 && b.End() >= int(b.L4)+4 {
		ports = b.UDP().Ports()
	}
	return flowHash(h.Src(), h.Dst(), h.Protocol(), ports)
}

// ICMPError is what Meta holds towards icmp4-error.
var ICMPError = icmpError

// The options that a fragment behind the first carries.
var CopyOptions = copyOptions
