package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/graph"
)

// Which worker serves which queue.

// dealt says which worker serves each of some queues of interface i to begin
// with: queue q goes to worker i+q modulo their number, so that interfaces with
// one queue are spread over the workers.
func dealt(i uint32, queues, workers int) []int {
	out := make([]int, queues)
	for q := range out {
		out[q] = (int(i) + q) % workers
	}
	return out
}

// shares returns the queues of an interface by the worker that serves them. What
// a worker has no queue for it hands to one that has.
func (c *Control) shares(p *port) [][]drivers.Queue {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([][]drivers.Queue, len(c.workers.All()))
	for n, q := range p.device.Queues() {
		at := p.placed[n]
		out[at] = append(out[at], q)
	}
	return out
}

// sender returns a worker that sends for one that has no queue itself.
func sender(shares [][]drivers.Queue, worker int) int {
	var with []int
	for i, queues := range shares {
		if len(queues) > 0 {
			with = append(with, i)
		}
	}
	return with[worker%len(with)]
}

// serve has the workers serve an interface's queues. The State shows it by then,
// so that no packet comes in by an interface that nobody knows. After an error
// none of them serves it.
func (c *Control) serve(ctx context.Context, p *port) error {
	c.placing.Lock()
	defer c.placing.Unlock()
	shares := c.shares(p)
	err := c.doAll(ctx, func(w *graph.Worker) error { return p.give(w, shares, false) })
	if err == nil {
		err = c.doAll(ctx, func(w *graph.Worker) error { return p.give(w, shares, true) })
	}
	if err != nil {
		err = errors.Join(err, c.stopServing(ctx, p))
	}
	return err
}

// serveAtOnce serves two interfaces between which packets pass as soon as one of
// them is there: no worker moves packets until it has both.
func (c *Control) serveAtOnce(ctx context.Context, ports ...*port) error {
	c.placing.Lock()
	defer c.placing.Unlock()
	all := make([][][]drivers.Queue, len(ports))
	for i, p := range ports {
		all[i] = c.shares(p)
	}
	err := c.workers.Still(ctx, c.first(), func() (failed error) {
		for _, far := range []bool{false, true} {
			for _, w := range c.workers.All() {
				for i, p := range ports {
					failed = errors.Join(failed, p.give(w, all[i], far))
				}
			}
		}
		return failed
	})
	if err == nil {
		return nil
	}
	err = fmt.Errorf("control: %w", err)
	for _, p := range ports {
		err = errors.Join(err, c.stopServing(ctx, p))
	}
	return err
}

// give gives a worker its share of the interface's queues, or, if it has none,
// tells it who sends: far says which of the two is to be done now.
func (p *port) give(w *graph.Worker, shares [][]drivers.Queue, far bool) (err error) {
	switch mine := shares[w.ID()]; {
	case far != (len(mine) == 0):
		return nil
	case far:
		err = w.AddFarPort(p.index, sender(shares, w.ID()))
	default:
		err = w.AddPort(p.index, mine)
	}
	p.servedBy[w.ID()] = err == nil
	return err
}

// unserve has the workers let go of an interface's queues.
func (c *Control) unserve(ctx context.Context, p *port) error {
	c.placing.Lock()
	defer c.placing.Unlock()
	return c.stopServing(ctx, p)
}

// stopServing does so. c.placing is held.
func (c *Control) stopServing(ctx context.Context, p *port) error {
	return c.doAll(ctx, func(w *graph.Worker) error {
		if p.servedBy == nil || !p.servedBy[w.ID()] {
			return nil
		}
		p.servedBy[w.ID()] = false
		return w.RemovePort(p.index)
	})
}

// PlaceQueue has a worker serve a queue of a named interface from now on, as
// VPP's "set interface rx-placement". No packet is lost. It is asked for again at
// the next start, if there are as many workers then.
func (c *Control) PlaceQueue(ctx context.Context, name string, queue, worker int) error {
	c.placing.Lock()
	defer c.placing.Unlock()
	p, err := c.find(name)
	if err != nil {
		return err
	}
	if n := len(p.device.Queues()); queue < 0 || queue >= n {
		return fmt.Errorf("control: %w: queue %d of %s: it has %s", ErrInvalid, queue, name, upTo(n, "queue"))
	}
	if n := c.NumWorkers(); n == 1 {
		return fmt.Errorf("control: %w: there is one worker, which serves all queues: workers.count makes more", ErrInvalid)
	} else if worker < 0 || worker >= n {
		return fmt.Errorf("control: %w: worker %d: there are %s", ErrInvalid, worker, upTo(n, "worker"))
	}
	if err := c.workers.Move(ctx, p.index, p.device.Queues()[queue], p.placed[queue], worker); err != nil {
		return fmt.Errorf("control: %w: place queue %d of %s: %w", ErrBusy, queue, name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p.placed[queue] = worker
	return c.rememberPlace(p, queue, worker)
}

// upTo says how many there are of what is counted from 0 on.
func upTo(n int, what string) string {
	if n == 1 {
		return "one, " + what + " 0"
	}
	return fmt.Sprintf("%ss 0 to %d", what, n-1)
}

// rememberPlace keeps a queue's place for the next start. c.mu is held.
func (c *Control) rememberPlace(p *port, queue, worker int) error {
	x := &p.asked
	x.Name = p.Name
	if x.Placement = maps.Clone(x.Placement); x.Placement == nil {
		x.Placement = map[int]int{}
	}
	x.Placement[queue] = worker
	return c.remembered(c.store.PutInterface(*x))
}

// placeAgain places the queues of an interface as the API was asked for, in the
// order of their numbers.
func (c *Control) placeAgain(ctx context.Context, name string, placement map[int]int) error {
	for _, queue := range slices.Sorted(maps.Keys(placement)) {
		if err := c.PlaceQueue(ctx, name, queue, placement[queue]); err != nil {
			return err
		}
	}
	return nil
}
