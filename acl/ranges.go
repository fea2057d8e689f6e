package acl

import "github.com/skein-dataplane/skein/hdr"

// A ranges maps numbers of 64 or 128 bits to values, by the range they are in.
// It is a tree whose nodes cut the span between their first and their last
// border into equal slots, about two for each border. Where borders are spread
// evenly, one step ends the search; where prefixes nest, each step leaves a
// fraction of them. The memory is in proportion to the number of borders.
//
// A 128-bit number is looked up by its upper half; where this leaves several
// ranges, by its lower half in a tree below.
type ranges struct {
	root  uint32
	depth int // most steps that a search in the upper half takes
	nodes []rangeNode
	slots []uint32
}

// A rangeNode fills half a cache line.
type rangeNode struct {
	first         uint64 // lowest number of the span
	width         uint64 // numbers in it; 0 if there is one border only, first
	before, after uint32 // values or nodes for numbers below the span and above
	slots         uint32 // index of the first slot
	shift         uint32 // a slot is 1<<shift numbers
}

const (
	isNode   = 1 << 31 // the rest is the number of a node
	isLower  = 1 << 30 // the rest is that of a node for the lower half
	maxValue = isLower - 1
)

// A border is where a range begins that has a value.
type border struct {
	at    hdr.Addr6
	value uint32
}

type border64 struct {
	at    uint64
	value uint32
}

// step takes one step of a search for x; e is a node.
func (r *ranges) step(e uint32, x uint64) uint32 {
	n := &r.nodes[e&^isNode]
	if off := x - n.first; off < n.width {
		return r.slots[n.slots+uint32(off>>(n.shift&63))]
	}
	if x < n.first {
		return n.before
	}
	return n.after
}

func (r *ranges) find64(e uint32, x uint64) uint32 {
	for e >= isNode {
		e = r.step(e, x)
	}
	return e
}

// find returns the value for x. Numbers of 64 bits and less are x.Hi.
func (r *ranges) find(x hdr.Addr6) uint32 {
	e := r.find64(r.root, x.Hi)
	if e >= isLower {
		e = r.find64(e^isLower|isNode, x.Lo)
	}
	return e
}

// newRanges returns the ranges between borders, which are sorted and without
// duplicates. The first one is at 0.
func newRanges(borders []border) (r ranges) {
	upper := make([]border64, 0, len(borders)+1)
	value := borders[0].value
	for i := 0; i < len(borders); {
		hi, j := borders[i].at.Hi, i+1
		for j < len(borders) && borders[j].at.Hi == hi {
			j++
		}
		group := borders[i:j]
		upper = append(upper, border64{hi, r.lower(value, group)})
		value = group[len(group)-1].value
		if upper[len(upper)-1].value != value && hi != ^uint64(0) && (j == len(borders) || borders[j].at.Hi != hi+1) {
			upper = append(upper, border64{hi + 1, value})
		}
		i = j
	}
	r.root, r.depth = r.build(upper)
	return r
}

// lower returns the value, or the tree, for the borders of one upper half; at
// its beginning, value holds.
func (r *ranges) lower(value uint32, group []border) uint32 {
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
	e, _ := r.build(low)
	if e >= isNode {
		e = e&^isNode | isLower
	}
	return e
}

// build returns the tree, or the value, for the ranges between borders, and the
// most steps that a search takes. What is below the first border counts to it.
func (r *ranges) build(borders []border64) (e uint32, depth int) {
	borders = merge(borders)
	n := len(borders) - 1
	if n == 0 {
		return borders[0].value, 0
	}
	e = uint32(len(r.nodes))
	node := rangeNode{first: borders[1].at, width: borders[n].at - borders[1].at, before: borders[0].value, after: borders[n].value}
	r.nodes = append(r.nodes, node)
	if n > 1 {
		depth = r.split(&node, borders[1:])
		r.nodes[e] = node
	}
	return e | isNode, depth + 1
}

// split makes the slots of a node that spans borders.
func (r *ranges) split(node *rangeNode, borders []border64) (depth int) {
	most := uint64(2 * len(borders))
	for (node.width-1)>>node.shift >= most {
		node.shift++
	}
	count := int((node.width-1)>>node.shift) + 1
	node.slots = uint32(len(r.slots))
	r.slots = append(r.slots, make([]uint32, count)...)
	for i := range count {
		start := node.first + uint64(i)<<node.shift
		for len(borders) > 1 && borders[1].at <= start {
			borders = borders[1:]
		}
		inside := 1
		for inside < len(borders)-1 && borders[inside].at-start < 1<<node.shift {
			inside++
		}
		e, d := r.build(borders[:inside])
		r.slots[node.slots+uint32(i)] = e
		depth = max(depth, d)
	}
	return depth
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
