package graph_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
)

// traced returns a graph of a, b and an end where b makes a copy of every
// packet whose number is odd.
func traced(out *end) graph.Config {
	describe := spec("a", all(1), graph.To{Reason: "onward", Node: "b"})
	describe.Describe = func(r *graph.Record) string { return fmt.Sprintf("number %d", r.Meta.Meta) }
	return graph.Config{Specs: []graph.Spec{
		describe,
		spec("b", func(w *graph.Worker, v *graph.Vector) {
			for i, b := range v.Bufs() {
				v.Arc[i] = 1
				var one [1]*buf.Buffer
				if b.Meta%2 == 1 && w.Pool.Get(one[:]) == 1 {
					one[0].Meta = b.Meta + 1000
					w.Follow(b, one[0])
					w.Emit(2, one[0])
				}
			}
		}, graph.To{Reason: "original", Node: "out"}, graph.To{Reason: "copy", Node: "out"}),
		out.spec("out")}}
}

func records(w *graph.Worker) (lines []string) {
	for _, r := range w.Traces() {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%d %s %s %s %s", r.Packet, r.Node, r.Reason, r.Next, r.Details)))
	}
	return lines
}

func TestTraceNode(t *testing.T) {
	var out end
	w := newWorker(t, traced(&out))
	if err := w.Trace("nowhere", 1); err == nil {
		t.Error("traced at a node that is not there")
	}
	if err := w.Trace("a", 2); err != nil {
		t.Fatal(err)
	}
	for range 2 { // two vectors, of which only the first packets are traced
		w.Inject("a", get(t, w, 3)...)
		w.Sweep()
	}
	got := records(w)
	want := []string{"1 a onward b number 0", "2 a onward b number 1", "1 b original out", "2 b original out",
		"2 out", "1 out", "2 out"}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	r := w.Traces()[0]
	if r.Len != 20 || len(r.Bytes) != 20 || r.State != w.State {
		t.Errorf("record %+v", r)
	}
	w.ClearTrace()
	if len(w.Traces()) != 0 {
		t.Error("records left after ClearTrace")
	}
	w.Inject("a", get(t, w, 3)...)
	w.Sweep()
	if len(w.Traces()) != 0 {
		t.Error("traced after ClearTrace")
	}
	out.put(w)
	checkFree(t, w)
}

func TestTraceIface(t *testing.T) {
	w := newWorker(t, bounce())
	first, second := newPipe(t), newPipe(t)
	addPort(t, w, 1, first)
	addPort(t, w, 2, second)
	w.TraceIface(2, 3)
	first.give(10)
	second.give(10)
	round(t, w)
	got := records(w)
	if len(got) != 6 || got[0] != "1 ip no device drop" || got[5] != "3 drop" {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	checkFree(t, w)
}

// A packet that is not traced costs a look at its flags only while somebody
// may be: after a while without traced packets the worker stops looking, and a
// new trace starts it again.
func TestTraceQuiet(t *testing.T) {
	var out end
	w := newWorker(t, traced(&out))
	if err := w.Trace("a", 1); err != nil {
		t.Fatal(err)
	}
	in := get(t, w, 1)
	w.Inject("a", in...)
	w.Sweep()
	for range 1<<16 + 2 {
		w.Sweep()
	}
	n := len(w.Traces())
	w.Inject("a", in...) // it still has its flag
	w.Sweep()
	if got := len(w.Traces()); got != n {
		t.Errorf("%d records after the quiet, %d before", got, n)
	}
	out.put(w)
	if err := w.Trace("a", 1); err != nil {
		t.Fatal(err)
	}
	w.Inject("a", get(t, w, 1)...)
	w.Sweep()
	if got := records(w); len(got) != n+3 || got[n] != "2 a onward b number 0" {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	w.Pool.Put(out.bufs[:1])
}

// When there is no room for more records, packets go on all the same. Copies
// are followed also after more traces than can be under way at once.
func TestTraceFull(t *testing.T) {
	var out end
	w := newWorker(t, traced(&out))
	if err := w.Trace("a", 100_000); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		w.Inject("a", get(t, w, 100)...)
		w.Sweep()
		if len(out.bufs) != 150 {
			t.Fatalf("%d packets out, want 150", len(out.bufs))
		}
		if i == 9 {
			copies := 0
			for _, r := range w.Traces()[len(w.Traces())-150:] {
				if r.Node == "out" && r.Meta.Meta >= 1000 {
					copies++
				}
			}
			if copies != 50 {
				t.Errorf("%d of 50 copies followed", copies)
			}
		}
		out.put(w)
	}
	all := w.Traces()
	seen := map[uint64]bool{}
	for _, r := range all {
		seen[r.Packet] = true
	}
	if n, missed := len(all), w.Untraced(); n != 8192 || missed != 4000-uint64(len(seen)) || missed == 0 {
		t.Errorf("%d records, want 8192; %d of 4000 packets have some, and %d none", n, len(seen), missed)
	}
	w.ClearTrace()
	if n := w.Untraced(); n != 0 {
		t.Errorf("%d packets untraced after all was forgotten", n)
	}
	checkFree(t, w)
}

func TestTraceNoAllocs(t *testing.T) {
	out := end{bufs: make([]*buf.Buffer, 0, 4096), sizes: make([]int, 0, 4096)}
	w := newWorker(t, traced(&out))
	if err := w.Trace("a", 1000); err != nil {
		t.Fatal(err)
	}
	bufs := make([]*buf.Buffer, 10)
	if n := testing.AllocsPerRun(100, func() {
		w.Pool.Get(bufs)
		w.Inject("a", bufs...)
		w.Sweep()
		out.put(w)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
