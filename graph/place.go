package graph

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/skein-dataplane/skein/drivers"
)

// Queues move from worker to worker while packets come: all pools are of one
// arena, so that a queue gives back what it has of one pool to another. What
// must not be is that a worker hands a packet over for a device to one that has
// no queue of it any more. So all workers hold still between two sweeps, as
// VPP's do at its barrier, and the one that gives a queue away first takes in
// what the others have handed over. No packet is lost, and those of a flow stay
// in order.

// ErrNotServed means that a worker does not have the queue that it is to give
// away, or does not know the interface.
var ErrNotServed = errors.New("the worker does not serve it")

// Move has worker to serve queue q of interface i from now on, which worker from
// does. Workers are named by ID and have to run. If ctx is done before all of
// them hold still, or after an error, all is as it was.
func (ws *Workers) Move(ctx context.Context, i uint32, q drivers.Queue, from, to int) error {
	n := len(ws.all)
	if from < 0 || from >= n || to < 0 || to >= n {
		return fmt.Errorf("graph: move a queue of interface %d from worker %d to %d: there are %d", i, from, to, n)
	}
	if from == to {
		return nil
	}
	return ws.Still(ctx, ws.all[from], func() error { return ws.move(i, q, ws.all[from], ws.all[to]) })
}

// Still has worker w run f between two sweeps, while all others hold still between
// two of theirs: f may do what else only each worker itself may. It returns what f
// returns; if ctx is done before all of them hold still, f is not run.
func (ws *Workers) Still(ctx context.Context, w *Worker, f func() error) error {
	ws.holding.Lock() // two at once would wait for each other's workers
	defer ws.holding.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	here, left := make(chan struct{}, len(ws.all)), make(chan error, len(ws.all))
	release := make(chan struct{})
	for _, other := range ws.all {
		if other != w {
			go func() {
				left <- other.Do(ctx, func() {
					here <- struct{}{}
					<-release
				})
			}()
		}
	}
	var failed error
	for range len(ws.all) - 1 {
		select {
		case <-here:
		case err := <-left: // before release only an error is possible
			failed = errors.Join(failed, err)
		}
	}
	defer close(release)
	if failed != nil {
		return failed
	}
	// From here on it is not given up: an f that was left behind would run while
	// the others no longer hold still.
	result := make(chan error, 1)
	if err := w.Do(context.WithoutCancel(ctx), func() { result <- f() }); err != nil {
		return err
	}
	return <-result
}

// move does what Move says, at from, while all others hold still.
func (ws *Workers) move(i uint32, q drivers.Queue, from, to *Worker) error {
	p, next := from.port(i), to.port(i)
	if p == nil || next == nil {
		return fmt.Errorf("graph: move a queue of interface %d: %w", i, ErrNotServed)
	}
	at := slices.Index(p.queues, q)
	if at < 0 {
		return fmt.Errorf("graph: move a queue of interface %d from worker %d: %w", i, from.id, ErrNotServed)
	}
	from.turn(0)
	if err := to.poller.add(q.FD(), i, len(next.queues)); err != nil {
		return fmt.Errorf("graph: watch a queue of interface %d: %w", i, err)
	}
	next.queues = append(next.queues, q)
	from.letGo(p, at)
	if f, ok := q.(drivers.Filler); ok {
		to.fillers = append(to.fillers, f)
	}
	ws.sendBy(i, to)
	return nil
}

// letGo forgets a queue of a port without closing it.
func (w *Worker) letGo(p *Port, at int) {
	q := p.queues[at]
	w.poller.remove(q.FD(), p.index, at)
	w.fillers = slices.DeleteFunc(w.fillers, func(f drivers.Filler) bool { return f == q })
	p.queues = slices.Delete(p.queues, at, at+1)
	for n, q := range p.queues[at:] {
		w.poller.renumber(q.FD(), p.index, at+n+1, at+n)
	}
}

// sendBy has those workers send by another one whose own choice has no queue of
// interface i any more, or who have just lost their last.
func (ws *Workers) sendBy(i uint32, by *Worker) {
	for _, w := range ws.all {
		p := w.port(i)
		if p == nil || len(p.queues) > 0 {
			continue
		}
		if at := ws.all[p.peer].port(i); w.id == p.peer || at == nil || len(at.queues) == 0 {
			p.peer = by.id
		}
	}
}
