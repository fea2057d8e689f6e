package fib_test

import (
	"math/rand/v2"
	"net/netip"

	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/hdr"
)

// lengthShare4 is how many in a thousand prefixes have each length, after the
// global IPv4 table (CIDR report): mostly /24, then /22, /23, /20, /16. A few
// host routes, as pods have them, stand for what a node adds.
var lengthShare4 = map[int]int{
	8: 1, 9: 1, 10: 1, 11: 1, 12: 2, 13: 2, 14: 2, 15: 3, 16: 14, 17: 9, 18: 15,
	19: 26, 20: 45, 21: 52, 22: 114, 23: 102, 24: 600, 25: 1, 26: 1, 27: 1, 28: 1, 29: 1, 30: 1, 32: 4,
}

// lengthShare6 is the same of the global IPv6 table: nearly half are /48, then
// /32, /40, /44, /36, /29.
var lengthShare6 = map[int]int{
	20: 1, 24: 1, 28: 8, 29: 42, 30: 6, 31: 3, 32: 115, 33: 18, 34: 16, 35: 6, 36: 58, 37: 4, 38: 9, 39: 5,
	40: 112, 41: 5, 42: 24, 43: 6, 44: 100, 45: 9, 46: 27, 47: 22, 48: 386, 56: 3, 64: 10, 128: 4,
}

func lengths(share map[int]int) (out []int) {
	for length := range 129 {
		for range share[length] {
			out = append(out, length)
		}
	}
	return out
}

// randomRoutes returns n routes to distinct prefixes that draw returns, over 16
// next hops.
func randomRoutes(n int, via func(i int) netip.Addr, draw func(*rand.Rand) netip.Prefix) []fib.Route {
	hops := make([][]fib.NextHop, 16)
	for i := range hops {
		hops[i] = []fib.NextHop{{Iface: uint32(i%2) + 1, Via: via(i)}}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	seen := make(map[netip.Prefix]bool, n)
	routes := make([]fib.Route, 0, n)
	for len(routes) < n {
		p := draw(rng).Masked()
		if seen[p] {
			continue
		}
		seen[p] = true
		routes = append(routes, fib.Route{Prefix: p, Type: fib.TypeUnicast, Source: fib.SourceBGP, NextHops: hops[rng.IntN(16)]})
	}
	return routes
}

func via4(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}) }
func via6(i int) netip.Addr { return hdr.Addr6{Hi: hdr.LinkLocalHi, Lo: uint64(i + 1)}.Addr() }

// routes4 are anywhere in 1.0.0.0 to 223.255.255.255.
func routes4(n int) []fib.Route {
	all := lengths(lengthShare4)
	return randomRoutes(n, via4, func(rng *rand.Rand) netip.Prefix {
		return netip.PrefixFrom(hdr.Addr4(1<<24+rng.Uint32N(223<<24)).Addr(), all[rng.IntN(len(all))])
	})
}

// blocks6 are what the registries give out of (IANA, IPv6 Global Unicast
// Address Assignments), as upper words, and how many in a hundred routes are of
// each.
var blocks6 = []struct {
	hi    uint64
	bits  int
	share int
}{
	{0x2001 << 48, 16, 12}, {0x2400 << 48, 12, 28}, {0x2600 << 48, 12, 18}, {0x2620 << 48, 23, 3},
	{0x2800 << 48, 12, 12}, {0x2a00 << 48, 12, 25}, {0x2c00 << 48, 12, 2},
}

// routes6 are as those of the global table: registries give out a /32 in each
// /29, one after the other, and those who have them number their networks from
// below, some of them many more than others.
func routes6(n int) []fib.Route {
	all := lengths(lengthShare6)
	given := uint64(n/6 + 1)
	return randomRoutes(n, via6, func(rng *rand.Rand) netip.Prefix {
		k, percent := 0, rng.IntN(100)
		for percent >= blocks6[k].share {
			percent -= blocks6[k].share
			k++
		}
		b, length := blocks6[k], all[rng.IntN(len(all))]
		room := min(given*uint64(b.share)/100+1, 1<<(29-b.bits))
		which := rng.Uint64N(room)
		if length > 32 { // more of those who have many
			which = which * rng.Uint64N(room) / room
		}
		a := hdr.Addr6{Hi: b.hi | which<<35, Lo: rng.Uint64()}
		if length > 32 {
			net := rng.Uint64() >> 32
			if rng.IntN(2) == 0 {
				net >>= rng.IntN(16)
			}
			a.Hi |= net
		} else if length > 29 {
			a.Hi |= rng.Uint64N(8) << 32
		}
		return netip.PrefixFrom(a.Addr(), length)
	})
}

// spread6 are anywhere in 2000::/3: nothing is close to anything.
func spread6(n int) []fib.Route {
	all := lengths(lengthShare6)
	return randomRoutes(n, via6, func(rng *rand.Rand) netip.Prefix {
		a := hdr.Addr6{Hi: 1<<61 | rng.Uint64()>>3, Lo: rng.Uint64()}
		return netip.PrefixFrom(a.Addr(), all[rng.IntN(len(all))])
	})
}

// pods6 are the addresses of pods: in the /64 of one node one after the other.
func pods6(n int) []fib.Route {
	return randomRoutes(n, via6, func(rng *rand.Rand) netip.Prefix {
		return netip.PrefixFrom(hdr.Addr6{Hi: 0xfd00_0010_0244_0001, Lo: rng.Uint64N(uint64(2 * n))}.Addr(), 128)
	})
}

const numDst = 1 << 16 // few enough to leave the caches to the table

// routed returns destinations that have a route.
func (k *kind[A, T]) routed(routes []fib.Route) []A { return routed(routes, k.from) }

func routed[A fib.Address](routes []fib.Route, from func(netip.Addr) A) []A {
	rng := rand.New(rand.NewPCG(5, 6))
	dst := make([]A, numDst)
	for i := range dst {
		dst[i] = from(within(rng, routes[rng.IntN(len(routes))].Prefix))
	}
	return dst
}

// within returns a random address of p.
func within(rng *rand.Rand, p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := range b {
		b[i] |= byte(rng.Uint32()) & byte(0xff>>min(8, max(0, p.Bits()-8*i)))
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// anywhere4 returns random destinations: some have a route, some have none.
func anywhere4([]fib.Route) []hdr.Addr4 {
	rng := rand.New(rand.NewPCG(3, 4))
	dst := make([]hdr.Addr4, numDst)
	for i := range dst {
		dst[i] = hdr.Addr4(1<<24 + rng.Uint32N(223<<24))
	}
	return dst
}

// anywhere6 returns random destinations in the /32s that have a route: most
// have one.
func anywhere6(routes []fib.Route) []hdr.Addr6 {
	rng := rand.New(rand.NewPCG(3, 4))
	dst := routed(routes, hdr.Addr6From)
	for i := range dst {
		dst[i].Hi = dst[i].Hi>>32<<32 | uint64(rng.Uint32())
	}
	return dst
}

func hashes() []uint32 {
	rng := rand.New(rand.NewPCG(7, 8))
	hash := make([]uint32, numDst)
	for i := range hash {
		hash[i] = rng.Uint32()
	}
	return hash
}
