package fib

import (
	"slices"

	"github.com/skein-dataplane/skein/hdr"
)

// A block is 1<<k ranges, one for each value of the k bits that index it. Where
// one has too many pieces, it has a single one that leads to a block or a page of
// their own. When that becomes usual the block gets twice as large, and in the
// end a page of blocks.

const (
	// maxStride is the number of bits that index the largest block: 8 cache
	// lines, which an update copies.
	maxStride = 3
	// crowded is the share of the entries of a page, or the ranges of a block,
	// that lead to another level, from which on there are to be more of them: one
	// in crowded.
	crowded = 8
	// maxSkip is the number of bits which all pieces have in common that are
	// not worth a level of their own.
	maxSkip = 1
	// thinPage is the number of pieces up to which ranges take the place of
	// a block or a page. That they have room for more keeps a route that comes and
	// goes from turning them about.
	thinPage = maxRanges * 2 / 3
	// maxGrownRanges is the number of ranges from which on no block grows, so
	// that the rest of the numbers is left to blocks that there have to be: for
	// maxRoutes6 there are enough, garbage included, however routes lie.
	maxGrownRanges = 1 << 20
	maxRoutes6     = 3 << 19
)

func (t *trie6) newBlock(g *region, stride int) uint32 {
	t.changed = true
	return blockEntry(g.depth, stride, t.ranges.alloc(class(stride+1), g.base))
}

// divide returns a block for a region, the smallest that is not crowded and at
// least of a stride, or a page of blocks.
func (t *trie6) divide(g *region, stride int) uint32 {
	most := min(maxStride, g.wordEnd()-g.depth-1)
	for ; stride <= most; stride++ {
		t.flatten(g, g.depth+stride)
		last := stride == most && stride < maxStride || t.ranges.live > maxGrownRanges
		if last || g.countFull(stride)*crowded < 1<<stride {
			return t.fill(g, stride)
		}
	}
	return t.newPage(g, 1)
}

// countFull returns how many ranges of a block would not have room for their
// pieces.
func (g *region) countFull(stride int) (full int) {
	step := g.span()>>stride + 1
	i, n := uint64(0), 0 // n pieces in ranges i
	for _, p := range g.pieces {
		if at := (p.start - g.first()) / step; at != i {
			i, n = at, 0
			if (p.start-g.first())%step != 0 {
				n = 1 // the piece before reaches into them
			}
		}
		if n++; n == maxRanges+1 {
			full++
		}
	}
	return full
}

// fill returns a block for a region.
func (t *trie6) fill(g *region, stride int) uint32 {
	e := t.newBlock(g, stride)
	for i := range t.block(e) {
		var scratch [maxRanges]piece
		c := region{base: withBits(g.base, g.depth, stride, uint64(i)), depth: g.depth + stride, pieces: scratch[:0]}
		g.cut(&c)
		t.packed(&c)
		t.block(e)[i].pack(c.pieces)
	}
	return e
}

// packed makes the pieces of a region no more than ranges can hold, and reports
// whether there were more.
func (t *trie6) packed(c *region) (full bool) {
	if len(c.pieces) <= maxRanges {
		return false
	}
	e := t.burst(c)
	*c = region{base: c.base, depth: c.depth}
	t.add(c, c.first(), e)
	return true
}

func (t *trie6) paintBlock(e uint32, a hdr.Addr6, b *brush) uint32 {
	depth, stride := depthOf(e), strideOf(e)
	lo, n := 0, 1<<stride
	if within := int(b.bits) - depth; within > 0 {
		lo = indexOf(e, wordOf(b.addr, depth))
		n = 1 << max(0, stride-within)
	}
	grown, shrunk := false, false
	for i := lo; i < lo+n; i++ {
		var scratchWas [maxRanges]piece
		var scratchIs [maxRanges + 2]piece
		was := region{base: withBits(a, depth, stride, uint64(i)), depth: depth + stride}
		was.pieces = t.block(e)[i].unpack(scratchWas[:0], was.first())
		is := region{base: was.base, depth: was.depth, pieces: scratchIs[:0]}
		t.paintPieces(&is, &was, b)
		if slices.Equal(is.pieces, was.pieces) {
			continue
		}
		if stride == 0 && len(is.pieces) > maxRanges {
			t.freeEntry(e)
			return t.burst(&is)
		}
		grown = t.packed(&is) || grown
		shrunk = shrunk || !b.insert
		e = t.ownEntry(e)
		t.block(e)[i].pack(is.pieces)
	}
	switch {
	case shrunk:
		return t.thinBlock(e, a)
	case grown:
		return t.widenBlock(e, a)
	}
	return e
}

// widenBlock puts a larger block or a page in the place of a block that is
// crowded.
func (t *trie6) widenBlock(e uint32, a hdr.Addr6) uint32 {
	depth, stride := depthOf(e), strideOf(e)
	full := 0
	for i := range t.block(e) {
		if r := &t.block(e)[i]; r.pieces() == 1 && r.entry[0] >= isPointer {
			full++
		}
	}
	if full*crowded < 1<<stride || t.ranges.live > maxGrownRanges {
		return e
	}
	g := region{base: a, depth: depth}
	g.pieces = []piece{{g.first(), e}}
	if stride == maxStride {
		return t.newPage(&g, 1)
	}
	return t.divide(&g, stride+1)
}

// thinBlock puts less in the place of a block that has few pieces.
func (t *trie6) thinBlock(e uint32, a hdr.Addr6) uint32 {
	depth, stride := depthOf(e), strideOf(e)
	most := max(thinPage, 3<<stride/2)
	n := 0
	for i := range t.block(e) {
		if n += t.block(e)[i].pieces(); n > most {
			return e
		}
	}
	if stride == 0 && n > 1 {
		return e
	}
	g := region{base: a, depth: depth}
	g.pieces = []piece{{g.first(), e}}
	t.flatten(&g, depth+1)
	return t.encode(&g)
}
