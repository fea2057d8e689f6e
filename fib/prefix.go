package fib

import (
	"net/netip"

	"github.com/skein-dataplane/skein/hdr"
)

// A prefix is that of a route as tries have it. That of a link-local route is
// in the scope of its link.
type prefix[A Address] struct {
	addr A
	bits uint8
}

func (p prefix[A]) netip() netip.Prefix { return netip.PrefixFrom(p.addr.Addr(), int(p.bits)) }

// linkBits is the length of the one prefix that all link-local addresses have
// (RFC 4291, section 2.5.6).
const linkBits = 64

// allLinksPrefix has what inScope makes of them.
var allLinksPrefix = netip.PrefixFrom(hdr.Addr6{Hi: hdr.LinkLocalHi}.Addr(), 32)

var onLinkPrefix = netip.PrefixFrom(hdr.Addr6{Hi: hdr.LinkLocalHi}.Addr(), linkBits)

// isLinkLocal reports whether a is in fe80::/10. IPv4 has no such scope here:
// 169.254.0.0/16 is routed as any other prefix.
func isLinkLocal(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

// inScope returns a prefix of link-local addresses with the number of the
// interface where such addresses have zeros, so that those of different links
// lie side by side. Other prefixes come back as they are.
//
//	fe80::1/128 on interface 5: fe80:0:0:5::1/128
func inScope(p netip.Prefix, iface uint32) netip.Prefix {
	if !isLinkLocal(p.Addr()) || p.Bits() < linkBits {
		return p
	}
	a := hdr.Addr6From(p.Addr())
	a.Hi = hdr.LinkLocalHi | uint64(iface)
	return netip.PrefixFrom(a.Addr(), p.Bits())
}

// outOfScope undoes inScope, and returns the interface, or NoIface.
func outOfScope(p netip.Prefix) (netip.Prefix, uint32) {
	if !isLinkLocal(p.Addr()) || p.Bits() < linkBits {
		return p, NoIface
	}
	a := hdr.Addr6From(p.Addr())
	link := uint32(a.Hi)
	a.Hi = hdr.LinkLocalHi
	return netip.PrefixFrom(a.Addr(), p.Bits()), link
}
