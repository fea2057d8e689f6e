package fib

import (
	"fmt"
	"math/bits"
)

// Fault looks for contradictions in the bookkeeping of pages, and says what is
// wrong.
func (r *RIB4) Fault() string {
	t := &r.trie
	reached, live, dead := 0, 0, 0
	for _, e := range t.root {
		if e < isPage {
			continue
		}
		reached++
		for _, c := range t.page(e) {
			if c >= isPage {
				reached++
			}
		}
	}
	for _, u := range t.use {
		live += bits.OnesCount64(u.live)
		dead += u.used - bits.OnesCount64(u.live)
		if u.fresh != 0 {
			return "fresh pages after a commit"
		}
	}
	if reached != t.live || live != t.live || dead != t.garbage {
		return fmt.Sprintf("pages: %d reached, %d live, %d counted; %d dead, %d counted", reached, live, t.live, dead, t.garbage)
	}
	if t.garbage > max(garbageFloor, t.live/4)+pagesPerSlab {
		return fmt.Sprintf("%d garbage pages beside %d live ones", t.garbage, t.live)
	}
	return ""
}

// Leftovers says what is still there of routes that are gone.
func (r *RIB4) Leftovers() string {
	lists, adjs := len(r.lists.index), len(r.adjs.index)
	free := 0
	for class, ranges := range r.lists.freeRange {
		free += len(ranges) << class
	}
	if lists+adjs+r.vias.Size()+len(r.ways.index)+r.trie.live+len(r.neighbors.all)+r.neighbors.byAddr.Size() != 0 || free != len(r.lists.buckets.v) {
		return fmt.Sprintf("%d lists, %d adjacencies, %d next hops, %d ways, %d pages, %d neighbors, %d of %d buckets free",
			lists, adjs, r.vias.Size(), len(r.ways.index), r.trie.live, len(r.neighbors.all), free, len(r.lists.buckets.v))
	}
	return ""
}

// Pages returns the number of live and of garbage pages.
func (r *RIB4) Pages() (live, garbage int) { return r.trie.live, r.trie.garbage }
