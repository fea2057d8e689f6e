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
	for i := range uint32(1 << 16) {
		e := t.root.at(i)
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
		n := 0
		for _, w := range u.live {
			n += bits.OnesCount64(w)
		}
		if n != u.nLive || u.nFresh != 0 || u.fresh != (bitset{}) {
			return fmt.Sprintf("slab with %d live blocks, %d counted, %d fresh after a commit", n, u.nLive, u.nFresh)
		}
		live += n * int(u.size)
		dead += (u.used - n) * int(u.size)
	}
	if reached != a.live || live != a.live || dead != a.garbage {
		return fmt.Sprintf("elements: %d reached, %d live, %d counted; %d dead, %d counted", reached, live, a.live, dead, a.garbage)
	}
	// Slabs that are not full are left alone, of which there is one of a class.
	if a.garbage > max(garbageFloor*int(a.perSlab), a.live/4)+int(maxClass)*int(a.perSlab) {
		return fmt.Sprintf("%d elements of garbage beside %d live ones", a.garbage, a.live)
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
	return cmp.Or(c.wrong, t.pages.fault(c.entries), t.ranges.fault(c.ranges))
}

// A census counts what can be reached in a trie, and checks the order there.
type census struct {
	trie            *trie6
	entries, ranges int
	wrong           string
}

func (c *census) visit(e uint32, depth int, a hdr.Addr6) {
	if e < isPointer {
		return
	}
	if at := depthOf(e); at != depth {
		c.wrong = fmt.Sprintf("%v/%d leads to depth %d", a, depth, at)
		return
	}
	stride := strideOf(e)
	if toPage(e) {
		u, i := c.trie.pages.slot(firstOf(e))
		c.check(u, i, classOf(e), a)
		c.entries += int(u.size)
		for i, child := range c.trie.entries(e) {
			c.visit(child, depth+stride, withBits(a, depth, stride, uint64(i)))
		}
		return
	}
	u, i := c.trie.ranges.slot(firstOf(e))
	c.ranges += int(u.size)
	if c.trie.toTree(e) {
		c.check(u, i, u.class, a)
		c.visitTree(e, region{base: a, depth: depth})
		return
	}
	c.check(u, i, class(stride+1), a)
	for i := range c.trie.block(e) {
		c.visitRanges(&c.trie.block(e)[i], region{base: withBits(a, depth, stride, uint64(i)), depth: depth + stride})
	}
}

func (c *census) visitTree(e uint32, g region) {
	lines := c.trie.block(e)
	g.pieces = c.trie.treePieces(nil, e, g.first())
	for i, p := range g.pieces {
		top := lines[0].find(p.start)
		if at := firstOf(top) - firstOf(e); at != uint32(i/maxRanges+1) || lines[at].find(p.start) != p.entry || lines[at].find(g.end(i)) != p.entry {
			c.wrong = fmt.Sprintf("%v/%d: piece %d of a tree is not found", g.base, g.depth, i)
		}
	}
	c.visitPieces(g)
}

func (c *census) check(u *slabUse[hdr.Addr6], i uint32, size class, a hdr.Addr6) {
	if u.class != size || u.places[i] != a {
		c.wrong = fmt.Sprintf("block of class %d of %v is said to be one of class %d at %v", size, a, u.class, u.places[i])
	}
}

func (c *census) visitRanges(r *ranges, g region) {
	g.pieces = r.unpack(nil, g.first())
	for i, p := range g.pieces {
		if g.end(i) < p.start || p.start < g.first() || p.start > g.last() {
			c.wrong = fmt.Sprintf("%v/%d: piece from %x to %x", g.base, g.depth, p.start, g.end(i))
		}
		if r.find(p.start) != p.entry || r.find(g.end(i)) != p.entry {
			c.wrong = fmt.Sprintf("%v/%d: piece from %x to %x is not found", g.base, g.depth, p.start, g.end(i))
		}
	}
	c.visitPieces(g)
}

func (c *census) visitPieces(g region) {
	for i, p := range g.pieces {
		if p.entry < isPointer {
			continue
		}
		depth := depthOf(p.entry)
		if depth < g.wordEnd() && (depth < g.depth || g.end(i)-p.start != 1<<(g.wordEnd()-depth)-1) {
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
		return t.pages.live + t.ranges.live, t.pages.garbage + t.ranges.garbage
	}
	return 0, 0
}

// LimitRoutes has the RIB take no more than n prefixes.
func (r *RIB[A, T]) LimitRoutes(n int) { r.family.maxRoutes = n }
