package nat

import "slices"

// MaxBackends is how many backends a service can have: a table of Maglev is to
// have at least 100 places for each (Eisenbud et al., NSDI 2016, section 5.3).
const MaxBackends = maxMaglev / 100

// perBackend is how many places there are for each as long as maglevSizes has
// a size for it. Of 10 backends with 100 places each, one that goes moved 2.5 %
// of the others' flows (TestMaglevDisruption); the more places, the fewer.
const perBackend = 250

// maglevSizes are primes, as a backend's steps through the table have to reach
// every place whatever their width.
var maglevSizes = [...]uint32{251, 1021, 4093, 16381, 65537, maxMaglev}

const maxMaglev = 131071

func maglevSize(backends int) uint32 {
	at, _ := slices.BinarySearch(maglevSizes[:], uint32(backends)*perBackend)
	return maglevSizes[min(at, len(maglevSizes)-1)]
}

// A turn is where a backend stands in its own order of the table's places.
type turn struct {
	next, skip uint32
	owed       uint32 // parts of a place, in units of the greatest weight
}

// maglev returns the table of Maglev (NSDI 2016, section 3.4): of each place
// the index of the backend that has it. In their turns the backends take the
// next free place of an order of their own; one of half the greatest weight
// takes one every other time. The table depends on nothing but addresses, ports
// and weights, not even on the order of the backends, if they are sorted.
func maglev(backends []Backend) []uint16 {
	size := maglevSize(len(backends))
	table := make([]uint16, size)
	taken := make([]bool, size)
	turns := make([]turn, len(backends))
	greatest := uint32(1)
	for i := range backends {
		b := &backends[i]
		h := mum(mum(b.Addr.Hi^k0, b.Addr.Lo^k1)^k2, uint64(b.Port)^k3)
		turns[i] = turn{next: uint32(h>>32) % size, skip: uint32(h)%(size-1) + 1}
		greatest = max(greatest, b.weight())
	}
	for left := size; left > 0; {
		for i := range turns {
			t := &turns[i]
			if t.owed += backends[i].weight(); t.owed < greatest {
				continue
			}
			t.owed -= greatest
			at := t.free(taken)
			table[at], taken[at] = uint16(i), true
			if left--; left == 0 {
				break
			}
		}
	}
	return table
}

// free steps to the next free place, of which there is one.
func (t *turn) free(taken []bool) uint32 {
	size := uint32(len(taken))
	for {
		at := t.next
		if t.next += t.skip; t.next >= size {
			t.next -= size
		}
		if !taken[at] {
			return at
		}
	}
}
