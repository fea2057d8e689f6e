package graph_test

import (
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/state"
)

func TestTick(t *testing.T) {
	pub := world(t, 1)
	var ticks []int64
	next := int64(0)
	s := graph.Spec{Name: "ticker", Arcs: []graph.To{{}, {Reason: "go", Node: "ip"}}, New: func() graph.Node {
		return tickingToy{toy{
			process: func(w *graph.Worker, v *graph.Vector) {
				v.All(1)
				w.TickAt(w.Now + 2_000_000)
				w.TickAt(w.Now + 1_000_000) // the earlier one counts
				w.TickAt(w.Now + 3_000_000)
			},
			tick: func(w *graph.Worker) int64 {
				ticks = append(ticks, w.Now)
				return next
			}}}
	}}
	var out end
	w := newWorker(t, graph.Config{Publisher: pub, Specs: []graph.Spec{s, out.spec("ip")}})
	round(t, w)
	if len(ticks) != 1 {
		t.Fatalf("%d ticks after the first State, want 1", len(ticks))
	}
	edit(t, pub, func(*state.State) {})
	round(t, w)
	round(t, w)
	if len(ticks) != 2 {
		t.Fatalf("%d ticks after a second State, want 2", len(ticks))
	}
	w.Inject("ticker", get(t, w, 1)...)
	w.Sweep()
	from := w.Now
	for len(ticks) == 2 {
		if err := w.Round(0); err != nil { // sleeps until it is time
			t.Fatal(err)
		}
	}
	if late := ticks[2] - from; late < 1_000_000 || late > 500_000_000 {
		t.Errorf("ticked after %d ns, want 1 ms", late)
	}
	for range 10 {
		round(t, w)
	}
	if len(ticks) != 3 {
		t.Errorf("%d ticks, though none was asked for", len(ticks)-3)
	}
	out.put(w)
}

// What a Tick emits goes on in the same round, backward too, and costs no hop.
func TestTickEmits(t *testing.T) {
	var held []*buf.Buffer
	var out end
	holder := graph.Spec{Name: "holder", Arcs: []graph.To{{}, {Reason: "back", Node: "first"}}, New: func() graph.Node {
		return tickingToy{toy{
			process: func(w *graph.Worker, v *graph.Vector) {
				v.All(graph.Kept)
				held = append(held, v.Bufs()...)
				w.TickAt(w.Now)
			},
			tick: func(w *graph.Worker) int64 {
				for _, b := range held {
					w.Emit(1, b)
				}
				held = nil
				return 0
			}}}
	}}
	w := newWorker(t, graph.Config{Specs: []graph.Spec{
		spec("first", func(w *graph.Worker, v *graph.Vector) {
			for i, b := range v.Bufs() {
				if b.Hash++; b.Hash < 9 {
					v.Arc[i] = 1
				} else {
					v.Arc[i] = 2
				}
			}
		}, graph.To{Reason: "hold", Node: "holder"}, graph.To{Reason: "out", Node: "out"}),
		holder, out.spec("out")}})
	w.Inject("first", get(t, w, 3)...)
	for range 9 {
		round(t, w)
	}
	if len(out.bufs) != 3 {
		t.Errorf("%d packets out, want 3", len(out.bufs))
	}
	out.put(w)
	checkFree(t, w)
}

func TestNotices(t *testing.T) {
	w := newWorker(t, graph.Config{Specs: []graph.Spec{spec("a", func(w *graph.Worker, v *graph.Vector) {
		for _, b := range v.Bufs() {
			w.Notify(state.Notice{Kind: state.NeighborSeen, Iface: b.Meta})
		}
		w.Free(v.Bufs()...)
	})}})
	send := func(n int) {
		w.Inject("a", get(t, w, n)...)
		round(t, w)
	}
	woken := func() bool {
		select {
		case <-w.Notices():
			return true
		default:
			return false
		}
	}
	send(3)
	if !woken() || woken() {
		t.Error("woken not once")
	}
	round(t, w)
	if woken() {
		t.Error("woken without news")
	}
	for i := range 3 {
		if n, ok := w.NextNotice(); !ok || n.Iface != uint32(i) || n.Now != w.Now && n.Now == 0 {
			t.Errorf("notice %d: %+v, %t", i, n, ok)
		}
	}
	if n, ok := w.NextNotice(); ok {
		t.Errorf("a fourth: %+v", n)
	}
	// The ring holds 1024; what comes later is lost and counted.
	send(1024)
	send(10)
	if n := w.LostNotices(); n != 10 {
		t.Errorf("%d lost, want 10", n)
	}
	for i := range 1024 {
		if n, ok := w.NextNotice(); !ok || n.Iface != uint32(i) {
			t.Fatalf("notice %d: %+v, %t", i, n, ok)
		}
	}
	send(1)
	if _, ok := w.NextNotice(); !ok || !woken() {
		t.Error("nothing after an overflow")
	}
}
