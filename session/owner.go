package session

// A Quota is how many sessions an owner may have; 0 is any number. If the
// quotas of all owners add up to no more than the capacity, no owner can keep
// another from its own.
type Quota struct {
	Sessions uint32
	HalfOpen uint32 // of them, those that only one side has been heard of
}

// An owner is a pod or an interface: whoever caused a session. The caller gives
// the numbers and keeps them the same when the process restarts, or else gives
// each session its new one with SetOwner.
type owner struct {
	quota    Quota
	own      bool // quota is its own, not the table's
	sessions uint32
	halfOpen uint32
	refused  uint32
	evicted  uint32
}

// OwnerStats are the numbers of one owner.
type OwnerStats struct {
	Quota              Quota
	Sessions, HalfOpen int
	Refused            int // sessions that it was refused for its quota, modulo 2^32
	Evicted            int // its sessions that gave their place to another, modulo 2^32
}

// SetQuota gives an owner a quota of its own. Sessions that are already above
// it stay.
func (t *Table) SetQuota(of uint16, q Quota) {
	t.owners[of].quota, t.owners[of].own = q, true
}

// ResetOwner gives an owner the table's quota and counters of 0, for a number
// that now stands for somebody else. Its sessions stay; see SetOwner.
func (t *Table) ResetOwner(of uint16) {
	o := &t.owners[of]
	o.quota, o.own, o.refused, o.evicted = Quota{}, false, 0, 0
}

// Owner returns the numbers of an owner.
func (t *Table) Owner(of uint16) OwnerStats {
	o := &t.owners[of]
	return OwnerStats{t.quotaOf(o), int(o.sessions), int(o.halfOpen), int(o.refused), int(o.evicted)}
}

// SetOwner makes a session count against another owner, whatever its quota.
func (t *Table) SetOwner(i uint32, of uint16) {
	s := &t.records[i]
	from, to := &t.owners[s.owner], &t.owners[of]
	from.sessions--
	to.sessions++
	if s.class.halfOpen() {
		from.halfOpen--
		to.halfOpen++
	}
	s.owner = of
}

func (t *Table) quotaOf(o *owner) Quota {
	if o.own {
		return o.quota
	}
	return t.quota
}

// underQuota decides whether an owner may have one more session, and gives up
// one of its own for it if need be.
func (t *Table) underQuota(of uint16, class Class, now uint32) Result {
	o := &t.owners[of]
	q := t.quotaOf(o)
	if q.Sessions != 0 && o.sessions >= q.Sessions && !t.evictOf(of, false, now) {
		o.refused++
		return OverQuota
	}
	if q.HalfOpen != 0 && class.halfOpen() && o.halfOpen >= q.HalfOpen && !t.evictOf(of, true, now) {
		o.refused++
		return OverHalf
	}
	return Inserted
}

// place returns the index of a free record. If there is none it first removes
// what is due, then gives up a session.
func (t *Table) place(now uint32) (uint32, bool) {
	if i := t.take(); i != 0 {
		return i, true
	}
	if t.Expire(now, 4) == 0 && !t.evictAny(now) {
		return 0, false
	}
	i := t.take()
	return i, i != 0
}

const (
	// maxLook bounds the sessions that one eviction looks at. Each costs about
	// a cache miss.
	maxLook = 64
	// enough is how many candidates it takes to choose one.
	enough = 4
)

// evictAny gives up the worst of some sessions that may be given up.
func (t *Table) evictAny(now uint32) bool {
	best, bestScore := uint32(0), uint64(0)
	for range enough {
		i := t.nextSoft()
		if i == 0 {
			break
		}
		if score := t.badness(i, now); score > bestScore {
			best, bestScore = i, score
		}
	}
	return t.evict(best)
}

// evictOf gives up one of an owner's own sessions. It may not find any, if
// they are few among those of others.
func (t *Table) evictOf(of uint16, half bool, now uint32) bool {
	best, bestScore, found := uint32(0), uint64(0), 0
	for range maxLook {
		i := t.nextSoft()
		if i == 0 || found == enough {
			break
		}
		s := &t.records[i]
		if s.owner != of || half && !s.class.halfOpen() {
			continue
		}
		found++
		if score := t.badness(i, now); score > bestScore {
			best, bestScore = i, score
		}
	}
	return t.evict(best)
}

// nextSoft moves the hand to the next session that may be given up, around the
// table, and returns it; 0 if there is none.
func (t *Table) nextSoft() uint32 {
	i := t.soft.next(t.softHand + 1)
	if i == 0 {
		i = t.soft.next(1)
	}
	t.softHand = i
	return i
}

// badness orders sessions that may be given up: those that are due first, then
// those that are closing, then the half-open, each by the time since their last
// packet. It is never 0.
func (t *Table) badness(i uint32, now uint32) uint64 {
	s := &t.records[i]
	idle := uint32(max(0, int64(now)-int64(s.Last)))
	score := uint64(idle) + 1
	switch {
	case idle >= t.timeouts[s.class]:
		score |= 2 << 33
	case s.class == TCPClosing:
		score |= 1 << 33
	}
	return score
}

func (t *Table) evict(i uint32) bool {
	if i == 0 {
		return false
	}
	s := &t.records[i]
	t.owners[s.owner].evicted++
	t.stats.Evicted++
	t.drop(i, s, Evicted)
	return true
}

// drop removes a session and says so.
func (t *Table) drop(i uint32, s *Session, why Why) {
	if t.gone != nil {
		t.gone(i, s, why)
	}
	t.Delete(i)
}
