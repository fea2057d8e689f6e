package session

import (
	"math/bits"
	"unsafe"
)

// Hash4 returns the hash of a key, for Find4, FindVector4 and Insert4.
func (t *Table) Hash4(k Key4) uint64 { return t.seed.hash4(k) }

// Hash6 is Hash4 for IPv6.
func (t *Table) Hash6(k *Key6) uint64 { return t.seed.hash6(k) }

// Find4 returns the session that a packet with key k is of, and its direction;
// 0 if there is none. hash is Hash4(k).
func (t *Table) Find4(k Key4, hash uint64) Ref {
	want := hash | tail
	for at := t.index.home(hash); ; at++ {
		e := t.index.slots[at]
		if e > want {
			continue
		}
		if e>>32 != want>>32 || e == 0 {
			return 0
		}
		if r := Ref(e); t.is4(r, k) {
			return r
		}
	}
}

// Find6 is Find4 for IPv6.
func (t *Table) Find6(k *Key6, hash uint64) Ref {
	want := hash | tail
	for at := t.index.home(hash); ; at++ {
		e := t.index.slots[at]
		if e > want {
			continue
		}
		if e>>32 != want>>32 || e == 0 {
			return 0
		}
		if r := Ref(e); t.is6(r, k) {
			return r
		}
	}
}

func (t *Table) is4(r Ref, k Key4) bool {
	s := &t.records[r.Index()]
	at := r & 1 * 2
	return s.tuple[at] == k.addrs && s.tuple[at+1] == k.rest && s.kind == kind4
}

func (t *Table) is6(r Ref, k *Key6) bool {
	i := r.Index()
	s := &t.records[i]
	switch {
	case r.Dir() == Forward:
		return s.IsIPv6() && t.holds6(i, k)
	case s.kind == kind6:
		back := k.Swap()
		return t.holds6(i, &back)
	case s.kind == kind6nat:
		return t.holds6(t.rests[i].peer, k)
	}
	return false
}

// FindVector4 sets out[i] to what Find4 returns for keys[i] and hashes[i].
// hashes and out have at least the length of keys.
//
// It takes the whole vector through the slots, then through the records, then
// through the comparison, so that the cache misses of a step overlap. What it
// costs, and what it saves, is in BenchmarkFindVector4.
func (t *Table) FindVector4(keys []Key4, hashes []uint64, out []Ref) {
	hashes, out = hashes[:len(keys)], out[:len(keys)]
	t.candidates(hashes, out)
	for i, r := range out {
		if r != 0 && !t.is4(r, keys[i]) {
			out[i] = t.Find4(keys[i], hashes[i])
		}
	}
}

// FindVector6 is FindVector4 for IPv6.
func (t *Table) FindVector6(keys []Key6, hashes []uint64, out []Ref) {
	hashes, out = hashes[:len(keys)], out[:len(keys)]
	t.candidates(hashes, out)
	for i, r := range out {
		if r != 0 && !t.is6(r, &keys[i]) {
			out[i] = t.Find6(&keys[i], hashes[i])
		}
	}
}

// candidates sets out[i] to the first session whose tag is that of hashes[i],
// 0 if none is, and brings its record into the cache.
//
// Where a search ends is as good as random, and a branch that is predicted
// wrongly would throw away the loads that follow. As slots descend, it ends as
// many slots after home as are greater than what is looked for; the first
// window of them is counted without a branch.
//
// Slots and records are read without bounds checks, which were a quarter of the
// instructions. A home is maxRun slots before the end at least; a search ends at
// the last slot at the latest, which insert leaves empty; and a slot has the Ref of
// a record, as the index is this process' own memory and not the file's.
func (t *Table) candidates(hashes []uint64, out []Ref) {
	out = out[:len(hashes)]
	slots, homes := unsafe.Pointer(unsafe.SliceData(t.index.slots)), t.index.homes
	touch := uint64(0)
	for i, h := range hashes {
		at := ^h >> 32 * homes >> 32
		w := (*[window]uint64)(unsafe.Add(slots, at<<3))
		touch |= w[0] | w[window-1] // perhaps on the next line
		out[i] = Ref(at)
	}
	for i, h := range hashes {
		want := h | tail
		w := (*[window]uint64)(unsafe.Add(slots, uint64(out[i])<<3))
		_, a := bits.Sub64(want, w[0], 0)
		_, b := bits.Sub64(want, w[1], 0)
		_, c := bits.Sub64(want, w[2], 0)
		_, d := bits.Sub64(want, w[3], 0)
		e := (*uint64)(unsafe.Add(unsafe.Pointer(w), (a+b+c+d)<<3))
		for *e > want { // 1 in 18 at 2/3 of the slots taken
			e = (*uint64)(unsafe.Add(unsafe.Pointer(e), 8))
		}
		r := Ref(*e)
		if *e>>32 != h>>32 {
			r = 0
		}
		out[i] = r
	}
	records := unsafe.Pointer(unsafe.SliceData(t.records))
	for _, r := range out {
		touch |= *(*uint64)(unsafe.Add(records, uint64(r>>1)<<6))
	}
	t.touched = touch
}

// window is how many slots a search looks at without a branch.
const window = 4
