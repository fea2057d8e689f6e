package control

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/graph"
)

const (
	// wakeLatencyFile is where the kernel is told how long CPUs may take to wake.
	// What is written holds as long as the file is open, so that it ends with the
	// process, however that ends (Documentation/power/pm_qos_interface.rst).
	wakeLatencyFile = "/dev/cpu_dma_latency"
	// anyLatency is what the kernel takes for no limit: PM_QOS_CPU_LATENCY_DEFAULT_VALUE
	// of include/linux/pm_qos.h.
	anyLatency = 2000 * time.Second
	// lookForNaps is how often workers are asked whether they have had packets, and
	// quietLooks how many of these find none before CPUs may sleep deeply again.
	lookForNaps = 100 * time.Millisecond
	quietLooks  = 10
)

// A wakeLatency limits how long CPUs take to wake, as long as there are packets.
// A worker hands each packet to somebody on another CPU: where that one has been
// halted, its waking up is most of a round trip.
type wakeLatency struct {
	limit   time.Duration
	file    *os.File
	workers []*graph.Worker
	ended   []uint64 // sleeps of each worker that packets had ended at the last look
	quiet   int      // looks since then that found nothing
	held    atomic.Bool
}

// newWakeLatency opens the kernel's file. A limit of nil stands for none.
func newWakeLatency(limit *time.Duration, workers []*graph.Worker) (*wakeLatency, error) {
	if limit == nil {
		return nil, nil
	}
	f, err := os.OpenFile(wakeLatencyFile, os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("control: workers.wake_latency: %w", err)
	}
	return &wakeLatency{limit: *limit, file: f, workers: workers, ended: make([]uint64, len(workers)), quiet: quietLooks}, nil
}

// WakeLatency returns how long CPUs may take to wake while there are packets, and
// whether that holds now. Without a limit it returns nil.
func (c *Control) WakeLatency() (limit *time.Duration, held bool) {
	if c.wake == nil {
		return nil, false
	}
	return &c.wake.limit, c.wake.held.Load()
}

// run holds the limit while there are packets, until ctx is done. It closes the
// file, which ends the limit.
func (l *wakeLatency) run(ctx context.Context, log *zap.Logger) {
	err := l.keep(ctx)
	l.held.Store(false)
	if err = errors.Join(err, l.file.Close()); err != nil {
		log.Warn("how fast CPUs wake is left to the kernel", zap.Error(err))
	}
}

func (l *wakeLatency) keep(ctx context.Context) error {
	ticker := time.NewTicker(lookForNaps)
	defer ticker.Stop()
	for ctx.Err() == nil {
		if hold := l.look(); hold != l.held.Load() {
			if err := l.set(hold); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	return nil
}

// look reports whether there have been packets lately.
func (l *wakeLatency) look() bool {
	l.quiet = min(l.quiet+1, quietLooks)
	for i, w := range l.workers {
		asleep, ended := w.Naps()
		if !asleep || ended != l.ended[i] {
			l.quiet = 0
		}
		l.ended[i] = ended
	}
	return l.quiet < quietLooks
}

// set tells the kernel the limit, or that there is none.
func (l *wakeLatency) set(hold bool) error {
	limit := anyLatency
	if hold {
		limit = l.limit
	}
	us := uint32(limit.Microseconds())
	if _, err := l.file.Write(binary.NativeEndian.AppendUint32(nil, us)); err != nil {
		return fmt.Errorf("control: workers.wake_latency: %w", err)
	}
	l.held.Store(hold)
	return nil
}
