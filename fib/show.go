package fib

import (
	"cmp"
	"iter"
	"maps"
	"net/netip"
	"slices"

	"github.com/skein-dataplane/skein/hdr"
)

// An Entry is a route as it is shown.
type Entry struct {
	Route Route
	// Best: of the routes to this prefix, this is the one in force.
	Best bool
	// Adjs are the adjacencies it came to in the table of the last Commit, for
	// Table4.Describe. There are none if all its links are down.
	Adjs []uint32
}

// Routes returns all routes, ordered by address, length and preference.
func (r *RIB4) Routes() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for p, v := range r.routes.AllSorted4() {
			if !r.yieldAll(p, v, yield) {
				return
			}
		}
	}
}

func (r *RIB4) yieldAll(p netip.Prefix, v uint32, yield func(Entry) bool) bool {
	found := false
	for _, w := range append([]uint32(nil), r.ways.of(v)...) {
		e := r.entry(p, w)
		e.Best = !found && r.lists.all[r.ways.all[w].list].alive
		found = found || e.Best
		if !yield(e) {
			return false
		}
	}
	return true
}

// Lookup returns the route that packets to a take; false if there is none.
// Host routes to neighbors are as of the last Commit.
func (r *RIB4) Lookup(a netip.Addr) (Entry, bool) {
	if !a.Is4() {
		return Entry{}, false
	}
	for p, v := range r.routes.Supernets(netip.PrefixFrom(a, 32)) {
		var best Entry
		r.yieldAll(p, v, func(e Entry) bool {
			best = e
			return !e.Best
		})
		if best.Best {
			return best, true
		}
	}
	return Entry{}, false
}

// Len returns the number of prefixes that have a route.
func (r *RIB4) Len() int { return r.routes.Size() }

func (r *RIB4) entry(p netip.Prefix, w uint32) Entry {
	way := r.ways.all[w]
	l := &r.lists.all[way.list]
	e := Entry{Route: Route{Prefix: p, Type: l.typ, Source: way.source, Metric: way.metric}}
	for _, x := range l.paths {
		n := NextHop{Iface: x.iface, Weight: x.weight}
		ownHop := x.iface != NoIface && p.Bits() == 32 && x.via == addrOf(p)
		if x.via != 0 && !ownHop {
			n.Via = x.via.Addr()
		}
		e.Route.NextHops = append(e.Route.NextHops, n)
	}
	for _, h := range l.hops {
		e.Adjs = append(e.Adjs, h.adj)
	}
	return e
}

// A Neighbor is a next hop whose link address is known.
type Neighbor struct {
	Iface uint32
	Addr  netip.Addr
	MAC   hdr.MAC
}

// Neighbors returns all neighbors, ordered by interface and address.
func (r *RIB4) Neighbors() iter.Seq[Neighbor] {
	return func(yield func(Neighbor) bool) {
		keys := slices.SortedFunc(maps.Keys(r.neighbors.all), func(a, b neighborKey) int {
			return cmp.Or(cmp.Compare(a.iface, b.iface), cmp.Compare(a.addr, b.addr))
		})
		for _, k := range keys {
			if !yield(Neighbor{k.iface, k.addr.Addr(), r.neighbors.all[k].mac}) {
				return
			}
		}
	}
}
