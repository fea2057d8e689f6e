package fib

import (
	"math"
	"math/bits"
)

// Ranges divide the addresses that have the bits before in common by one of
// their words: piece i of them goes from its start to that of the next. There
// are few, in one cache line, or many, in nine, of which a lookup needs two. It
// is nine so that the first lines of all are not in the same sets of a cache.
const (
	fewStarts = 5
	groups    = 8

	maxFew  = fewStarts + 1
	maxMany = groups * maxFew
)

// fewRanges hold up to 6 pieces: words from start[i-1] on, and before start[i],
// have entry[i]. Unused starts are all ones, and the entries after them repeat
// the last.
type fewRanges struct {
	start [fewStarts]uint64
	entry [maxFew]uint32
}

// manyRanges hold up to 48 pieces. Words from first[i-1] on, and before
// first[i], are in group[i].
type manyRanges struct {
	first [groups - 1]uint64
	n     uint32 // pieces
	_     uint32
	group [groups]fewRanges
}

// less is 1 if a is less than b, else 0.
func less(a, b uint64) uint64 {
	_, borrow := bits.Sub64(a, b, 0)
	return borrow
}

// The finds below look at every start, so that they are one straight line of
// instructions, of which a processor does those of several packets at once.

func (r *fewRanges) find(w uint64) uint32 {
	s := &r.start
	n := less(w, s[0]) + less(w, s[1]) + less(w, s[2]) + less(w, s[3]) + less(w, s[4])
	return r.entry[fewStarts-min(n, fewStarts)]
}

func (r *manyRanges) find(w uint64) uint32 { return r.group[r.groupOf(w)].find(w) }

// groupOf returns which group has w.
func (r *manyRanges) groupOf(w uint64) uint64 {
	s := &r.first
	n := less(w, s[0]) + less(w, s[1]) + less(w, s[2]) + less(w, s[3]) + less(w, s[4]) + less(w, s[5]) + less(w, s[6])
	return groups - 1 - min(n, groups-1)
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
	for i := range r.start {
		r.start[i] = startOf(p, i+1)
	}
	for i := range r.entry {
		r.entry[i] = entryOf(p, i)
	}
}

func (r *manyRanges) pack(p []piece) {
	r.n = uint32(len(p))
	for i := range r.first {
		r.first[i] = startOf(p, (i+1)*maxFew)
	}
	for i := range r.group {
		r.group[i].pack(p[min(i*maxFew, len(p)-1):])
	}
}

// pieces returns how many there are. Side by side they have different entries,
// so that one that starts with all ones cannot be taken for none.
func (r *fewRanges) pieces() int {
	n := 1
	for n < maxFew && (r.start[n-1] != math.MaxUint64 || r.entry[n] != r.entry[n-1]) {
		n++
	}
	return n
}

// unpack appends the pieces; the first one starts at first.
func (r *fewRanges) unpack(into []piece, first uint64) []piece {
	return r.unpackN(into, first, r.pieces())
}

func (r *fewRanges) unpackN(into []piece, first uint64, n int) []piece {
	into = append(into, piece{first, r.entry[0]})
	for i := range n - 1 {
		into = append(into, piece{r.start[i], r.entry[i+1]})
	}
	return into
}

func (r *manyRanges) unpack(into []piece, first uint64) []piece {
	for i, left := 0, int(r.n); left > 0; i, left = i+1, left-maxFew {
		if i > 0 {
			first = r.first[i-1]
		}
		into = r.group[i].unpackN(into, first, min(left, maxFew))
	}
	return into
}
