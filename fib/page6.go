package fib

import "github.com/skein-dataplane/skein/hdr"

const (
	// sparse is the share of pieces and entries from which on a page is to have a
	// quarter of the entries.
	sparse = 16
	// maxGrown is the number of entries of all pages from which on no page
	// grows; see maxGrownRanges.
	maxGrown = (lineMask + 1) << lineShift / 4
)

func (t *trie6) paintPage(e uint32, a hdr.Addr6, b *brush) uint32 {
	depth, stride := depthOf(e), strideOf(e)
	lo, n := 0, 1<<stride
	if within := int(b.bits) - depth; within > 0 {
		lo = indexOf(e, wordOf(b.addr, depth))
		n = 1 << max(0, stride-within)
	}
	grown, shrunk := false, false
	for i := lo; i < lo+n; i++ {
		was := t.entries(e)[i]
		is := t.paintEntry(was, depth+stride, withBits(a, depth, stride, uint64(i)), b)
		if is == was {
			continue
		}
		e = t.ownEntry(e)
		t.entries(e)[i] = is
		grown = grown || toPage(is) && !toPage(was)
		shrunk = shrunk || !b.insert
	}
	switch {
	case shrunk:
		return t.thinPage(e, a)
	case grown:
		return t.widenPage(e, a)
	}
	return e
}

// newPage returns a page of a class for a region.
func (t *trie6) newPage(g *region, c class) uint32 {
	stride := c.stride()
	t.flatten(g, g.depth+stride)
	e := pageEntry(g.depth, c, t.pages.alloc(c, g.base))
	t.changed = true
	for i := range t.entries(e) {
		t.entries(e)[i] = t.child(region{base: withBits(g.base, g.depth, stride, uint64(i)), depth: g.depth + stride}, g)
	}
	return e
}

// child returns the entry of a page for what a region has in g.
func (t *trie6) child(c region, g *region) uint32 {
	first := wordOf(c.base, g.depth)
	i := g.pieceAt(first)
	if c.depth == g.wordEnd() || g.end(i)-first >= c.span() { // all in one piece
		return g.pieces[i].entry
	}
	var scratch [maxRanges]piece
	c.pieces = scratch[:0]
	g.cut(&c)
	return t.encode(&c)
}

// widenPage puts a page of the next class in the place of page e if that is
// crowded.
func (t *trie6) widenPage(e uint32, a hdr.Addr6) uint32 {
	depth, size := depthOf(e), classOf(e)
	if size == maxClass || depth&63+(size+1).stride() > 64 || t.pages.live > maxGrown {
		return e
	}
	full := 0
	for _, c := range t.entries(e) {
		if toPage(c) {
			full++
		}
	}
	if full*crowded < 1<<size.stride() {
		return e
	}
	g := region{base: a, depth: depth}
	g.pieces = []piece{{g.first(), e}}
	return t.newPage(&g, size+1)
}

// thinPage puts less in the place of a page that has few pieces for its size.
func (t *trie6) thinPage(e uint32, a hdr.Addr6) uint32 {
	depth := depthOf(e)
	most := max(thinPage, 1<<strideOf(e)/sparse)
	n := t.countPieces(e, most)
	if n > most {
		return e
	}
	g := region{base: a, depth: depth}
	g.pieces = []piece{{g.first(), e}}
	if n > thinPage && classOf(e) > 1 {
		return t.newPage(&g, classOf(e)-1)
	}
	t.flatten(&g, depth+1)
	return t.encode(&g)
}

// countPieces returns the number of pieces that page e has, or somewhat more,
// or any number above most.
func (t *trie6) countPieces(e uint32, most int) (n int) {
	within := depthOf(e)&63+strideOf(e) < 64 // entries are of the same word
	was := uint32(isPointer)
	for _, c := range t.entries(e) {
		switch {
		case c >= isPointer && within && (toPage(c) || strideOf(c) > 0 || t.toTree(c)):
			n += thinPage + 1
		case c >= isPointer && within:
			n += t.block(c)[0].pieces()
		case c != was:
			n++
		}
		if was = c; n > most {
			return n
		}
	}
	return n
}
