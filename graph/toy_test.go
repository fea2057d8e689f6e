package graph_test

import (
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/state"
)

// A toy is a node whose Process and Tick are functions of a test.
type toy struct {
	process func(w *graph.Worker, v *graph.Vector)
	tick    func(w *graph.Worker) int64
}

func (n toy) Process(w *graph.Worker, v *graph.Vector) { n.process(w, v) }

type tickingToy struct{ toy }

func (n tickingToy) Tick(w *graph.Worker) int64 { return n.tick(w) }

func spec(name string, process func(w *graph.Worker, v *graph.Vector), arcs ...graph.To) graph.Spec {
	if len(arcs) > 0 {
		arcs = append([]graph.To{{}}, arcs...)
	}
	return graph.Spec{Name: name, Arcs: arcs, New: func() graph.Node { return toy{process: process} }}
}

// An end is a node at the end of a toy graph that keeps what arrives.
type end struct {
	bufs  []*buf.Buffer
	sizes []int // of the vectors
}

func (e *end) spec(name string) graph.Spec {
	return spec(name, func(w *graph.Worker, v *graph.Vector) {
		e.bufs = append(e.bufs, v.Bufs()...)
		e.sizes = append(e.sizes, len(v.Bufs()))
	})
}

// put gives what has arrived back to the pool.
func (e *end) put(w *graph.Worker) {
	w.Pool.Put(e.bufs)
	e.bufs, e.sizes = e.bufs[:0], e.sizes[:0]
}

var toyInput = &graph.FeatureArc{Name: "device-input", ID: iface.DeviceInput, Features: []string{"one", "two"}, End: "ip"}

func newWorker(t testing.TB, cfg graph.Config) *graph.Worker {
	t.Helper()
	var err error
	if cfg.Pool == nil {
		if cfg.Pool, err = buf.NewPool(2048, 0); err != nil {
			t.Fatal(err)
		}
	}
	if cfg.Publisher == nil {
		cfg.Publisher = world(t, 4)
	}
	w, err := graph.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if err := cfg.Pool.Arena().Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// world publishes n interfaces without Ethernet, all up.
func world(t testing.TB, n int) *state.Publisher {
	pub := state.NewPublisher()
	edit(t, pub, func(next *state.State) {
		next.Ifaces = make([]iface.Iface, n+1)
		for i := 1; i <= n; i++ {
			next.Ifaces[i] = iface.Iface{Kind: iface.Tun, Up: true}
		}
	})
	return pub
}

func edit(t testing.TB, pub *state.Publisher, f func(next *state.State)) {
	t.Helper()
	if err := pub.Update(func(next *state.State) error { f(next); return nil }); err != nil {
		t.Fatal(err)
	}
}

// get takes n packets, each with its number in Meta.
func get(t testing.TB, w *graph.Worker, n int) []*buf.Buffer {
	t.Helper()
	bufs := make([]*buf.Buffer, n)
	if got := w.Pool.Get(bufs); got < n {
		t.Fatalf("%d buffers of %d", got, n)
	}
	for i, b := range bufs {
		b.Meta = uint32(i)
		b.SetLen(20)
	}
	return bufs
}

// count returns how many packets have left a node for a reason.
func count(w *graph.Worker, node, reason string) uint64 {
	for _, st := range w.Stats() {
		if st.Name != node {
			continue
		}
		for _, a := range st.Arcs {
			if a.Reason == reason {
				return a.Count
			}
		}
	}
	return 1 << 63
}

// checkFree fails the test if a buffer is missing from the pool.
func checkFree(t testing.TB, w *graph.Worker) {
	t.Helper()
	if s := w.Pool.Stats(); s.SmallFree != s.Small {
		t.Errorf("%d buffers are missing from the pool", s.Small-s.SmallFree)
	}
}

// A pipe is a queue in memory with a real descriptor: an eventfd that counts
// the packets that wait. Any goroutine may give packets.
type pipe struct {
	fd     int
	mu     sync.Mutex
	wait   int // packets to be received
	sent   int
	room   int // packets that Tx takes in all; negative is any number
	closed bool
	rx     func(b *buf.Buffer)
}

func newPipe(t testing.TB) *pipe {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	return &pipe{fd: fd, room: -1}
}

func (p *pipe) give(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wait += n
	if p.fd >= 0 {
		_, _ = unix.Write(p.fd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

func (p *pipe) Rx(pool *buf.Pool, into []*buf.Buffer) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := pool.Get(into[:min(p.wait, len(into))])
	p.wait -= n
	for _, b := range into[:n] {
		b.SetLen(20)
		if p.rx != nil {
			p.rx(b)
		}
	}
	if p.wait == 0 && p.fd >= 0 {
		_, _ = unix.Read(p.fd, make([]byte, 8))
	}
	return n
}

func (p *pipe) Tx(pool *buf.Pool, bufs []*buf.Buffer) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(bufs)
	if p.room >= 0 {
		n = min(n, p.room)
		p.room -= n
	}
	pool.Put(bufs[:n])
	p.sent += n
	return n
}

func (p *pipe) Sent() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent
}

func (p *pipe) FD() int              { return p.fd }
func (p *pipe) Stats() drivers.Stats { return drivers.Stats{RxErrors: 7} }
func (p *pipe) Close(*buf.Pool) error {
	p.closed = true
	if p.fd >= 0 {
		return unix.Close(p.fd)
	}
	return nil
}
