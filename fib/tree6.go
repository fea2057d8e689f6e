package fib

import (
	"slices"

	"github.com/skein-dataplane/skein/hdr"
)

// A tree is for pieces that lie too unevenly for a block: one line of ranges leads
// to up to six others, and where each begins depends on nothing but the pieces.
// To lookups it is what leads to single ranges that lead to single ranges. The
// lines are one allocation, the first of them first: that tells the writer that
// it is a tree.

// maxTree is the number of pieces that a tree can hold.
const maxTree = maxRanges * maxRanges

// toTree reports whether e leads to a tree.
func (t *trie6) toTree(e uint32) bool {
	if !toBlock(e) || strideOf(e) != 0 {
		return false
	}
	u, _ := t.ranges.slot(firstOf(e))
	return u.size > 1
}

// newTree returns a tree for a region that has pieces for two lines at least.
func (t *trie6) newTree(g *region) uint32 {
	size := class(3) // four lines
	if len(g.pieces) > 3*maxRanges {
		size = 4
	}
	t.changed = true
	e := blockEntry(g.depth, 0, t.ranges.alloc(size, g.base))
	t.packTree(e, g.pieces)
	return e
}

func (t *trie6) packTree(e uint32, p []piece) {
	lines := t.block(e)
	var scratch [maxRanges]piece
	top := scratch[:0]
	for i := 0; i*maxRanges < len(p); i++ {
		of := p[i*maxRanges : min((i+1)*maxRanges, len(p))]
		top = append(top, piece{of[0].start, withFirst(e, firstOf(e)+uint32(i)+1)})
		lines[i+1].pack(of)
	}
	lines[0].pack(top)
}

// treePieces appends the pieces of the tree that e leads to, of which the first
// one starts at first.
func (t *trie6) treePieces(into []piece, e uint32, first uint64) []piece {
	lines := t.block(e)
	for i := range lines[0].pieces() {
		if i > 0 {
			first = lines[0].start[i-1]
		}
		into = lines[i+1].unpack(into, first)
	}
	return into
}

func (t *trie6) paintTree(e uint32, a hdr.Addr6, b *brush) uint32 {
	var scratchWas [maxTree]piece
	var scratchIs [maxTree + 2]piece
	was := region{base: a, depth: depthOf(e)}
	was.pieces = t.treePieces(scratchWas[:0], e, was.first())
	is := region{base: a, depth: was.depth, pieces: scratchIs[:0]}
	t.paintPieces(&is, &was, b)
	if slices.Equal(is.pieces, was.pieces) {
		return e
	}
	t.freeEntry(e)
	return t.encode(&is)
}

// even returns the stride of the smallest block that has room for all pieces of a
// region without another level; 0 if there is none.
func (t *trie6) even(g *region) int {
	if t.ranges.live > maxGrownRanges {
		return 0
	}
	for stride := 1; stride <= min(maxStride, g.wordEnd()-g.depth-1); stride++ {
		for _, p := range g.pieces {
			if p.entry >= isPointer && depthOf(p.entry)&64 == g.depth&64 && depthOf(p.entry) < g.depth+stride {
				return 0
			}
		}
		if g.countFull(stride) == 0 {
			return stride
		}
	}
	return 0
}
