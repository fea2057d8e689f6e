package graph

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
)

// MaxWorkers is how many workers there may be.
const MaxWorkers = 64

// Workers are several workers that share the work: each has its own instance of
// the graph, its pool, its queues and its sessions.
type Workers struct {
	all     []*Worker
	holding sync.Mutex // by whoever has all of them hold still
}

// NewWorkers makes a worker of cfg for each of the pools, which are of one
// arena. cfg has neither Pool nor Sessions: those are each worker's own. From
// then on States say how many workers there are.
func NewWorkers(cfg Config, pools []*buf.Pool) (*Workers, error) {
	switch {
	case len(pools) < 1 || len(pools) > MaxWorkers:
		return nil, fmt.Errorf("graph: %d workers: from 1 to %d are possible", len(pools), MaxWorkers)
	case cfg.Pool != nil || cfg.Sessions != nil:
		return nil, errors.New("graph: workers: a pool or a table of sessions for all of them: each has its own")
	}
	if cfg.Sharding == nil {
		var err error
		if cfg.Sharding, err = session.NewSharding(len(pools)); err != nil {
			return nil, fmt.Errorf("graph: workers: %w", err)
		}
	}
	if n := cfg.Sharding.Workers(); n != len(pools) {
		return nil, fmt.Errorf("graph: workers: flows are dealt out over %d, but there are %d", n, len(pools))
	}
	ws := new(Workers)
	for i, p := range pools {
		if p.Arena() != pools[0].Arena() {
			return nil, errors.Join(errors.New("graph: workers: pools of several arenas"), ws.Close())
		}
		cfg.Pool = p
		w, err := New(cfg)
		if err != nil {
			return nil, errors.Join(err, ws.Close())
		}
		w.id = i
		ws.all = append(ws.all, w)
	}
	for _, w := range ws.all {
		w.start, w.epoch = ws.all[0].start, ws.all[0].epoch
	}
	if len(ws.all) > 1 {
		connect(ws.all, cfg.Sharding)
	}
	err := cfg.Publisher.Update(func(next *state.State) error {
		next.Workers = len(ws.all)
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, ws.Close())
	}
	return ws, nil
}

// All returns the workers, by their IDs.
func (ws *Workers) All() []*Worker { return ws.all }

// Run has all workers move packets, each on a thread of its own, until ctx is
// done or one of them fails.
func (ws *Workers) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan error, len(ws.all))
	for _, w := range ws.all {
		go func() { results <- w.Run(ctx) }()
	}
	var failed error
	for range ws.all {
		if err := <-results; err != nil {
			failed = errors.Join(failed, err)
			cancel()
		}
	}
	return failed
}

// Do has each worker in turn run f, as Worker.Do. It ends with the first that
// does not.
func (ws *Workers) Do(ctx context.Context, f func(w *Worker)) error {
	for _, w := range ws.all {
		if err := w.Do(ctx, func() { f(w) }); err != nil {
			return err
		}
	}
	return nil
}

// Wake has workers that sleep look for a new State.
func (ws *Workers) Wake() {
	for _, w := range ws.all {
		w.Wake()
	}
}

// Close closes all workers, none of which is running.
func (ws *Workers) Close() (failed error) {
	for _, w := range ws.all {
		failed = errors.Join(failed, w.Close())
	}
	return failed
}

// ID returns which of the workers this is, from 0 on.
func (w *Worker) ID() int { return w.id }

// Sharding returns whose flows are whose; nil if this is the only worker.
func (w *Worker) Sharding() *session.Sharding { return w.sharding }

// Peers returns how many workers there are, this one included.
func (w *Worker) Peers() int { return max(1, len(w.peers)) }
