package fib

import (
	"math/bits"

	"github.com/skein-dataplane/skein/hdr"
)

// An entry of a trie6 is a leaf or leads on:
//
//	 31  30  29  28   23 22   20 19           0
//	| 1 | 0 |low| shift | class |    line      |   a page
//	| 1 | 1 |low| shift |    block, and size   |   a block of ranges
//	| 0 |    length     |     path list        |   a leaf; 0: no route
//
// A page or a block is indexed by as many bits as its size says of the address's
// upper word, or lower if low is set, from shift on. A page begins at a line of
// 16 entries. A block begins at ranges n, a multiple of its size 1<<k, and both
// are in one number: 2n + 1<<k. The length of a leaf is for the writer, as in a
// Table4.
const (
	isPointer = 1 << 31
	isRanges  = 1 << 30
	isLow     = 1 << 29 // the lower word of the address decides

	placeShift = 23
	classShift = 20
	lineMask   = 1<<classShift - 1
	blockMask  = 1<<placeShift - 1

	lengthShift6 = 23
	listMask6    = 1<<lengthShift6 - 1

	lineShift     = 4       // a line is 16 entries
	wordsPerSlab  = 1 << 14 // of pages: 64 KiB
	rangesPerSlab = 1 << 10
)

// noScope is the leaf of link-local addresses, which have no route without a
// link: no path list has this number.
const noScope = listMask6

// stride returns the number of bits that index a page: 4 in class 1, for 16
// entries, and in the next ones 6, 8 … 14.
func (c class) stride() int { return 2*int(c) + 2 }

func classOf(e uint32) class { return class(e >> classShift & 7) }
func toPage(e uint32) bool   { return e>>30 == isPointer>>30 }
func toBlock(e uint32) bool  { return e>>30 == (isPointer|isRanges)>>30 }

// strideOf returns the number of bits that index what e leads to.
func strideOf(e uint32) int {
	if toPage(e) {
		return classOf(e).stride()
	}
	return bits.TrailingZeros32(e)
}

// depthOf returns the number of bits before those.
func depthOf(e uint32) int {
	depth := (64 - int(e>>placeShift&63) - strideOf(e)) & 63
	if e&isLow != 0 {
		depth += 64
	}
	return depth
}

// indexOf returns which entry or ranges of what e leads to has w.
func indexOf(e uint32, w uint64) int {
	return int(w >> (e >> placeShift & 63) & (1<<strideOf(e) - 1))
}

func placeOf(depth, stride int) uint32 {
	return uint32(depth&64|(64-depth&63-stride)&63) << placeShift
}

func pageEntry(depth int, c class, n uint32) uint32 {
	return isPointer | placeOf(depth, c.stride()) | uint32(c)<<classShift | n>>lineShift
}

func blockEntry(depth, stride int, n uint32) uint32 {
	return isPointer | isRanges | placeOf(depth, stride) | 2*n + 1<<stride
}

// firstOf returns the number of the first word or ranges of what e leads to.
func firstOf(e uint32) uint32 {
	if toPage(e) {
		return e & lineMask << lineShift
	}
	v := e & blockMask
	return v & (v - 1) >> 1
}

// withFirst returns e with another first word or ranges.
func withFirst(e, n uint32) uint32 {
	if toPage(e) {
		return e&^lineMask | n>>lineShift
	}
	return e&^blockMask | 2*n + 1<<strideOf(e)
}

// idOf returns what e leads to, without what that is.
func idOf(e uint32) uint32 { return e&(isPointer|isRanges) | firstOf(e) }

// wordOf returns the word of a that the bits after depth are in.
func wordOf(a hdr.Addr6, depth int) uint64 {
	if depth < 64 {
		return a.Hi
	}
	return a.Lo
}

// withBits returns a with v for the bits after depth, which are zero, of a
// stride.
func withBits(a hdr.Addr6, depth, stride int, v uint64) hdr.Addr6 {
	v <<= 64 - depth&63 - stride
	if depth < 64 {
		a.Hi |= v
	} else {
		a.Lo |= v
	}
	return a
}
