package fib

import "math/bits"

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
