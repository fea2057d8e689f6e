package acl_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/skein-dataplane/skein/acl"
)

type number = [2]uint64

func compareNumbers(a, b number) int { return slices.Compare(a[:], b[:]) }

// checkLookup compares a tree with a walk over its borders, at each border, its
// neighbours and some more numbers.
func checkLookup(t *testing.T, at []number, values []uint32, more ...number) (words, depth int) {
	t.Helper()
	l := acl.NewLookup(at, values)
	for _, x := range at {
		more = append(more, x, number{x[0], x[1] - 1}, number{x[0], x[1] + 1}, number{x[0] - 1, x[1]}, number{x[0] + 1, x[1]})
	}
	for _, x := range append(more, number{}, number{^uint64(0), ^uint64(0)}, number{1 << 63, 0}) {
		i, is := slices.BinarySearchFunc(at, x, compareNumbers)
		if !is {
			i--
		}
		if got := l.Find(x[0], x[1]); got != values[i] {
			t.Fatalf("%x: got %d, want %d\nborders %x values %v", x, got, values[i], at, values)
		}
	}
	return l.Size()
}

// sorted returns borders in order, the first at 0, without duplicates.
func sorted(at []number) []number {
	at = append(at, number{})
	slices.SortFunc(at, compareNumbers)
	return slices.Compact(at)
}

func TestRanges(t *testing.T) {
	top := ^uint64(0)
	for _, at := range [][]number{
		{},
		{{1, 0}},
		{{top, 0}},
		{{1 << 63, 0}},
		{{1<<63 + 1, 0}},
		{{1, 0}, {top, 0}},
		{{0, 1}},
		{{0, top}, {1, 0}},
		{{5, 7}, {5, 9}, {6, 0}, {6, 1}},
		{{top, 7}, {top, top}},
		{{1 << 32, 0}},
		{{0x0a000001, 0}, {0x0a000002, 0}, {0xffffffff, 0}, {1 << 32, 0}},
	} {
		at = sorted(at)
		for kinds := uint32(1); kinds <= 3; kinds++ { // few kinds: borders that divide nothing
			values := make([]uint32, len(at))
			for i := range values {
				values[i] = uint32(i) % kinds
			}
			checkLookup(t, at, values)
		}
	}
}

func TestRangesRandom(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		near := number{rng.Uint64() >> rng.IntN(64), rng.Uint64()}
		var at, more []number
		for range rng.IntN(200) {
			x := number{rng.Uint64() >> rng.IntN(64), 0}
			switch rng.IntN(3) {
			case 0: // beside others
				x = number{near[0] + rng.Uint64N(8), near[1] >> rng.IntN(64)}
			case 1: // nested around one number
				x[0] = near[0] &^ (1<<rng.IntN(64) - 1)
			}
			at = append(at, x)
			more = append(more, number{rng.Uint64() >> rng.IntN(64), rng.Uint64()}, number{near[0], rng.Uint64()})
		}
		at = sorted(at)
		values := make([]uint32, len(at))
		for i := range values {
			values[i] = rng.Uint32N(4)
		}
		checkLookup(t, at, values, more...)
	}
}

// TestRangesStayFlat holds depth and memory within bounds where borders are as
// uneven as they can be.
func TestRangesStayFlat(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	cases := map[string]func(i int) number{
		"even":   func(i int) number { return number{uint64(i) << 16, 0} },
		"random": func(int) number { return number{rng.Uint64(), 0} },
		"crowd":  func(i int) number { return number{0x0a000000 + uint64(i)*3, 0} },
		"halves": func(i int) number { return number{1 << (i % 64), 0} },
		"crowds": func(i int) number { return number{1<<(i%64) + uint64(i/64), 0} },
	}
	for name, at := range cases {
		var borders []number
		for i := range 4096 {
			borders = append(borders, at(i))
		}
		borders = sorted(borders)
		values := make([]uint32, len(borders))
		for i := range values {
			values[i] = uint32(i)
		}
		words, depth := checkLookup(t, borders, values)
		t.Logf("%s: %d borders, %d words, depth %d", name, len(borders), words, depth)
		if words > 12*len(borders)+100 || depth > 20 {
			t.Errorf("%s: %d borders take %d words and %d steps", name, len(borders), words, depth)
		}
	}
}
