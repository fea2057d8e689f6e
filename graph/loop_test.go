package graph_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/state"
)

// bounce is a graph that sends packets out by the interface that follows the
// one they came in by.
func bounce() graph.Config {
	send := func(w *graph.Worker, v *graph.Vector) {
		v.All(graph.Kept)
		for i, b := range v.Bufs() {
			if !w.Send(b.RxIf+1, v.Bufs()[i:i+1]) {
				v.Arc[i] = 1
			}
		}
	}
	feature := func(name string, to uint32) graph.Spec {
		s := spec(name, func(w *graph.Worker, v *graph.Vector) {
			for i, b := range v.Bufs() {
				b.Meta += to
				v.Arc[i] = graph.NextFeature(b)
			}
		})
		s.On = toyInput
		return s
	}
	return graph.Config{Input: toyInput, IP: "ip", Ether: "ether", Specs: []graph.Spec{
		feature("one", 1), feature("two", 2),
		spec("ether", all(1), graph.To{Reason: "ethernet refused", Node: graph.Drop}),
		spec("ip", send, graph.To{Reason: "no device", Node: graph.Drop})}}
}

func addPort(t testing.TB, w *graph.Worker, i uint32, q ...drivers.Queue) {
	t.Helper()
	if err := w.AddPort(i, q); err != nil {
		t.Fatal(err)
	}
}

func round(t testing.TB, w *graph.Worker) {
	t.Helper()
	if err := w.Round(-1); err != nil {
		t.Fatal(err)
	}
}

// run starts a worker or several, and stops them at the end of the test or by stop.
func run(t testing.TB, w interface{ Run(context.Context) error }) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%T: does not stop", w)
		}
	})
	t.Cleanup(stop)
	return stop
}

func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 5 s still not: %s", what)
		}
	}
}

func TestPorts(t *testing.T) {
	w := newWorker(t, bounce())
	in, out := newPipe(t), newPipe(t)
	addPort(t, w, 1, in)
	addPort(t, w, 2, out)
	in.give(600)
	for range 4 {
		round(t, w)
	}
	if out.Sent() != 600 {
		t.Errorf("%d sent, want 600", out.Sent())
	}
	ports := w.Ports()
	if p := ports[1]; p.RxPackets != 600 || p.RxBytes != 12000 || len(p.Queues) != 1 || p.Queues[0].RxErrors != 7 {
		t.Errorf("port 1: %+v", p)
	}
	if p := ports[2]; p.TxPackets != 600 || p.TxBytes != 12000 || p.TxFull != 0 {
		t.Errorf("port 2: %+v", p)
	}
	// What the device does not take is lost and counted.
	out.room = 70
	in.give(100)
	round(t, w)
	if p := w.Ports()[2]; p.TxPackets != 670 || p.TxFull != 30 || p.TxBytes != 670*20 {
		t.Errorf("port 2, full: %+v", p)
	}
	// So is what has no device, and its interface knows.
	out.give(5)
	round(t, w)
	if p := w.Ports()[2]; p.RxPackets != 5 || p.Drops != 5 {
		t.Errorf("port 2, nowhere to go: %+v", p)
	}
	w.ClearPorts()
	if p := w.Ports()[2]; p.PortCounters != (graph.PortCounters{}) {
		t.Errorf("cleared: %+v", p)
	}
	if l := w.Load(); l.Packets != 705 || l.Rounds != 6 || l.Busy != 5 {
		t.Errorf("load %+v", l)
	}
	checkFree(t, w)
}

// More packets for one device than may wait in one sweep.
func TestSendMany(t *testing.T) {
	w := newWorker(t, bounce())
	out := newPipe(t)
	addPort(t, w, 2, out)
	bufs := get(t, w, 1500)
	for _, b := range bufs {
		b.RxIf = 1
	}
	w.Inject("ip", bufs...)
	w.Sweep()
	w.Flush()
	if out.Sent() != 1500 {
		t.Errorf("%d sent, want 1500", out.Sent())
	}
	checkFree(t, w)
}

func TestAddRemovePort(t *testing.T) {
	w := newWorker(t, bounce())
	first, second := newPipe(t), newPipe(t)
	addPort(t, w, 2, first, second)
	if err := w.AddPort(2, []drivers.Queue{newPipe(t)}); err == nil {
		t.Error("two devices for one interface")
	}
	if err := w.AddPort(3, nil); err == nil {
		t.Error("a device without queues")
	}
	if err := w.RemovePort(9); err == nil {
		t.Error("removed what is not there")
	}
	if err := w.RemovePort(2); err != nil {
		t.Error(err)
	}
	if !first.closed || !second.closed {
		t.Error("queues left open")
	}
	// Again, by the same number and without a descriptor. If the first were
	// still known the queue would be asked twice in a round.
	for range 3 {
		q := newPipe(t)
		q.fd = -1
		addPort(t, w, 2, q)
		q.give(1000)
		round(t, w)
		if n := w.Ports()[2].RxPackets; n != graph.MaxVector {
			t.Errorf("%d packets in one round from one queue", n)
		}
		if err := w.RemovePort(2); err != nil {
			t.Error(err)
		}
	}
	checkFree(t, w)
}

// Packets from an interface that the State does not show, or that is down, are
// dropped with a reason.
func TestReceiveDown(t *testing.T) {
	pub := world(t, 2)
	cfg := bounce()
	cfg.Publisher = pub
	w := newWorker(t, cfg)
	down, unknown, up := newPipe(t), newPipe(t), newPipe(t)
	edit(t, pub, func(next *state.State) { next.Ifaces = []iface.Iface{{}, {Up: true}, {}} })
	addPort(t, w, 1, up)
	addPort(t, w, 2, down)
	addPort(t, w, 77, unknown)
	up.give(3)
	down.give(4)
	unknown.give(5)
	round(t, w)
	if n := count(w, "device-input", "receiving interface is down"); n != 9 {
		t.Errorf("%d dropped, want 9", n)
	}
	if down.Sent() != 3 {
		t.Errorf("%d sent, want 3", down.Sent())
	}
	if ports := w.Ports(); ports[2].Drops != 4 || ports[77].Drops != 5 {
		t.Errorf("%+v", ports)
	}
	checkFree(t, w)
}

func TestInputFeatures(t *testing.T) {
	cfg := bounce()
	cfg.Publisher = world(t, 3)
	mask, err := toyInput.Mask("two")
	if err != nil {
		t.Fatal(err)
	}
	edit(t, cfg.Publisher, func(next *state.State) {
		next.Ifaces[1].Feat[iface.DeviceInput] = mask
		next.Ifaces[2].Feat[iface.DeviceInput] = 1 << 40 // no such feature
		next.Ifaces[3].Ethernet = true
	})
	w := newWorker(t, cfg)
	for i := uint32(1); i <= 3; i++ {
		q := newPipe(t)
		addPort(t, w, i, q)
		q.give(int(i))
	}
	round(t, w)
	for reason, want := range map[string]uint64{"feature two": 1, "feature one": 0, "undecided": 2, "end of device-input": 0, "ethernet": 3, "ip": 0} {
		if n := count(w, "device-input", reason); n != want {
			t.Errorf("%d by %q, want %d", n, reason, want)
		}
	}
	if n := count(w, "ether", "ethernet refused"); n != 3 {
		t.Errorf("%d Ethernet frames, want 3", n)
	}
	checkFree(t, w)
}

// Many busy queues each get their share of a round.
func TestFair(t *testing.T) {
	cfg := bounce()
	cfg.Publisher = world(t, 64)
	w := newWorker(t, cfg)
	for i := range 40 {
		p := newPipe(t)
		addPort(t, w, uint32(i+1), p)
		p.give(500)
	}
	round(t, w)
	for i, st := range w.Ports() {
		if st.RxPackets < 6 || st.RxPackets > 16 {
			t.Errorf("interface %d: %d packets in the first round", i, st.RxPackets)
		}
	}
	checkFree(t, w)
}

// More busy queues than a round has room for, with and without descriptors, all
// get their turn.
func TestFairToAll(t *testing.T) {
	for _, test := range []struct{ asked, polled int }{{300, 300}, {600, 3}, {256, 1}, {3, 300}} {
		cfg := bounce()
		cfg.Publisher = world(t, 700)
		w := newWorker(t, cfg)
		for i := range test.asked + test.polled {
			p := newPipe(t)
			if i < test.asked {
				if err := p.Close(nil); err != nil {
					t.Fatal(err)
				}
				p.fd = -1
			}
			addPort(t, w, uint32(i+1), p)
			p.give(1_000_000)
		}
		for range 6 {
			round(t, w)
		}
		for i, st := range w.Ports() {
			if i > 0 && st.RxPackets == 0 {
				t.Errorf("%d queues to be asked, %d to be polled: interface %d got no turn in 6 rounds", test.asked, test.polled, i)
				break
			}
		}
		checkFree(t, w)
	}
}

// A worker that sleeps is woken by a descriptor, by Do and by its end.
func TestSleepAndWake(t *testing.T) {
	w := newWorker(t, bounce())
	in, out := newPipe(t), newPipe(t)
	addPort(t, w, 1, in)
	addPort(t, w, 2, out)
	stop := run(t, w)
	for i := range 5 {
		time.Sleep(5 * time.Millisecond) // it sleeps by now
		in.give(1)
		until(t, "a packet wakes the worker", func() bool { return out.Sent() == i+1 })
	}
	time.Sleep(30 * time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var load graph.Load
	if err := w.Do(ctx, func() { load = w.Load() }); err != nil {
		t.Fatal(err)
	}
	if load.Slept < 30*time.Millisecond || load.Packets != 5 {
		t.Errorf("load %+v", load)
	}
	// What woke it for Do was no packet.
	until(t, "the worker sleeps again", func() bool { asleep, _ := w.Naps(); return asleep })
	if _, ended := w.Naps(); ended != 5 {
		t.Errorf("packets have ended %d sleeps", ended)
	}
	stop()
	if err := w.Do(ctx, func() {}); !errors.Is(err, graph.ErrStopped) {
		t.Errorf("Do after the end: %v", err)
	}
}

// What a request puts into the graph is carried before the worker sleeps, also
// if the wake that told of the request has been taken for another's.
func TestInjectBySleeper(t *testing.T) {
	w := newWorker(t, bounce())
	out := newPipe(t)
	addPort(t, w, 2, out)
	run(t, w)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for i := range 200 {
		time.Sleep(time.Duration(i%8) * 20 * time.Microsecond) // around the beginning of its sleep
		err := w.Do(ctx, func() {
			var one [1]*buf.Buffer
			w.Pool.Get(one[:])
			one[0].SetLen(64)
			one[0].RxIf = 1
			w.Inject("ip", one[0])
		})
		if err != nil {
			t.Fatal(err)
		}
		until(t, "the packet goes out", func() bool { return out.Sent() == i+1 })
	}
}

// A stop is never slept through, whenever it comes.
func TestStop(t *testing.T) {
	for i := range 200 {
		pool, err := buf.NewPool(16, 0)
		if err != nil {
			t.Fatal(err)
		}
		cfg := bounce()
		cfg.Pool, cfg.Publisher = pool, world(t, 1)
		w, err := graph.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		time.Sleep(time.Duration(i) * time.Microsecond) // before, while and after it begins to sleep
		cancel()
		select {
		case err = <-done:
		case <-time.After(5 * time.Second):
			t.Fatalf("%T: does not stop", w)
		}
		if err = errors.Join(err, w.Close(), pool.Arena().Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDoDeadline(t *testing.T) {
	w := newWorker(t, bounce()) // it does not run
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	for range 20 { // more than the mailbox has room for
		if err := w.Do(ctx, func() {}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%v, want the deadline", err)
		}
	}
}

// States are published, requests made and notices read while packets move.
// The race detector looks on.
func TestConcurrent(t *testing.T) {
	cfg := bounce()
	cfg.Publisher = world(t, 8)
	bouncing := cfg.Specs[3].New
	cfg.Specs[3].New = func() graph.Node {
		inner := bouncing()
		return toy{process: func(w *graph.Worker, v *graph.Vector) {
			w.Notify(state.Notice{Kind: state.EchoReply, IP: state.Mapped(w.State.Addr4), Len: uint32(w.State.Gen)})
			inner.Process(w, v)
		}}
	}
	w := newWorker(t, cfg)
	in, out := newPipe(t), newPipe(t)
	addPort(t, w, 1, in)
	addPort(t, w, 2, out)
	stop := run(t, w)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var group sync.WaitGroup
	var calls atomic.Int64
	const each = 100
	for g := range 4 {
		group.Go(func() {
			i := uint32(3 + g)
			for range each {
				q := newPipe(t)
				if err := w.Do(ctx, func() {
					calls.Add(1)
					if err := w.AddPort(i, []drivers.Queue{q}); err != nil {
						t.Error(err)
					}
				}); err != nil {
					t.Error(err)
				}
				q.give(3)
				if err := w.Do(ctx, func() {
					calls.Add(1)
					w.Stats()
					w.Ports()
					if err := w.RemovePort(i); err != nil {
						t.Error(err)
					}
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Go(func() {
		for range each {
			_ = cfg.Publisher.Update(func(next *state.State) error { next.Addr4++; return nil })
			in.give(50)
		}
	})
	finished := make(chan struct{})
	reader := make(chan struct{})
	go func() {
		defer close(reader)
		for {
			select {
			case <-w.Notices():
				for n, ok := w.NextNotice(); ok; n, ok = w.NextNotice() {
					if uint32(n.IP.Lo) != n.Len-1 { // world has been the first State
						t.Errorf("a torn State: %s of generation %d", n.IP, n.Len)
					}
				}
			case <-finished:
				return
			}
		}
	}()
	group.Wait()
	until(t, "all packets through", func() bool { return out.Sent() >= 50*each })
	close(finished)
	<-reader
	stop()
	if calls.Load() != 8*each {
		t.Errorf("%d requests served, want %d", calls.Load(), 8*each)
	}
	checkFree(t, w)
}
