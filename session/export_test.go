package session

import (
	"fmt"
	"unsafe"
)

// Check compares all that is derived from the records with the records.
func (t *Table) Check() error {
	owners, soft, sessions, records, slots := map[uint16][2]int{}, 0, 0, 0, 0
	for i := uint32(1); i < t.fresh; i++ {
		s := &t.records[i]
		switch s.kind {
		case kindFree:
			if t.rests[i].check != 0 || t.due[i]&isFree == 0 {
				return fmt.Errorf("free record %d: check %x, due %x", i, t.rests[i].check, t.due[i])
			}
			continue
		case kindMore:
			p := t.rests[i].peer
			if t.records[p].kind != kind6nat || t.rests[p].peer != i || t.due[i] != never {
				return fmt.Errorf("second record %d of %d: kind %d, peer %d", i, p, t.records[p].kind, t.rests[p].peer)
			}
			records++
			continue
		}
		records++
		sessions++
		n, err := t.checkSession(i, s)
		if err != nil {
			return err
		}
		slots += n
		o := owners[s.owner]
		o[0]++
		if s.class.halfOpen() {
			o[1]++
		}
		owners[s.owner] = o
		if s.class.soft() {
			soft++
		}
	}
	for i := range t.owners {
		if o, want := &t.owners[i], owners[uint16(i)]; int(o.sessions) != want[0] || int(o.halfOpen) != want[1] {
			return fmt.Errorf("owner %d counts %d, %d half-open; there are %v", i, o.sessions, o.halfOpen, want)
		}
	}
	if st := t.Stats(); st.Sessions != sessions || st.Soft != soft {
		return fmt.Errorf("stats %+v; there are %d, %d soft", st, sessions, soft)
	}
	if err := t.checkFree(records); err != nil {
		return err
	}
	return t.checkSlots(slots)
}

func (t *Table) checkSession(i uint32, s *Session) (slots int, err error) {
	fwd, rev, same := t.hashes(i)
	if t.rests[i].check != checkOf(fwd, rev) {
		return 0, fmt.Errorf("session %d: check %x", i, t.rests[i].check)
	}
	for dir, hash := range []uint64{fwd, rev} {
		want := Ref(i<<1 | uint32(dir))
		if dir == 1 && same {
			want &^= 1
		}
		var got Ref
		if s.kind == kind4 {
			got = t.Find4(t.Key4(want), hash)
		} else {
			k := t.Key6(want)
			got = t.Find6(&k, hash)
		}
		if got != want {
			return 0, fmt.Errorf("session %d, direction %d: found %x, want %x", i, dir, got, want)
		}
	}
	if at := t.due[i]; at > s.Last+t.timeouts[s.class] || t.groupDue[i/groupLen] > at {
		return 0, fmt.Errorf("session %d: due %d, group %d, last %d, %v", i, at, t.groupDue[i/groupLen], s.Last, s.class)
	}
	if is := t.soft.words[i/64]>>(i%64)&1 != 0; is != s.class.soft() || is && t.soft.next(i) != i {
		return 0, fmt.Errorf("session %d: soft %t, %v", i, is, s.class)
	}
	if same {
		return 1, nil
	}
	return 2, nil
}

func (t *Table) checkFree(records int) error {
	free := int(t.capacity) + 1 - int(t.fresh)
	for i := t.free; i != 0; i = t.due[i] &^ isFree {
		if free++; free > int(t.capacity) {
			return fmt.Errorf("the list of free records has a loop")
		}
	}
	if free+records != int(t.capacity) {
		return fmt.Errorf("%d free and %d used records of %d", free, records, t.capacity)
	}
	return nil
}

func (t *Table) checkSlots(want int) error {
	if last := t.index.slots[len(t.index.slots)-1]; last != 0 {
		return fmt.Errorf("the slot that ends all searches has %#x", last)
	}
	n, before := 0, ^uint64(0)
	for at, e := range t.index.slots {
		if e == 0 {
			continue
		}
		n++
		if home := int(t.index.home(e)); e >= before || home > at || at-home >= maxRun {
			return fmt.Errorf("slot %d: %x after %x, home %d", at, e, before, home)
		} else if home < at && t.index.slots[at-1] == 0 {
			return fmt.Errorf("slot %d: home %d is cut off", at, home)
		}
		before = e
	}
	if n != want {
		return fmt.Errorf("%d slots, want %d", n, want)
	}
	return nil
}

// MaxDisplacement returns how far from home a slot lies at most.
func (t *Table) MaxDisplacement() (most int) {
	for at, e := range t.index.slots {
		if e != 0 {
			most = max(most, at-int(t.index.home(e)))
		}
	}
	return most
}

// BytesPerSession returns what a full table takes for each, without owners.
func (t *Table) BytesPerSession() float64 {
	owners := int(unsafe.Sizeof(owner{})) << 16
	return float64(len(t.memory)+len(t.derived)-owners) / float64(t.capacity)
}

// MappedRecords returns the memory of the records, to be damaged.
func (t *Table) MappedRecords() []byte { return t.memory }

const (
	RecordsAt = recordsAt
	HeaderLen = headerLen
	MaxHeld   = maxHeld
)

// Rest is the second part of a record, for the test of its layout.
type Rest = rest

// BeyondWindow returns the share of slots that a search does not find in its
// first window.
func (t *Table) BeyondWindow() float64 {
	n, beyond := 0, 0
	for at, e := range t.index.slots {
		if e != 0 {
			n++
			if at-int(t.index.home(e)) >= window {
				beyond++
			}
		}
	}
	return float64(beyond) / float64(n)
}

// Memory returns the memory that a table lies in.
func (t *Table) Memory() map[string][]byte {
	return map[string][]byte{"records": t.memory, "the rest": t.derived}
}
