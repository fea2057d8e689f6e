package traffic

import (
	"math/bits"
	"time"
)

// subBits is how fine the buckets are: 32 between two powers of two, so that a
// quantile is at most 3 % above the truth.
const subBits = 5

// A Histogram counts durations. Its zero value is empty. It is no longer than
// its 15 KiB, however many there are.
type Histogram struct {
	buckets [(64 - subBits) << subBits]uint64
	count   uint64
	max     time.Duration
}

// bucket returns the index of a duration's bucket: the power of two, and the
// next subBits bits after its leading one. Up to 63 ns each has its own.
func bucket(d time.Duration) int {
	v := uint64(max(d, 0))
	shift := max(bits.Len64(v)-subBits-1, 0)
	return shift<<subBits + int(v>>shift)
}

// upper returns the longest duration of a bucket.
func upper(i int) time.Duration {
	shift := max(i>>subBits-1, 0)
	return time.Duration(uint64(i-shift<<subBits+1)<<shift - 1)
}

// Add counts a duration.
func (h *Histogram) Add(d time.Duration) {
	h.buckets[bucket(d)]++
	h.count++
	h.max = max(h.max, d)
}

// Merge adds what another has counted.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o.buckets {
		h.buckets[i] += n
	}
	h.count += o.count
	h.max = max(h.max, o.max)
}

// Count returns how many were counted.
func (h *Histogram) Count() uint64 { return h.count }

// Max returns the longest, 0 if there is none.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile returns a duration that a share q of all do not exceed, 0 if there
// are none; 0.5 is the median. It is at most 3 % too high.
func (h *Histogram) Quantile(q float64) time.Duration {
	want := uint64(q * float64(h.count))
	var seen uint64
	for i, n := range h.buckets {
		if seen += n; seen > want {
			return min(upper(i), h.max)
		}
	}
	return h.max
}
