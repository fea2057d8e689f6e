package graph_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/graph"
)

// Queues that packets come in and go out by move to and fro between workers
// meanwhile: no packet is lost, and who has no queue sends by who has one. That
// holds also for queues without a descriptor, and for those that are left behind
// and get another number.
func TestMove(t *testing.T) {
	for _, c := range []struct {
		name string
		fd   bool
	}{{"polled", true}, {"asked", false}} {
		t.Run(c.name, func(t *testing.T) {
			ws := newWorkers(t, 3, 8192, bounce())
			in, stays, out := newPipe(t), newPipe(t), newPipe(t)
			if !c.fd {
				in.fd, stays.fd = -1, -1
			}
			all := ws.All()
			addPort(t, all[0], 1, in, stays)
			addPort(t, all[0], 2, out)
			for _, w := range all[1:] {
				for i := range uint32(2) {
					if err := w.AddFarPort(1+i, 0); err != nil {
						t.Fatal(err)
					}
				}
			}
			stop := run(t, ws)
			const moves, each = 30, 100
			for n := range moves {
				in.give(each)
				stays.give(each)
				for _, m := range []struct {
					i uint32
					q *pipe
					k int
				}{{1, in, n}, {2, out, 2 * n}} {
					if err := ws.Move(t.Context(), m.i, m.q, m.k%3, (m.k+1+(int(m.i)-1))%3); err != nil {
						t.Fatal(err)
					}
				}
			}
			until(t, "all are sent", func() bool { return out.Sent() == 2*moves*each })
			if err := ws.Do(t.Context(), func(w *graph.Worker) {
				for i, p := range w.Ports() {
					if p.TxFull+p.Drops > 0 {
						t.Errorf("interface %d at worker %d: %+v", i, w.ID(), p)
					}
				}
			}); err != nil {
				t.Fatal(err)
			}
			stop()
			checkAll(t, ws)
		})
	}
}

// What cannot be leaves all as it was.
func TestMoveFails(t *testing.T) {
	ws := newWorkers(t, 2, 2048, bounce())
	in, out, alien := newPipe(t), newPipe(t), newPipe(t)
	a, b := ws.All()[0], ws.All()[1]
	addPort(t, a, 1, in)
	addPort(t, a, 2, out)
	if err := b.AddFarPort(2, 0); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := ws.Move(short, 2, out, 0, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("workers that do not run: %v", err)
	}
	run(t, ws)
	for _, c := range []struct {
		name     string
		i        uint32
		q        drivers.Queue
		from, to int
		missing  bool
	}{
		{"no such worker", 2, out, 0, 2, false},
		{"no such worker", 2, out, -1, 1, false},
		{"another's queue", 2, alien, 0, 1, true},
		{"an interface that the other one does not know", 1, in, 0, 1, true},
	} {
		if err := ws.Move(t.Context(), c.i, c.q, c.from, c.to); err == nil || c.missing != errors.Is(err, graph.ErrNotServed) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	in.give(50)
	until(t, "all are sent", func() bool { return out.Sent() == 50 })
	if err := alien.Close(nil); err != nil {
		t.Error(err)
	}
}
