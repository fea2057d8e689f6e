package control

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/nodes"
)

// newWorkers makes the workers that are asked for, and the buffers that they
// share.
func (c *Control) newWorkers() error {
	n := c.cfg.Workers.Number()
	cpus, err := configs.ParseCPUs(c.cfg.Workers.CPUs)
	if err != nil {
		return fmt.Errorf("control: workers: %w", err)
	}
	if has := runtime.NumCPU(); n > has {
		c.log.Warn("more workers than CPUs that this process may use: they wait for each other", zap.Int("workers", n), zap.Int("cpus", has))
	}
	was, err := readLayout(c.cfg.RunDir)
	if err != nil {
		c.log.Warn("flows are dealt out to workers anew", zap.Error(err))
	}
	if c.sharding, err = was.sharding(n); err != nil {
		return fmt.Errorf("control: workers: %w", err)
	}
	if c.pools, err = buf.NewPools(n, c.cfg.Buffers.Small, c.cfg.Buffers.Large); err != nil {
		return fmt.Errorf("control: %w", err)
	}
	specs, err := c.nodeSpecs()
	if err != nil {
		return errors.Join(err, c.closeWorkers())
	}
	c.workers, err = graph.NewWorkers(graph.Config{Specs: specs, Input: nodes.DeviceInputArc,
		Ether: nodes.EtherEntry, IP: nodes.IPEntry, Publisher: c.pub, Sharding: c.sharding}, c.pools)
	if err == nil && len(cpus) > 0 {
		err = c.workers.Pin(cpus)
	}
	if err == nil {
		c.wake, err = newWakeLatency(c.cfg.Workers.WakeLatency, c.workers.All())
	}
	if err != nil {
		return fmt.Errorf("control: %w", errors.Join(err, c.closeWorkers()))
	}
	return nil
}

// closeWorkers gives back what newWorkers has taken. No worker has run.
func (c *Control) closeWorkers() (err error) {
	if c.workers != nil {
		err = c.workers.Close()
	}
	if c.wake != nil {
		err = errors.Join(err, c.wake.file.Close())
	}
	return errors.Join(err, c.pools[0].Arena().Close())
}

// NumWorkers returns how many workers there are.
func (c *Control) NumWorkers() int { return len(c.workers.All()) }

// first returns the worker that does what any could.
func (c *Control) first() *graph.Worker { return c.workers.All()[0] }

// do has a worker run f between two sweeps, and returns what it returns. If ctx
// is done before f's turn comes, f is not run at all: it may use what the caller
// has gone on to undo.
func (c *Control) do(ctx context.Context, w *graph.Worker, f func() error) error {
	var taken atomic.Bool // by the worker that runs f, or by the caller that gives it up
	result := make(chan error, 1)
	err := w.Do(ctx, func() {
		if taken.CompareAndSwap(false, true) {
			result <- f()
		}
	})
	if err != nil && taken.CompareAndSwap(false, true) {
		return fmt.Errorf("control: %w", err)
	}
	return <-result
}

// doAll has each worker run f, one after the other, also if it fails for some.
func (c *Control) doAll(ctx context.Context, f func(w *graph.Worker) error) (failed error) {
	for _, w := range c.workers.All() {
		failed = errors.Join(failed, c.do(ctx, w, func() error { return f(w) }))
	}
	return failed
}
