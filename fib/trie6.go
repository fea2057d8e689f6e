package fib

import "github.com/skein-dataplane/skein/hdr"

// A trie6 is the writer's side of the trie in Table6.
type trie6 struct {
	root    *root6
	ownRoot [257]bool // no snapshot can see this page of root, or root
	links   uint32
	pages   arena[uint32, hdr.Addr6]
	ranges  arena[ranges, hdr.Addr6]
	changed bool
}

func newTrie6() *trie6 {
	t := &trie6{
		root: new(root6), changed: true,
		pages:  newArena[uint32, hdr.Addr6](wordsPerSlab, 1<<lineShift, 2),
		ranges: newArena[ranges, hdr.Addr6](rangesPerSlab, 1, 1),
	}
	none := new(page)
	for i := range t.root {
		t.root[i] = none
	}
	scoped := new(page)
	for i := range scoped {
		if i>>6 == linkLocalTop&0xff>>6 {
			scoped[i] = noScope
		}
	}
	t.root[linkLocalTop>>8] = scoped
	return t
}

func (t *trie6) altered() bool { return t.changed }

func (t *trie6) publish(e ends, vias []hdr.Addr6) *Table6 {
	t.ranges.compact(func(n uint32, place hdr.Addr6) { t.relocate(isPointer|isRanges|n, place) })
	t.pages.compact(func(n uint32, place hdr.Addr6) { t.relocate(isPointer|n, place) })
	t.changed = false
	clear(t.ownRoot[:])
	return &Table6{
		ends: e, vias: vias, root: t.root, links: t.links,
		pages: t.pages.publish(), ranges: t.ranges.publish(),
	}
}

// A brush is a prefix and what to paint it with.
type brush struct {
	prefix[hdr.Addr6]
	leaf   uint32
	insert bool
}

const (
	rootBits  = 16 // that the root is indexed by
	linksBits = 32 // before the interface, in an address in scope; see inScope

	linkLocalTop = hdr.LinkLocalHi >> 48 // of fe80::/10, the first 16 bits of the first address
)

// onSomeLink reports whether a is within fe80::/10. No route leads within that
// but those in the scope of a link.
func onSomeLink(a hdr.Addr6) bool { return a.Hi>>54 == linkLocalTop>>6 }

func (t *trie6) paint(p prefix[hdr.Addr6], bits int, list uint32, insert bool) {
	b := &brush{p, uint32(bits)<<lengthShift6 | list, insert}
	if onSomeLink(p.addr) && p.bits >= linkBits {
		t.setLinks(t.paintEntry(t.links, linksBits, hdr.Addr6{Hi: hdr.LinkLocalHi}, b))
		return
	}
	first, n := p.addr.Hi>>48, uint64(1)
	if p.bits < rootBits {
		n = 1 << (rootBits - p.bits)
	}
	for i := first; i < first+n; i++ {
		if onSomeLink(hdr.Addr6{Hi: i << 48}) {
			continue // where noScope stays
		}
		t.setRoot(i, t.paintEntry(t.root.at(hdr.Addr6{Hi: i << 48}), rootBits, hdr.Addr6{Hi: i << 48}, b))
	}
}

func (t *trie6) setRoot(i uint64, e uint32) {
	at := i >> 8
	if t.root[at][i&0xff] == e {
		return
	}
	if !t.ownRoot[256] {
		t.root, t.ownRoot[256] = new(*t.root), true
	}
	if !t.ownRoot[at] {
		t.root[at], t.ownRoot[at] = new(*t.root[at]), true
	}
	t.root[at][i&0xff] = e
	t.changed = true
}

func (t *trie6) setLinks(e uint32) {
	t.changed = t.changed || e != t.links
	t.links = e
}

// paintEntry paints within entry e, which stands for the addresses that have
// depth bits of a in common, and returns what must be in its place.
func (t *trie6) paintEntry(e uint32, depth int, a hdr.Addr6, b *brush) uint32 {
	switch {
	case e < isPointer && int(b.bits) <= depth:
		return b.over(e)
	case e < isPointer && b.idle(e):
		return e
	case e < isPointer:
		return t.paintLeaf(e, depth, a, b)
	case toPage(e):
		return t.paintPage(e, a, b)
	case t.toTree(e):
		return t.paintTree(e, a, b)
	}
	return t.paintBlock(e, a, b)
}

// over returns what becomes of leaf e where the prefix covers all of it.
func (b *brush) over(e uint32) uint32 {
	if e>>lengthShift6 <= uint32(b.bits) {
		return b.leaf
	}
	return e
}

// idle reports whether painting a part of what leaf e stands for changes
// nothing: the leaf is of a longer prefix, or of a shorter one and so there is
// nothing to remove.
func (b *brush) idle(e uint32) bool {
	length := e >> lengthShift6
	return e == b.leaf || length > uint32(b.bits) || !b.insert && length < uint32(b.bits)
}

// entries returns those of the page that e leads to.
func (t *trie6) entries(e uint32) []uint32 { return t.pages.block(firstOf(e)) }

// block returns the ranges that e leads to.
func (t *trie6) block(e uint32) []ranges { return t.ranges.block(firstOf(e)) }

// ownEntry returns an entry that leads to the same that e leads to, where no
// snapshot can see it.
func (t *trie6) ownEntry(e uint32) uint32 {
	t.changed = true
	if toPage(e) {
		return withFirst(e, t.pages.own(firstOf(e)))
	}
	return t.relink(e, t.ranges.own(firstOf(e)))
}

func (t *trie6) moveEntry(e uint32) uint32 {
	if toPage(e) {
		return withFirst(e, t.pages.move(firstOf(e)))
	}
	return t.relink(e, t.ranges.move(firstOf(e)))
}

// relink returns e for a block that is at n now. In a tree it says so to the
// first line too.
func (t *trie6) relink(e, n uint32) uint32 {
	e = withFirst(e, n)
	if t.toTree(e) {
		var scratch [maxTree]piece
		t.packTree(e, t.treePieces(scratch[:0], e, 0))
	}
	return e
}

func (t *trie6) freeEntry(e uint32) {
	if toPage(e) {
		t.pages.free(firstOf(e))
	} else {
		t.ranges.free(firstOf(e))
	}
}

// relocate moves what has the id target, which is at place.
func (t *trie6) relocate(target uint32, place hdr.Addr6) {
	if onSomeLink(place) {
		t.setLinks(t.moveWithin(t.links, target, place))
		return
	}
	t.setRoot(place.Hi>>48, t.moveWithin(t.root.at(place), target, place))
}

// moveWithin moves what has the id target, which is what e leads to or lies further
// down, and returns what must be in the place of e.
func (t *trie6) moveWithin(e, target uint32, place hdr.Addr6) uint32 {
	switch {
	case e < isPointer:
		return e
	case idOf(e) == target:
		return t.moveEntry(e)
	}
	e = t.ownEntry(e)
	w := wordOf(place, depthOf(e))
	i := indexOf(e, w)
	if toPage(e) {
		slot := &t.entries(e)[i]
		*slot = t.moveWithin(*slot, target, place)
		return e
	}
	g := region{}
	if t.toTree(e) {
		var scratch [maxTree]piece
		g.pieces = t.treePieces(scratch[:0], e, 0)
		p := &g.pieces[g.pieceAt(w)]
		p.entry = t.moveWithin(p.entry, target, place)
		t.packTree(e, g.pieces)
		return e
	}
	var scratch [maxRanges]piece
	g.pieces = t.block(e)[i].unpack(scratch[:0], 0)
	p := &g.pieces[g.pieceAt(w)]
	p.entry = t.moveWithin(p.entry, target, place)
	t.block(e)[i].pack(g.pieces)
	return e
}
