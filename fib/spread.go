package fib

import (
	"cmp"
	"math"
	"math/bits"
)

// bucketCounts says how many of size buckets each hop has.
type bucketCounts struct {
	size uint32
	n    [MaxNextHops]uint32
}

// spread shares out as few buckets as give every hop its exact share, but at
// most 64, and a power of two. Where 64 cannot give exact shares, who lost most
// by rounding down gets one more: three equal hops have 22, 21 and 21. Each
// hop has one bucket at least.
func spread(hops []hop) bucketCounts {
	total := 0.0
	for _, h := range hops {
		total += h.share
	}
	size := uint32(1) << bits.Len(uint(len(hops)-1))
	for ; ; size *= 2 {
		c, exact := apportion(hops, total, size)
		if exact || size == MaxNextHops {
			return c
		}
	}
}

// apportion uses the method of largest remainders.
func apportion(hops []hop, total float64, size uint32) (c bucketCounts, exact bool) {
	c.size, exact = size, true
	var lost [MaxNextHops]float64
	given := uint32(0)
	for i, h := range hops {
		due := h.share / total * float64(size)
		n := math.Floor(due + 1e-9)
		lost[i] = due - n
		if lost[i] > 1e-9 || n == 0 {
			exact = false
		}
		c.n[i] = max(1, uint32(n))
		given += c.n[i]
	}
	for ; given < size; given++ {
		i := indexOfMax(lost[:len(hops)])
		c.n[i]++
		lost[i]--
	}
	for ; given > size; given-- {
		c.n[indexOfMax(c.n[:len(hops)])]--
	}
	return c, exact
}

func indexOfMax[T cmp.Ordered](s []T) int {
	best := 0
	for i, x := range s {
		if x > s[best] {
			best = i
		}
	}
	return best
}
