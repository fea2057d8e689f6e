package fib

import "math"

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

func (r *ranges) pack(p []piece) {
	for i := range r.start {
		r.start[i] = startOf(p, i+1)
	}
	for i := range r.entry {
		r.entry[i] = entryOf(p, i)
	}
}

// pieces returns how many there are. Side by side they have different entries,
// so that one that starts with all ones cannot be taken for none.
func (r *ranges) pieces() int {
	n := 1
	for n < maxRanges && (r.start[n-1] != math.MaxUint64 || r.entry[n] != r.entry[n-1]) {
		n++
	}
	return n
}

// unpack appends the pieces; the first one starts at first.
func (r *ranges) unpack(into []piece, first uint64) []piece {
	into = append(into, piece{first, r.entry[0]})
	for i := range r.pieces() - 1 {
		into = append(into, piece{r.start[i], r.entry[i+1]})
	}
	return into
}
