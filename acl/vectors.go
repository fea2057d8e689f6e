package acl

import (
	"cmp"
	"slices"

	"github.com/skein-dataplane/skein/hdr"
)

// blockLen is the number of rules in a block of a bit vector: one cache line.
const blockLen = 512

type block [blockLen / 64]uint64

// A vectors holds bit vectors with one bit for each rule, cut into blocks. Equal
// blocks are there once, and so are equal vectors. A vector is named by a number:
// with at most 512 rules by that of its only block; with more by the index in
// records of
//
//	| summary: 2*sums words, a bit for each block that is not empty | blocks: width words |
type vectors struct {
	blocks  []block // blocks[0] is empty
	records []uint32
	width   uint32 // blocks in a vector
	sums    uint32 // 64 of them in a piece of the summary
}

// block returns block b of vector v.
func (vs *vectors) block(v, b uint32) *block {
	if vs.width > 1 {
		v = vs.records[v+2*vs.sums+b]
	}
	return &vs.blocks[v]
}

// sum returns piece i of the summary of vector v.
func (vs *vectors) sum(v, i uint32) uint64 {
	if vs.width > 1 {
		r := vs.records[v+2*i:]
		return uint64(r[0]) | uint64(r[1])<<32
	}
	return 1
}

// A vectorMaker makes vectors.
type vectorMaker struct {
	vectors
	rules       int
	known       map[uint64][]uint32 // vectors of several blocks by hash
	knownBlocks map[uint64][]uint32 // blocks by hash
}

func newVectorMaker(rules int) *vectorMaker {
	width := uint32(rules+blockLen-1) / blockLen
	return &vectorMaker{
		vectors: vectors{blocks: make([]block, 1), width: width, sums: (width + 63) / 64},
		rules:   rules, known: map[uint64][]uint32{}, knownBlocks: map[uint64][]uint32{0: {0}},
	}
}

// A bitset is a vector to write to.
type bitset struct {
	blocks []block
	hashes []uint64 // of blocks
	refs   []uint32 // of blocks, or stale
	hash   uint64
}

const stale = ^uint32(0)

func (m *vectorMaker) bitset() *bitset {
	return &bitset{make([]block, m.width), make([]uint64, m.width), make([]uint32, m.width), 0}
}

func (b *bitset) has(i int) bool { return b.blocks[i/blockLen][i/64%8]>>(i%64)&1 != 0 }

func (b *bitset) flip(i int) {
	b.blocks[i/blockLen][i/64%8] ^= 1 << (i % 64)
	b.hashes[i/blockLen] ^= scramble(uint64(i % blockLen))
	b.refs[i/blockLen] = stale
	b.hash ^= scramble(uint64(i))
}

func (b *bitset) set(i int) {
	if !b.has(i) {
		b.flip(i)
	}
}

// scramble is the finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// where returns the vector of all rules for which is holds.
func (m *vectorMaker) where(is func(rule int) bool) uint32 {
	b := m.bitset()
	for i := range m.rules {
		if is(i) {
			b.set(i)
		}
	}
	return m.add(b)
}

// of returns the vector of some rules.
func (m *vectorMaker) of(rules []int) uint32 {
	b := m.bitset()
	for _, i := range rules {
		b.set(i)
	}
	return m.add(b)
}

// add returns the vector equal to b.
func (m *vectorMaker) add(b *bitset) uint32 {
	for i, ref := range b.refs {
		if ref == stale {
			b.refs[i] = m.addBlock(&b.blocks[i], b.hashes[i])
		}
	}
	if m.width == 1 {
		return b.refs[0]
	}
	for _, v := range m.known[b.hash] {
		if slices.Equal(m.records[v+2*m.sums:][:m.width], b.refs) {
			return v
		}
	}
	v := uint32(len(m.records))
	m.records = append(m.records, make([]uint32, 2*m.sums)...)
	m.records = append(m.records, b.refs...)
	for i, ref := range b.refs {
		if ref != 0 {
			m.records[int(v)+i/32] |= 1 << (i % 32)
		}
	}
	m.known[b.hash] = append(m.known[b.hash], v)
	return v
}

func (m *vectorMaker) addBlock(b *block, hash uint64) uint32 {
	for _, ref := range m.knownBlocks[hash] {
		if m.blocks[ref] == *b {
			return ref
		}
	}
	ref := uint32(len(m.blocks))
	m.blocks = append(m.blocks, *b)
	m.knownBlocks[hash] = append(m.knownBlocks[hash], ref)
	return ref
}

// A span is numbers from first up to below end that a rule matches, or, if not
// is set, does not match. An end of 0 is behind the last number.
type span struct {
	first, end hdr.Addr6
	rule       int
	not        bool
}

// A crossing is where one enters or leaves a span.
type crossing struct {
	at   hdr.Addr6
	rule int
	in   int // +1 or -1
	not  bool
}

// sweep returns, for each number, the vector of the rules that match it: those
// that are in one of their spans, or that any has, and in none with not.
func (m *vectorMaker) sweep(any *bitset, spans []span) ranges {
	crossings := make([]crossing, 0, 2*len(spans))
	for _, s := range spans {
		crossings = append(crossings, crossing{s.first, s.rule, +1, s.not})
		if s.end != (hdr.Addr6{}) {
			crossings = append(crossings, crossing{s.end, s.rule, -1, s.not})
		}
	}
	slices.SortFunc(crossings, func(a, b crossing) int { return cmp.Or(a.at.Compare(b.at), a.rule-b.rule) })
	now := m.bitset()
	for i := range m.rules {
		if any.has(i) {
			now.flip(i)
		}
	}
	yes, no := make([]int, m.rules), make([]int, m.rules)
	borders := []border{}
	if len(crossings) == 0 || crossings[0].at != (hdr.Addr6{}) {
		borders = append(borders, border{hdr.Addr6{}, m.add(now)})
	}
	for i, c := range crossings {
		if c.not {
			no[c.rule] += c.in
		} else {
			yes[c.rule] += c.in
		}
		if last := i+1 == len(crossings) || crossings[i+1].at != c.at; last || crossings[i+1].rule != c.rule {
			if is := (any.has(c.rule) || yes[c.rule] > 0) && no[c.rule] == 0; is != now.has(c.rule) {
				now.flip(c.rule)
			}
			if last {
				borders = append(borders, border{c.at, m.add(now)})
			}
		}
	}
	return newRanges(borders)
}
