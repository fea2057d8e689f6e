package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/session"
)

const (
	// waitSets and waitRoom bound the fragments that wait for their first: so
	// many of one interface, or of those that share its place.
	waitSets = 16
	waitRoom = 32
	// waitFor is how long a fragment waits, in nanoseconds. Fragments that are
	// out of order come within a round trip; a receiver waits for 30 to 60
	// seconds (RFC 8200, section 4.5), but it has more room.
	waitFor = 1_000_000_000
)

// A waiting keeps later fragments until their first has come, as only the first
// says which flow the packet is of.
type waiting struct {
	sets [waitSets][waitRoom]waitingFor
	n    int
	// The ways out for those whose first has come, and for those that give up.
	released, noFirst graph.Arc
}

type waitingFor struct {
	b   *buf.Buffer // nil: the place is free
	key session.FragKey
	due int64
}

// keep takes b over, unless there is no room for more of its interface.
func (q *waiting) keep(w *graph.Worker, b *buf.Buffer, key *session.FragKey) bool {
	set := &q.sets[b.RxIf%waitSets]
	for i := range set {
		if set[i].b == nil {
			set[i] = waitingFor{b, *key, w.Now + waitFor}
			q.n++
			w.TickAt(w.Now + waitFor)
			return true
		}
	}
	return false
}

// release sends on those that have waited for the first fragment with this key.
// They come in anew after it: in this pass it may have no session yet.
func (q *waiting) release(w *graph.Worker, rx uint32, key *session.FragKey) {
	set := &q.sets[rx%waitSets]
	for i := range set {
		if f := &set[i]; f.b != nil && f.b.RxIf == rx && f.key == *key {
			q.let(w, f, q.released)
		}
	}
}

func (q *waiting) let(w *graph.Worker, f *waitingFor, arc graph.Arc) {
	w.Emit(arc, f.b)
	f.b = nil
	q.n--
}

// expire gives up those that have waited too long, and returns when the next
// one will have, 0 if none waits.
func (q *waiting) expire(w *graph.Worker) (next int64) {
	if q.n == 0 {
		return 0
	}
	for s := range q.sets {
		for i := range q.sets[s] {
			f := &q.sets[s][i]
			switch {
			case f.b == nil:
			case f.due <= w.Now:
				q.let(w, f, q.noFirst)
			case next == 0 || f.due < next:
				next = f.due
			}
		}
	}
	return next
}

// Parked returns how many fragments wait.
func (q *waiting) Parked() int { return q.n }
