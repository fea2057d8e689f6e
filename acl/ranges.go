package acl

import "github.com/skein-dataplane/skein/hdr"

// A ranges maps numbers of 64 or 128 bits to values, by the range they are in.
// It is a tree whose nodes cut a span of numbers into equal slots, about two for
// each border between ranges. Where borders are spread evenly, one step ends the
// search; where prefixes nest, each step leaves a fraction of them. The memory is
// in proportion to the number of borders.
//
// A 128-bit number is looked up by its upper half; where this leaves several
// ranges, by its lower half in a tree below.
type ranges struct {
	top   rangeNode
	depth uint32 // most steps below top that a search in the upper half takes
	nodes []rangeNode
	slots []uint32
}

// A rangeNode stands for the numbers from first up to below first+width. All
// others are in the slot before the first.
type rangeNode struct {
	first, width uint64
	slots        uint32 // index of the first slot
	shift        uint32 // a slot is 1<<shift numbers
}

const (
	isNode   = 1 << 31 // the rest is the number of a node
	isLower  = 1 << 30 // the rest is that of a node for the lower half
	maxValue = isLower - 1
)

// start takes the first step of a search for x. Steps have no branches: which
// way a packet takes can't be predicted.
func (r *ranges) start(x uint64) uint32 { return r.slots[r.top.slot(x)] }

// step takes a further step; e is a node.
func (r *ranges) step(e uint32, x uint64) uint32 { return r.slots[r.nodes[e&^isNode].slot(x)] }

func (n *rangeNode) slot(x uint64) uint32 {
	off := x - n.first
	i := n.slots + uint32(off>>(n.shift&63))
	if off >= n.width {
		i = n.slots - 1
	}
	return i
}

// rest returns the value for x, of which start has returned e.
func (r *ranges) rest(e uint32, x hdr.Addr6) uint32 {
	for e >= isNode {
		e = r.step(e, x.Hi)
	}
	return r.lower(e, x.Lo)
}

// find64 returns the value for x, or a node for the lower half.
func (r *ranges) find64(x uint64) uint32 {
	e := r.start(x)
	for e >= isNode {
		e = r.step(e, x)
	}
	return e
}

// find returns the value for x. Numbers of 64 bits and less are x.Hi.
func (r *ranges) find(x hdr.Addr6) uint32 { return r.lower(r.find64(x.Hi), x.Lo) }

// lower returns the value for an x of which find64 has returned e.
func (r *ranges) lower(e uint32, x uint64) uint32 {
	if e >= isLower {
		for e = e ^ isLower | isNode; e >= isNode; {
			e = r.step(e, x)
		}
	}
	return e
}

// A border is where a range begins that has a value.
type border struct {
	at    hdr.Addr6
	value uint32
}

type border64 struct {
	at    uint64
	value uint32
}

// newRanges returns the ranges between borders, which are sorted and without
// duplicates. The first one is at 0.
func newRanges(borders []border) ranges {
	var r ranges
	upper := make([]border64, 0, len(borders)+1)
	value := borders[0].value
	for i := 0; i < len(borders); {
		hi, j := borders[i].at.Hi, i+1
		for j < len(borders) && borders[j].at.Hi == hi {
			j++
		}
		group := borders[i:j]
		upper = append(upper, border64{hi, r.buildLower(value, group)})
		value = group[len(group)-1].value
		if upper[len(upper)-1].value != value && hi != ^uint64(0) && (j == len(borders) || borders[j].at.Hi != hi+1) {
			upper = append(upper, border64{hi + 1, value})
		}
		i = j
	}
	var root uint32
	if root, r.depth = r.build(0, upper); root < isNode {
		r.slots = append(r.slots, root)
		r.top.slots = uint32(len(r.slots)) // a node without width
		return r
	}
	r.top = r.nodes[root&^isNode]
	r.depth--
	return r
}

// buildLower returns the value, or the tree, for the borders of one upper half; at
// its beginning, value holds.
func (r *ranges) buildLower(value uint32, group []border) uint32 {
	if len(group) == 1 && group[0].at.Lo == 0 {
		return group[0].value
	}
	var low []border64
	if group[0].at.Lo != 0 {
		low = append(low, border64{0, value})
	}
	for _, b := range group {
		low = append(low, border64{b.at.Lo, b.value})
	}
	e, _ := r.build(0, low)
	if e >= isNode {
		e = e&^isNode | isLower
	}
	return e
}

// build returns the tree, or the value, for the numbers from lo up, and the most
// steps that a search takes. Borders are above lo, but for the first one.
func (r *ranges) build(lo uint64, borders []border64) (e, depth uint32) {
	borders = merge(borders)
	if len(borders) == 1 {
		return borders[0].value, 0
	}
	n := newRangeNode(lo, borders)
	e = uint32(len(r.nodes))
	count := int((n.width-1)>>n.shift) + 1
	r.slots = append(r.slots, borders[len(borders)-1].value)
	n.slots = uint32(len(r.slots))
	r.nodes = append(r.nodes, n)
	r.slots = append(r.slots, make([]uint32, count)...)
	for i := range count {
		offset := uint64(i) << n.shift
		for len(borders) > 1 && borders[1].at-n.first <= offset {
			borders = borders[1:]
		}
		inside := 1
		for inside < len(borders)-1 && borders[inside].at-n.first-offset < 1<<n.shift {
			inside++
		}
		below, steps := r.build(n.first+offset, borders[:inside])
		r.slots[int(n.slots)+i] = below
		depth = max(depth, steps)
	}
	return e | isNode, depth + 1
}

// newRangeNode returns a node that divides borders, but for its slots.
//
// Slots begin at multiples of their size, so that prefixes are whole slots, or
// within one. The span ends with the last border, and begins with the first one
// if the value before is that behind; else with lo.
func newRangeNode(lo uint64, borders []border64) (n rangeNode) {
	count := len(borders) - 1
	first, last := borders[1].at, borders[count].at
	if borders[0].value != borders[count].value {
		first = lo
	}
	n.shift = 63
	if count > 1 {
		n.shift = 0
		for (last-1)>>n.shift-first>>n.shift >= uint64(2*count) {
			n.shift++
		}
		first = first >> n.shift << n.shift
	}
	n.first, n.width = first, last-first
	return n
}

// merge returns borders without those that divide nothing.
func merge(borders []border64) []border64 {
	divide := 1
	for divide < len(borders) && borders[divide].value != borders[divide-1].value {
		divide++
	}
	if divide == len(borders) {
		return borders
	}
	out := append([]border64(nil), borders[:divide]...)
	for _, b := range borders[divide:] {
		if b.value != out[len(out)-1].value {
			out = append(out, b)
		}
	}
	return out
}
