package graph_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
)

func all(a graph.Arc) func(w *graph.Worker, v *graph.Vector) {
	return func(w *graph.Worker, v *graph.Vector) { v.All(a) }
}

// All packets one way: order and vector sizes stay as they are, though more
// than one vector waits.
func TestChain(t *testing.T) {
	var out end
	w := newWorker(t, graph.Config{Specs: []graph.Spec{
		spec("a", all(1), graph.To{Reason: "go", Node: "b"}),
		spec("b", all(1), graph.To{Reason: "go", Node: "out"}),
		out.spec("out")}})
	for _, n := range []int{1, 2, 255, 256, 257, 511, 512, 513, 1000} {
		in := get(t, w, n)
		w.Inject("a", in...)
		w.Sweep()
		if !slices.Equal(out.bufs, in) {
			t.Fatalf("%d packets have not all come out in order", n)
		}
		if want := (n + graph.MaxVector - 1) / graph.MaxVector; len(out.sizes) != want {
			t.Errorf("%d packets in vectors of %v", n, out.sizes)
		}
		out.put(w)
		checkFree(t, w)
	}
}

// Packets that part and meet again: none is lost, and those that went the same
// way are in order.
func TestSplit(t *testing.T) {
	var left, right, both end
	w := newWorker(t, graph.Config{Specs: []graph.Spec{
		spec("in", func(w *graph.Worker, v *graph.Vector) {
			for i, b := range v.Bufs() {
				v.Arc[i] = graph.Arc(1 + b.Hash%3)
			}
		}, graph.To{Reason: "l", Node: "left"}, graph.To{Reason: "r", Node: "right"}, graph.To{Reason: "m", Node: "mid"}),
		spec("mid", func(w *graph.Worker, v *graph.Vector) {
			for i, b := range v.Bufs() {
				v.Arc[i] = graph.Arc(1 + b.Hash/3%2)
			}
		}, graph.To{Reason: "l", Node: "left"}, graph.To{Reason: "b", Node: "both"}),
		left.spec("left"), right.spec("right"), both.spec("both")}})
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		in := get(t, w, 1+rnd.IntN(900))
		for _, b := range in {
			b.Hash = rnd.Uint32()
		}
		w.Inject("in", in...)
		w.Sweep()
		if n := len(left.bufs) + len(right.bufs) + len(both.bufs); n != len(in) {
			t.Fatalf("%d packets in, %d out", len(in), n)
		}
		for _, e := range []*end{&right, &both} {
			if !slices.IsSortedFunc(e.bufs, func(a, b *buf.Buffer) int { return int(a.Meta) - int(b.Meta) }) {
				t.Fatal("packets of one way have overtaken each other")
			}
			for _, n := range e.sizes[:max(0, len(e.sizes)-1)] {
				if n != graph.MaxVector {
					t.Errorf("vectors of %v before the last", e.sizes)
				}
			}
		}
		for _, e := range []*end{&left, &right, &both} {
			e.put(w)
		}
	}
	checkFree(t, w)
}

// What a node has not decided, or has sent by an arc that nobody declared, is
// dropped and counted.
func TestUndecided(t *testing.T) {
	var out end
	w := newWorker(t, graph.Config{Specs: []graph.Spec{
		spec("in", func(w *graph.Worker, v *graph.Vector) {
			for i, b := range v.Bufs() {
				v.Arc[i] = graph.Arc(b.Meta)
			}
		}, graph.To{Reason: "go", Node: "out"}),
		out.spec("out")}})
	in := get(t, w, 256) // every value of an Arc; 63 and 191 are Kept, 62 and 190 Handed
	w.Inject("in", in...)
	w.Sweep()
	if len(out.bufs) != 2 || out.bufs[0].Meta != 1 || out.bufs[1].Meta != 129 {
		t.Errorf("%d packets out", len(out.bufs))
	}
	out.put(w)
	w.Pool.Put([]*buf.Buffer{in[62], in[63], in[190], in[191]})
	if n := count(w, "in", "undecided"); n != 250 {
		t.Errorf("%d undecided, want 250", n)
	}
	checkFree(t, w)
}

func TestMaxHops(t *testing.T) {
	var out end
	visits := 0
	w := newWorker(t, graph.Config{Specs: []graph.Spec{
		spec("first", all(1), graph.To{Reason: "go", Node: "second"}),
		spec("second", func(w *graph.Worker, v *graph.Vector) {
			visits++
			for i, b := range v.Bufs() {
				switch {
				case b.Meta%2 == 1:
					v.Arc[i] = 2
				case b.Hash == 1: // by Emit
					v.Arc[i] = graph.Kept
					w.Emit(1, b)
				default:
					v.Arc[i] = 1
				}
			}
		}, graph.To{Reason: "back", Node: "first"}, graph.To{Reason: "done", Node: "out"}),
		out.spec("out")}})
	in := get(t, w, 300)
	for i, b := range in {
		b.Hash = uint32(i / 2 % 2)
	}
	w.Inject("first", in...)
	w.Sweep()
	if len(out.bufs) != 150 {
		t.Errorf("%d packets out, want 150", len(out.bufs))
	}
	if n := count(w, "second", "too many passes"); n != 150 {
		t.Errorf("%d looped, want 150", n)
	}
	if n := count(w, "second", "back"); n != 150*graph.MaxHops {
		t.Errorf("%d back, want %d: a packet that is dropped has not gone back", n, 150*graph.MaxHops)
	}
	out.put(w)
	checkFree(t, w)
}

// A node may send packets back to itself, and to the front while a chain waits.
func TestSelf(t *testing.T) {
	var out end
	w := newWorker(t, graph.Config{Specs: []graph.Spec{
		spec("self", func(w *graph.Worker, v *graph.Vector) {
			for i, b := range v.Bufs() {
				v.Arc[i] = 1
				if b.Hops == 3 {
					v.Arc[i] = 2
				}
			}
		}, graph.To{Reason: "again", Node: "self"}, graph.To{Reason: "done", Node: "out"}),
		out.spec("out")}})
	w.Inject("self", get(t, w, 2048)...)
	w.Sweep()
	if len(out.bufs) != 2048 || count(w, "self", "again") != 3*2048 {
		t.Errorf("%d out, %d times again", len(out.bufs), count(w, "self", "again"))
	}
	out.put(w)
	checkFree(t, w)
}

// A node keeps every other packet, and lets them go with the next.
func TestKeptEmit(t *testing.T) {
	var out end
	var held []*buf.Buffer
	w := newWorker(t, graph.Config{Specs: []graph.Spec{
		spec("in", func(w *graph.Worker, v *graph.Vector) {
			for i, b := range v.Bufs() {
				v.Arc[i] = graph.Kept
				switch b.Meta % 4 {
				case 0:
					v.Arc[i] = 1
				case 1:
					w.Free(b)
				case 2:
					held = append(held, b)
				case 3:
					w.Emit(graph.Kept, b) // nowhere: it must not be lost
				}
			}
			for len(held) > 100 {
				w.Emit(1, held[0])
				held = held[1:]
			}
		}, graph.To{Reason: "go", Node: "out"}),
		out.spec("out")}})
	gone := 0
	for range 20 {
		w.Inject("in", get(t, w, 200)...)
		w.Sweep()
		gone += len(out.bufs)
		out.put(w)
	}
	if len(held) != 100 || gone != 20*100-100 {
		t.Errorf("%d held, %d out", len(held), gone)
	}
	w.Pool.Put(held)
	checkFree(t, w)
}

// Packets of one vector with different features each visit theirs, in order.
func TestFeatures(t *testing.T) {
	names := []string{"f0", "f1", "f2", "f3", "f4", "f5"}
	arc := &graph.FeatureArc{Name: "arc", Features: names, End: "out"}
	feature := func(bit int) graph.Spec {
		s := spec(names[bit], func(w *graph.Worker, v *graph.Vector) {
			for i, b := range v.Bufs() {
				b.Hash = b.Hash<<4 | uint32(bit+1)
				v.Arc[i] = graph.NextFeature(b)
			}
		})
		s.On = arc
		return s
	}
	start := spec("start", func(w *graph.Worker, v *graph.Vector) {
		for i, b := range v.Bufs() {
			b.Feat = uint64(b.Meta&63) | 1<<63
			if b.Meta >= 64 {
				b.Feat = 1 << 17 // no such feature
			}
			if b.Meta >= 128 {
				b.Feat = 0 // an interface that nobody has set up
			}
			v.Arc[i] = graph.NextFeature(b)
		}
	})
	start.On = arc
	var out end
	specs := []graph.Spec{start}
	for bit := range names {
		specs = append(specs, feature(bit))
	}
	w := newWorker(t, graph.Config{Specs: append(specs, out.spec("out"))})
	w.Inject("start", get(t, w, 192)...)
	w.Sweep()
	if len(out.bufs) != 64 {
		t.Errorf("%d packets out, want 64", len(out.bufs))
	}
	for _, b := range out.bufs {
		var want uint32
		for bit := range names {
			if b.Meta>>bit&1 != 0 {
				want = want<<4 | uint32(bit+1)
			}
		}
		if b.Hash != want {
			t.Errorf("mask %06b: visited %x, want %x", b.Meta, b.Hash, want)
		}
	}
	if n := count(w, "start", "undecided"); n != 128 {
		t.Errorf("%d undecided, want 128", n)
	}
	if n := count(w, "start", "feature f0"); n != 32 {
		t.Errorf("%d to f0, want 32", n)
	}
	if n := count(w, "start", "end of arc"); n != 1 {
		t.Errorf("%d straight to the end, want 1", n)
	}
	out.put(w)
	checkFree(t, w)
}

func TestMask(t *testing.T) {
	arc := &graph.FeatureArc{Name: "arc", Features: []string{"a", "b", "c"}, End: "out"}
	mask, err := arc.Mask("c", "a")
	if err != nil || mask != 1<<63|0b101 {
		t.Errorf("%b, %v", mask, err)
	}
	if names := arc.Names(mask); !slices.Equal(names, []string{"a", "c"}) {
		t.Errorf("%v", names)
	}
	if _, err := arc.Mask("d"); err == nil || !strings.Contains(err.Error(), `"d"`) {
		t.Errorf("error %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	nothing := all(1)
	tests := []struct {
		want  string
		specs []graph.Spec
		input *graph.FeatureArc
	}{
		{"two nodes named", []graph.Spec{spec("a", nothing), spec("a", nothing)}, nil},
		{"two nodes named", []graph.Spec{spec("drop", nothing)}, nil},
		{"not a node", []graph.Spec{spec("a", nothing, graph.To{Reason: "r", Node: "b"})}, nil},
		{"arc 0", []graph.Spec{{Name: "a", Arcs: []graph.To{{Reason: "r", Node: "a"}}, New: spec("", nothing).New}}, nil},
		{"at most 61", []graph.Spec{spec("a", nothing, slices.Repeat([]graph.To{{Reason: "r", Node: "a"}}, 63)...)}, nil},
		{"at most 127", make([]graph.Spec, 128), nil},
		{"no node", []graph.Spec{spec("a", nothing)}, toyInput},
		{`feature "one" is not a node`, []graph.Spec{spec("ip", nothing)}, toyInput},
	}
	for _, test := range tests {
		pool, err := buf.NewPool(1, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = graph.New(graph.Config{Specs: test.specs, Pool: pool, Publisher: world(t, 1), Input: test.input, IP: "ip", Ether: "ip"})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want one with %q", err, test.want)
		}
		if err := pool.Arena().Close(); err != nil {
			t.Error(err)
		}
	}
}

// A million packets that wander at random: each ends once, and the counters
// tell where.
func TestConservation(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	var out end
	names := []string{"n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7"}
	var arcs []graph.To
	for _, n := range append(names, "out", graph.Drop) {
		arcs = append(arcs, graph.To{Reason: "to " + n, Node: n})
	}
	var held []*buf.Buffer
	freed := 0
	wander := func(w *graph.Worker, v *graph.Vector) {
		one := graph.Arc(0)
		if rnd.IntN(4) == 0 {
			one = graph.Arc(rnd.IntN(11)) // all one way now and then
		}
		for i, b := range v.Bufs() {
			a := one
			if a == 0 {
				a = graph.Arc(rnd.IntN(14))
			}
			switch a {
			case 11:
				a, held = graph.Kept, append(held, b)
			case 12:
				a, freed = graph.Kept, freed+1
				w.Free(b)
			case 13:
				a = graph.Kept
				w.Emit(graph.Arc(1+rnd.IntN(10)), b)
			}
			v.Arc[i] = a
		}
		for len(held) > 64 {
			w.Emit(graph.Arc(1+rnd.IntN(10)), held[0])
			held = held[1:]
		}
	}
	var specs []graph.Spec
	for _, n := range names {
		specs = append(specs, spec(n, wander, arcs...))
	}
	w := newWorker(t, graph.Config{Specs: append(specs, out.spec("out"))})
	total, left := 0, 0
	rounds := 1_000_000
	if testing.Short() {
		rounds = 100_000
	}
	for total < rounds {
		n := 1 + rnd.IntN(1024)
		w.Inject(names[rnd.IntN(len(names))], get(t, w, n)...)
		w.Sweep()
		total += n
		left += len(out.bufs)
		out.put(w)
	}
	var dropped, ended uint64
	for _, st := range w.Stats() {
		if st.Name == graph.Drop {
			ended = st.Packets
		}
		for _, a := range st.Arcs {
			if a.Node == graph.Drop {
				dropped += a.Count
			}
		}
	}
	if dropped != ended {
		t.Errorf("%d packets dropped with a reason, %d have ended", dropped, ended)
	}
	if sum := left + len(held) + freed + int(dropped); sum != total {
		t.Errorf("%d packets in: %d out, %d held, %d freed, %d dropped: %d", total, left, len(held), freed, dropped, sum)
	}
	w.Pool.Put(held)
	checkFree(t, w)
}

// Dispatch allocates nothing, however packets part.
func TestDispatchNoAllocs(t *testing.T) {
	out := end{bufs: make([]*buf.Buffer, 0, 4096), sizes: make([]int, 0, 4096)}
	w := newWorker(t, graph.Config{Specs: []graph.Spec{
		spec("in", func(w *graph.Worker, v *graph.Vector) {
			for i, b := range v.Bufs() {
				v.Arc[i] = graph.Arc(i % 5)
				if i%5 == 4 {
					v.Arc[i] = graph.Kept
					w.Emit(3, b)
				}
			}
		}, graph.To{Reason: "a", Node: "out"}, graph.To{Reason: "b", Node: "drop"}, graph.To{Reason: "c", Node: "in"}),
		out.spec("out")}})
	bufs := make([]*buf.Buffer, 1000)
	if n := testing.AllocsPerRun(50, func() {
		w.Pool.Get(bufs)
		w.Inject("in", bufs...)
		w.Sweep()
		out.put(w)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	checkFree(t, w)
}
