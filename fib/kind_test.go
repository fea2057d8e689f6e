package fib_test

import (
	"net/netip"

	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/hdr"
)

// A kind is what tests have to know of a family to be written once for both.
type kind[A fib.Address, T fib.Table4 | fib.Table6] struct {
	bits      int
	etherType uint16
	lengths   []int // of prefixes, in random changes
	newRIB    func() *fib.RIB[A, T]
	from      func(netip.Addr) A
	addr      func(b int) netip.Addr // one of 256, close to each other

	// What benchmarks look up.
	routes   func(n int) []fib.Route
	hop      func(i int) netip.Addr
	anywhere func([]fib.Route) []A
	nowhere  A // an address that none of these routes has
	worst    map[string]func() []fib.Route

	lookup       func(t *T, a probe, hash uint32) uint32
	lookupVector func(t *T, dst []A, hash, adj []uint32)
	adj          func(t *T, i uint32) *fib.Adj
	via          func(t *T, i uint32) netip.Addr
	describe     func(t *T, i uint32) string
}

var ip4 = &kind[hdr.Addr4, fib.Table4]{
	bits: 32, etherType: hdr.TypeIPv4,
	lengths: []int{0, 1, 7, 8, 9, 12, 15, 16, 17, 20, 23, 24, 25, 28, 31, 32},
	newRIB:  fib.NewRIB4,
	from:    hdr.Addr4From,
	addr: func(b int) netip.Addr {
		at := [4]byte{0, 1, 127, 255}
		return netip.AddrFrom4([4]byte{10, at[b&3], at[b>>2&3], at[b>>4&3]})
	},
	routes: routes4, hop: via4, anywhere: anywhere4, nowhere: 0xf0000001,
	worst: map[string]func() []fib.Route{
		"hosts": func() []fib.Route { // a page of the third level for every packet
			routes := routes4(100_000)
			for i, r := range routes {
				routes[i].Prefix = netip.PrefixFrom(r.Prefix.Addr(), 32)
			}
			return routes
		},
	},
	lookup:       func(t *fib.Table4, a probe, hash uint32) uint32 { return t.Lookup(hdr.Addr4From(a.addr), hash) },
	lookupVector: (*fib.Table4).LookupVector,
	adj:          (*fib.Table4).Adj,
	via:          func(t *fib.Table4, i uint32) netip.Addr { return t.Adj(i).Via.Addr() },
	describe:     func(t *fib.Table4, i uint32) string { return t.Describe(i, nil) },
}

var ip6 = &kind[hdr.Addr6, fib.Table6]{
	bits: 128, etherType: hdr.TypeIPv6,
	lengths: []int{0, 1, 15, 16, 17, 29, 32, 33, 40, 44, 48, 49, 56, 63, 64, 65, 72, 96, 112, 120, 121, 127, 128},
	newRIB:  fib.NewRIB6,
	from:    hdr.Addr6From,
	addr: func(b int) netip.Addr {
		at := [4]byte{0, 1, 127, 255}
		if b >= 0xe8 {
			return hdr.Addr6{Hi: hdr.LinkLocalHi, Lo: uint64(at[b&3])<<56 | uint64(1+b>>2&1)}.Addr()
		}
		x, y, z := uint64(at[b&3]), uint64(at[b>>2&3]), uint64(at[b>>4&3])
		a := hdr.Addr6{Hi: 0x20010db8<<32 | x<<24 | y, Lo: z}
		if b&0x80 != 0 {
			a.Lo = y<<56 | z<<8
		}
		return a.Addr()
	},
	routes: routes6, hop: via6, anywhere: anywhere6, nowhere: hdr.Addr6{Hi: 0x4000 << 48},
	worst: map[string]func() []fib.Route{
		"spread":  func() []fib.Route { return spread6(1_000_000) },
		"pods":    func() []fib.Route { return pods6(100_000) },
		"fewpods": func() []fib.Route { return pods6(100) },
	},
	lookup: func(t *fib.Table6, a probe, hash uint32) uint32 {
		if isLinkLocal(a.addr) {
			return t.LookupLink(a.link, hdr.Addr6From(a.addr), hash)
		}
		return t.Lookup(hdr.Addr6From(a.addr), hash)
	},
	lookupVector: (*fib.Table6).LookupVector,
	adj:          (*fib.Table6).Adj,
	via:          func(t *fib.Table6, i uint32) netip.Addr { return t.Via(i).Addr() },
	describe:     func(t *fib.Table6, i uint32) string { return t.Describe(i, nil) },
}
