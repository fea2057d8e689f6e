package fib

import "math/bits"

const (
	rangeStarts = 5
	maxRanges   = rangeStarts + 1
)

// ranges divide the addresses that have the bits before in common by one of
// their words, into up to 6 pieces that fill one cache line: words from
// start[i-1] on, and before start[i], have entry[i]. Unused starts are all
// ones, and the entries after them repeat the last.
type ranges struct {
	start [rangeStarts]uint64
	entry [maxRanges]uint32
}

// less is 1 if a is less than b, else 0.
func less(a, b uint64) uint64 {
	_, borrow := bits.Sub64(a, b, 0)
	return borrow
}

func (r *ranges) find(w uint64) uint32 { return r.entry[r.index(w)] }

// index looks at every start, so that it is one straight line of instructions,
// of which a processor does those of several packets at once.
func (r *ranges) index(w uint64) uint64 {
	s := &r.start
	n := less(w, s[0]) + less(w, s[1]) + less(w, s[2]) + less(w, s[3]) + less(w, s[4])
	return rangeStarts - min(n, rangeStarts)
}
