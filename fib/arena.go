package fib

import (
	"math/bits"
	"slices"
)

// An arena is where a trie keeps blocks of elements B, in slabs that snapshots
// share. Whatever a published snapshot can see, the writer copies before it
// writes; what it no longer needs stays as it is for those who still read it,
// and is counted as garbage. When there is too much of that, the slabs with the
// most are moved out of and let go, and Go's collector frees them once no snapshot
// is left that knows them. So there are no epochs to keep and nothing to wait for.
//
// Blocks are of one or several classes, each some times as large as the one
// before; a slab has blocks of one class. A block is known by the number of its
// first element, of all elements of all slabs. A slab has no pointers: the
// garbage collector has some thousand of them to know and none to scan at a
// million routes. Of each block the arena knows its place P in the trie, so that
// whoever points to it can be told that it moves.
//
// Slabs are slices and no pointers to arrays: indexing those first touches the
// first bytes of the array, to see that there is one, which is one more cache
// line to read for each packet.
type arena[B, P any] struct {
	slabs   [][]B
	use     []slabUse[P] // one for each slab
	kinds   [maxClass + 1]spares
	empty   []int // numbers of slabs that were let go
	fresh   []int // slabs with blocks that no snapshot has seen
	perSlab uint32
	least   uint32 // elements of a block of class 1
	grow    uint32 // each next class has 1<<grow times as many

	live    int // elements of blocks that the trie is made of
	garbage int // elements of blocks that only old snapshots can see
}

// A class is a size of blocks, from 1 on; trie6 says how large the others are.
type class uint32

const maxClass class = 6

// spares are what there is to take blocks of a class from.
type spares struct {
	cur   int      // one more than the number of the slab that new blocks come from; 0: none
	spare []uint32 // blocks freed before any snapshot saw them
}

// A slabUse is what the writer knows of a slab's blocks, which it counts from
// the start of the slab.
type slabUse[P any] struct {
	size   uint32 // elements of a block
	class  class
	used   int    // blocks handed out so far
	nLive  int    // bits of live
	nFresh int    // bits of fresh
	live   bitset // the trie is made of them
	fresh  bitset // no snapshot can see them; not all of them are live
	places []P
}

// maxBlocks is the number of blocks that a slab may have.
const maxBlocks = 1 << 10

type bitset [maxBlocks / 64]uint64

func (b *bitset) has(i uint32) bool { return b[i/64]&(1<<(i%64)) != 0 }
func (b *bitset) set(i uint32)      { b[i/64] |= 1 << (i % 64) }
func (b *bitset) clear(i uint32)    { b[i/64] &^= 1 << (i % 64) }

// garbageFloor is the number of slabs' worth of garbage that is always put up
// with: 256 KiB. Above it, there may be one element for each four live ones.
const garbageFloor = 4

// newArena returns an arena with so many elements in a slab, and in a block of
// class 1, and 1<<grow times as many in one of each next class.
func newArena[B, P any](perSlab, least, grow uint32) arena[B, P] {
	return arena[B, P]{perSlab: perSlab, least: least, grow: grow}
}

// at returns the elements from the first of block n on.
func (a *arena[B, P]) at(n uint32) []B { return a.slabs[n/a.perSlab][n%a.perSlab:] }

// block returns the elements of block n.
func (a *arena[B, P]) block(n uint32) []B { return a.at(n)[:a.use[n/a.perSlab].size] }

// slot returns where the writer keeps what it knows of block n.
func (a *arena[B, P]) slot(n uint32) (u *slabUse[P], i uint32) {
	u = &a.use[n/a.perSlab]
	return u, n % a.perSlab / u.size
}

// own returns the number of a block with the contents of n that no snapshot
// can see: n itself, or a copy in its place.
func (a *arena[B, P]) own(n uint32) uint32 {
	if u, i := a.slot(n); u.fresh.has(i) {
		return n
	}
	return a.move(n)
}

// move copies a block to a fresh one and frees it.
func (a *arena[B, P]) move(n uint32) uint32 {
	u, i := a.slot(n)
	to := a.alloc(u.class, u.places[i])
	copy(a.block(to), a.block(n))
	a.free(n)
	return to
}

func (a *arena[B, P]) alloc(c class, place P) uint32 {
	n := a.unused(c)
	u, i := a.slot(n)
	if u.nFresh == 0 {
		a.fresh = append(a.fresh, int(n/a.perSlab))
	}
	if !u.fresh.has(i) {
		u.nFresh++
	}
	u.nLive++
	u.live.set(i)
	u.fresh.set(i)
	u.places[i] = place
	a.live += int(u.size)
	return n
}

// unused returns the number of a block that nobody has a use for.
func (a *arena[B, P]) unused(c class) uint32 {
	k := &a.kinds[c]
	if n := len(k.spare); n > 0 {
		b := k.spare[n-1]
		k.spare = k.spare[:n-1]
		return b
	}
	if k.cur == 0 || a.use[k.cur-1].used == len(a.use[k.cur-1].places) {
		k.cur = a.newSlab(c) + 1
	}
	u := &a.use[k.cur-1]
	u.used++
	return uint32(k.cur-1)*a.perSlab + uint32(u.used-1)*u.size
}

func (a *arena[B, P]) newSlab(c class) (i int) {
	if n := len(a.empty); n > 0 {
		i = a.empty[n-1]
		a.empty = a.empty[:n-1]
	} else {
		i = len(a.slabs)
		a.slabs, a.use = append(a.slabs, nil), append(a.use, slabUse[P]{})
	}
	size := a.least << (a.grow * uint32(c-1))
	a.slabs[i] = make([]B, a.perSlab)
	a.use[i] = slabUse[P]{class: c, size: size, places: make([]P, a.perSlab/size)}
	return i
}

func (a *arena[B, P]) free(n uint32) {
	u, i := a.slot(n)
	u.live.clear(i)
	u.nLive--
	a.live -= int(u.size)
	if u.fresh.has(i) {
		k := &a.kinds[u.class]
		k.spare = append(k.spare, n)
	} else {
		a.garbage += int(u.size)
	}
}

// publish hands out the slabs, and from now on leaves their blocks alone.
func (a *arena[B, P]) publish() [][]B {
	// A spare block that has not been written again is still nobody's. It would
	// have to be remembered as such, for the sake of very little.
	for i := range a.kinds {
		for _, n := range a.kinds[i].spare {
			u, _ := a.slot(n)
			a.garbage += int(u.size)
		}
		a.kinds[i].spare = a.kinds[i].spare[:0]
	}
	for _, i := range a.fresh {
		a.use[i].fresh, a.use[i].nFresh = bitset{}, 0
	}
	a.fresh = a.fresh[:0]
	return slices.Clone(a.slabs)
}

// compact keeps garbage within its bound. relocate is to move a block that is
// at a place, and to tell whoever points to it.
func (a *arena[B, P]) compact(relocate func(n uint32, place P)) {
	for a.garbage > max(garbageFloor*int(a.perSlab), a.live/4) {
		i := a.emptiest()
		if i < 0 {
			return
		}
		a.evacuate(i, relocate)
	}
}

// emptiest returns the full slab with the most garbage, of those that hold no
// fresh blocks; -1 if none has any.
func (a *arena[B, P]) emptiest() int {
	best, most := -1, 0
	for i := range a.use {
		u := &a.use[i]
		garbage := (u.used - u.nLive) * int(u.size)
		if garbage > most && u.nFresh == 0 && u.used == len(u.places) {
			best, most = i, garbage
		}
	}
	return best
}

// evacuate moves all live blocks out of slab i and lets it go.
func (a *arena[B, P]) evacuate(i int, relocate func(n uint32, place P)) {
	for w := range len(bitset{}) {
		for u := &a.use[i]; u.live[w] != 0; u = &a.use[i] {
			slot := uint32(w*64 + bits.TrailingZeros64(u.live[w]))
			relocate(uint32(i)*a.perSlab+slot*u.size, u.places[slot])
		}
	}
	u := &a.use[i]
	if k := &a.kinds[u.class]; k.cur == i+1 {
		k.cur = 0
	}
	a.garbage -= u.used * int(u.size)
	a.use[i], a.slabs[i] = slabUse[P]{}, nil
	a.empty = append(a.empty, i)
}
