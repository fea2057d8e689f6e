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
	// Describe of that table. There are none if all its links are down.
	Adjs []uint32
}

// Routes returns all routes, ordered by address, length and preference.
func (r *RIB[A, T]) Routes() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for p, v := range r.routes.AllSorted() {
			if !r.yieldAll(p, v, yield) {
				return
			}
		}
	}
}

func (r *RIB[A, T]) yieldAll(p netip.Prefix, v uint32, yield func(Entry) bool) bool {
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

// RoutesTo returns the routes to one prefix, best first, and those to a
// link-local prefix link by link. It costs what it returns; for a link-local
// prefix, what there is of routes within all of those.
func (r *RIB[A, T]) RoutesTo(p netip.Prefix) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		if !p.IsValid() || p != p.Masked() || !r.family.has(p.Addr()) {
			return
		}
		if !isLinkLocal(p.Addr()) {
			v, _ := r.routes.Get(p)
			r.yieldAll(p, v, yield)
			return
		}
		for q, v := range r.routes.Subnets(allLinksPrefix) {
			if bare, _ := outOfScope(q); bare == p && !r.yieldAll(q, v, yield) {
				return
			}
		}
	}
}

// Find returns the route that Add would replace: that of the same prefix, link,
// source and metric; false if there is none.
func (r *RIB[A, T]) Find(like Route) (Route, bool) {
	if !like.Prefix.IsValid() || !r.family.has(like.Prefix.Addr()) {
		return Route{}, false
	}
	p := like.scoped()
	v, _ := r.routes.Get(p)
	for _, w := range r.ways.of(v) {
		if r.ways.all[w].wayID == (wayID{like.Source, like.Metric}) {
			return r.entry(p, w).Route, true
		}
	}
	return Route{}, false
}

// RoutesOver returns the routes that have a next hop on an interface, in the
// order of Routes. It costs what it returns, and a look at each of the different
// ways that routes go; but a look at all routes if more than 1024 that go over
// the interface have the same source, metric and next hops.
func (r *RIB[A, T]) RoutesOver(iface uint32) iter.Seq[Entry] {
	over := func(e Entry) bool {
		return slices.ContainsFunc(e.Route.NextHops, func(n NextHop) bool { return n.Iface == iface })
	}
	return func(yield func(Entry) bool) {
		prefixes, known := r.prefixesOver(iface)
		if !known {
			for e := range r.Routes() {
				if over(e) && !yield(e) {
					return
				}
			}
			return
		}
		for _, p := range prefixes {
			v, _ := r.routes.Get(p.netip())
			if !r.yieldAll(p.netip(), v, func(e Entry) bool { return !over(e) || yield(e) }) {
				return
			}
		}
	}
}

// prefixesOver returns the prefixes, in order, that have a route over an
// interface; false if there are too many to be known.
func (r *RIB[A, T]) prefixesOver(iface uint32) (found []prefix[A], known bool) {
	for i, w := range r.ways.all {
		if !r.lists.all[w.list].over(iface) {
			continue
		}
		if r.ways.where[i].lost {
			return nil, false
		}
		found = append(found, r.ways.where[i].few...)
	}
	slices.SortFunc(found, r.family.order)
	return slices.Compact(found), true
}

// Lookup returns the route that packets to a take; false if there is none.
// Host routes to neighbors are as of the last Commit. Packets to a link-local
// IPv6 address take none: LookupLink is for these.
func (r *RIB[A, T]) Lookup(a netip.Addr) (Entry, bool) {
	if isLinkLocal(a) {
		return Entry{}, false
	}
	return r.lookup(a)
}

// LookupLink returns the route that packets to the link-local IPv6 address a
// take on the link of an interface. Any other address goes as with Lookup.
func (r *RIB[A, T]) LookupLink(iface uint32, a netip.Addr) (Entry, bool) {
	if !isLinkLocal(a) {
		return r.lookup(a)
	}
	if !onLinkPrefix.Contains(a) {
		return Entry{}, false
	}
	return r.lookup(inScope(netip.PrefixFrom(a, a.BitLen()), iface).Addr())
}

func (r *RIB[A, T]) lookup(a netip.Addr) (Entry, bool) {
	if !r.family.has(a) {
		return Entry{}, false
	}
	for p, v := range r.covers(netip.PrefixFrom(a, r.family.bits)) {
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
func (r *RIB[A, T]) Len() int { return r.routes.Size() }

func (r *RIB[A, T]) entry(p netip.Prefix, w uint32) Entry {
	var none A
	own := none
	way := r.ways.all[w]
	l := &r.lists.all[way.list]
	p, link := outOfScope(p)
	if p.IsSingleIP() {
		own = r.family.addrOf(p)
	}
	e := Entry{Route: Route{Prefix: p, Type: l.typ, Source: way.source, Metric: way.metric, Link: link}}
	for _, x := range l.paths {
		n := NextHop{Iface: x.iface, Weight: x.weight}
		if x.via != none && (x.via != own || x.iface == NoIface) {
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
func (r *RIB[A, T]) Neighbors() iter.Seq[Neighbor] {
	return func(yield func(Neighbor) bool) {
		keys := slices.SortedFunc(maps.Keys(r.neighbors.all), func(a, b neighborKey[A]) int {
			return cmp.Or(cmp.Compare(a.iface, b.iface), r.family.compare(a.addr, b.addr))
		})
		for _, k := range keys {
			if !yield(Neighbor{k.iface, k.addr.Addr(), r.neighbors.all[k].mac}) {
				return
			}
		}
	}
}
