package fib

import (
	"math"
	"math/bits"
	"slices"

	"github.com/skein-dataplane/skein/hdr"
)

// A region is the addresses that have depth bits of base in common, in pieces
// by the word that the next bits are in. The first piece starts where the
// region does. Two leaves side by side are different.
type region struct {
	base   hdr.Addr6
	depth  int
	pieces []piece
}

func (g *region) index() int { return g.depth / 8 }

// wordEnd returns the number of bits before the end of the region's word.
func (g *region) wordEnd() int { return g.depth&64 + 64 }

func (g *region) first() uint64 { return wordOf(g.base, g.index()) }
func (g *region) last() uint64  { return g.first() | math.MaxUint64>>(g.depth&63) }

// at returns the first address that has w for the region's word.
func (g *region) at(w uint64) hdr.Addr6 {
	if g.depth < 64 {
		return hdr.Addr6{Hi: w}
	}
	return hdr.Addr6{Hi: g.base.Hi, Lo: w}
}

// end returns the last word of piece i.
func (g *region) end(i int) uint64 {
	if i+1 < len(g.pieces) {
		return g.pieces[i+1].start - 1
	}
	return g.last()
}

// covered returns the first and the last word that a prefix, which overlaps
// with the region, covers of it, at least in part.
func (g *region) covered(p prefix[hdr.Addr6]) (first, last uint64) {
	if int(p.bits) <= g.depth {
		return g.first(), g.last()
	}
	first = wordOf(p.addr, g.index())
	return first, first | math.MaxUint64>>(min(int(p.bits), g.wordEnd())-(g.wordEnd()-64))
}

// cut sets the pieces of a region within g to what they are in g.
func (g *region) cut(within *region) {
	first, last := within.first(), within.last()
	for i := g.pieceAt(first); i < len(g.pieces) && g.pieces[i].start <= last; i++ {
		within.pieces = append(within.pieces, piece{max(g.pieces[i].start, first), g.pieces[i].entry})
	}
}

// pieceAt returns the index of the piece that has w.
func (g *region) pieceAt(w uint64) int {
	i, found := slices.BinarySearchFunc(g.pieces, w, func(p piece, w uint64) int {
		if p.start < w {
			return -1
		}
		return int(min(p.start-w, 1))
	})
	if !found {
		i--
	}
	return i
}

// pieces appends those of entry e, a leaf or one that leads to ranges, for
// what starts at first.
func (t *trie6) pieces(into []piece, e uint32, first uint64) []piece {
	switch {
	case e < isPointer:
		return append(into, piece{first, e})
	case e&isMany == 0:
		return t.few.block(e&blockMask).unpack(into, first)
	}
	return t.many.block(e&blockMask).unpack(into, first)
}

// paintRanges paints within entry e, which is a leaf or leads to ranges.
func (t *trie6) paintRanges(e uint32, depth int, a hdr.Addr6, b *brush) uint32 {
	var scratchWas, scratchIs [maxMany + 2]piece
	was := region{a, depth, scratchWas[:0]}
	was.pieces = t.pieces(was.pieces, e, was.first())
	is := region{a, depth, scratchIs[:0]}
	first, last := was.covered(b.prefix)
	for i, p := range was.pieces {
		end := was.end(i)
		switch {
		case end < first || p.start > last:
			t.add(&is, p.start, p.entry)
		case p.entry >= isPointer:
			_, depth := byteOf(p.entry)
			t.add(&is, p.start, t.paintEntry(p.entry, depth, was.at(p.start), b))
		default:
			t.paintPiece(&is, p, end, max(p.start, first), min(end, last), b)
		}
	}
	if slices.Equal(is.pieces, was.pieces) {
		return e
	}
	return t.encode(&is, e)
}

// paintPiece adds leaf p, which goes to end, with the words from first to last
// painted.
func (t *trie6) paintPiece(g *region, p piece, end, first, last uint64, b *brush) {
	painted := p.entry
	switch {
	case int(b.bits) > g.wordEnd():
		painted = t.paintEntry(p.entry, g.wordEnd(), g.at(first), b)
	case !b.idle(p.entry):
		painted = b.over(p.entry)
	}
	if p.start < first {
		t.add(g, p.start, p.entry)
	}
	t.add(g, first, painted)
	if last < end {
		t.add(g, last+1, p.entry)
	}
}

// add appends a piece. What is ranges of the same word becomes pieces itself.
func (t *trie6) add(g *region, start uint64, e uint32) {
	if index, _ := byteOf(e); e >= isPointer && e&isRanges != 0 && index&8 == g.index()&8 {
		var scratch [maxMany]piece
		for _, p := range t.pieces(scratch[:0], e, start) {
			t.add(g, p.start, p.entry)
		}
		t.freeEntry(e)
		return
	}
	if n := len(g.pieces); n > 0 && e < isPointer && g.pieces[n-1].entry == e {
		return
	}
	g.pieces = append(g.pieces, piece{start, e})
}

// encode returns an entry for the region. If was leads to ranges, nobody has a
// use for these any more.
func (t *trie6) encode(g *region, was uint32) uint32 {
	n := len(g.pieces)
	tag := uint32(isPointer | isRanges)
	if n > maxFew {
		tag |= isMany
	}
	if was >= isPointer && was&(isPointer|isRanges|isMany) == tag && n > 1 && n <= maxMany {
		e := t.ownEntry(was)
		t.pack(e, g.pieces)
		return e
	}
	if was >= isPointer {
		t.freeEntry(was)
	}
	switch {
	case n == 1:
		return g.pieces[0].entry
	case n > maxMany:
		return t.burst(g)
	}
	e := tag | uint32(g.index())<<byteShift
	if n > maxFew {
		e |= t.many.alloc(g.base)
	} else {
		e |= t.few.alloc(g.base)
	}
	t.changed = true
	t.pack(e, g.pieces)
	return e
}

func (t *trie6) pack(e uint32, p []piece) {
	if e&isMany == 0 {
		t.few.block(e & blockMask).pack(p)
	} else {
		t.many.block(e & blockMask).pack(p)
	}
}

// burst puts a page in the place of more pieces than ranges can hold. If they
// lie so close to each other that the page would have one entry for all of
// them, the page goes further down, and ranges lead to it.
func (t *trie6) burst(g *region) uint32 {
	n := len(g.pieces)
	common := bits.LeadingZeros64(g.pieces[1].start ^ (g.pieces[n-1].start - 1))
	depth := g.wordEnd() - 64 + common&^7
	if depth <= g.depth {
		return t.newPage(g)
	}
	within := region{depth: depth}
	within.base = g.at(g.pieces[1].start &^ (math.MaxUint64 >> (depth & 63)))
	g.cut(&within)
	outside := region{base: g.base, depth: g.depth}
	if g.first() < within.first() {
		outside.pieces = append(outside.pieces, g.pieces[0])
	}
	outside.pieces = append(outside.pieces, piece{within.first(), t.newPage(&within)})
	if within.last() < g.last() {
		outside.pieces = append(outside.pieces, piece{within.last() + 1, g.pieces[n-1].entry})
	}
	return t.encode(&outside, 0)
}

func (t *trie6) newPage(g *region) uint32 {
	e := isPointer | uint32(g.index())<<byteShift | t.pages.alloc(g.base)
	t.changed = true
	for i := range uint64(256) {
		t.page(e)[i] = t.child(region{base: withByte(g.base, g.index(), i), depth: g.depth + 8}, g)
	}
	return e
}

// child returns the entry of a page for what a region, of 8 bits more, has in g.
func (t *trie6) child(c region, g *region) uint32 {
	first := wordOf(c.base, g.index())
	i := g.pieceAt(first)
	if c.depth == g.wordEnd() || c.last() <= g.end(i) { // all in one piece
		return g.pieces[i].entry
	}
	var scratch [maxFew]piece
	c.pieces = scratch[:0]
	g.cut(&c)
	return t.encode(&c, 0)
}

// thinPage is when a page becomes ranges again: when it has less pieces than
// this. That they have room for more keeps a route that comes and goes from
// turning them about.
const thinPage = maxMany * 2 / 3

// thin puts ranges in the place of page e if it has few pieces, and a leaf if
// it has one.
func (t *trie6) thin(e uint32, depth int, a hdr.Addr6) uint32 {
	if t.countPieces(e, depth) >= thinPage {
		return e
	}
	var scratch [maxMany]piece
	g := region{a, depth, scratch[:0]}
	for i, c := range t.page(e) {
		t.add(&g, wordOf(withByte(a, g.index(), uint64(i)), g.index()), c)
	}
	t.freeEntry(e)
	return t.encode(&g, 0)
}

// countPieces returns the number of pieces that page e has, or somewhat more,
// or thinPage.
func (t *trie6) countPieces(e uint32, depth int) (n int) {
	was := uint32(isPointer)
	for _, c := range t.page(e) {
		switch {
		case c >= isPointer && c&isRanges != 0 && depth&63 < 56 && c&isMany != 0:
			return thinPage
		case c >= isPointer && c&isRanges != 0 && depth&63 < 56:
			n += t.few.block(c & blockMask).pieces()
		case c != was:
			n++
		}
		if was = c; n >= thinPage {
			return thinPage
		}
	}
	return n
}
