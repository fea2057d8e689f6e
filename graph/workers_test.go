package graph_test

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/graph"
)

func newWorkers(t testing.TB, n, small int, cfg graph.Config) *graph.Workers {
	t.Helper()
	pools, err := buf.NewPools(n, small, 0)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Publisher == nil {
		cfg.Publisher = world(t, 4)
	}
	ws, err := graph.NewWorkers(cfg, pools)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(ws.Close(), pools[0].Arena().Close()); err != nil {
			t.Error(err)
		}
	})
	return ws
}

// Workers are told apart, agree on the time, and run beside each other with
// queues of their own.
func TestWorkers(t *testing.T) {
	ws := newWorkers(t, 2, 2048, bounce())
	var out [2]*pipe
	for i, w := range ws.All() {
		if w.ID() != i || w.Peers() != 2 || w.Second() != ws.All()[0].Second() {
			t.Errorf("worker %d of %d, at %d", w.ID(), w.Peers(), w.Second())
		}
		in := newPipe(t)
		out[i] = newPipe(t)
		for j, q := range []drivers.Queue{in, out[i]} {
			if err := w.AddPort(uint32(1+j), []drivers.Queue{q}); err != nil {
				t.Fatal(err)
			}
		}
		in.give(300)
	}
	run(t, ws)
	until(t, "both have sent all", func() bool { return out[0].Sent() == 300 && out[1].Sent() == 300 })
	var ids []int
	if err := ws.Do(t.Context(), func(w *graph.Worker) { ids = append(ids, w.ID()) }); err != nil {
		t.Fatal(err)
	}
	if len(ids) != 2 || ids[1] != 1 {
		t.Errorf("asked %d", ids)
	}
}

func TestWorkersRefused(t *testing.T) {
	pools, err := buf.NewPools(2, 64, 0)
	if err != nil {
		t.Fatal(err)
	}
	other, err := buf.NewPool(64, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(pools[0].Arena().Close(), other.Arena().Close()); err != nil {
			t.Error(err)
		}
	})
	cfg := bounce()
	cfg.Publisher = world(t, 1)
	for _, bad := range [][]*buf.Pool{nil, {pools[0], other}, make([]*buf.Pool, graph.MaxWorkers+1)} {
		if _, err := graph.NewWorkers(cfg, bad); err == nil {
			t.Errorf("workers of %d pools", len(bad))
		}
	}
	cfg.Pool = pools[0]
	if _, err := graph.NewWorkers(cfg, pools); err == nil {
		t.Error("workers that share a pool")
	}
}

func TestPin(t *testing.T) {
	ws := newWorkers(t, 1, 64, bounce())
	if err := ws.Pin([]int{0, 1}); err == nil {
		t.Error("one worker on two CPUs")
	}
	var may unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		t.Fatal(err)
	}
	cpu := 0
	for !may.IsSet(cpu) {
		cpu++
	}
	if err := ws.Pin([]int{cpu}); err != nil {
		t.Fatal(err)
	}
	run(t, ws)
	var on unix.CPUSet
	if err := ws.Do(t.Context(), func(*graph.Worker) { _ = unix.SchedGetaffinity(0, &on) }); err != nil {
		t.Fatal(err)
	}
	if on.Count() != 1 || !on.IsSet(cpu) {
		t.Errorf("the worker is on %d CPUs, on %d: %t", on.Count(), cpu, on.IsSet(cpu))
	}
	none := newWorkers(t, 1, 64, bounce())
	if err := none.Pin([]int{1023}); err != nil {
		t.Fatal(err)
	}
	if err := none.Run(t.Context()); err == nil {
		t.Error("a worker runs on a CPU that is not there")
	}
}
