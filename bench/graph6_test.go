package bench

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
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

// tableOf6 is tableOf for IPv6. The prefixes lie in 2000::/12, in a hundred
// blocks of registries each, as those in use do.
func tableOf6(b *testing.B, n int) (*fib.Table6, []hdr.Addr6) {
	b.Helper()
	return tableBy(b, &made6, n, fib.NewRIB6, "fe80::1", func(rnd *rand.Rand) (hdr.Addr6, netip.Prefix, bool) {
		bits := 0
		if n > 1 {
			bits = prefixLen6(rnd)
		}
		a := hdr.Addr6{Hi: (0x2000+rnd.Uint64N(100)*2)<<48 | rnd.Uint64()>>16, Lo: rnd.Uint64()}
		return a, netip.PrefixFrom(a.Addr(), bits).Masked(), true
	})
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
