package session

// Each record has a deadline in due, and each group of groupLen records one in
// groupDue that is no later than any of theirs:
//
//	due | second in which to look at the session         |  in use
//	    | never                                          |  a second record
//	    | isFree and the next record of the list of free |  free
//
// A packet does not move the deadline: a session that is looked at and has
// seen packets meanwhile gets its next one then. Only a timeout that has become
// shorter moves it at once.
//
// This does the work of a timer wheel with 4 bytes per session instead of the
// 8 of a list in both directions, and reads memory in order: a second in which
// nothing is due costs one comparison per 64 sessions (BenchmarkExpireIdle),
// and a session that goes leaves nothing to be unlinked.
const (
	groupLen = 64
	isFree   = 1 << 31
	never    = isFree - 1
)

// A sweep is one round over all groups.
type sweep struct {
	group uint32 // where it is
	began uint32 // second in which it began
	done  uint32 // 1 + the second in which the last complete round began
}

// arm sets the deadline of a session.
func (t *Table) arm(i, at uint32) {
	t.due[i] = at
	if g := &t.groupDue[i/groupLen]; at < *g {
		*g = at
	}
}

// Expire removes sessions that have seen no packet for the time of their class,
// tells Config.Gone of each, and returns how many. now is a second on the clock
// of Now, below 2^31.
//
// budget bounds the work of a call: a group of 64 sessions of which none is due
// costs 1 of it, and so does each session that is due. The next call goes on
// where this one has ended. Once all groups have been seen in a second, further
// calls in that second cost nothing.
func (t *Table) Expire(now uint32, budget int) (removed int) {
	for budget > 0 && t.sweep.done != now+1 {
		g := t.sweep.group
		if g == 0 {
			t.sweep.began = now
		}
		if t.groupDue[g] > now {
			budget--
		} else {
			spent, n := t.expireGroup(g, now, budget)
			removed += n
			if budget -= spent; budget <= 0 {
				break // perhaps not all of it: the group comes again
			}
		}
		if t.sweep.group++; t.sweep.group*groupLen >= t.fresh {
			t.sweep.group, t.sweep.done = 0, t.sweep.began+1
		}
	}
	return removed
}

// expireGroup looks at the sessions of a group that are due, budget of them at
// most.
func (t *Table) expireGroup(g, now uint32, budget int) (spent, removed int) {
	first := max(1, g*groupLen)
	due := t.due[first:min(t.fresh, (g+1)*groupLen)]
	earliest := uint32(never)
	for k, at := range due {
		if at <= now {
			if spent == budget {
				return spent, removed
			}
			spent++
			i := first + uint32(k)
			s := &t.records[i]
			if at = s.Last + t.timeouts[s.class]; at > now {
				due[k] = at
			} else {
				t.stats.Expired++
				t.drop(i, s, Expired)
				removed++
				at = never
			}
		}
		earliest = min(earliest, at)
	}
	t.groupDue[g] = earliest
	return spent + 1, removed
}

// SetTimeouts changes the timeouts, 0 to the default, also of the sessions that
// are there. It looks at each: it is for changes of the configuration.
func (t *Table) SetTimeouts(timeouts Timeouts) {
	t.timeouts = timeouts.orDefault()
	for i := t.Next(0); i != 0; i = t.Next(i) {
		s := &t.records[i]
		if at := s.Last + t.timeouts[s.class]; at < t.due[i] {
			t.arm(i, at)
		}
	}
	t.sweep = sweep{} // the groups behind it may have something due now
}
