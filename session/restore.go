package session

// restore builds all that is not in the file from the records, and clears the
// records that are not whole sessions. It trusts none of their bytes: what it
// keeps has two keys that fit its commit word and that no other session has.
func (t *Table) restore(now uint32) (kept, dropped int) {
	for i := uint32(1); i <= t.capacity; i++ {
		s := &t.records[i]
		switch {
		case t.rests[i].check == 0 && s.kind == kindFree, s.kind == kindMore:
		case t.readmit(i, s, now):
			kept++
			t.fresh = i + 1
		default:
			dropped++
			t.clear(i)
		}
	}
	for i := uint32(1); i <= t.capacity; i++ {
		if t.records[i].kind != kindMore {
			continue
		}
		if p := t.rests[i].peer; p != 0 && p <= t.capacity && t.records[p].kind == kind6nat && t.rests[p].peer == i {
			t.fresh = max(t.fresh, i+1)
			t.due[i] = never
			continue
		}
		dropped++
		t.clear(i)
	}
	// The lowest come first, so that the sweep has few groups to look at.
	for i := t.fresh - 1; i > 0; i-- {
		if t.records[i].kind == kindFree {
			t.put(i)
		}
	}
	return kept, dropped
}

// readmit takes a record over if it is a whole session.
func (t *Table) readmit(i uint32, s *Session, now uint32) bool {
	m := &t.rests[i]
	if m.check == 0 || !t.plausible(i, s) {
		return false
	}
	fwd, rev, same := t.hashes(i)
	if m.check != checkOf(fwd, rev) || t.taken(i, fwd, rev) {
		return false
	}
	if !t.index.insert(fwd, Ref(i<<1|Forward)) {
		return false
	}
	if !same && !t.index.insert(rev, Ref(i<<1|Reverse)) {
		t.index.remove(fwd, Ref(i<<1|Forward))
		return false
	}
	s.Last = min(s.Last, now)
	s.Gen, s.Verdict, m.data = 0, Undecided, [2]uint32{}
	s.class = classOf(t.Proto(i), s.seen)
	t.enrol(i, now)
	t.due[i] = s.Last + t.timeouts[s.class]
	t.groupDue[i/groupLen] = 0
	return true
}

// plausible reports whether the keys of a record can be read at all.
func (t *Table) plausible(i uint32, s *Session) bool {
	switch s.kind {
	case kind4:
		return uint8(s.tuple[1]>>8) == uint8(s.tuple[3]>>8) // the protocol
	case kind6:
		return true
	case kind6nat:
		p := t.rests[i].peer
		if p == 0 || p > t.capacity || p == i {
			return false
		}
		m := &t.rests[p]
		return t.records[p].kind == kindMore && m.peer == i && m.check != 0 && uint8(m.key>>8) == uint8(t.rests[i].key>>8)
	}
	return false
}

// taken reports whether another session has a key of this one.
func (t *Table) taken(i uint32, fwd, rev uint64) bool {
	f, r := Ref(i<<1|Forward), Ref(i<<1|Reverse)
	if t.records[i].kind == kind4 {
		return t.Find4(t.Key4(f), fwd) != 0 || t.Find4(t.Key4(r), rev) != 0
	}
	a, b := t.Key6(f), t.Key6(r)
	return t.Find6(&a, fwd) != 0 || t.Find6(&b, rev) != 0
}

func (t *Table) clear(i uint32) { t.records[i], t.rests[i] = Session{}, rest{} }
