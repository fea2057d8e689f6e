package graph

import (
	"math/bits"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/internal/tsc"
)

// A slot is a node's place in the graph of one worker.
type slot struct {
	Spec
	node   Node
	ticker Ticker
	order  int
	head   *Vector // packets that wait for the node; nil if there are none
	tail   *Vector // the last vector of head, the only one that is not full
	next   [numArcs]*slot

	nextTick int64 // when the ticker wants to be called; 0 is never
	traces   int   // packets still to be traced from here on
	counters
}

// Sweep carries what is waiting all the way through the graph. It begins and
// ends with an empty graph, so nothing in it outlives the State it began with,
// but for what nodes have kept.
func (w *Worker) Sweep() {
	w.sweeps++
	// Reading the clock twice per node would be a third of the cost of a
	// vector of one packet, so few of those are timed.
	w.timed = w.rxCount >= 32 || w.sweeps&15 == 0
	w.rxCount = 0
	w.Flows.BeginSweep()
	if w.timed {
		w.clock = tsc.Now()
	}
	for w.pending[0]|w.pending[1] != 0 {
		w.pass(0)
		w.pass(1)
	}
	if w.tracing {
		w.endTrace()
	}
}

// pass runs the nodes that have packets, in order. What goes backward waits
// for the next pass.
func (w *Worker) pass(word int) {
	for todo := w.pending[word]; todo != 0; {
		bit := bits.TrailingZeros64(todo)
		w.pending[word] &^= 1 << bit
		w.dispatch(w.slots[word<<6|bit])
		todo = w.pending[word] &^ (2<<bit - 1)
	}
}

// dispatch runs s on the packets that wait for it and hands each of them on.
func (w *Worker) dispatch(s *slot) {
	v := s.head
	s.head, s.tail = nil, nil
	w.running = s
	for v != nil {
		behind := v.next
		v.next = nil
		w.process(s, v)
		v = behind
	}
	w.running = nil
}

func (w *Worker) process(s *slot, v *Vector) {
	n := v.n
	if n == 1 {
		v.Arc[0] = undecided // without a call
	} else {
		clear(v.Arc[:n])
	}
	if w.tracing {
		w.traceIn(s, v)
	}
	s.node.Process(w, v)
	s.Calls++
	s.Packets += uint64(n)
	if w.timed {
		now := tsc.Now()
		s.Clocks += now - w.clock
		s.Timed += uint64(n)
		w.clock = now
	}
	if w.tracing {
		w.traceOut(s, v)
	}
	if len(s.Arcs) == 0 && s.On == nil {
		w.release(v) // an end of the graph: the node has dealt with them
		return
	}
	if first := v.runEnd(0); first < n || !w.handOn(s, v) {
		w.forward(s, v, first)
	}
}

// handOn is forward for a vector that goes all one way, as nearly all do: it ends
// here, or goes as it is to where nobody waits yet. It reports false for others.
func (w *Worker) handOn(s *slot, v *Vector) bool {
	arc, n := v.Arc[0]&(numArcs-1), uint64(v.n)
	to := s.next[arc]
	switch {
	case to == nil: // Kept, Handed
		w.release(v)
	case to.order <= s.order || to.head != nil:
		return false
	default:
		to.head, to.tail = v, v
		w.pending[to.order>>6&1] |= 1 << (to.order & 63)
	}
	s.Taken[arc] += n
	return true
}

// forward hands the packets of v on, a run of those that go the same way at a
// time. The first run ends at j.
func (w *Worker) forward(s *slot, v *Vector, j int) {
	for i := 0; ; j = v.runEnd(i) {
		arc := v.Arc[i] & (numArcs - 1)
		s.Taken[arc] += uint64(j - i)
		to := s.next[arc]
		switch {
		case to == nil: // Kept, Handed
		case to.order <= s.order:
			s.Taken[arc] -= w.backward(s, to, v.bufs[i:j])
		default:
			w.enqueue(to, v.bufs[i:j])
		}
		if i = j; i == v.n {
			break
		}
	}
	w.release(v)
}

// runEnd returns where the run of equal arcs ends that begins at i.
//
// Usually it is the whole vector: its arcs are equal to themselves moved by
// one. Strings are compared 32 bytes at a time, and these are not copied, so
// that this is 4.5 clocks per packet faster than to look at each arc after each
// of the six nodes (BenchmarkGraph/vector=256/routes=1, Zen 5).
func (v *Vector) runEnd(i int) int {
	n := v.n
	if i == 0 && (n == 1 || string(v.Arc[:n-1]) == string(v.Arc[1:n])) {
		return n
	}
	arc, j := v.Arc[i], i+1
	for j < n && v.Arc[j] == arc {
		j++
	}
	return j
}

// backward lets packets go to a node that they may have visited before, as
// often as MaxHops allows, and returns how many have gone too often.
func (w *Worker) backward(s, to *slot, bufs []*buf.Buffer) (looped uint64) {
	for _, b := range bufs {
		if b.Hops++; b.Hops > MaxHops {
			looped++
			w.enqueue1(w.drop, b)
			continue
		}
		w.enqueue1(to, b)
	}
	s.Looped += looped
	return looped
}

func (w *Worker) enqueue1(to *slot, b *buf.Buffer) {
	one := [1]*buf.Buffer{b}
	w.enqueue(to, one[:])
}

// enqueue puts packets at the end of those that wait for a node.
func (w *Worker) enqueue(to *slot, bufs []*buf.Buffer) {
	if to.head == nil {
		to.head = w.vector()
		to.tail = to.head
		w.pending[to.order>>6] |= 1 << (to.order & 63)
	}
	for {
		v := to.tail
		n := copy(v.bufs[v.n:], bufs)
		v.n += n
		if bufs = bufs[n:]; len(bufs) == 0 {
			return
		}
		v.next = w.vector()
		to.tail = v.next
	}
}

// vector takes an empty vector. makeVectors has made enough of them.
func (w *Worker) vector() *Vector {
	last := len(w.free) - 1
	v := w.free[last]
	w.free = w.free[:last]
	return v
}

func (w *Worker) release(v *Vector) {
	v.n = 0
	w.free = append(w.free, v)
}

// Emit sends b, which was not in the vector or was Kept, out of the running
// node by arc. Nodes that multiply or have parked packets use it.
func (w *Worker) Emit(arc Arc, b *buf.Buffer) {
	s := w.running
	s.Taken[arc&(numArcs-1)]++
	to := s.next[arc&(numArcs-1)]
	switch {
	case to == nil:
		w.enqueue1(w.drop, b)
	case to.order <= s.order && w.ticking:
		w.enqueue1(to, b) // between sweeps there is no way back
	case to.order <= s.order:
		s.Taken[arc&(numArcs-1)] -= w.backward(s, to, []*buf.Buffer{b})
	default:
		w.enqueue1(to, b)
	}
}

// Free ends packets that the running node has Kept and used up.
func (w *Worker) Free(bufs ...*buf.Buffer) { w.Pool.Put(bufs) }
