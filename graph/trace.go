package graph

import (
	"errors"
	"fmt"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/state"
)

const (
	// maxTraced is how many packets can be under way with a trace at once.
	maxTraced = 256
	// maxRecords is how many records a worker keeps; a packet makes about ten.
	maxRecords = 8192
	// snapLen is how many bytes of a packet a record holds: all the headers.
	snapLen = 128
)

// A Record is one visit of a traced packet to a node. All of it is as the node
// left it.
type Record struct {
	Packet  uint64 // number of the trace, from 1 on
	Node    string
	Reason  string // of the arc it left by, "" at an end of the graph
	Next    string // the node it went to
	Now     int64  // by Worker.Now
	State   *state.State
	Meta    buf.Buffer // the metadata; its bytes are not to be looked at
	Bytes   []byte     // the first bytes from the header being processed on
	L3      int        // where in Bytes the network header starts, negative if before it
	Len     int        // of the packet, in bytes, from the header being processed on
	Details string     // what the node's Describe says
}

// record is a Record in the making: nothing in it has to be allocated.
type record struct {
	packet uint64
	slot   *slot
	arc    Arc
	now    int64
	state  *state.State
	meta   buf.Buffer
	n      uint8
	bytes  [snapLen]byte
}

// tracer is what a worker needs to trace. While nobody traces, it costs one
// look per vector.
type tracer struct {
	tracing bool   // packets are traced, or are to be
	left    int    // traces still to begin
	traced  uint64 // the sweep in which a traced packet was last seen
	watches []int  // by interface: packets still to be traced from there on
	last    uint64
	under   []traced // packets under way
	records []record
}

type traced struct {
	b  *buf.Buffer
	id uint64
}

// ErrNoNode means that the graph has no node of that name.
var ErrNoNode = errors.New("there is no such node")

// Trace has the next n packets that reach a node traced from there on. Only
// the worker's goroutine may call it, and the four below.
func (w *Worker) Trace(node string, n int) error {
	s := w.index[node]
	if s == nil {
		return fmt.Errorf("graph: %w: %q", ErrNoNode, node)
	}
	w.traceRoom()
	w.left += n - s.traces
	s.traces = n
	return nil
}

// TraceIface has the next n packets that interface i receives traced.
func (w *Worker) TraceIface(i uint32, n int) {
	w.traceRoom()
	for int(i) >= len(w.watches) {
		w.watches = append(w.watches, 0)
	}
	w.left += n - w.watches[i]
	w.watches[i] = n
}

// ClearTrace forgets all records and ends all traces.
func (w *Worker) ClearTrace() {
	for _, s := range w.slots {
		s.traces = 0
	}
	w.tracer = tracer{}
}

// Untraced returns of how many packets there is no record though they were to be
// traced, as there was no room for more.
func (w *Worker) Untraced() uint64 {
	if len(w.records) < cap(w.records) {
		return 0
	}
	recorded := uint64(0) // packets get their numbers and their first records in one order
	for i := range w.records {
		recorded = max(recorded, w.records[i].packet)
	}
	return w.last - recorded
}

// Traces returns all records, oldest first. Those of one packet are not always
// next to each other.
func (w *Worker) Traces() []Record {
	out := make([]Record, 0, len(w.records))
	for i := range w.records {
		out = append(out, w.records[i].open())
	}
	return out
}

func (r *record) open() Record {
	b := &r.meta
	out := Record{Packet: r.packet, Node: r.slot.Name, Now: r.now, State: r.state, Meta: *b,
		Bytes: append([]byte(nil), r.bytes[:r.n]...), L3: int(b.L3) - b.Off(), Len: b.Len()}
	out.Reason, out.Next = r.slot.arc(r.arc)
	if r.slot.Describe != nil {
		out.Details = r.slot.Describe(&out)
	}
	return out
}

// arc returns an arc's words.
func (s *slot) arc(arc Arc) (reason, node string) {
	switch {
	case len(s.Arcs) == 0 && s.On == nil:
		return "", ""
	case arc == Kept:
		return "kept", ""
	case arc == Handed:
		return reasonHanded, WorkerInput
	case arc == undecided || s.next[arc] == nil:
		return reasonUndecided, Drop
	case arc >= featureArc:
		return s.next[arc].Name, s.next[arc].Name
	case int(arc) < len(s.Arcs):
		return s.Arcs[arc].Reason, s.Arcs[arc].Node
	}
	return reasonUndecided, Drop
}

// traceQuiet is after how many sweeps without a traced packet the worker stops
// looking for one.
const traceQuiet = 1 << 16

// endTrace stops looking for traced packets when there can be no more.
func (w *Worker) endTrace() {
	if w.left == 0 && w.sweeps-w.traced > traceQuiet {
		w.tracing = false
	}
}

// Follow traces b, which the running node has made out of src, as src is.
func (w *Worker) Follow(src, b *buf.Buffer) {
	if b.Flags &^= buf.Traced; src.Flags&buf.Traced == 0 {
		return
	}
	if id := w.traceID(src); id != 0 {
		w.mark(b, id)
	}
}

// mark makes b known as a packet under way with a trace.
func (w *Worker) mark(b *buf.Buffer, id uint64) {
	if len(w.under) == cap(w.under) {
		w.under = w.under[:copy(w.under, w.under[1:])] // the oldest has most likely left
	}
	w.under = append(w.under, traced{b, id})
	b.Flags |= buf.Traced
}

// adopt goes on to trace a packet that another worker has handed over, under a
// number of its own, unless this worker has never been asked to trace.
func (w *Worker) adopt(b *buf.Buffer) {
	if b.Flags &^= buf.Traced; w.records != nil {
		w.tracing, w.traced = true, w.sweeps
		w.last++
		w.mark(b, w.last)
	}
}

func (w *Worker) traceRoom() {
	w.tracing, w.traced = true, w.sweeps
	if w.records == nil {
		w.records = make([]record, 0, maxRecords)
		w.under = make([]traced, 0, maxTraced)
	}
}

// watch begins the traces that wait for packets of interface i.
func (w *Worker) watch(i uint32, bufs []*buf.Buffer) {
	if int(i) >= len(w.watches) {
		return
	}
	for _, b := range bufs {
		if w.watches[i] == 0 {
			return
		}
		w.watches[i]--
		w.begin(b)
	}
}

// traceIn begins the traces that wait for packets at s.
func (w *Worker) traceIn(s *slot, v *Vector) {
	for _, b := range v.Bufs() {
		if s.traces == 0 {
			return
		}
		if b.Flags&buf.Traced == 0 {
			s.traces--
			w.begin(b)
		}
	}
}

func (w *Worker) begin(b *buf.Buffer) {
	w.left--
	w.last++
	w.mark(b, w.last)
}

// traceOut records what s has made of the traced packets.
func (w *Worker) traceOut(s *slot, v *Vector) {
	for i, b := range v.Bufs() {
		// A packet that the node has sent or freed is only known by its
		// address: its flags may be another packet's by now.
		if b.Flags&buf.Traced == 0 {
			continue
		}
		w.traced = w.sweeps
		id := w.traceID(b)
		if id == 0 || len(w.records) == cap(w.records) {
			continue
		}
		w.records = w.records[:len(w.records)+1]
		r := &w.records[len(w.records)-1]
		*r = record{packet: id, slot: s, arc: v.Arc[i] & (numArcs - 1), now: w.Now, state: w.State, meta: *b}
		r.n = uint8(copy(r.bytes[:], b.Bytes()))
	}
}

func (w *Worker) traceID(b *buf.Buffer) uint64 {
	for i := len(w.under) - 1; i >= 0; i-- {
		if w.under[i].b == b {
			return w.under[i].id
		}
	}
	return 0
}
