package acl

import (
	"math/bits"

	"github.com/skein-dataplane/skein/hdr"
)

// An extra is conditions that some rules have on one side of a packet and that
// say who is in which set, or what the source port is. Its vector for a packet
// is that of the side's port, or-ed with those of the sets that the side is in;
// with negate, it is turned over. Rules without such conditions have their bits
// set.
type extra struct {
	dst    bool // looks at the destination
	negate bool
	ports  ranges // by port
	sets   setTable
}

// maxExtras is what one Program can have: for each side the places of Sets,
// named ports and not-sets, and the source port.
const maxExtras = 2*(MaxSets+2) + 1

// maxPicks is how many vectors of sets a packet can have without having to look
// for them again for each word of the result.
const maxPicks = 96

// fewPicks is up to how many vectors of sets the words of a block are looked at one
// by one: usually few of them have a rule that fits but for its sets.
const fewPicks = 8

// picks are the vectors of the extras for one packet.
type picks struct {
	src, dst     []membership
	srcL4, dstL4 uint32 // as in membership
	rescan       uint32 // bit i: extra i has too many vectors to hold them
	many         bool   // vectors of sets, so that whole blocks are or-ed at once
	ports        [maxExtras]uint32
	end          [maxExtras]uint8 // where the vectors of extra i end in sets
	sets         [maxPicks]uint32
}

// pick finds the vectors of the extras for a packet whose memberships are in x.
func (e *engine) pick(x *picks, k *Key) {
	x.rescan = 0
	x.srcL4, x.dstL4 = k.member(k.SrcPort), k.member(k.DstPort)
	n := 0
	for i := range min(len(e.extras), maxExtras) {
		y := &e.extras[i]
		port, start := uint64(k.SrcPort), n
		if y.dst {
			port = uint64(k.DstPort)
		}
		x.ports[i] = y.ports.find(hdr.Addr6{Hi: port})
		list, l4 := x.side(y)
		for _, m := range list {
			v, ok := y.vector(m, l4)
			if !ok {
				continue
			}
			if n == maxPicks {
				x.rescan |= 1 << i
				n = start
				break
			}
			x.sets[n] = v
			n++
		}
		x.end[i] = uint8(n)
	}
	x.many = n > fewPicks || x.rescan != 0
}

// member returns protocol and port as a membership has them.
func (k *Key) member(port uint16) uint32 {
	if k.Flags&NoPorts != 0 || !hasPorts(k.Proto) {
		return anyL4
	}
	return uint32(k.Proto)<<16 | uint32(port)
}

func (x *picks) side(y *extra) ([]membership, uint32) {
	if y.dst {
		return x.dst, x.dstL4
	}
	return x.src, x.srcL4
}

// vector returns the vector that a membership stands for.
func (y *extra) vector(m membership, l4 uint32) (uint32, bool) {
	if m.l4() != anyL4 && m.l4() != l4 {
		return 0, false
	}
	return y.sets.find(m.set())
}

// of returns the vectors of extra i.
func (x *picks) of(i int) []uint32 {
	if i == 0 {
		return x.sets[:x.end[0]]
	}
	return x.sets[x.end[i-1]:x.end[i]]
}

// summary returns word w of the summary of extra i's vector. It may have bits
// too many.
func (e *engine) summary(x *picks, i int, w uint32) uint64 {
	y := &e.extras[i]
	if y.negate || x.rescan>>i&1 != 0 {
		return ^uint64(0)
	}
	s := e.sum(x.ports[i], w)
	for _, v := range x.of(i) {
		s |= e.sum(v, w)
	}
	return s
}

// withFew is within for an engine with extras and a packet that is in few sets.
func (e *engine) withFew(x *picks, of *[3]*block, b, from, words uint32) uint32 {
	for ; words != 0; words &= words - 1 {
		w := uint32(bits.TrailingZeros32(words)) & 7
		word := of[0][w] & of[1][w] & of[2][w]
		if b*8+w == from/64 {
			word &= ^uint64(0) << (from & 63)
		}
		for i := 0; i < min(len(e.extras), maxExtras) && word != 0; i++ {
			has := e.block(x.ports[i], b)[w]
			for _, v := range x.of(i) {
				has |= e.block(v, b)[w]
			}
			if e.extras[i].negate {
				has = ^has
			}
			word &= has
		}
		if word != 0 {
			return b*blockLen | w*64 | uint32(bits.TrailingZeros64(word))
		}
	}
	return NoRule
}

// withMany is withFew for a packet that is in many sets, each of which is a cache
// line: it takes all words of a block at once.
func (e *engine) withMany(x *picks, of *[3]*block, b, from uint32) uint32 {
	var left block
	for w := range left {
		left[w] = of[0][w] & of[1][w] & of[2][w]
	}
	if b == from/blockLen {
		clear(left[:from/64%8])
		left[from/64%8] &= ^uint64(0) << (from & 63)
	}
	for i := range min(len(e.extras), maxExtras) {
		has := e.union(x, i, b)
		some := uint64(0)
		for w := range left {
			left[w] &= has[w]
			some |= left[w]
		}
		if some == 0 {
			return NoRule
		}
	}
	for w, word := range left {
		if word != 0 {
			return b*blockLen | uint32(w)*64 | uint32(bits.TrailingZeros64(word))
		}
	}
	return NoRule
}

// union returns block b of extra i's vector.
func (e *engine) union(x *picks, i int, b uint32) block {
	y := &e.extras[i]
	has := *e.block(x.ports[i], b)
	for _, v := range x.of(i) {
		has.or(e.block(v, b))
	}
	if x.rescan>>i&1 != 0 {
		list, l4 := x.side(y)
		for _, m := range list {
			if v, ok := y.vector(m, l4); ok {
				has.or(e.block(v, b))
			}
		}
	}
	if y.negate {
		for w := range has {
			has[w] = ^has[w]
		}
	}
	return has
}

func (b *block) or(c *block) {
	for w := range b {
		b[w] |= c[w]
	}
}

// cost orders extras: first those that need no set, then those that leave little.
func (y *extra) cost() int {
	switch {
	case len(y.sets.slots) == 0:
		return 0
	case y.negate:
		return 1
	}
	return 2
}

// extras returns the extras for one side.
func (c *compiler) extras(m *vectorMaker, side func(*Rule) *Side, dst bool) (out []extra) {
	if !dst && c.hasPorts(side) {
		out = append(out, extra{ports: m.sweep(c.sourcePorts(m))})
	}
	without := func(s *Side) []string { return append(s.NotSets[:len(s.NotSets):len(s.NotSets)], s.NotNamedPorts...) }
	if c.has(side, without) {
		y := c.setExtra(m, side, without)
		y.negate, y.ports = true, constant(m.of(nil))
		out = append(out, y)
	}
	named := func(s *Side) []string { return s.NamedPorts }
	if c.has(side, named) {
		y := c.setExtra(m, side, named)
		y.ports = m.sweep(c.portSpans(m, side, named))
		out = append(out, y)
	}
	for at := range MaxSets {
		names := func(s *Side) []string {
			if at < len(s.Sets) {
				return s.Sets[at : at+1]
			}
			return nil
		}
		if c.has(side, names) {
			out = append(out, c.setExtra(m, side, names))
		}
	}
	for i := range out {
		out[i].dst = dst
	}
	return out
}

// asks returns a bit for each rule that has conditions which are extras.
func (c *compiler) asks() []uint64 {
	out := make([]uint64, (len(c.rules)+63)/64)
	for i, r := range c.rules {
		if r.Src.asks() || r.Dst.asks() || len(r.Src.Ports)+len(r.Src.NotPorts) > 0 {
			out[i/64] |= 1 << (i % 64)
		}
	}
	return out
}

func (s *Side) asks() bool {
	return len(s.Sets)+len(s.NotSets)+len(s.NamedPorts)+len(s.NotNamedPorts) > 0
}

// constant returns ranges that have one value everywhere.
func constant(value uint32) ranges { return newRanges([]border{{value: value}}) }

func (c *compiler) has(side func(*Rule) *Side, names func(*Side) []string) bool {
	for _, r := range c.rules {
		if len(names(side(r))) > 0 {
			return true
		}
	}
	return false
}

func (c *compiler) hasPorts(side func(*Rule) *Side) bool {
	for _, r := range c.rules {
		if s := side(r); len(s.Ports)+len(s.NotPorts) > 0 {
			return true
		}
	}
	return false
}

// setExtra returns an extra for some of a side's sets: a packet is to be in one
// of them.
func (c *compiler) setExtra(m *vectorMaker, side func(*Rule) *Side, names func(*Side) []string) extra {
	rules := map[uint32][]int{}
	for i, r := range c.rules {
		for _, name := range names(side(r)) {
			set := c.sets[name].number
			rules[set] = append(rules[set], i)
		}
	}
	vectors := make(map[uint32]uint32, len(rules))
	for set, of := range rules {
		vectors[set] = m.of(of)
	}
	without := m.where(func(i int) bool { return len(names(side(c.rules[i]))) == 0 })
	return extra{ports: constant(without), sets: newSetTable(vectors)}
}

// portSpans returns what sweep needs for the ports that named ports are or-ed
// with. Not-ports are no business of it.
func (c *compiler) portSpans(m *vectorMaker, side func(*Rule) *Side, named func(*Side) []string) (any *bitset, spans []span) {
	any = m.bitset()
	for i, r := range c.rules {
		s := side(r)
		switch {
		case len(named(s)) == 0:
			any.flip(i)
		case len(s.Ports) > 0:
			spans = append(spans, portSpans(&Side{}, s.Ports, 0, i)...)
		}
	}
	return any, spans
}

// sourcePorts returns what sweep needs for source ports, those left out that
// named ports can stand in for.
func (c *compiler) sourcePorts(m *vectorMaker) (any *bitset, spans []span) {
	any = m.bitset()
	for i, r := range c.rules {
		s := &r.Src
		switch {
		case len(s.Ports)+len(s.NotPorts) == 0:
			any.flip(i)
		case len(s.NamedPorts) > 0:
			spans = append(spans, portSpans(s, nil, 0, i)...)
		default:
			spans = append(spans, portSpans(s, s.Ports, 0, i)...)
		}
	}
	return any, spans
}
