package fib_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/hdr"
)

// Slabs are let go when all their pages are garbage, and their numbers are
// used again.
func TestAllGarbage(t *testing.T) {
	rib := ip4.withLinks(t)
	for _, n := range []int{384, 128, 128, 1, 384, 383, 64, 129, 400} {
		var routes []fib.Route
		for i := range n {
			routes = append(routes, fib.Route{
				Prefix: netip.PrefixFrom(hdr.Addr4(i<<16).Addr(), 24),
				Type:   fib.TypeLocal, Source: fib.SourceStatic,
			})
		}
		must(t, rib.Add(routes...))
		table := rib.Commit()
		for i := range n {
			if table.Adj(table.Lookup(hdr.Addr4(i<<16), 0)).Kind != fib.Local {
				t.Fatalf("route %d of %d is not there", i, n)
			}
		}
		must(t, rib.Delete(routes...))
		rib.Commit()
		if why := rib.Fault(); why != "" {
			t.Fatal(why)
		}
	}
}

// A watcher looks up the same packets in many tables, and expects of each
// what it said when it was new.
type watcher[A fib.Address, T fib.Table4 | fib.Table6] struct {
	*kind[A, T]
	dst    []A
	hash   []uint32
	tables []*T
	said   [][]uint32
}

func (w *watcher[A, T]) add(table *T) {
	adj := make([]uint32, len(w.dst))
	w.lookupVector(table, w.dst, w.hash, adj)
	w.tables, w.said = append(w.tables, table), append(w.said, adj)
}

func (w *watcher[A, T]) check(t *testing.T) {
	adj := make([]uint32, len(w.dst))
	for i, table := range w.tables {
		w.lookupVector(table, w.dst, w.hash, adj)
		if !slices.Equal(adj, w.said[i]) {
			t.Errorf("old table %d of %d has changed", i, len(w.tables))
		}
	}
}

// Through many commits the table stays right, old tables stay as they were,
// and garbage stays within its bound. With -race, this also shows that the
// writer never writes where a reader may look.
func TestManyCommits(t *testing.T) {
	t.Run("IPv4", func(t *testing.T) { testManyCommits(t, ip4, routes4(20_000), 300, 20) })
	t.Run("IPv6", func(t *testing.T) { testManyCommits(t, ip6, routes6(20_000), 300, 60) })
	t.Run("pods", func(t *testing.T) { testManyCommits(t, ip6, pods6(10_000), 100, 500) })
	t.Run("spread", func(t *testing.T) { testManyCommits(t, ip6, spread6(10_000), 100, 60) })
	t.Run("links", func(t *testing.T) { testManyCommits(t, ip6, links6(10_000), 100, 500) })
}

// links6 are routes to neighbors on many links.
func links6(n int) (out []fib.Route) {
	for i := range n {
		a := hdr.Addr6{Hi: hdr.LinkLocalHi, Lo: uint64(i / 100 * 0x1234567)}
		out = append(out, fib.Route{
			Prefix: netip.PrefixFrom(a.Addr(), 128), Link: uint32(1 + i%100),
			Type: fib.TypeLocal, Source: fib.SourceStatic,
		})
	}
	return out
}

func testManyCommits[A fib.Address, T fib.Table4 | fib.Table6](t *testing.T, k *kind[A, T], routes []fib.Route, rounds, each int) {
	n := len(routes)
	rib, now := k.load(t, routes[:n/2])
	in := make([]bool, n)
	for i := range n / 2 {
		in[i] = true
	}
	rng := rand.New(rand.NewPCG(5, 6))
	w := watcher[A, T]{kind: k, dst: k.routed(routes)[:2048], hash: hashes()[:2048]}
	var readers sync.WaitGroup
	for round := range rounds {
		if round%30 == 0 {
			w.add(now)
			seen := w // the tables so far, read while others are written
			readers.Go(func() { seen.check(t) })
		}
		for range each {
			i := rng.IntN(n)
			if in[i] {
				must(t, rib.Delete(routes[i]))
			} else {
				must(t, rib.Add(routes[i]))
			}
			in[i] = !in[i]
		}
		now = rib.Commit()
		if why := rib.Fault(); why != "" {
			t.Fatal(why)
		}
	}
	readers.Wait()
	w.check(t)
	sameAsAnew(t, k, rib, routes, in)
}

// sameAsAnew compares the table of a RIB with one made of the same routes at
// once, and takes them all away.
func sameAsAnew[A fib.Address, T fib.Table4 | fib.Table6](t *testing.T, k *kind[A, T], rib *fib.RIB[A, T], routes []fib.Route, in []bool) {
	var rest []fib.Route
	for i := range routes {
		if in[i] {
			rest = append(rest, routes[i])
		}
	}
	now := rib.Commit()
	_, anew := k.load(t, rest)
	for i, r := range routes {
		for _, a := range []netip.Addr{r.Prefix.Addr(), lastOf(r.Prefix)} {
			got := k.describe(now, k.lookup(now, probe{a, r.Link}, 0))
			want := k.describe(anew, k.lookup(anew, probe{a, r.Link}, 0))
			if got != want {
				t.Fatalf("%v (%v) goes %q, in a table made anew %q", a, in[i], got, want)
			}
			if in[i] && got == "no route" {
				t.Fatalf("%v goes nowhere, though there is a route", a)
			}
		}
	}
	must(t, rib.Delete(rest...))
	rib.Commit()
	if left := rib.Leftovers(); left != "" {
		t.Error(left)
	}
}
