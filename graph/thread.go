package graph

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Pin has each worker's thread stay on one CPU, by number; there are as many
// numbers as workers. It is called before Run, which fails if the process may
// not use one of them.
func (ws *Workers) Pin(cpus []int) error {
	if len(cpus) != len(ws.all) {
		return fmt.Errorf("graph: pin %d workers to %d CPUs: each needs one", len(ws.all), len(cpus))
	}
	for i, w := range ws.all {
		w.cpu, w.pinned = cpus[i], true
	}
	return nil
}

// pin moves the calling thread to the worker's CPU, if it has one, and returns
// what undoes that.
func (w *Worker) pin() (undo func(), err error) {
	if !w.pinned {
		return func() {}, nil
	}
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, fmt.Errorf("graph: worker %d: read the CPUs of its thread: %w", w.id, err)
	}
	set.Set(w.cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("graph: worker %d: stay on CPU %d: %w", w.id, w.cpu, err)
	}
	return func() { _ = unix.SchedSetaffinity(0, &before) }, nil // it was so before
}

// Naps returns whether the worker sleeps, and how many of its sleeps packets have
// ended. It may be called from anywhere: an awake worker, or one that has been
// woken since, has had something to do.
func (w *Worker) Naps() (asleep bool, ended uint64) {
	n := w.naps.Load()
	return n&1 != 0, n >> 1
}

// doze marks the worker asleep for Naps.
func (w *Worker) doze() { w.naps.Store(w.naps.Load() | 1) }

// rouse marks it awake, by packets or by something else.
func (w *Worker) rouse(packets bool) {
	n := w.naps.Load() &^ 1
	if packets {
		n += 2
	}
	w.naps.Store(n)
}
