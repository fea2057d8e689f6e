package fib_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/hdr"
)

func (k *kind[A, T]) withLinks(tb testing.TB) *fib.RIB[A, T] {
	rib := k.newRIB()
	for i := uint32(1); i <= 2; i++ {
		must(tb, rib.SetIface(fib.Iface{Index: i, MTU: 1500, MAC: hdr.MAC{2, 0, 0, 0, 0, byte(i)}, Up: true}))
	}
	return rib
}

func (k *kind[A, T]) load(tb testing.TB, routes []fib.Route) (*fib.RIB[A, T], *T) {
	rib := k.withLinks(tb)
	must(tb, rib.Add(routes...))
	return rib, rib.Commit()
}

// both runs a benchmark for both families, one after the other.
func both(b *testing.B, four, six func(*testing.B)) {
	b.Run("IPv4", four)
	b.Run("IPv6", six)
}

func bench[A fib.Address, T fib.Table4 | fib.Table6](k *kind[A, T], f func(*testing.B, *kind[A, T])) func(*testing.B) {
	return func(b *testing.B) { f(b, k) }
}

type lookupFunc[A, T any] func(t *T, dst []A, hash, adj []uint32)

func lookups[A, T any](b *testing.B, lookup lookupFunc[A, T], table *T, name string, vector int, dst []A) {
	hash, adj := hashes(), make([]uint32, vector)
	b.Run(fmt.Sprintf("vector=%d/%s", vector, name), func(b *testing.B) {
		b.ReportAllocs()
		for at := 0; b.Loop(); at = (at + vector) % len(dst) {
			lookup(table, dst[at:at+vector], hash[at:at+vector], adj)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(vector), "ns/packet")
	})
}

func benchLookups[A fib.Address, T fib.Table4 | fib.Table6](b *testing.B, k *kind[A, T], lookup lookupFunc[A, T]) {
	for _, n := range []int{1, 1_000, 100_000, 1_000_000} {
		routes := k.routes(n)
		_, table := k.load(b, routes)
		runtime.GC() // what loading left is not to be swept while we measure
		name := fmt.Sprintf("routes=%d", n)
		for _, vector := range []int{1, 4, 16, 64, 256} {
			lookups(b, lookup, table, name+"/dst=any", vector, k.anywhere(routes))
		}
		lookups(b, lookup, table, name+"/dst=routed", 256, k.routed(routes))
		miss := make([]A, numDst)
		for i := range miss {
			miss[i] = k.nowhere
		}
		lookups(b, lookup, table, name+"/dst=miss", 256, miss)
	}
	for name, routes := range k.worst {
		all := routes()
		_, table := k.load(b, all)
		lookups(b, lookup, table, fmt.Sprintf("routes=%d/dst=%s", len(all), name), 256, k.routed(all))
	}
}

func BenchmarkLookup(b *testing.B) {
	both(b, func(b *testing.B) {
		benchLookups(b, ip4, func(t *fib.Table4, dst []hdr.Addr4, hash, adj []uint32) {
			for i, a := range dst {
				adj[i] = t.Lookup(a, hash[i])
			}
		})
	}, func(b *testing.B) {
		benchLookups(b, ip6, func(t *fib.Table6, dst []hdr.Addr6, hash, adj []uint32) {
			for i, a := range dst {
				adj[i] = t.Lookup(a, hash[i])
			}
		})
	})
}

func BenchmarkLookupVector(b *testing.B) {
	both(b, func(b *testing.B) { benchLookups(b, ip4, (*fib.Table4).LookupVector) },
		func(b *testing.B) { benchLookups(b, ip6, (*fib.Table6).LookupVector) })
}

// BenchmarkLoad loads a table at once, as after a restart.
func BenchmarkLoad(b *testing.B) { both(b, bench(ip4, benchLoad), bench(ip6, benchLoad)) }

func benchLoad[A fib.Address, T fib.Table4 | fib.Table6](b *testing.B, k *kind[A, T]) {
	for _, n := range []int{1_000, 1_000_000} {
		routes := k.routes(n)
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			for b.Loop() {
				k.load(b, routes)
			}
			b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds(), "routes/s")
		})
	}
}

// BenchmarkUpdate adds or deletes one route and commits.
func BenchmarkUpdate(b *testing.B) { both(b, bench(ip4, benchUpdate), bench(ip6, benchUpdate)) }

func benchUpdate[A fib.Address, T fib.Table4 | fib.Table6](b *testing.B, k *kind[A, T]) {
	for _, n := range []int{1_000, 1_000_000} {
		routes := k.routes(n + n/10)
		rib, _ := k.load(b, routes[:n])
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			add, i := true, n
			for b.Loop() {
				update(b, rib, routes[i], add)
				if i++; i == len(routes) {
					i, add = n, !add
				}
			}
			for ; !add && i < len(routes); i++ { // as it was, for the next run
				update(b, rib, routes[i], false)
			}
			for ; add && i > n; i-- {
				update(b, rib, routes[i-1], false)
			}
		})
	}
}

func update[A fib.Address, T fib.Table4 | fib.Table6](b *testing.B, rib *fib.RIB[A, T], route fib.Route, add bool) {
	change := rib.Delete
	if add {
		change = rib.Add
	}
	must(b, change(route))
	rib.Commit()
}

// BenchmarkDefault changes the way of the default route, and commits.
func BenchmarkDefault(b *testing.B) { both(b, bench(ip4, benchDefault), bench(ip6, benchDefault)) }

func benchDefault[A fib.Address, T fib.Table4 | fib.Table6](b *testing.B, k *kind[A, T]) {
	for _, n := range []int{1_000, 1_000_000} {
		rib, _ := k.load(b, k.routes(n))
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				var none A
				must(b, rib.Add(fib.Route{
					Prefix: netip.PrefixFrom(none.Addr(), 0), Type: fib.TypeUnicast, Source: fib.SourceHost,
					NextHops: []fib.NextHop{{Iface: uint32(1 + i&1), Via: k.hop(3)}},
				}))
				rib.Commit()
			}
		})
	}
}

// BenchmarkNeighbor makes a neighbor known or unknown that a route uses, and
// commits.
func BenchmarkNeighbor(b *testing.B) { both(b, bench(ip4, benchNeighbor), bench(ip6, benchNeighbor)) }

func benchNeighbor[A fib.Address, T fib.Table4 | fib.Table6](b *testing.B, k *kind[A, T]) {
	for _, n := range []int{1_000, 1_000_000} {
		rib, _ := k.load(b, k.routes(n))
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				must(b, rib.SetNeighbor(2, k.hop(1), hdr.MAC{2, byte(i)}))
				rib.Commit()
			}
		})
	}
}

// BenchmarkIface takes an interface that half the routes use down or up, and
// commits: the most that one change can ask for.
func BenchmarkIface(b *testing.B) { both(b, bench(ip4, benchIface), bench(ip6, benchIface)) }

func benchIface[A fib.Address, T fib.Table4 | fib.Table6](b *testing.B, k *kind[A, T]) {
	for _, n := range []int{1_000, 1_000_000} {
		rib, _ := k.load(b, k.routes(n))
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
		rib := ip4.withLinks(b)
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
					NextHops: []fib.NextHop{{Iface: 1, Via: via4(i & 1)}},
				}))
				rib.Commit()
			}
		})
	}
}

// BenchmarkMemory reports what a table and its RIB keep in memory.
func BenchmarkMemory(b *testing.B) { both(b, bench(ip4, benchMemory), bench(ip6, benchMemory)) }

func benchMemory[A fib.Address, T fib.Table4 | fib.Table6](b *testing.B, k *kind[A, T]) {
	for _, n := range []int{1, 1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) { k.memory(b, k.routes(n)) })
	}
	for name, routes := range k.worst {
		b.Run(name, func(b *testing.B) { k.memory(b, routes()) })
	}
}

func (k *kind[A, T]) memory(b *testing.B, routes []fib.Route) {
	before := heap()
	rib, table := k.load(b, routes)
	all := heap() - before
	blocks, _ := rib.Pages()
	runtime.KeepAlive(rib)
	rib = nil
	alone := heap() - before
	for b.Loop() {
		k.adj(table, 0)
	}
	runtime.KeepAlive(routes)
	b.ReportMetric(float64(alone)/(1<<20), "table-MiB")
	b.ReportMetric(float64(all-alone)/(1<<20), "rib-MiB")
	b.ReportMetric(float64(blocks), "blocks")
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
