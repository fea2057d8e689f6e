package bench

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"

	"github.com/skein-dataplane/skein/drivers/mem"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/state"
)

// BenchmarkGraph6 is BenchmarkGraph for IPv6. To compare the two, run both in
// one go.
func BenchmarkGraph6(b *testing.B) {
	for _, c := range graphCases {
		b.Run(fmt.Sprintf("vector=%d/routes=%d/flows=%d", c.vector, c.routes, c.flows), func(b *testing.B) {
			table, addrs := tableOf6(b, c.routes)
			forward(b, c.vector, packets6(addrs, c.flows), func(next *state.State) { next.FIB6 = table })
		})
	}
}

// packets6 is packets for IPv6: 62 bytes of headers and 2 of payload.
func packets6(dst []hdr.Addr6, flows int) []mem.Packet {
	const size = 64
	rnd := rand.New(rand.NewPCG(3, 4))
	order := rnd.Perm(len(dst))
	out := make([]mem.Packet, flows)
	bytes := make([]byte, flows*size)
	for i := range out {
		p := bytes[i*size:][:size:size]
		(*hdr.Ether)(p).Fill(uplinkMAC, routerMAC, hdr.TypeIPv6)
		h := (*hdr.IPv6)(p[hdr.EtherLen:])
		*h = hdr.IPv6{0: 0x60, 6: hdr.ProtoUDP, 7: 64}
		h.SetPayloadLen(size - hdr.EtherLen - hdr.IPv6Len)
		h.SetSrc(hdr.Addr6{Hi: 0xfd00<<48 | uint64(rnd.Uint32N(1<<16)), Lo: uint64(rnd.Uint32())})
		h.SetDst(dst[order[i%len(order)]])
		u := (*hdr.UDP)(p[hdr.EtherLen+hdr.IPv6Len:])
		u[0], u[1], u[3] = byte(rnd.Uint32()), byte(rnd.Uint32()), 53
		u.SetLen(size - hdr.EtherLen - hdr.IPv6Len)
		out[i].Data = p
	}
	return out
}

var tables6 sync.Map // by number of routes

type made6 struct {
	table *fib.Table6
	addrs []hdr.Addr6
}

// tableOf6 is tableOf for IPv6. The prefixes lie in 2000::/12, in a hundred
// blocks of registries each, as those in use do.
func tableOf6(b *testing.B, n int) (*fib.Table6, []hdr.Addr6) {
	b.Helper()
	if m, ok := tables6.Load(n); ok {
		return m.(made6).table, m.(made6).addrs
	}
	rnd := rand.New(rand.NewPCG(1, uint64(n)))
	rib := fib.NewRIB6()
	router := netip.MustParseAddr("fe80::1")
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	must(rib.SetIface(fib.Iface{Index: 2, MTU: 1500, MAC: hdr.MAC{2, 0, 0, 0, 0, 0x11}, Up: true}))
	var routes []fib.Route
	hops := make([]fib.NextHop, 16)
	for i := range hops {
		hops[i] = fib.NextHop{Iface: 2, Via: router}
		must(rib.SetNeighbor(2, router, hdr.MAC{2, 0, 0, 0, 1, byte(i)}))
		router = router.Next()
	}
	seen := map[netip.Prefix]bool{}
	var addrs []hdr.Addr6
	for len(routes) < n {
		bits := 0
		if n > 1 {
			bits = prefixLen6(rnd)
		}
		a := hdr.Addr6{Hi: (0x2000+rnd.Uint64N(100)*2)<<48 | rnd.Uint64()>>16, Lo: rnd.Uint64()}
		p := netip.PrefixFrom(a.Addr(), bits).Masked()
		if seen[p] {
			continue
		}
		seen[p] = true
		routes = append(routes, fib.Route{Prefix: p, Type: fib.TypeUnicast, Source: fib.SourceBGP, NextHops: hops[len(routes)%16:][:1]})
		addrs = append(addrs, a)
	}
	must(rib.Add(routes...))
	m := made6{rib.Commit(), addrs}
	tables6.Store(n, m)
	return m.table, m.addrs
}

// prefixLen6 returns a length as they are spread in the Internet's table: near
// half are /48, most others end at a multiple of 4 from /29 to /44, few are
// longer.
func prefixLen6(rnd *rand.Rand) int {
	switch n := rnd.IntN(100); {
	case n < 47:
		return 48
	case n < 60:
		return 32
	case n < 72:
		return 40
	case n < 84:
		return 44
	case n < 90:
		return 36
	case n < 93:
		return 29
	case n < 96:
		return 30 + rnd.IntN(18)
	case n < 99:
		return 64
	}
	return 128
}
