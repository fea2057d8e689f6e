package fib

// ends are what the leaves of a table lead to. A leaf leads to its adjacency
// through a path list, so that a next hop that changes costs one write and not
// one for each of a million leaves. List 0 is what has no leaf: the default
// route, or none.
type ends struct {
	bundles []bundle // by path list
	buckets []uint32
	adjs    []Adj
}

// A bundle says which adjacencies a path list spreads flows over: first alone
// if mask is 0, else those at buckets[first:first+mask+1].
type bundle struct{ first, mask uint32 }

// end returns the adjacency that a flow takes of those of a path list: the low
// bits of hash choose it.
func (t *ends) end(list, hash uint32) uint32 {
	b := t.bundles[list]
	if b.mask == 0 {
		return b.first
	}
	return t.buckets[b.first+hash&b.mask]
}

// only returns the adjacency of a path list that has a single one.
func (t *ends) only(list uint32) (adj uint32, ok bool) {
	if int(list) >= len(t.bundles) {
		return 0, true
	}
	b := t.bundles[list]
	return b.first, b.mask == 0
}

// choose is end for a table that may have nothing in it.
func (t *ends) choose(list, hash uint32) uint32 {
	if int(list) >= len(t.bundles) {
		return 0
	}
	return t.end(list, hash)
}

var noRoute Adj // never written to

func (t *ends) adj(i uint32) *Adj {
	if int(i) >= len(t.adjs) {
		return &noRoute
	}
	return &t.adjs[i]
}
