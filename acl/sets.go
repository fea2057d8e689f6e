package acl

import (
	"math/bits"

	"github.com/skein-dataplane/skein/hdr"
)

// A Sets is a snapshot of a Store: which sets each address is in. It never
// changes, so any number of goroutines may read it. The zero Sets has no
// members.
type Sets struct{ index [2]index } // IPv4, IPv6

// An index maps addresses to the sets that they are in. Neighbouring addresses
// share a chunk; a change makes new chunks where it falls and shares the others
// with the snapshots before.
type index struct {
	top    ranges // to the number of the chunk
	chunks []*chunk
}

// A chunk maps some range of addresses to lists of memberships: a value of
// ranges is the index in lists of a list's length, which the list follows.
type chunk struct {
	ranges
	lists []membership
}

// A membership says that an address is in a set:
//
//	| set: 32 | anyL4, or protocol: 8 and port: 16 |
type membership uint64

// anyL4 stands for all protocols and ports.
const anyL4 = 1 << 25

func (m membership) set() uint32 { return uint32(m >> 32) }
func (m membership) l4() uint32  { return uint32(m) }

// of returns the index of a family, as Key.family names it; nil without Sets.
func (s *Sets) of(family int) *index {
	if s == nil {
		return nil
	}
	return &s.index[family&1]
}

func (s *index) isEmpty() bool { return s == nil || len(s.chunks) == 0 }

// list returns the memberships of an address, for all ports: see Key.number.
func (s *index) list(x hdr.Addr6) []membership {
	if s.isEmpty() {
		return nil
	}
	c := s.chunks[s.top.find(x)]
	at := c.find(x)
	return c.lists[at+1:][:c.lists[at]]
}

// number returns the source or the destination as an index has it: IPv4 as Hi.
func (k *Key) number(dst bool) hdr.Addr6 {
	a := k.Src
	if dst {
		a = k.Dst
	}
	if k.Flags&V6 == 0 {
		a = hdr.Addr6{Hi: a.Lo & 0xffffffff}
	}
	return a
}

// A setTable maps sets to vectors. It is a hash table with open addressing, at
// most half full.
type setTable struct {
	slots []setSlot
	shift uint8 // 32 minus the binary logarithm of len(slots)
}

type setSlot struct{ set, vector uint32 } // set 0 is no set

// find returns the vector for a set.
func (t *setTable) find(set uint32) (vector uint32, ok bool) {
	mask := uint32(len(t.slots) - 1)
	for i := t.home(set); int(i) < len(t.slots); i = (i + 1) & mask {
		switch s := t.slots[i]; s.set {
		case set:
			return s.vector, true
		case 0:
			return 0, false
		}
	}
	return 0, false
}

// home returns where to begin to look for a set (Knuth, volume 3, section 6.4:
// multiplication by the golden ratio).
func (t *setTable) home(set uint32) uint32 { return set * 0x9e3779b1 >> (t.shift & 31) }

func newSetTable(vectors map[uint32]uint32) (t setTable) {
	if len(vectors) == 0 {
		return t
	}
	log := bits.Len(uint(2*len(vectors) - 1))
	t.slots, t.shift = make([]setSlot, 1<<log), uint8(32-log)
	for set, vector := range vectors {
		i := t.home(set)
		for t.slots[i].set != 0 {
			i = (i + 1) & uint32(len(t.slots)-1)
		}
		t.slots[i] = setSlot{set, vector}
	}
	return t
}
