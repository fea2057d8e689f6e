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
	flat   int // pages that divide by bits before these are taken apart
}

// wordEnd returns the number of bits before the end of the region's word.
func (g *region) wordEnd() int { return g.depth&64 + 64 }

func (g *region) first() uint64 { return wordOf(g.base, g.depth) }
func (g *region) last() uint64  { return g.first() | g.span() }
func (g *region) span() uint64  { return math.MaxUint64 >> (g.depth & 63) }

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
	first = wordOf(p.addr, g.depth)
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

// add appends a piece. What leads to single ranges of the same word becomes
// pieces itself, and so do pages and blocks above g.flat.
func (t *trie6) add(g *region, start uint64, e uint32) {
	switch {
	case e < isPointer:
		if n := len(g.pieces); n > 0 && g.pieces[n-1].entry == e {
			return
		}
	case depthOf(e)&64 == g.depth&64 && (depthOf(e) < g.flat || toBlock(e) && strideOf(e) == 0 && !t.toTree(e)):
		t.takeApart(g, start, e)
		return
	}
	g.pieces = append(g.pieces, piece{start, e})
}

// takeApart appends the pieces of what e leads to, and frees that.
func (t *trie6) takeApart(g *region, start uint64, e uint32) {
	shift := e >> placeShift & 63
	switch {
	case toPage(e):
		for i, c := range t.entries(e) {
			t.add(g, start|uint64(i)<<shift, c)
		}
	case t.toTree(e):
		var scratch [maxTree]piece
		for _, p := range t.treePieces(scratch[:0], e, start) {
			t.add(g, p.start, p.entry)
		}
	default:
		for i := range t.block(e) {
			var scratch [maxRanges]piece
			for _, p := range t.block(e)[i].unpack(scratch[:0], start|uint64(i)<<shift) {
				t.add(g, p.start, p.entry)
			}
		}
	}
	t.freeEntry(e)
}

// flatten takes apart what pages and blocks of a region begin above a depth.
func (t *trie6) flatten(g *region, depth int) {
	flat := region{base: g.base, depth: g.depth, flat: depth}
	for _, p := range g.pieces {
		t.add(&flat, p.start, p.entry)
	}
	*g = flat
}

// paintLeaf paints within leaf e.
func (t *trie6) paintLeaf(e uint32, depth int, a hdr.Addr6, b *brush) uint32 {
	var scratch [1]piece
	was := region{base: a, depth: depth, pieces: scratch[:1]}
	was.pieces[0] = piece{was.first(), e}
	var scratchIs [maxRanges]piece
	is := region{base: a, depth: depth, pieces: scratchIs[:0]}
	t.paintPieces(&is, &was, b)
	return t.encode(&is)
}

// paintPieces appends to is what becomes of the pieces of was, the same region.
func (t *trie6) paintPieces(is, was *region, b *brush) {
	first, last := was.covered(b.prefix)
	for i, p := range was.pieces {
		end := was.end(i)
		switch {
		case end < first || p.start > last:
			t.add(is, p.start, p.entry)
		case p.entry >= isPointer:
			t.add(is, p.start, t.paintEntry(p.entry, depthOf(p.entry), was.at(p.start), b))
		default:
			t.paintPiece(is, p, end, max(p.start, first), min(end, last), b)
		}
	}
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

// encode returns an entry for the region.
func (t *trie6) encode(g *region) uint32 {
	switch n := len(g.pieces); {
	case n == 1:
		return g.pieces[0].entry
	case n <= maxRanges:
		e := t.newBlock(g, 0)
		t.block(e)[0].pack(g.pieces)
		return e
	}
	return t.burst(g)
}

// burst puts a block, a tree or a page in the place of more pieces than ranges can
// hold. If they lie so close to each other that it would have one entry for all
// of them, it goes further down, and ranges lead to it.
func (t *trie6) burst(g *region) uint32 {
	n := len(g.pieces)
	if n <= maxTree {
		if stride := t.even(g); stride > 0 {
			return t.fill(g, stride)
		}
		return t.newTree(g)
	}
	common := bits.LeadingZeros64(g.pieces[1].start ^ (g.pieces[n-1].start - 1))
	depth := g.wordEnd() - 64 + common
	if depth <= g.depth+maxSkip {
		return t.divide(g, 1)
	}
	within := region{depth: depth}
	within.base = g.at(g.pieces[1].start &^ (math.MaxUint64 >> (depth & 63)))
	g.cut(&within)
	outside := region{base: g.base, depth: g.depth}
	if g.first() < within.first() {
		outside.pieces = append(outside.pieces, g.pieces[0])
	}
	outside.pieces = append(outside.pieces, piece{within.first(), t.divide(&within, 1)})
	if within.last() < g.last() {
		outside.pieces = append(outside.pieces, piece{within.last() + 1, g.pieces[n-1].entry})
	}
	return t.encode(&outside)
}
