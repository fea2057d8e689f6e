package fib

import "math/bits"

// A trie4 is the writer's side of the trie in Table4. Whatever a published
// snapshot can see, it copies before it writes; what it no longer needs stays
// as it is for those who still read it, and is counted as garbage. When there
// is too much of that, the emptiest slabs are moved out of and let go, and
// Go's collector frees them once no snapshot is left that knows them. So there
// are no epochs to keep and nothing to wait for.
type trie4 struct {
	root    *root
	ownRoot bool // no snapshot can see root

	slabs cow[*slab]
	use   []slabUse // one for each slab
	cur   int       // slab that new pages come from
	spare []uint32  // pages freed before any snapshot saw them
	empty []int     // numbers of slabs that were let go
	fresh []int     // slabs with pages that no snapshot has seen

	live    int // pages that the trie is made of
	garbage int // pages that only old snapshots can see
	changed bool
}

// A slabUse is what the writer knows of a slab's pages; a bit is a page.
type slabUse struct {
	live  uint64 // the trie is made of them
	fresh uint64 // no snapshot can see them; not all of them are live
	used  int    // pages handed out so far
	base  [pagesPerSlab]uint32
}

// garbageFloor is the number of garbage pages (256 KiB) that are always put up
// with. Above it, there may be one for each four live ones.
const garbageFloor = 256

// thirdLevel marks the base of a page that covers a /24. The low bits of a
// base are the upper 24 bits of the page's first address.
const thirdLevel = 1 << 31

func newTrie4() trie4 {
	return trie4{root: new(root), ownRoot: true, cur: -1, changed: true}
}

// paint makes leaf the entry of all addresses of prefix p that no longer
// prefix has. To insert p, leaf is its own; to remove it, leaf is that of the
// next shorter prefix, and insert is false.
func (t *trie4) paint(p prefix4, leaf uint32, insert bool) {
	a, length := p.addr(), p.bits()
	first, n := a>>16, uint32(1)
	if length < 16 {
		n = 1 << (16 - length)
	}
	for i := first; i < first+n; i++ {
		e := t.root[i]
		was := e
		if e = t.paintEntry(e, 16, i<<16|a&0xffff, length, leaf, insert); e != was {
			t.setRoot(i, e)
		}
	}
}

func (t *trie4) setRoot(i, e uint32) {
	if !t.ownRoot {
		t.root, t.ownRoot = new(*t.root), true
	}
	t.root[i] = e
	t.changed = true
}

// paintEntry paints within entry e, which stands for depth bits of address a,
// and returns what must be in its place.
func (t *trie4) paintEntry(e uint32, depth int, a uint32, length int, leaf uint32, insert bool) uint32 {
	if e < isPage {
		switch {
		case length <= depth && int(e>>lengthShift) <= length:
			return leaf
		case length <= depth || !insert:
			return e
		}
		e = t.newPage(e, depth, a)
	}
	lo, n := uint32(0), uint32(256)
	if length > depth {
		lo, n = a>>(24-depth)&0xff, 1<<max(0, depth+8-length)
	}
	for i := lo; i < lo+n; i++ {
		was := t.page(e)[i]
		if is := t.paintEntry(was, depth+8, a, length, leaf, insert); is != was {
			e = t.own(e)
			t.page(e)[i] = is
		}
	}
	if !insert && length > depth {
		return t.collapse(e, depth)
	}
	return e
}

// collapse frees page e if it holds nothing but what one entry above it, of
// depth bits, could hold, and returns that entry; else it returns e.
func (t *trie4) collapse(e uint32, depth int) uint32 {
	p := t.page(e)
	for _, c := range p {
		if c >= isPage || int(c>>lengthShift) > depth {
			return e
		}
	}
	leaf := p[0]
	t.free(e)
	return leaf
}

func (t *trie4) page(e uint32) *page {
	return &t.slabs.v[e&^isPage/pagesPerSlab][e%pagesPerSlab]
}

// newPage returns a page of leaves for the addresses around a that have depth
// bits in common.
func (t *trie4) newPage(leaf uint32, depth int, a uint32) uint32 {
	base := a >> 16 << 8
	if depth == 24 {
		base = a>>8 | thirdLevel
	}
	e := t.alloc(base)
	p := t.page(e)
	for i := range p {
		p[i] = leaf
	}
	return e
}

// own returns a page with the contents of e that no snapshot can see.
func (t *trie4) own(e uint32) uint32 {
	u := &t.use[e&^isPage/pagesPerSlab]
	if u.fresh&(1<<(e%pagesPerSlab)) != 0 {
		return e
	}
	return t.move(e)
}

// move copies a page to a fresh one and frees it.
func (t *trie4) move(e uint32) uint32 {
	to := t.alloc(t.use[e&^isPage/pagesPerSlab].base[e%pagesPerSlab])
	*t.page(to) = *t.page(e)
	t.free(e)
	return to
}

func (t *trie4) alloc(base uint32) uint32 {
	e := t.unused()
	u := &t.use[e/pagesPerSlab]
	bit := uint64(1) << (e % pagesPerSlab)
	if u.fresh == 0 {
		t.fresh = append(t.fresh, int(e/pagesPerSlab))
	}
	u.live |= bit
	u.fresh |= bit
	u.base[e%pagesPerSlab] = base
	t.live++
	t.changed = true
	return e | isPage
}

// unused returns the number of a page that nobody has a use for.
func (t *trie4) unused() uint32 {
	if n := len(t.spare); n > 0 {
		e := t.spare[n-1]
		t.spare = t.spare[:n-1]
		return e
	}
	if t.cur < 0 || t.use[t.cur].used == pagesPerSlab {
		t.cur = t.newSlab()
	}
	u := &t.use[t.cur]
	u.used++
	return uint32(t.cur*pagesPerSlab + u.used - 1)
}

func (t *trie4) newSlab() int {
	if n := len(t.empty); n > 0 {
		i := t.empty[n-1]
		t.empty = t.empty[:n-1]
		t.slabs.set(i, new(slab))
		return i
	}
	t.use = append(t.use, slabUse{})
	return t.slabs.add(new(slab))
}

func (t *trie4) free(e uint32) {
	u := &t.use[e&^isPage/pagesPerSlab]
	bit := uint64(1) << (e % pagesPerSlab)
	u.live &^= bit
	t.live--
	if u.fresh&bit != 0 {
		t.spare = append(t.spare, e&^isPage)
	} else {
		t.garbage++
	}
}

// publish hands out what the trie is made of, and from now on leaves it alone.
func (t *trie4) publish() (*root, []*slab) {
	t.compact()
	t.ownRoot, t.changed = false, false
	// A spare page that has not been written again is still nobody's. It would
	// have to be remembered as such, for the sake of very little.
	t.garbage += len(t.spare)
	t.spare = t.spare[:0]
	for _, i := range t.fresh {
		t.use[i].fresh = 0
	}
	t.fresh = t.fresh[:0]
	return t.root, t.slabs.publish()
}

// compact keeps garbage within its bound.
func (t *trie4) compact() {
	for t.garbage > max(garbageFloor, t.live/4) {
		i := t.emptiest()
		if i < 0 {
			return
		}
		t.evacuate(i)
	}
}

// emptiest returns the full slab with the least live pages, of those that hold
// no fresh ones; -1 if none has garbage.
func (t *trie4) emptiest() int {
	best, least := -1, pagesPerSlab
	for i := range t.use {
		u := &t.use[i]
		if n := bits.OnesCount64(u.live); n < least && u.fresh == 0 && u.used == pagesPerSlab {
			best, least = i, n
		}
	}
	return best
}

// evacuate moves all live pages out of slab i and lets it go.
func (t *trie4) evacuate(i int) {
	for u := &t.use[i]; u.live != 0; u = &t.use[i] {
		slot := bits.TrailingZeros64(u.live)
		t.relocate(uint32(i*pagesPerSlab+slot)|isPage, u.base[slot])
	}
	if t.cur == i {
		t.cur = -1
	}
	t.garbage -= pagesPerSlab
	t.use[i] = slabUse{}
	t.slabs.set(i, nil)
	t.empty = append(t.empty, i)
}

// relocate moves page e, which is at base, and tells whoever points to it.
func (t *trie4) relocate(e, base uint32) {
	top := base &^ thirdLevel >> 8
	if base&thirdLevel == 0 {
		t.setRoot(top, t.move(e))
		return
	}
	parent := t.own(t.root[top])
	t.setRoot(top, parent)
	t.page(parent)[base&0xff] = t.move(e)
}
