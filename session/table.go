// Package session answers one question: which flow is this packet of, and what
// has been decided about it?
//
// A Table holds the flows of one worker, both directions of each in one record
// (see Session for its bytes), for policy, NAT, services and affinity alike.
// Whoever decides something about a flow does so once and leaves it there.
//
//   - Memory: 124 bytes per session in all (TestMemory), 224 for an IPv6
//     one that is translated, outside the Go heap, so that the garbage collector
//     does not see it. The records lie in a file that survives the process; all
//     else is made of them at Open.
//   - Time is in seconds on the clock of Now. The worker reads it once per
//     sweep and passes it on; nothing here asks for the time.
//   - One goroutine, the worker's, calls all methods. Nothing is locked.
//   - What runs for packets neither allocates nor makes system calls.
//
// When the table is full, a new session takes the place of one that is due,
// else of one that is closing or half-open; an established session is never
// given up. If there is none, the new session is refused. An owner (a pod, an
// interface) that is at its quota takes the place of one of its own only. All
// of this is counted, in Stats and OwnerStats.
//
// Maturity: IPv4 and IPv6 complete, and in use by policy and NAT.
package session

import (
	"fmt"
	"math/bits"
)

// MaxCapacity is the largest number of sessions that a table can hold.
const MaxCapacity = 1 << 26

// Config is what a table is to be.
type Config struct {
	Capacity int      // sessions; from 1 to MaxCapacity
	Timeouts Timeouts // 0 stands for the default
	Quota    Quota    // of owners that have none of their own
	// Midstream lets a TCP session begin with a packet other than a SYN, as
	// after a restart without a file. It stays half-open until an answer comes.
	Midstream bool
	// Gone is told of each session that the table removes by itself, while its
	// record is still whole. It must not insert or delete. It may be nil.
	Gone func(index uint32, s *Session, why Why)
}

// Why says why the table has removed a session by itself.
type Why uint8

const (
	_       Why = iota
	Expired     // no packet for the time of its class
	Evicted     // gave its place to another
)

// A Table is the sessions of one worker.
type Table struct {
	records  []Session // 0 is not used
	rests    []rest
	index    index
	seed     seed
	timeouts Timeouts
	gone     func(uint32, *Session, Why)
	deleted  [2]func(uint32) // by family; see OnDelete

	capacity  uint32
	fresh     uint32   // the records from here on have never been used
	free      uint32   // first of the list of free records below fresh
	due       []uint32 // see expire.go
	groupDue  []uint32
	routed    []uint32 // see route.go
	routes    uint32
	soft      bitmap // sessions that may be given up
	softHand  uint32
	sweep     sweep
	owners    []owner
	quota     Quota
	midstream bool

	stats   Stats
	touched uint64 // keeps loads that only warm the cache
	file    *file  // nil: anonymous memory
	derived []byte // the memory behind index, due, groupDue, routed, soft and owners
	memory  []byte // the memory behind records
}

// Stats are a table's numbers.
type Stats struct {
	Capacity, Sessions, Soft int // Soft: closing or half-open
	Results                  [NumResults]uint64
	Expired, Evicted         uint64
}

// New returns an empty table in memory that goes with the process.
func New(c Config) (*Table, error) {
	t, err := newTable(c)
	if err != nil {
		return nil, err
	}
	if t.seed, err = newSeed(); err != nil {
		_ = t.Close()
		return nil, fmt.Errorf("session: seed of the hash: %w", err)
	}
	if t.memory, err = mapAnon((c.Capacity + 1) * RecordLen); err != nil {
		_ = t.Close()
		return nil, fmt.Errorf("session: map %d records: %w", c.Capacity, err)
	}
	t.setRecords(t.memory)
	return t, nil
}

// newTable returns a table without records and seed.
func newTable(c Config) (*Table, error) {
	if c.Capacity < 1 || c.Capacity > MaxCapacity {
		return nil, fmt.Errorf("session: capacity of %d: want 1 to %d", c.Capacity, MaxCapacity)
	}
	t := &Table{timeouts: c.Timeouts.orDefault(), quota: c.Quota, midstream: c.Midstream, gone: c.Gone,
		capacity: uint32(c.Capacity), fresh: 1, routes: 1}
	l := derivedLayout(c.Capacity)
	var err error
	if t.derived, err = mapAnon(l.size); err != nil {
		return nil, fmt.Errorf("session: map the index of %d sessions: %w", c.Capacity, err)
	}
	t.index = newIndex(view[uint64](t.derived, l.slots, indexSlots(c.Capacity)))
	t.due = view[uint32](t.derived, l.due, c.Capacity+1)
	t.groupDue = view[uint32](t.derived, l.groups, l.numGroups)
	t.routed = view[uint32](t.derived, l.routed, c.Capacity/routeGroup+1)
	t.soft.words = view[uint64](t.derived, l.soft, l.numGroups)
	t.soft.tops = view[uint64](t.derived, l.tops, (l.numGroups+63)/64)
	t.owners = view[owner](t.derived, l.owners, 1<<16)
	return t, nil
}

// setRecords makes m the records: all Sessions, then the rest of each.
func (t *Table) setRecords(m []byte) {
	n := int(t.capacity) + 1
	t.records = view[Session](m, 0, n)
	t.rests = view[rest](m, n*sessionLen, n)
}

// Close gives the table's memory back. Its file, if it has one, stays.
func (t *Table) Close() error {
	err := t.file.close()
	for _, m := range [][]byte{t.derived, t.memory} {
		if e := unmap(m); err == nil {
			err = e
		}
	}
	*t = Table{}
	if err != nil {
		return fmt.Errorf("session: close: %w", err)
	}
	return nil
}

// Stats returns the table's numbers.
func (t *Table) Stats() Stats {
	s := t.stats
	s.Capacity = int(t.capacity)
	return s
}

// At returns the session with an index that a Ref, Next or Gone has given.
func (t *Table) At(index uint32) *Session { return &t.records[index] }

// Next returns the index of the first session after the given one, 0 if there
// is none. From 0 on it walks through all; sessions may be deleted meanwhile.
func (t *Table) Next(after uint32) uint32 {
	for i := after + 1; i < t.fresh; i++ {
		if k := t.records[i].kind; k != kindFree && k != kindMore {
			return i
		}
	}
	return 0
}

// Key4 returns the key of an IPv4 session in the direction of r.
func (t *Table) Key4(r Ref) Key4 { return t.records[r.Index()].key4(r.Dir()) }

// Key6 returns the key of an IPv6 session in the direction of r.
func (t *Table) Key6(r Ref) Key6 {
	i := r.Index()
	if r.Dir() == Forward {
		return t.key6(i)
	}
	if t.records[i].kind == kind6nat {
		return t.key6(t.rests[i].peer)
	}
	k := t.key6(i)
	return k.Swap()
}

// Out4 returns the key that a packet of r has when it leaves: what the other
// direction expects, swapped. It differs from Key4 where the session is
// translated.
func (t *Table) Out4(r Ref) Key4 { return t.Key4(r ^ 1).Swap() }

// Out6 is Out4 for IPv6.
func (t *Table) Out6(r Ref) Key6 {
	k := t.Key6(r ^ 1)
	return k.Swap()
}

// A bitmap is a set of indices in which the next one is found in two steps.
type bitmap struct {
	words []uint64
	tops  []uint64 // one bit for each word that is not 0
}

func (b *bitmap) add(i uint32) {
	b.words[i>>6] |= 1 << (i & 63)
	b.tops[i>>12] |= 1 << (i >> 6 & 63)
}

func (b *bitmap) remove(i uint32) {
	if b.words[i>>6] &^= 1 << (i & 63); b.words[i>>6] == 0 {
		b.tops[i>>12] &^= 1 << (i >> 6 & 63)
	}
}

// next returns the first member from i on, 0 if there is none; 0 is never one.
func (b *bitmap) next(i uint32) uint32 {
	w := i >> 6
	if int(w) >= len(b.words) {
		return 0
	}
	if rest := b.words[w] >> (i & 63); rest != 0 {
		return i + uint32(bits.TrailingZeros64(rest))
	}
	w++
	top := w >> 6
	if int(top) >= len(b.tops) {
		return 0
	}
	mask := ^uint64(0) << (w & 63)
	for ; int(top) < len(b.tops); top++ {
		if rest := b.tops[top] & mask; rest != 0 {
			w = top<<6 + uint32(bits.TrailingZeros64(rest))
			return w<<6 + uint32(bits.TrailingZeros64(b.words[w]))
		}
		mask = ^uint64(0)
	}
	return 0
}
