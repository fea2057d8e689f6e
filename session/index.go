package session

// An index finds sessions by the hash of a key. It is one array of slots with
// open addressing and linear probing, in which the tags of each run descend
// (Amble and Knuth, Ordered hash tables, 1974):
//
//	slot | tag: upper half of the hash, 32 | Ref, 32 |   0 is empty
//
// The home of a tag is its place on the line from 2^32-1 down to 0, stretched
// over the array. So homes ascend as tags descend, a whole table reads as one
// sorted list with gaps, and a search has only to go on while slots are greater
// than what it looks for: a miss costs no more than a hit, an empty slot ends a
// run by being smaller than all, and no division and no mask is needed.
//
// It holds nothing that the records do not, and is built from them at attach.
type index struct {
	slots []uint64 // homes, and maxRun more for what the last ones push out
	homes uint64
}

const (
	// slotsPerSession bounds the load: two keys in three slots, 24 bytes.
	slotsPerSession = 3
	// maxRun is how far from its home a slot may lie. With a random hash and
	// 2/3 of the slots taken, runs beyond it do not occur (TestRuns).
	maxRun = 512
)

// indexSlots returns how many slots the index for a number of sessions has.
func indexSlots(capacity int) int { return capacity*slotsPerSession + maxRun + 1 }

func newIndex(slots []uint64) index {
	return index{slots, uint64(len(slots) - maxRun - 1)}
}

// home returns where a search for a hash begins.
func (x *index) home(hash uint64) uint64 { return ^hash >> 32 * x.homes >> 32 }

// tail is the part of a slot that is no tag.
const tail = 1<<32 - 1

// insert adds a slot. It reports false if there is no room within maxRun.
func (x *index) insert(hash uint64, ref Ref) bool {
	e := hash&^tail | uint64(ref)
	home := x.home(hash)
	run := x.slots[home : home+maxRun]
	at := 0
	for at < len(run) && run[at] > e {
		at++
	}
	gap := at
	for gap < len(run) && run[gap] != 0 {
		gap++
	}
	if gap == len(run) {
		return false
	}
	copy(run[at+1:gap+1], run[at:gap])
	run[at] = e
	return true
}

// remove takes a slot out and closes the gap. It reports whether it was there.
func (x *index) remove(hash uint64, ref Ref) bool {
	e := hash&^tail | uint64(ref)
	at := x.home(hash)
	for x.slots[at] > e {
		at++
	}
	if x.slots[at] != e {
		return false
	}
	// Those that follow move up as long as they are not at home.
	end := at + 1
	for s := x.slots[end]; s != 0 && x.home(s) < end; s = x.slots[end] {
		end++
	}
	copy(x.slots[at:end-1], x.slots[at+1:end])
	x.slots[end-1] = 0
	return true
}
