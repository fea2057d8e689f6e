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
	rib := newRIB(t)
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
type watcher struct {
	dst    []hdr.Addr4
	hash   []uint32
	tables []*fib.Table4
	said   [][]uint32
}

func (w *watcher) add(table *fib.Table4) {
	adj := make([]uint32, len(w.dst))
	table.LookupVector(w.dst, w.hash, adj)
	w.tables, w.said = append(w.tables, table), append(w.said, adj)
}

func (w *watcher) check(t *testing.T) {
	adj := make([]uint32, len(w.dst))
	for i, table := range w.tables {
		table.LookupVector(w.dst, w.hash, adj)
		if !slices.Equal(adj, w.said[i]) {
			t.Errorf("old table %d of %d has changed", i, len(w.tables))
		}
	}
}

// Through many commits the table stays right, old tables stay as they were,
// and garbage stays within its bound. With -race, this also shows that the
// writer never writes where a reader may look.
func TestManyCommits(t *testing.T) {
	routes := randomRoutes(20_000)
	rib, now := load(t, routes[:10_000])
	in := make([]bool, len(routes))
	for i := range 10_000 {
		in[i] = true
	}
	rng := rand.New(rand.NewPCG(5, 6))
	w := watcher{dst: routed(routes)[:2048], hash: hashes()[:2048]}
	var readers sync.WaitGroup
	for round := range 300 {
		if round%30 == 0 {
			w.add(now)
			seen := w // the tables so far, read while others are written
			readers.Go(func() { seen.check(t) })
		}
		for range 20 {
			i := rng.IntN(len(routes))
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

	var rest []fib.Route
	for i := range routes {
		if in[i] {
			rest = append(rest, routes[i])
		}
	}
	_, anew := load(t, rest)
	for i, r := range routes {
		a := hdr.Addr4From(r.Prefix.Addr())
		got, want := now.Describe(now.Lookup(a, 0), nil), anew.Describe(anew.Lookup(a, 0), nil)
		if got != want {
			t.Fatalf("%v (%v) goes %q, in a table made anew %q", a, in[i], got, want)
		}
	}
	must(t, rib.Delete(rest...))
	rib.Commit()
	if left := rib.Leftovers(); left != "" {
		t.Error(left)
	}
}
