package fib

import "github.com/skein-dataplane/skein/hdr"

// A trie6 is the writer's side of the trie in Table6.
type trie6 struct {
	root    *root6
	ownRoot [257]bool // no snapshot can see this page of root, or root
	links   uint32
	pages   arena[page, hdr.Addr6]
	few     arena[fewRanges, hdr.Addr6]
	many    arena[manyRanges, hdr.Addr6]
	changed bool
}

func newTrie6() *trie6 {
	t := &trie6{
		root: new(root6), changed: true,
		pages: newArena[page, hdr.Addr6](),
		few:   newArena[fewRanges, hdr.Addr6](),
		many:  newArena[manyRanges, hdr.Addr6](),
	}
	none := new(page)
	for i := range t.root {
		t.root[i] = none
	}
	return t
}

func (t *trie6) altered() bool { return t.changed }

func (t *trie6) publish(e ends, vias []hdr.Addr6) *Table6 {
	t.many.compact(func(n uint32, place hdr.Addr6) { t.relocate(isPointer|isRanges|isMany|n, place) })
	t.few.compact(func(n uint32, place hdr.Addr6) { t.relocate(isPointer|isRanges|n, place) })
	t.pages.compact(func(n uint32, place hdr.Addr6) { t.relocate(isPointer|n, place) })
	t.changed = false
	clear(t.ownRoot[:])
	return &Table6{
		ends: e, vias: vias, root: t.root, links: t.links,
		pages: t.pages.publish(), few: t.few.publish(), many: t.many.publish(),
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
)

// onSomeLink reports whether a is within fe80::/16. No route leads within that
// but those in the scope of a link.
func onSomeLink(a hdr.Addr6) bool { return a.Hi>>48 == hdr.LinkLocalHi>>48 }

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
	case e < isPointer || e&isRanges != 0:
		return t.paintRanges(e, depth, a, b)
	}
	return t.paintPage(e, a, b)
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

// byteOf returns the byte that entry e divides addresses by, and the number of
// bits before it.
func byteOf(e uint32) (index, depth int) {
	index = int(e >> byteShift & 0xf)
	return index, index * 8
}

// withByte returns a with byte index set to v, where it is zero.
func withByte(a hdr.Addr6, index int, v uint64) hdr.Addr6 {
	if index < 8 {
		a.Hi |= v << (56 - 8*index)
	} else {
		a.Lo |= v << (56 - 8*(index-8))
	}
	return a
}

// wordOf returns the word of a that has byte index.
func wordOf(a hdr.Addr6, index int) uint64 {
	if index < 8 {
		return a.Hi
	}
	return a.Lo
}

func (t *trie6) paintPage(e uint32, a hdr.Addr6, b *brush) uint32 {
	index, depth := byteOf(e)
	lo, n := uint64(0), uint64(256)
	if within := int(b.bits) - depth; within > 0 {
		lo = wordOf(b.addr, index) >> (56 - 8*(index&7)) & 0xff
		n = 1 << max(0, 8-within)
	}
	for i := lo; i < lo+n; i++ {
		was := t.page(e)[i]
		if is := t.paintEntry(was, depth+8, withByte(a, index, i), b); is != was {
			e = t.ownEntry(e)
			t.page(e)[i] = is
		}
	}
	if !b.insert {
		return t.thin(e, depth, a)
	}
	return e
}

func (t *trie6) page(e uint32) *page { return t.pages.block(e & blockMask) }

// ownEntry returns an entry that leads to the same that e leads to, where no
// snapshot can see it.
func (t *trie6) ownEntry(e uint32) uint32 {
	t.changed = true
	n := e & blockMask
	switch {
	case e&isRanges == 0:
		n = t.pages.own(n)
	case e&isMany == 0:
		n = t.few.own(n)
	default:
		n = t.many.own(n)
	}
	return e&^blockMask | n
}

func (t *trie6) moveEntry(e uint32) uint32 {
	n := e & blockMask
	switch {
	case e&isRanges == 0:
		n = t.pages.move(n)
	case e&isMany == 0:
		n = t.few.move(n)
	default:
		n = t.many.move(n)
	}
	return e&^blockMask | n
}

func (t *trie6) freeEntry(e uint32) {
	n := e & blockMask
	switch {
	case e&isRanges == 0:
		t.pages.free(n)
	case e&isMany == 0:
		t.few.free(n)
	default:
		t.many.free(n)
	}
}

// relocate moves what target leads to, which is at place.
func (t *trie6) relocate(target uint32, place hdr.Addr6) {
	if onSomeLink(place) {
		t.setLinks(t.moveWithin(t.links, target, place))
		return
	}
	t.setRoot(place.Hi>>48, t.moveWithin(t.root.at(place), target, place))
}

// moveWithin moves what target leads to, which is what e leads to or lies
// further down, and returns what must be in the place of e. The byte of an
// entry is not part of where it leads.
func (t *trie6) moveWithin(e, target uint32, place hdr.Addr6) uint32 {
	switch {
	case e < isPointer:
		return e
	case e&^(0xf<<byteShift) == target:
		return t.moveEntry(e)
	}
	e = t.ownEntry(e)
	index, depth := byteOf(e)
	w := wordOf(place, index)
	if e&isRanges == 0 {
		slot := &t.page(e)[w>>(56-8*(index&7))&0xff]
		*slot = t.moveWithin(*slot, target, place)
		return e
	}
	var scratch [maxMany]piece
	g := region{base: place, depth: depth}
	g.pieces = t.pieces(scratch[:0], e, 0)
	p := &g.pieces[g.pieceAt(w)]
	p.entry = t.moveWithin(p.entry, target, place)
	t.pack(e, g.pieces)
	return e
}
