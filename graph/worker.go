package graph

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
)

// A Worker owns one instance of the graph, its buffers and its queues. Nothing
// in it is shared: one goroutine uses it, the one that calls Run, and others
// ask that one by Do.
type Worker struct {
	State *state.State // the world, fixed for the length of a sweep
	Pool  *buf.Pool
	Now   int64 // nanoseconds since the worker was made, read once per sweep
	Flows *session.Flows

	id     int
	peers  []*Worker // all workers by ID, this one included; nil if it is the only one
	cpu    int       // where its thread stays, if pinned
	pinned bool

	epoch    uint32         // Second when the worker was made
	ownTable *session.Table // made by New, nil if it was given one

	pub   *state.Publisher
	slots []*slot
	index map[string]*slot
	drop  *slot
	free  []*Vector

	input  iface.Arc // where packets start, in words: source.On
	source *slot

	pending [2]uint64 // one bit per slot that has packets, by order
	running *slot     // whose Process or Tick runs
	ticking bool      // it is a Tick
	timed   bool      // this sweep's clocks are counted
	clock   uint64    // when the last node was done
	sweeps  uint64
	rxCount int // packets that came in since the last sweep

	ports []*Port // by interface index
	dirty []*Port // those with packets to send

	fillers []drivers.Filler

	crossings
	tracer
	notices
	loop
}

// port returns the port of an interface, nil if it has none.
func (w *Worker) port(i uint32) *Port {
	if int(i) < len(w.ports) {
		return w.ports[i]
	}
	return nil
}

// Second returns Now on the clock of session.Now, in seconds.
func (w *Worker) Second() uint32 { return w.epoch + uint32(w.Now/1e9) }

// Inject puts packets before a node, as if an arc had led there. Tests and
// control use it, between sweeps.
func (w *Worker) Inject(node string, bufs ...*buf.Buffer) bool {
	s := w.index[node]
	if s == nil {
		return false
	}
	w.rxCount += len(bufs)
	w.enqueue(s, bufs)
	return true
}

// Node returns this worker's instance of a node, nil if there is none. Only the
// worker's goroutine may use it.
func (w *Worker) Node(name string) Node {
	if s := w.index[name]; s != nil {
		return s.node
	}
	return nil
}

// receive puts packets that came in by interface i at the start of the graph.
func (w *Worker) receive(i uint32, bufs []*buf.Buffer) {
	for _, b := range bufs {
		b.RxIf = i
	}
	w.rxCount += len(bufs)
	w.source.Calls++
	w.source.Packets += uint64(len(bufs))
	if int(i) >= len(w.State.Ifaces) || !w.State.Ifaces[i].Up {
		w.source.Taken[sourceDown] += uint64(len(bufs))
		w.enqueue(w.drop, bufs)
		return
	}
	in := &w.State.Ifaces[i]
	mask := in.Feat[w.input]
	if w.watches != nil {
		w.watch(i, bufs)
	}
	if mask&^iface.FeatEnd == 0 {
		arc := sourceEntry
		if in.Ethernet {
			arc++
		}
		w.source.Taken[arc] += uint64(len(bufs))
		w.enqueue(w.source.next[arc], bufs)
		return
	}
	for _, b := range bufs {
		b.Feat = mask
		arc := NextFeature(b)
		w.source.Taken[arc]++
		w.enqueue1(w.source.next[arc], b)
	}
}
