package acl

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/skein-dataplane/skein/hdr"
)

// A vectors holds bit vectors with one bit for each rule. A vector is named by
// its index in bits and begins with pairs of words, one pair for each 4,096
// rules:
//
//	| bit i: word i is not 0 | index in bits of the first such word |
//
// Words that are 0 are left out.
type vectors struct {
	bits  []uint64
	pairs uint32
}

// word returns word w of vector v.
func (vs *vectors) word(v, w uint32) uint64 {
	pair := vs.bits[v+w>>6*2:]
	below := uint64(1)<<(w&63) - 1
	if pair[0]>>(w&63)&1 == 0 {
		return 0
	}
	return vs.bits[pair[1]+uint64(bits.OnesCount64(pair[0]&below))]
}

// A vectorMaker makes vectors, one for all that are equal.
type vectorMaker struct {
	vectors
	rules int
	known map[uint64][]uint32 // by hash
}

// A bitset is a vector with all its words.
type bitset []uint64

func (b bitset) has(i int) bool { return b[i/64]>>(i%64)&1 != 0 }

// flip turns bit i over, and returns what this makes of the set's hash.
func (b bitset) flip(i int, hash uint64) uint64 {
	b[i/64] ^= 1 << (i % 64)
	return hash ^ scramble(uint64(i))
}

// scramble is the finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func newVectorMaker(rules int) *vectorMaker {
	return &vectorMaker{
		vectors: vectors{pairs: uint32(rules+4095) / 4096},
		rules:   rules, known: map[uint64][]uint32{},
	}
}

func (m *vectorMaker) bitset() bitset { return make(bitset, (m.rules+63)/64) }

// where returns the vector of all rules for which is holds.
func (m *vectorMaker) where(is func(rule int) bool) uint32 {
	b, hash := m.bitset(), uint64(0)
	for i := range m.rules {
		if is(i) {
			hash = b.flip(i, hash)
		}
	}
	return m.add(b, hash)
}

// of returns the vector of some rules.
func (m *vectorMaker) of(rules []int) uint32 {
	b, hash := m.bitset(), uint64(0)
	for _, i := range rules {
		if !b.has(i) {
			hash = b.flip(i, hash)
		}
	}
	return m.add(b, hash)
}

// add returns the vector equal to b, whose hash flip has found.
func (m *vectorMaker) add(b bitset, hash uint64) uint32 {
	for _, v := range m.known[hash] {
		if m.equal(v, b) {
			return v
		}
	}
	v := len(m.bits)
	m.bits = append(m.bits, make([]uint64, 2*m.pairs)...)
	for w, word := range b {
		if w%64 == 0 {
			m.bits[v+w/64*2+1] = uint64(len(m.bits))
		}
		if word != 0 {
			m.bits[v+w/64*2] |= 1 << (w % 64)
			m.bits = append(m.bits, word)
		}
	}
	m.known[hash] = append(m.known[hash], uint32(v))
	return uint32(v)
}

func (m *vectorMaker) equal(v uint32, b bitset) bool {
	for w, word := range b {
		if m.word(v, uint32(w)) != word {
			return false
		}
	}
	return true
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
func (m *vectorMaker) sweep(any bitset, spans []span) ranges {
	crossings := make([]crossing, 0, 2*len(spans))
	for _, s := range spans {
		crossings = append(crossings, crossing{s.first, s.rule, +1, s.not})
		if s.end != (hdr.Addr6{}) {
			crossings = append(crossings, crossing{s.end, s.rule, -1, s.not})
		}
	}
	slices.SortFunc(crossings, func(a, b crossing) int { return cmp.Or(a.at.Compare(b.at), a.rule-b.rule) })
	now, hash := m.bitset(), uint64(0)
	for i := range m.rules {
		if any.has(i) {
			hash = now.flip(i, hash)
		}
	}
	yes, no := make([]int, m.rules), make([]int, m.rules)
	borders := []border{}
	if len(crossings) == 0 || crossings[0].at != (hdr.Addr6{}) {
		borders = append(borders, border{hdr.Addr6{}, m.add(now, hash)})
	}
	for i, c := range crossings {
		if c.not {
			no[c.rule] += c.in
		} else {
			yes[c.rule] += c.in
		}
		if last := i+1 == len(crossings) || crossings[i+1].at != c.at; last || crossings[i+1].rule != c.rule {
			if is := (any.has(c.rule) || yes[c.rule] > 0) && no[c.rule] == 0; is != now.has(c.rule) {
				hash = now.flip(c.rule, hash)
			}
			if last {
				borders = append(borders, border{c.at, m.add(now, hash)})
			}
		}
	}
	return newRanges(borders)
}
