package fib

import (
	"math"
	"math/bits"
	"slices"

	"github.com/skein-dataplane/skein/hdr"
)

// A piece of a region is what lies from start up to the next piece: a leaf, or
// an entry that leads to just that.
type piece struct {
	start uint64
	entry uint32
}

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

// ranges are packed from pieces, and unpacked into them.

func (r *ranges) pack(p []piece) {
	r.n = uint32(len(p) - 1)
	for i := range r.start {
		r.start[i] = math.MaxUint64
		if i+1 < len(p) {
			r.start[i] = p[i+1].start
		}
	}
	for i := range r.entry {
		r.entry[i] = p[min(i, len(p)-1)].entry
	}
}

func (r *ranges) unpack(into []piece, first uint64) []piece {
	for i, e := range r.entry[:r.n+1] {
		into = append(into, piece{first, e})
		if i < maxStarts {
			first = r.start[i]
		}
	}
	return into
}

// index returns which piece has the word w.
func (r *ranges) index(w uint64) int {
	i := slices.IndexFunc(r.start[:r.n], func(start uint64) bool { return w < start })
	if i < 0 {
		return int(r.n)
	}
	return i
}

// set makes e the entry of piece i.
func (r *ranges) set(i int, e uint32) {
	r.entry[i] = e
	if i == int(r.n) {
		for j := range r.entry[i:] {
			r.entry[i+j] = e
		}
	}
}

// paintRanges paints within entry e, which is a leaf or leads to ranges.
func (t *trie6) paintRanges(e uint32, depth int, a hdr.Addr6, b *brush) uint32 {
	var scratchWas, scratchIs [2 * (maxStarts + 2)]piece
	was := region{a, depth, scratchWas[:0]}
	if e >= isPointer {
		was.pieces = t.rangesOf(e).unpack(was.pieces, was.first())
	} else {
		was.pieces = append(was.pieces, piece{was.first(), e})
	}
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
		var scratch [maxStarts + 1]piece
		for _, p := range t.rangesOf(e).unpack(scratch[:0], start) {
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
	leads := was >= isPointer
	if n := len(g.pieces); n > 1 && n <= maxStarts+1 {
		e := was
		if leads {
			e = t.ownEntry(was)
		} else {
			e = isPointer | isRanges | uint32(g.index())<<byteShift | t.ranges.alloc(g.base)
			t.changed = true
		}
		t.rangesOf(e).pack(g.pieces)
		return e
	}
	if leads {
		t.freeEntry(was)
	}
	if len(g.pieces) == 1 {
		return g.pieces[0].entry
	}
	return t.burst(g)
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
	cut(&within, g)
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

// cut sets the pieces of a region within g to what they are in g.
func cut(within, g *region) {
	for i, p := range g.pieces {
		if g.end(i) >= within.first() && p.start <= within.last() {
			within.pieces = append(within.pieces, piece{max(p.start, within.first()), p.entry})
		}
	}
}

func (t *trie6) newPage(g *region) uint32 {
	e := isPointer | uint32(g.index())<<byteShift | t.pages.alloc(g.base)
	t.changed = true
	for i := range uint64(256) {
		var scratch [maxStarts + 1]piece
		child := region{withByte(g.base, g.index(), i), g.depth + 8, scratch[:0]}
		t.page(e)[i] = t.child(&child, g)
	}
	return e
}

// child returns the entry of a page for what a region, of 8 bits more, has in g.
func (t *trie6) child(c, g *region) uint32 {
	if c.depth == g.wordEnd() { // one word, so one piece
		w := wordOf(c.base, g.index())
		i := slices.IndexFunc(g.pieces, func(p piece) bool { return p.start > w })
		if i < 0 {
			i = len(g.pieces)
		}
		return g.pieces[i-1].entry
	}
	cut(c, g)
	return t.encode(c, 0)
}

// fewPieces is when a page becomes ranges again. That it is less than they have
// room for keeps a route that comes and goes from turning them about.
const fewPieces = maxStarts/2 + 1

// thin puts ranges in the place of page e if it has few pieces, and a leaf if
// it has one.
func (t *trie6) thin(e uint32, depth int, a hdr.Addr6) uint32 {
	if t.countPieces(e, depth) > fewPieces {
		return e
	}
	var scratch [maxStarts + 1]piece
	g := region{a, depth, scratch[:0]}
	for i, c := range t.page(e) {
		start := wordOf(withByte(a, g.index(), uint64(i)), g.index())
		t.add(&g, start, c)
	}
	t.freeEntry(e)
	return t.encode(&g, 0)
}

// countPieces returns the number of pieces that page e has, or somewhat more.
func (t *trie6) countPieces(e uint32, depth int) (n int) {
	was := uint32(isPointer)
	for _, c := range t.page(e) {
		switch {
		case c >= isPointer && c&isRanges != 0 && depth&63 < 56:
			n += int(t.rangesOf(c).n) + 1
		case c != was:
			n++
		}
		was = c
		if n > fewPieces {
			break
		}
	}
	return n
}
