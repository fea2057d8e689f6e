package fib

import (
	"cmp"
	"fmt"
	"math/bits"

	"github.com/skein-dataplane/skein/hdr"
)

// Fault looks for contradictions in the bookkeeping of a trie, and says what is
// wrong.
func (r *RIB[A, T]) Fault() string {
	switch t := any(r.trie).(type) {
	case *trie4:
		return t.fault()
	case *trie6:
		return t.fault()
	}
	return "no trie"
}

func (t *trie4) fault() string {
	reached := 0
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
	return t.arena.fault(reached)
}

func (a *arena[B, P]) fault(reached int) string {
	live, dead := 0, 0
	for _, u := range a.use {
		live += bits.OnesCount64(u.live)
		dead += u.used - bits.OnesCount64(u.live)
		if u.fresh != 0 {
			return "fresh blocks after a commit"
		}
	}
	if reached != a.live || live != a.live || dead != a.garbage {
		return fmt.Sprintf("blocks: %d reached, %d live, %d counted; %d dead, %d counted", reached, live, a.live, dead, a.garbage)
	}
	if a.garbage > max(garbageFloor, a.live/4)+2*garbageFloor {
		return fmt.Sprintf("%d garbage blocks beside %d live ones", a.garbage, a.live)
	}
	return ""
}

func (t *trie6) fault() string {
	c := census{trie: t}
	c.visit(t.links, linksBits, hdr.Addr6{Hi: hdr.LinkLocalHi})
	for i := range uint64(1 << 16) {
		a := hdr.Addr6{Hi: i << 48}
		c.visit(t.root.at(a), rootBits, a)
	}
	return cmp.Or(c.wrong, t.pages.fault(c.pages), t.few.fault(c.few), t.many.fault(c.many))
}

// A census counts what can be reached in a trie, and checks the order there.
type census struct {
	trie             *trie6
	pages, few, many int
	wrong            string
}

func (c *census) visit(e uint32, depth int, a hdr.Addr6) {
	if e < isPointer {
		return
	}
	index, at := byteOf(e)
	n := e & blockMask
	if at != depth {
		c.wrong = fmt.Sprintf("%v/%d leads to depth %d", a, depth, at)
		return
	}
	if e&isRanges == 0 {
		c.pages++
		if place := c.trie.pages.places[n/perSlab][n%perSlab]; place != a {
			c.wrong = fmt.Sprintf("page of %v is said to be at %v", a, place)
		}
		for i, child := range c.trie.page(e) {
			c.visit(child, depth+8, withByte(a, index, uint64(i)))
		}
		return
	}
	var place hdr.Addr6
	if e&isMany == 0 {
		c.few++
		place = c.trie.few.places[n/perSlab][n%perSlab]
	} else {
		c.many++
		place = c.trie.many.places[n/perSlab][n%perSlab]
	}
	if place != a {
		c.wrong = fmt.Sprintf("ranges of %v are said to be at %v", a, place)
	}
	c.visitRanges(e, region{base: a, depth: depth})
}

func (c *census) find(e uint32, w uint64) uint32 {
	if e&isMany == 0 {
		return c.trie.few.block(e & blockMask).find(w)
	}
	return c.trie.many.block(e & blockMask).find(w)
}

func (c *census) visitRanges(e uint32, g region) {
	g.pieces = c.trie.pieces(nil, e, g.first())
	for i, p := range g.pieces {
		if g.end(i) < p.start || p.start < g.first() || p.start > g.last() {
			c.wrong = fmt.Sprintf("%v/%d: piece from %x to %x", g.base, g.depth, p.start, g.end(i))
		}
		if c.find(e, p.start) != p.entry || c.find(e, g.end(i)) != p.entry {
			c.wrong = fmt.Sprintf("%v/%d: piece from %x to %x is not found", g.base, g.depth, p.start, g.end(i))
		}
		if p.entry < isPointer {
			continue
		}
		_, depth := byteOf(p.entry)
		if depth < g.wordEnd() && (depth <= g.depth || g.end(i)-p.start != 1<<(g.wordEnd()-depth)-1) {
			c.wrong = fmt.Sprintf("%v/%d: piece from %x to %x leads to depth %d", g.base, g.depth, p.start, g.end(i), depth)
		}
		c.visit(p.entry, depth, g.at(p.start))
	}
}

// Leftovers says what is still there of routes that are gone.
func (r *RIB[A, T]) Leftovers() string {
	live, _ := r.Pages()
	lists, adjs := len(r.lists.index), len(r.adjs.index)
	free := 0
	for class, ranges := range r.lists.freeRange {
		free += len(ranges) << class
	}
	if lists+adjs+r.vias.Size()+len(r.ways.index)+live+len(r.neighbors.all)+r.neighbors.byAddr.Size() != 0 || free != len(r.lists.buckets.v) {
		return fmt.Sprintf("%d lists, %d adjacencies, %d next hops, %d ways, %d pages, %d neighbors, %d of %d buckets free",
			lists, adjs, r.vias.Size(), len(r.ways.index), live, len(r.neighbors.all), free, len(r.lists.buckets.v))
	}
	return ""
}

// Pages returns the number of live and of garbage blocks.
func (r *RIB[A, T]) Pages() (live, garbage int) {
	switch t := any(r.trie).(type) {
	case *trie4:
		return t.arena.live, t.arena.garbage
	case *trie6:
		return t.pages.live + t.few.live + t.many.live, t.pages.garbage + t.few.garbage + t.many.garbage
	}
	return 0, 0
}
