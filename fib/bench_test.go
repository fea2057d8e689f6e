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

const numDst = 1 << 16 // few enough to leave the caches to the table

// anywhere returns random destinations: some have a route, some have none.
func anywhere([]fib.Route) []hdr.Addr4 {
	rng := rand.New(rand.NewPCG(3, 4))
	dst := make([]hdr.Addr4, numDst)
	for i := range dst {
		dst[i] = hdr.Addr4(1<<24 + rng.Uint32N(223<<24))
	}
	return dst
}

// routed returns destinations that have a route.
func routed(routes []fib.Route) []hdr.Addr4 {
	rng := rand.New(rand.NewPCG(5, 6))
	dst := make([]hdr.Addr4, numDst)
	for i := range dst {
		p := routes[rng.IntN(len(routes))].Prefix
		dst[i] = hdr.Addr4From(p.Addr()) | hdr.Addr4(uint64(rng.Uint32())>>p.Bits())
	}
	return dst
}

// nowhere returns destinations that no route can have.
func nowhere([]fib.Route) []hdr.Addr4 {
	dst := anywhere(nil)
	for i := range dst {
		dst[i] |= 0xf0000000
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

type lookupFunc func(t *fib.Table4, dst []hdr.Addr4, hash, adj []uint32)

func benchmarkLookup(b *testing.B, lookup lookupFunc, table *fib.Table4, name string, vector int, dst []hdr.Addr4) {
	hash, adj := hashes(), make([]uint32, vector)
	b.Run(fmt.Sprintf("vector=%d/%s", vector, name), func(b *testing.B) {
		b.ReportAllocs()
		for at := 0; b.Loop(); at = (at + vector) % len(dst) {
			lookup(table, dst[at:at+vector], hash[at:at+vector], adj)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(vector), "ns/packet")
	})
}

func benchmarkLookups(b *testing.B, lookup lookupFunc) {
	for _, n := range []int{1, 1_000, 100_000, 1_000_000} {
		routes := randomRoutes(n)
		_, table := load(b, routes)
		runtime.GC() // what loading left is not to be swept while we measure
		for _, vector := range []int{1, 4, 16, 64, 256} {
			benchmarkLookup(b, lookup, table, fmt.Sprintf("routes=%d/dst=any", n), vector, anywhere(routes))
		}
		benchmarkLookup(b, lookup, table, fmt.Sprintf("routes=%d/dst=routed", n), 256, routed(routes))
		benchmarkLookup(b, lookup, table, fmt.Sprintf("routes=%d/dst=miss", n), 256, nowhere(routes))
	}
	// The worst: a page of the third level for every packet.
	routes := randomRoutes(100_000)
	for i, r := range routes {
		routes[i].Prefix = netip.PrefixFrom(r.Prefix.Addr(), 32)
	}
	_, table := load(b, routes)
	benchmarkLookup(b, lookup, table, "routes=100000/dst=hosts", 256, routed(routes))
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

// BenchmarkNeighbor makes a neighbor known or unknown that a route uses, and
// commits.
func BenchmarkNeighbor(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		rib, _ := load(b, randomRoutes(n))
		via := netip.MustParseAddr("192.0.2.2")
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				must(b, rib.SetNeighbor(2, via, hdr.MAC{2, byte(i)}))
				rib.Commit()
			}
		})
	}
}

// BenchmarkIface takes an interface that half the routes use down or up, and
// commits: the most that one change can ask for.
func BenchmarkIface(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		rib, _ := load(b, randomRoutes(n))
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				must(b, rib.SetIface(fib.Iface{Index: 1, MTU: 1500, MAC: hdr.MAC{2, 0, 0, 0, 0, 1}, Up: i&1 == 1}))
				rib.Commit()
			}
		})
	}
}

// BenchmarkRecursive moves the route that n recursive next hops go by.
func BenchmarkRecursive(b *testing.B) {
	for _, n := range []int{16, 10_000} {
		rib := newRIB(b)
		for i := range n {
			must(b, rib.Add(fib.Route{
				Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24),
				Type:   fib.TypeUnicast, Source: fib.SourceBGP,
				NextHops: []fib.NextHop{{Via: netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)})}},
			}))
		}
		b.Run(fmt.Sprintf("nexthops=%d", n), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				must(b, rib.Add(fib.Route{
					Prefix: netip.MustParsePrefix("172.16.0.0/12"), Type: fib.TypeUnicast, Source: fib.SourceStatic,
					NextHops: []fib.NextHop{{Iface: 1, Via: netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i&1)})}},
				}))
				rib.Commit()
			}
		})
	}
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
