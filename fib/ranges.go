package fib

import (
	"math"
	"math/bits"
)

// Ranges divide the addresses that have the bits before in common by one of
// their words: piece i of them goes from its start to that of the next. There
// are few, in two cache lines, or many, in eight, of which a lookup needs two.
const (
	fewStarts   = 10
	groupStarts = 5
	groups      = 7

	maxFew  = fewStarts + 1
	maxMany = groups * (groupStarts + 1)
)

// fewRanges hold up to 11 pieces: words from start[i-1] on, and before start[i],
// have entry[i]. Unused starts are all ones, and the entries after them repeat
// the last.
type fewRanges struct {
	start [fewStarts]uint64
	entry [fewStarts + 1]uint32
	n     uint32 // pieces
}

// manyRanges hold up to 42 pieces, in groups of six. Words from first[i-1] on,
// and before first[i], are in group[i].
type manyRanges struct {
	first [groups - 1]uint64
	n     uint32 // pieces
	_     [12]byte
	group [groups]rangeGroup
}

type rangeGroup struct {
	start [groupStarts]uint64
	entry [groupStarts + 1]uint32
}

// The finds below look at every start, so that they are one straight line of
// instructions, of which a processor does those of several packets at once.

func (r *fewRanges) find(w uint64) uint32 {
	n := uint64(fewStarts)
	for i := range r.start {
		_, before := bits.Sub64(w, r.start[i], 0)
		n -= before
	}
	return r.entry[min(n, fewStarts)]
}

func (r *manyRanges) find(w uint64) uint32 {
	n := uint64(groups - 1)
	for i := range r.first {
		_, before := bits.Sub64(w, r.first[i], 0)
		n -= before
	}
	g := &r.group[min(n, groups-1)]
	n = groupStarts
	for i := range g.start {
		_, before := bits.Sub64(w, g.start[i], 0)
		n -= before
	}
	return g.entry[min(n, groupStarts)]
}

// A piece of a region is what lies from start up to the next piece: a leaf, or
// an entry that leads to just that.
type piece struct {
	start uint64
	entry uint32
}

// startOf returns the start of piece i, all ones if there is none.
func startOf(p []piece, i int) uint64 {
	if i < len(p) {
		return p[i].start
	}
	return math.MaxUint64
}

func entryOf(p []piece, i int) uint32 { return p[min(i, len(p)-1)].entry }

func (r *fewRanges) pack(p []piece) {
	r.n = uint32(len(p))
	for i := range r.start {
		r.start[i] = startOf(p, i+1)
	}
	for i := range r.entry {
		r.entry[i] = entryOf(p, i)
	}
}

func (r *manyRanges) pack(p []piece) {
	const each = groupStarts + 1
	r.n = uint32(len(p))
	for i := range r.first {
		r.first[i] = startOf(p, (i+1)*each)
	}
	for i := range r.group {
		g := &r.group[i]
		for j := range g.start {
			g.start[j] = startOf(p, i*each+j+1)
		}
		for j := range g.entry {
			g.entry[j] = entryOf(p, i*each+j)
		}
	}
}

// unpack appends the pieces; the first one starts at first.
func (r *fewRanges) unpack(into []piece, first uint64) []piece {
	into = append(into, piece{first, r.entry[0]})
	for i := range r.n - 1 {
		into = append(into, piece{r.start[i], r.entry[i+1]})
	}
	return into
}

func (r *manyRanges) unpack(into []piece, first uint64) []piece {
	const each = groupStarts + 1
	for i := range int(r.n) {
		g := &r.group[i/each]
		switch {
		case i == 0:
		case i%each == 0:
			first = r.first[i/each-1]
		default:
			first = g.start[i%each-1]
		}
		into = append(into, piece{first, g.entry[i%each]})
	}
	return into
}
