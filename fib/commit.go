package fib

import "slices"

// Commit returns the table with all changes so far. If there were none, it is
// the table that the last Commit returned.
func (r *RIB4) Commit() *Table4 {
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
func (r *RIB4) dirtyToggled() {
	used := false
	for i := range r.toggled {
		used = used || r.lists.all[i].refs > 0
	}
	if used {
		for p, v := range r.routes.All4() {
			for _, w := range r.ways.of(v) {
				if _, ok := r.toggled[r.ways.all[w].list]; ok {
					r.dirty = append(r.dirty, packPrefix(p))
					break
				}
			}
		}
	}
	clear(r.toggled)
}

// sortDirty puts shorter prefixes before those within them, and neighbors in
// the trie beside each other: a load paints pages while they are in the cache.
func (r *RIB4) sortDirty() {
	slices.Sort(r.dirty)
	r.dirty = slices.Compact(r.dirty)
}

// paint brings the trie in line with the routes. The order of prefixes does
// not matter: each gets the entry that it has in the end, or that of the
// prefix that covers it in the end.
func (r *RIB4) paint(dirty []prefix4) {
	for _, p := range dirty {
		v, _ := r.routes.Get(p.netip())
		if list := r.best(v); list != 0 {
			r.trie.paint(p, leaf4(p.bits(), list), true)
			continue
		}
		cover, list := r.bestFor(p.netip())
		leaf := uint32(0)
		if list != 0 {
			leaf = leaf4(cover.Bits(), list)
		}
		r.trie.paint(p, leaf, false)
	}
}

func (r *RIB4) publish() *Table4 {
	changed := r.trie.changed || r.lists.out.changed || r.lists.buckets.changed || r.adjs.changed
	if !changed {
		return r.table
	}
	t := new(Table4)
	t.root, t.slabs = r.trie.publish()
	t.paths = r.lists.out.publish()
	t.buckets = r.lists.buckets.publish()
	t.adjs = r.adjs.publish()
	return t
}
