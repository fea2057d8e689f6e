package fib

import (
	"iter"
	"net/netip"
	"slices"
)

// Commit returns the table with all changes so far. If there were none, it is
// the table that the last Commit returned.
func (r *RIB[A, T]) Commit() *T {
	r.dirtyToggled()
	r.sortDirty()
	n := len(r.dirty)
	r.followNeighbors(r.dirty)
	if len(r.dirty) != n {
		r.sortDirty()
	}
	r.resolve(r.dirty)
	r.paint(r.dirty)
	r.dirty = r.dirty[:0]
	if cap(r.dirty) > 1<<16 {
		r.dirty = nil // after a load; changes come in small numbers
	}
	r.sweepLists()
	r.adjs.sweep()
	r.table = r.publish()
	return r.table
}

// dirtyToggled marks the prefixes of all routes whose path lists came alive or
// died. That an interface goes up or down is rare enough to look at them all.
func (r *RIB[A, T]) dirtyToggled() {
	used := false
	for i := range r.toggled {
		used = used || r.lists.all[i].refs > 0
	}
	if used {
		for p, v := range r.routes.All() {
			for _, w := range r.ways.of(v) {
				if _, ok := r.toggled[r.ways.all[w].list]; ok {
					r.dirty = append(r.dirty, r.family.pack(p))
					break
				}
			}
		}
	}
	clear(r.toggled)
}

// sortDirty puts shorter prefixes before those within them, and neighbors in
// the trie beside each other: a load paints pages while they are in the cache.
func (r *RIB[A, T]) sortDirty() {
	slices.SortFunc(r.dirty, r.family.order)
	r.dirty = slices.Compact(r.dirty)
}

// paint brings the trie in line with the routes. The order of prefixes does
// not matter: each gets the entry that it has in the end, or that of the
// prefix that covers it in the end.
//
// What has no other route takes the default route, which is not in the trie:
// that it changes, as it does most often of all, is one write.
func (r *RIB[A, T]) paint(dirty []prefix[A]) {
	for _, p := range sampled(dirty) {
		v, _ := r.routes.Get(p.netip())
		list := r.best(v)
		switch {
		case p.bits == 0:
			r.byDefault = list
		case list != 0:
			r.trie.paint(p, int(p.bits), list, true)
		default:
			cover, list := r.coverOf(p.netip())
			r.trie.paint(p, cover, list, false)
		}
	}
}

// coverOf returns the length of the longest prefix but the default one that
// covers p and is in force, and its path list; zeros if there is none.
func (r *RIB[A, T]) coverOf(p netip.Prefix) (bits int, list uint32) {
	cover, list := r.bestFor(p)
	if list == 0 || cover.Bits() == 0 {
		return 0, 0
	}
	return cover.Bits(), list
}

func (r *RIB[A, T]) publish() *T {
	var none bundle
	if r.byDefault != 0 {
		none = r.lists.out.v[r.byDefault]
	}
	r.lists.out.set(0, none)
	if !(r.trie.altered() || r.lists.out.changed || r.lists.buckets.changed || r.adjs.changed) {
		return r.table
	}
	return r.trie.publish(ends{
		bundles: r.lists.out.publish(),
		buckets: r.lists.buckets.publish(),
		adjs:    r.adjs.publish(),
	}, r.adjs.vias.publish())
}

// sampled yields the prefixes, every 64th of them first, then every 16th, and so
// on. A trie that sees what there is from one end to the other would take the
// first few that it sees in a place for all that there are, and make room at one
// end of it.
func sampled[A Address](all []prefix[A]) iter.Seq2[int, prefix[A]] {
	return func(yield func(int, prefix[A]) bool) {
		for step := 64; step > 0; step /= 4 {
			for i := 0; i < len(all); i += step {
				if step < 64 && i%(4*step) == 0 {
					continue
				}
				if !yield(i, all[i]) {
					return
				}
			}
		}
	}
}
