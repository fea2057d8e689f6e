// Package graphtest answers one question: does a node, on its own, do what its
// file says?
//
// A Rig runs one node with a collector at the end of each of its arcs, and
// checks at each run that no packet is lost or doubled. Maturity: stable.
package graphtest

import (
	"slices"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
)

// A Result is a packet as it left the node, and the reason why it left that
// way: the words of its arc, "feature X" or "end of ARC" on a feature arc,
// "sent" if the node gave it to a device, or "undecided".
type Result struct {
	*buf.Buffer
	Reason string
}

// A Rig is one node on a bench. It embeds the worker that runs it.
type Rig struct {
	*graph.Worker
	Pub   *state.Publisher
	node  string
	out   []Result
	sinks []*sink
}

// Iface is the index of the interface that packets come in by.
const Iface = 1

// New sets up spec in the world st. Packets come in by interface Iface, and
// all interfaces of st have a device that collects.
func New(t testing.TB, spec graph.Spec, st state.State) *Rig {
	t.Helper()
	return NewSessions(t, spec, st, nil)
}

// NewSessions is New with a table of sessions, which stays the caller's.
func NewSessions(t testing.TB, spec graph.Spec, st state.State, sessions *session.Table) *Rig {
	t.Helper()
	rig := &Rig{node: spec.Name, out: make([]Result, 0, 64*graph.MaxVector)}
	specs := rig.surround(spec)
	rig.Pub = state.NewPublisher()
	Publish(t, rig.Pub, st)
	pool, err := buf.NewPool(8192, 256)
	if err != nil {
		t.Fatal(err)
	}
	w, err := graph.New(graph.Config{Specs: specs, Pool: pool, Publisher: rig.Pub, Sessions: sessions})
	if err != nil {
		t.Fatal(err)
	}
	rig.Worker = w
	for i := 1; i < len(st.Ifaces); i++ {
		rig.sink(t, uint32(i))
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if err := pool.Arena().Close(); err != nil {
			t.Error(err)
		}
	})
	return rig
}

// Publish makes st the world of pub.
func Publish(t testing.TB, pub *state.Publisher, st state.State) {
	t.Helper()
	err := pub.Update(func(next *state.State) error {
		gen, routes4, routes6 := next.Gen, next.FIB4, next.FIB6
		*next = st
		next.Gen = gen
		if next.FIB4 == nil {
			next.FIB4 = routes4
		}
		if next.FIB6 == nil {
			next.FIB6 = routes6
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// surround puts a collector at the end of each of the node's arcs.
func (r *Rig) surround(spec graph.Spec) []graph.Spec {
	spec.Arcs = slices.Clone(spec.Arcs)
	var ends []graph.Spec
	end := func(name, reason string) string {
		ends = append(ends, graph.Spec{Name: name, New: func() graph.Node { return collector{reason, r} }})
		return name
	}
	for i, to := range spec.Arcs {
		if to != (graph.To{}) {
			spec.Arcs[i].Node = end("end of "+to.Reason, to.Reason)
		}
	}
	if spec.On != nil {
		arc := *spec.On
		arc.Features = nil
		for _, f := range spec.On.Features {
			name := "feature " + f
			if f == spec.Name {
				name = f
			} else {
				end(name, name)
			}
			arc.Features = append(arc.Features, name)
		}
		arc.End = end("end of arc "+arc.Name, "end of "+arc.Name)
		spec.On = &arc
	}
	return append([]graph.Spec{spec}, ends...)
}

type collector struct {
	reason string
	rig    *Rig
}

func (c collector) Process(w *graph.Worker, v *graph.Vector) {
	for _, b := range v.Bufs() {
		c.rig.out = append(c.rig.out, Result{b, c.reason})
	}
}

// A sink is a device that collects what is sent.
type sink struct{ rig *Rig }

func (r *Rig) sink(t testing.TB, i uint32) {
	t.Helper()
	s := &sink{r}
	r.sinks = append(r.sinks, s)
	if err := r.AddPort(i, []drivers.Queue{s}); err != nil {
		t.Fatal(err)
	}
}

func (s *sink) Tx(p *buf.Pool, bufs []*buf.Buffer) int {
	for _, b := range bufs {
		s.rig.out = append(s.rig.out, Result{b, "sent"})
	}
	return len(bufs)
}
func (s *sink) Rx(*buf.Pool, []*buf.Buffer) int { return 0 }
func (s *sink) FD() int                         { return -1 }
func (s *sink) Stats() drivers.Stats            { return drivers.Stats{} }
func (s *sink) Close(*buf.Pool) error           { return nil }

// Load makes packets of bytes, as interface Iface receives them.
func (r *Rig) Load(t testing.TB, packets ...[]byte) []*buf.Buffer {
	t.Helper()
	bufs := make([]*buf.Buffer, len(packets))
	for i, p := range packets {
		if r.get(len(p), bufs[i:i+1]) == 0 {
			t.Fatal("graphtest: no buffers left")
		}
		if bufs[i].Set(p) < len(p) {
			t.Fatalf("graphtest: a packet of %d bytes does not fit", len(p))
		}
		bufs[i].RxIf = Iface
		bufs[i].L3 = uint16(bufs[i].Off())
	}
	return bufs
}

// get takes a buffer that has room for size bytes.
func (r *Rig) get(size int, one []*buf.Buffer) int {
	if size > buf.SmallStride-buf.Headroom {
		return r.Pool.GetLarge(one)
	}
	return r.Pool.Get(one)
}

// Run sends packets through the node as one vector and returns them in the
// order in which they went in, behind them what the node has added. It fails
// the test if a packet is lost or doubled.
func (r *Rig) Run(t testing.TB, packets ...[]byte) []Result {
	t.Helper()
	return r.RunBufs(t, r.Load(t, packets...)...)
}

// RunBufs is Run for buffers that Load has made and the test has changed. They
// go back to the pool at the end of the test.
func (r *Rig) RunBufs(t testing.TB, bufs ...*buf.Buffer) []Result {
	t.Helper()
	before := r.held() + len(bufs)
	r.out = r.out[:0]
	if !r.Inject(r.node, bufs...) {
		t.Fatalf("graphtest: no node %q", r.node)
	}
	r.Sweep()
	r.Flush()
	r.balance(t, before)
	at := func(x Result) int {
		if i := slices.Index(bufs, x.Buffer); i >= 0 {
			return i
		}
		return len(bufs)
	}
	out := slices.Clone(r.out)
	slices.SortStableFunc(out, func(a, b Result) int { return at(a) - at(b) })
	return out
}

// Tick lets the node act on what time has passed and on a new State, and
// returns what it has sent.
func (r *Rig) Tick(t testing.TB) []Result {
	t.Helper()
	before := r.held()
	r.out = r.out[:0]
	if err := r.RoundAt(r.Now); err != nil {
		t.Fatal(err)
	}
	r.balance(t, before)
	return slices.Clone(r.out)
}

// Advance lets time pass, in nanoseconds.
func (r *Rig) Advance(ns int64) { r.Now += ns }

// held returns how many buffers are in the pool or in the node.
func (r *Rig) held() int {
	free := r.Pool.Stats()
	return free.SmallFree + free.LargeFree + r.parked()
}

// balance fails the test if a buffer has got lost since there were before.
func (r *Rig) balance(t testing.TB, before int) {
	t.Helper()
	if after := r.held() + len(r.out); before != after {
		t.Fatalf("graphtest: %d buffers before the run, %d after", before, after)
	}
}

// Parker is a node that keeps packets from one sweep to the next.
type Parker interface{ Parked() int }

func (r *Rig) parked() int {
	if p, ok := r.Node(r.node).(Parker); ok {
		return p.Parked()
	}
	return 0
}

// Put gives the packets of a run back to the pool.
func (r *Rig) Put(results []Result) {
	for _, x := range results {
		r.Pool.Put([]*buf.Buffer{x.Buffer})
	}
}

// NoAllocs fails the test if sending packets through the node allocates. Only
// for nodes that leave a packet such that it can come again: setup makes it so.
func (r *Rig) NoAllocs(t testing.TB, setup func(b *buf.Buffer), packets ...[]byte) {
	t.Helper()
	if n := testing.AllocsPerRun(100, func() { r.again(setup, packets) }); n != 0 {
		t.Errorf("%v allocations per vector, want none", n)
	}
}

// again runs packets in fresh buffers and gives all that comes out back.
func (r *Rig) again(setup func(b *buf.Buffer), packets [][]byte) {
	var bufs [graph.MaxVector]*buf.Buffer
	n := len(packets)
	for i, p := range packets {
		if r.get(len(p), bufs[i:i+1]) == 0 {
			panic("graphtest: no buffers left")
		}
		b := bufs[i]
		b.Set(p)
		b.RxIf, b.L3 = Iface, uint16(b.Off())
		if setup != nil {
			setup(b)
		}
	}
	r.out = r.out[:0]
	r.Inject(r.node, bufs[:n]...)
	r.Sweep()
	r.Flush()
	for i := range r.out {
		bufs[0] = r.out[i].Buffer
		r.Pool.Put(bufs[:1])
	}
}

// Loop benchmarks the node on vectors of the given size, cycling through
// enough buffers that they are not all in the first-level cache. prepare
// brings a buffer back to how it was before the node, if that has changed it.
func (r *Rig) Loop(b *testing.B, size int, prepare func(x *buf.Buffer), packets ...[]byte) {
	bufs := make([]*buf.Buffer, 4096)
	r.Pool.Get(bufs)
	for i, x := range bufs {
		x.Set(packets[i%len(packets)])
		x.RxIf, x.L3 = Iface, uint16(x.Off())
		if prepare != nil {
			prepare(x)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at := i * size % (len(bufs) - size)
		if prepare != nil {
			for _, x := range bufs[at : at+size] {
				prepare(x)
			}
		}
		r.out = r.out[:0]
		r.Inject(r.node, bufs[at:at+size]...)
		r.Sweep()
		r.Flush()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size), "ns/packet")
	r.Pool.Put(bufs)
}
