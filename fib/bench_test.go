package fib_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"

	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/hdr"
)

// lengthShare is how many in a thousand prefixes have each length, after the
// global IPv4 table (CIDR report): mostly /24, then /22, /23, /20, /16. A few
// host routes, as pods have them, stand for what a node adds.
var lengthShare = [33]int{
	8: 1, 9: 1, 10: 1, 11: 1, 12: 2, 13: 2, 14: 2, 15: 3, 16: 14, 17: 9, 18: 15,
	19: 26, 20: 45, 21: 52, 22: 114, 23: 102, 24: 600, 25: 1, 26: 1, 27: 1, 28: 1, 29: 1, 30: 1, 32: 4,
}

// randomRoutes returns n routes to distinct random prefixes in 1.0.0.0 to
// 223.255.255.255, over 16 next hops.
func randomRoutes(n int) []fib.Route {
	var lengths []int
	for length, share := range lengthShare {
		for range share {
			lengths = append(lengths, length)
		}
	}
	hops := make([][]fib.NextHop, 16)
	for i := range hops {
		hops[i] = []fib.NextHop{{Iface: uint32(i%2) + 1, Via: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})}}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	seen := make(map[netip.Prefix]bool, n)
	routes := make([]fib.Route, 0, n)
	for len(routes) < n {
		a := hdr.Addr4(1<<24 + rng.Uint32N(223<<24))
		p := netip.PrefixFrom(a.Addr(), lengths[rng.IntN(len(lengths))]).Masked()
		if seen[p] {
			continue
		}
		seen[p] = true
		routes = append(routes, fib.Route{Prefix: p, Type: fib.TypeUnicast, Source: fib.SourceBGP, NextHops: hops[rng.IntN(16)]})
	}
	return routes
}

func newRIB(tb testing.TB) *fib.RIB4 {
	rib := fib.NewRIB4()
	for i := uint32(1); i <= 2; i++ {
		if err := rib.SetIface(fib.Iface{Index: i, MTU: 1500, MAC: hdr.MAC{2, 0, 0, 0, 0, byte(i)}, Up: true}); err != nil {
			tb.Fatal(err)
		}
	}
	return rib
}

func load(tb testing.TB, routes []fib.Route) (*fib.RIB4, *fib.Table4) {
	rib := newRIB(tb)
	if err := rib.Add(routes...); err != nil {
		tb.Fatal(err)
	}
	return rib, rib.Commit()
}

var sizes = []int{1, 1_000, 100_000, 1_000_000}

// destinations returns random ones, few enough to leave the caches to the
// table.
func destinations() (dst []hdr.Addr4, hash []uint32) {
	rng := rand.New(rand.NewPCG(3, 4))
	dst, hash = make([]hdr.Addr4, 1<<16), make([]uint32, 1<<16)
	for i := range dst {
		dst[i], hash[i] = hdr.Addr4(1<<24+rng.Uint32N(223<<24)), rng.Uint32()
	}
	return dst, hash
}

func benchmarkLookups(b *testing.B, lookup func(t *fib.Table4, dst []hdr.Addr4, hash, adj []uint32)) {
	dst, hash := destinations()
	for _, routes := range sizes {
		_, table := load(b, randomRoutes(routes))
		for _, vector := range []int{1, 4, 16, 64, 256} {
			b.Run(fmt.Sprintf("vector=%d/routes=%d", vector, routes), func(b *testing.B) {
				adj := make([]uint32, vector)
				b.ReportAllocs()
				for at := 0; b.Loop(); at = (at + vector) % len(dst) {
					lookup(table, dst[at:at+vector], hash[at:at+vector], adj)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(vector), "ns/packet")
			})
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	benchmarkLookups(b, func(t *fib.Table4, dst []hdr.Addr4, hash, adj []uint32) {
		for i, a := range dst {
			adj[i] = t.Lookup(a, hash[i])
		}
	})
}

func BenchmarkLookupVector(b *testing.B) {
	benchmarkLookups(b, (*fib.Table4).LookupVector)
}

// BenchmarkLoad loads a table at once, as after a restart.
func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		routes := randomRoutes(n)
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			for b.Loop() {
				load(b, routes)
			}
			b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds(), "routes/s")
		})
	}
}

// BenchmarkUpdate adds or deletes one route and commits.
func BenchmarkUpdate(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		routes := randomRoutes(n + n/10)
		rib, _ := load(b, routes[:n])
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			add, i := true, n
			for b.Loop() {
				update(b, rib, routes[i], add)
				if i++; i == len(routes) {
					i, add = n, !add
				}
			}
			for ; !add && i < len(routes); i++ {
				update(b, rib, routes[i], false)
			}
		})
	}
}

func update(b *testing.B, rib *fib.RIB4, route fib.Route, add bool) {
	change := rib.Delete
	if add {
		change = rib.Add
	}
	if err := change(route); err != nil {
		b.Fatal(err)
	}
	rib.Commit()
}

// BenchmarkMemory reports what a table and its RIB keep in memory.
func BenchmarkMemory(b *testing.B) {
	for _, n := range []int{1, 1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			routes := randomRoutes(n)
			before := heap()
			rib, table := load(b, routes)
			both := heap() - before
			pages, _ := rib.Pages()
			runtime.KeepAlive(rib)
			rib = nil
			alone := heap() - before
			for b.Loop() {
				table.Lookup(0, 0)
			}
			runtime.KeepAlive(routes)
			b.ReportMetric(float64(alone)/(1<<20), "table-MiB")
			b.ReportMetric(float64(both-alone)/(1<<20), "rib-MiB")
			b.ReportMetric(float64(pages), "pages")
		})
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
