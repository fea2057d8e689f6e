package fib

import "math/bits"

// An arena is where a trie keeps blocks B, in slabs that snapshots share.
// Whatever a published snapshot can see, the writer copies before it writes;
// what it no longer needs stays as it is for those who still read it, and is
// counted as garbage. When there is too much of that, the emptiest slabs are
// moved out of and let go, and Go's collector frees them once no snapshot is
// left that knows them. So there are no epochs to keep and nothing to wait for.
//
// A slab has no pointers: the garbage collector has some thousand of them to
// know and none to scan at a million routes. Of each block the arena knows its
// place P in the trie, so that whoever points to it can be told that it moves.
type arena[B, P any] struct {
	slabs  cow[*[perSlab]B]
	use    []slabUse // one for each slab
	places []*[perSlab]P
	cur    int      // slab that new blocks come from; -1: none
	spare  []uint32 // blocks freed before any snapshot saw them
	empty  []int    // numbers of slabs that were let go
	fresh  []int    // slabs with blocks that no snapshot has seen

	live    int // blocks that the trie is made of
	garbage int // blocks that only old snapshots can see
}

// A slabUse is what the writer knows of a slab's blocks; a bit is a block.
type slabUse struct {
	live  uint64 // the trie is made of them
	fresh uint64 // no snapshot can see them; not all of them are live
	used  int    // blocks handed out so far
}

const perSlab = 64

// garbageFloor is the number of garbage blocks that are always put up with: at
// most 256 KiB. Above it, there may be one for each four live ones.
const garbageFloor = 256

func newArena[B, P any]() arena[B, P] { return arena[B, P]{cur: -1} }

func (a *arena[B, P]) block(n uint32) *B { return &a.slabs.v[n/perSlab][n%perSlab] }

// own returns the number of a block with the contents of n that no snapshot
// can see: n itself, or a copy in its place.
func (a *arena[B, P]) own(n uint32) uint32 {
	if a.use[n/perSlab].fresh&(1<<(n%perSlab)) != 0 {
		return n
	}
	return a.move(n)
}

// move copies a block to a fresh one and frees it.
func (a *arena[B, P]) move(n uint32) uint32 {
	to := a.alloc(a.places[n/perSlab][n%perSlab])
	*a.block(to) = *a.block(n)
	a.free(n)
	return to
}

func (a *arena[B, P]) alloc(place P) uint32 {
	n := a.unused()
	u := &a.use[n/perSlab]
	if u.fresh == 0 {
		a.fresh = append(a.fresh, int(n/perSlab))
	}
	bit := uint64(1) << (n % perSlab)
	u.live |= bit
	u.fresh |= bit
	a.places[n/perSlab][n%perSlab] = place
	a.live++
	return n
}

// unused returns the number of a block that nobody has a use for.
func (a *arena[B, P]) unused() uint32 {
	if n := len(a.spare); n > 0 {
		b := a.spare[n-1]
		a.spare = a.spare[:n-1]
		return b
	}
	if a.cur < 0 || a.use[a.cur].used == perSlab {
		a.cur = a.newSlab()
	}
	u := &a.use[a.cur]
	u.used++
	return uint32(a.cur*perSlab + u.used - 1)
}

func (a *arena[B, P]) newSlab() int {
	if n := len(a.empty); n > 0 {
		i := a.empty[n-1]
		a.empty = a.empty[:n-1]
		a.slabs.set(i, new([perSlab]B))
		return i
	}
	a.use = append(a.use, slabUse{})
	a.places = append(a.places, new([perSlab]P))
	return a.slabs.add(new([perSlab]B))
}

func (a *arena[B, P]) free(n uint32) {
	u := &a.use[n/perSlab]
	bit := uint64(1) << (n % perSlab)
	u.live &^= bit
	a.live--
	if u.fresh&bit != 0 {
		a.spare = append(a.spare, n)
	} else {
		a.garbage++
	}
}

// publish hands out the slabs, and from now on leaves their blocks alone.
func (a *arena[B, P]) publish() []*[perSlab]B {
	// A spare block that has not been written again is still nobody's. It would
	// have to be remembered as such, for the sake of very little.
	a.garbage += len(a.spare)
	a.spare = a.spare[:0]
	for _, i := range a.fresh {
		a.use[i].fresh = 0
	}
	a.fresh = a.fresh[:0]
	return a.slabs.publish()
}

// compact keeps garbage within its bound. relocate is to move a block that is
// at a place, and to tell whoever points to it.
func (a *arena[B, P]) compact(relocate func(n uint32, place P)) {
	for a.garbage > max(garbageFloor, a.live/4) {
		i := a.emptiest()
		if i < 0 {
			return
		}
		a.evacuate(i, relocate)
	}
}

// emptiest returns the full slab with the least live blocks, of those that hold
// no fresh ones; -1 if none has garbage.
func (a *arena[B, P]) emptiest() int {
	best, least := -1, perSlab
	for i := range a.use {
		u := &a.use[i]
		if n := bits.OnesCount64(u.live); n < least && u.fresh == 0 && u.used == perSlab {
			best, least = i, n
		}
	}
	return best
}

// evacuate moves all live blocks out of slab i and lets it go.
func (a *arena[B, P]) evacuate(i int, relocate func(n uint32, place P)) {
	for u := &a.use[i]; u.live != 0; u = &a.use[i] {
		slot := bits.TrailingZeros64(u.live)
		relocate(uint32(i*perSlab+slot), a.places[i][slot])
	}
	if a.cur == i {
		a.cur = -1
	}
	a.garbage -= perSlab
	a.use[i] = slabUse{}
	a.slabs.set(i, nil)
	a.empty = append(a.empty, i)
}
