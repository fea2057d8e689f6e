package fib

import (
	"net/netip"

	"github.com/skein-dataplane/skein/hdr"
)

// A prefix4 is an IPv4 prefix in one word: the address above the length, so
// that sorting brings a prefix before all that lie within it.
type prefix4 uint64

func packPrefix(p netip.Prefix) prefix4 {
	return prefix4(hdr.Addr4From(p.Addr()))<<8 | prefix4(p.Bits())
}

func hostPrefix(a hdr.Addr4) prefix4 { return prefix4(a)<<8 | 32 }

func (p prefix4) addr() uint32 { return uint32(p >> 8) }
func (p prefix4) bits() int    { return int(p & 0xff) }

func (p prefix4) netip() netip.Prefix {
	return netip.PrefixFrom(hdr.Addr4(p.addr()).Addr(), p.bits())
}

func addrOf(p netip.Prefix) hdr.Addr4 { return hdr.Addr4From(p.Addr()) }
