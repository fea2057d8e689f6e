package graph_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/state"
)

// toPeers is a graph whose node ip hands each packet over to the worker with the
// number in its Meta, or sends it on by itself; out sends packets out by the
// interface that follows the one they came in by.
func toPeers() graph.Config {
	cfg := bounce()
	hand := func(w *graph.Worker, v *graph.Vector) {
		for i, b := range v.Bufs() {
			switch peer := int(b.Meta); {
			case peer == w.ID():
				v.Arc[i] = 1
			case w.Cross(peer, 1, b):
				v.Arc[i] = graph.Handed
			default:
				v.Arc[i] = 2
			}
		}
	}
	out := cfg.Specs[len(cfg.Specs)-1]
	out.Name = "out"
	cfg.Specs = append(cfg.Specs[:3:3], spec("ip", hand, graph.To{Reason: "here", Node: "out"}, graph.To{Reason: "no room", Node: graph.Drop}), out)
	return cfg
}

// lanes gives each worker an interface 1 to receive by and an interface 2 to send
// by. Packet number n that worker i receives is for the worker that to returns.
func lanes(t testing.TB, ws *graph.Workers, to func(i, n int) int) (in, out []*pipe) {
	t.Helper()
	for i, w := range ws.All() {
		n := 0
		q := newPipe(t)
		q.rx = func(b *buf.Buffer) {
			b.Meta = uint32(to(i, n))
			n++
		}
		in, out = append(in, q), append(out, newPipe(t))
		addPort(t, w, 1, in[i])
		addPort(t, w, 2, out[i])
	}
	return in, out
}

// step goes round all workers, at the time now.
func step(t testing.TB, ws *graph.Workers, now int64) {
	t.Helper()
	for _, w := range ws.All() {
		if err := w.RoundAt(now); err != nil {
			t.Fatal(err)
		}
	}
}

// checkAll fails the test if a buffer is in none of the pools.
func checkAll(t testing.TB, ws *graph.Workers) {
	t.Helper()
	missing := 0
	for _, w := range ws.All() {
		s := w.Pool.Stats()
		missing += s.Small - s.SmallFree
	}
	if missing != 0 {
		t.Errorf("%d buffers are missing from the pools", missing)
	}
}

// All packets arrive, each at the worker that it was handed over to, and are
// counted at both.
func TestCross(t *testing.T) {
	for _, n := range []int{2, 4} {
		ws := newWorkers(t, n, 4096, toPeers())
		in, out := lanes(t, ws, func(i, k int) int { return (i + k) % n })
		for _, q := range in {
			q.give(400)
		}
		for now := range int64(6) {
			step(t, ws, now)
		}
		for i, w := range ws.All() {
			if out[i].Sent() != 400 {
				t.Errorf("of %d: worker %d has sent %d, want 400", n, i, out[i].Sent())
			}
			others := uint64(400 / n * (n - 1))
			if a, b := count(w, "ip", "to another worker"), count(w, graph.WorkerInput, "handed over to out"); a != others || b != others {
				t.Errorf("of %d: worker %d has handed %d over and was handed %d, want %d", n, i, a, b, others)
			}
			if l := w.Load(); l.Handed != others || count(w, "ip", "undecided") != 0 {
				t.Errorf("load %+v, %d undecided", l, count(w, "ip", "undecided"))
			}
		}
		checkAll(t, ws)
	}
}

// A ring that is full loses packets at whoever fills it, with a reason, and the
// other worker loses nothing.
func TestRingFull(t *testing.T) {
	ws := newWorkers(t, 2, 8192, toPeers())
	in, out := lanes(t, ws, func(int, int) int { return 1 })
	in[0].give(3000)
	a, b := ws.All()[0], ws.All()[1]
	for now := range int64(20) {
		if err := a.RoundAt(now); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(a, "ip", "no room"); n != 3000-1024 {
		t.Errorf("%d packets dropped, want 1976", n)
	}
	if err := b.RoundAt(20); err != nil {
		t.Fatal(err)
	}
	if out[1].Sent() != 1024 {
		t.Errorf("%d sent, want 1024", out[1].Sent())
	}
	step(t, ws, 21)
	checkAll(t, ws)
}

// What goes out by an interface of which a worker has no queue is sent by one
// that has, and is lost, with a reason, if that one has it no more.
func TestFarPort(t *testing.T) {
	ws := newWorkers(t, 2, 4096, bounce())
	a, b := ws.All()[0], ws.All()[1]
	in, out := newPipe(t), newPipe(t)
	addPort(t, a, 1, in)
	addPort(t, b, 2, out)
	for _, bad := range []int{-1, 0, 2} {
		if err := a.AddFarPort(2, bad); err == nil {
			t.Errorf("worker 0 is to send by worker %d", bad)
		}
	}
	if err := a.AddFarPort(2, 1); err != nil {
		t.Fatal(err)
	}
	if err := a.AddPort(2, []drivers.Queue{newPipe(t)}); err == nil {
		t.Error("queues of what another worker sends by")
	}
	in.give(200)
	step(t, ws, 1)
	if out.Sent() != 200 || b.Ports()[2].TxPackets != 200 || a.Ports()[2].TxPackets != 0 {
		t.Errorf("%d sent, counted %d and %d", out.Sent(), a.Ports()[2].TxPackets, b.Ports()[2].TxPackets)
	}
	in.give(2000) // more than the ring has room for
	for now := range int64(8) {
		if err := a.RoundAt(2 + now); err != nil {
			t.Fatal(err)
		}
	}
	if n := a.Ports()[2].TxFull; n != 2000-1024 {
		t.Errorf("%d lost, want 976", n)
	}
	if err := b.RemovePort(2); err != nil {
		t.Fatal(err)
	}
	step(t, ws, 10)
	if n := count(b, graph.WorkerInput, "interface has no device"); n != 1024 {
		t.Errorf("%d lost, want 1024", n)
	}
	// Nor are packets sent to and fro if each believes that the other has queues.
	if err := b.AddFarPort(2, 0); err != nil {
		t.Fatal(err)
	}
	in.give(10)
	step(t, ws, 11)
	if n := count(b, graph.WorkerInput, "interface has no device"); n != 1034 {
		t.Errorf("%d lost, want 1034", n)
	}
	if err := a.RemovePort(2); err != nil {
		t.Fatal(err)
	}
	checkAll(t, ws)
}

// Traffic that comes in at one worker and leaves at the other takes all buffers
// there. Those come back, so that the first never has none.
func TestBalance(t *testing.T) {
	ws := newWorkers(t, 2, 4096, bounce())
	a, b := ws.All()[0], ws.All()[1]
	in, out := newPipe(t), newPipe(t)
	addPort(t, a, 1, in)
	addPort(t, b, 2, out)
	if err := a.AddFarPort(2, 1); err != nil {
		t.Fatal(err)
	}
	const packets = 100_000
	in.give(packets)
	least := a.Pool.Stats().Small
	for i := range int64(packets / graph.MaxVector * 2) {
		step(t, ws, i*60_000)
		least = min(least, a.Pool.Stats().SmallFree)
	}
	if s := a.Pool.Stats(); out.Sent() != packets || s.Misses != 0 || least < 256 {
		t.Errorf("%d sent; %+v; at times %d left", out.Sent(), s, least)
	}
	// Idle, they don't go to and fro.
	before := a.Pool.Stats().SmallFree
	for i := range int64(100) {
		step(t, ws, 1e9+i*60_000)
	}
	if n := a.Pool.Stats().SmallFree; n != before {
		t.Errorf("%d buffers before, %d after", before, n)
	}
	checkAll(t, ws)
}

// An interface that the other worker has not seen yet is there when a packet of
// it is handed over.
func TestCrossState(t *testing.T) {
	pub := world(t, 2)
	cfg := toPeers()
	cfg.Publisher = pub
	seen := uint64(0)
	for i := range cfg.Specs {
		if cfg.Specs[i].Name == "out" {
			cfg.Specs[i] = spec("out", func(w *graph.Worker, v *graph.Vector) {
				for j, b := range v.Bufs() {
					if w.State.Ifaces[b.RxIf].Up {
						seen++
					}
					v.Arc[j] = 1
				}
			}, graph.To{Reason: "end", Node: graph.Drop})
		}
	}
	ws := newWorkers(t, 2, 2048, cfg)
	step(t, ws, 1)
	edit(t, pub, func(next *state.State) {
		next.Ifaces = append(append([]iface.Iface{}, next.Ifaces...), iface.Iface{Kind: iface.Tun, Up: true})
	})
	in := newPipe(t)
	in.rx = func(b *buf.Buffer) { b.Meta = 1 }
	addPort(t, ws.All()[0], 3, in)
	in.give(5)
	step(t, ws, 2)
	if seen != 5 {
		t.Errorf("%d packets seen, want 5", seen)
	}
	checkAll(t, ws)
}

// A worker that sleeps is woken by what is handed over to it, whenever that is.
func TestCrossWakes(t *testing.T) {
	ws := newWorkers(t, 2, 4096, toPeers())
	in, out := lanes(t, ws, func(i, _ int) int { return 1 - i })
	run(t, ws)
	end := time.Now().Add(700 * time.Millisecond)
	for sent := 1; time.Now().Before(end); sent++ {
		in[0].give(1)
		in[1].give(1)
		until(t, "both have come through", func() bool { return out[0].Sent() == sent && out[1].Sent() == sent })
		// About as long as they look for packets before they sleep.
		for wait := time.Now().Add(time.Duration(rand.IntN(120)) * time.Microsecond); time.Now().Before(wait); {
			continue
		}
	}
}

// Four workers that all hand packets over to all others, as fast as they can.
func TestCrossBusy(t *testing.T) {
	const each = 20_000
	ws := newWorkers(t, 4, 16384, toPeers())
	in, out := lanes(t, ws, func(i, n int) int { return n % 4 })
	stop := run(t, ws)
	for _, q := range in {
		q.give(each)
	}
	var sent, dropped int
	until(t, "all packets have been dealt with", func() bool {
		sent, dropped = 0, 0
		for _, q := range out {
			sent += q.Sent()
		}
		if err := ws.Do(t.Context(), func(w *graph.Worker) { dropped += int(count(w, "ip", "no room")) }); err != nil {
			t.Fatal(err)
		}
		return sent+dropped == 4*each
	})
	stop()
	if sent < each {
		t.Errorf("%d sent, %d dropped", sent, dropped)
	}
	for now := range int64(3) { // what is given back may still be on its way
		step(t, ws, 1e12+now)
	}
	checkAll(t, ws)
}

// A packet that is handed over is traced on, where the other worker traces.
func TestCrossTrace(t *testing.T) {
	ws := newWorkers(t, 2, 2048, toPeers())
	in, _ := lanes(t, ws, func(int, int) int { return 1 })
	for _, w := range ws.All() {
		w.TraceIface(1, 1)
	}
	in[0].give(2)
	step(t, ws, 1)
	a, b := ws.All()[0].Traces(), ws.All()[1].Traces()
	if len(a) != 1 || a[0].Reason != "to another worker" || a[0].Next != graph.WorkerInput {
		t.Errorf("at the first: %+v", a)
	}
	if len(b) != 1 || b[0].Node != "out" {
		t.Errorf("at the second: %+v", b)
	}
	checkAll(t, ws)
}

func TestCrossNoAllocs(t *testing.T) {
	ws := newWorkers(t, 2, 4096, toPeers())
	in, n := newPipe(t), 0
	in.fd = -1
	in.rx = func(b *buf.Buffer) {
		b.Meta = uint32(n % 2)
		n++
	}
	addPort(t, ws.All()[0], 1, in)
	for _, w := range ws.All() {
		out := newPipe(t)
		out.fd = -1
		addPort(t, w, 2, out)
	}
	now := int64(0)
	if n := testing.AllocsPerRun(50, func() {
		in.give(600)
		for range 4 {
			now += 60_000
			step(t, ws, now)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	if n := count(ws.All()[1], graph.WorkerInput, "handed over to out"); n < 10_000 {
		t.Errorf("%d packets handed over", n)
	}
	checkAll(t, ws)
}

// A trough is a queue whose device needs buffers before it can receive.
type trough struct {
	*pipe
	held []*buf.Buffer
}

func (q *trough) Starves() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.held) < 64
}

func (q *trough) Rx(pool *buf.Pool, into []*buf.Buffer) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	more := make([]*buf.Buffer, 64-len(q.held))
	q.held = append(q.held, more[:pool.Get(more)]...)
	return 0
}

func (q *trough) Close(pool *buf.Pool) error {
	pool.Put(q.held)
	return q.pipe.Close(pool)
}

// A device that has no buffers gets those of another worker, though both sleep.
func TestHungryAsks(t *testing.T) {
	ws := newWorkers(t, 2, 1024, bounce())
	a, b := ws.All()[0], ws.All()[1]
	all := make([]*buf.Buffer, 512)
	b.Pool.Put(all[:a.Pool.Get(all)])
	q := &trough{pipe: newPipe(t)}
	addPort(t, a, 1, q)
	if !q.Starves() {
		t.Fatal("there are buffers")
	}
	stop := run(t, ws)
	until(t, "the device has buffers", func() bool { return !q.Starves() })
	stop()
	if err := a.RemovePort(1); err != nil {
		t.Error(err)
	}
	step(t, ws, 1e15)
	checkAll(t, ws)
}
