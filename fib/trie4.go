package fib

import "github.com/skein-dataplane/skein/hdr"

// A trie4 is the writer's side of the trie in Table4.
type trie4 struct {
	arena   arena[page, uint32]
	root    *root4
	ownRoot [len(root4{}) + 1]bool // no snapshot can see this piece of root, or root
	changed bool
}

// thirdLevel marks the place of a page that covers a /24. The low bits of a
// place are the upper 24 bits of the page's first address.
const thirdLevel = 1 << 31

func newTrie4() *trie4 {
	t := &trie4{arena: newArena[page, uint32](pagesPerSlab, 1, 0), root: new(root4), changed: true}
	none := new([rootPiece]uint32)
	for i := range t.root {
		t.root[i] = none
	}
	return t
}

func (t *trie4) altered() bool { return t.changed }

func (t *trie4) publish(e ends, _ []hdr.Addr4) *Table4 {
	t.arena.compact(t.relocate)
	t.ownRoot, t.changed = [len(t.ownRoot)]bool{}, false
	return &Table4{ends: e, root: t.root, slabs: t.arena.publish()}
}

func (t *trie4) paint(p prefix[hdr.Addr4], bits int, list uint32, insert bool) {
	leaf := uint32(bits)<<listBits4 | list
	a, length := uint32(p.addr), int(p.bits)
	first, n := a>>16, uint32(1)
	if length < 16 {
		n = 1 << (16 - length)
	}
	for i := first; i < first+n; i++ {
		e := t.root.at(i)
		was := e
		if e = t.paintEntry(e, 16, i<<16|a&0xffff, length, leaf, insert); e != was {
			t.setRoot(i, e)
		}
	}
}

func (t *trie4) setRoot(i, e uint32) {
	at, whole := i/rootPiece, len(t.root)
	if !t.ownRoot[whole] {
		t.root, t.ownRoot[whole] = new(*t.root), true
	}
	if !t.ownRoot[at] {
		t.root[at], t.ownRoot[at] = new(*t.root[at]), true
	}
	t.root[at][i%rootPiece] = e
	t.changed = true
}

// paintEntry paints within entry e, which stands for depth bits of address a,
// and returns what must be in its place.
func (t *trie4) paintEntry(e uint32, depth int, a uint32, length int, leaf uint32, insert bool) uint32 {
	if e < isPage {
		switch {
		case length <= depth && int(e>>listBits4) <= length:
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
		if c >= isPage || int(c>>listBits4) > depth {
			return e
		}
	}
	leaf := p[0]
	t.arena.free(e &^ isPage)
	return leaf
}

func (t *trie4) page(e uint32) *page { return &t.arena.at(e &^ isPage)[0] }

// newPage returns a page of leaves for the addresses around a that have depth
// bits in common.
func (t *trie4) newPage(leaf uint32, depth int, a uint32) uint32 {
	place := a >> 16 << 8
	if depth == 24 {
		place = a>>8 | thirdLevel
	}
	e := t.arena.alloc(1, place) | isPage
	t.changed = true
	p := t.page(e)
	for i := range p {
		p[i] = leaf
	}
	return e
}

// own returns a page with the contents of e that no snapshot can see.
func (t *trie4) own(e uint32) uint32 {
	t.changed = true
	return t.arena.own(e&^isPage) | isPage
}

// relocate moves page n, which is at place.
func (t *trie4) relocate(n, place uint32) {
	top := place &^ thirdLevel >> 8
	if place&thirdLevel == 0 {
		t.setRoot(top, t.arena.move(n)|isPage)
		return
	}
	parent := t.own(t.root.at(top))
	t.setRoot(top, parent)
	t.page(parent)[place&0xff] = t.arena.move(n) | isPage
}
