package graph

import (
	"sync/atomic"

	"github.com/skein-dataplane/skein/state"
)

// noticeRoom is how many notices may wait for control; a power of two.
const noticeRoom = 1024

// notices is a ring with one producer, the worker, and one consumer, control.
type notices struct {
	ring [noticeRoom]state.Notice
	head atomic.Uint64 // the next to be read
	tail atomic.Uint64 // the next to be written
	told uint64        // tail when the consumer was last woken
	lost atomic.Uint64
	wake chan struct{}
}

// Notify tells control what a node has seen. If control lags behind by more
// than the ring has room for, the notice is lost and counted: whoever sends
// notices repeats them while they stay true.
func (w *Worker) Notify(n state.Notice) {
	tail := w.tail.Load()
	if tail-w.head.Load() == noticeRoom {
		w.lost.Add(1)
		return
	}
	n.Now = w.Now
	w.ring[tail%noticeRoom] = n
	w.tail.Store(tail + 1)
}

// tell wakes control if there is something new. The worker calls it between
// sweeps.
func (w *Worker) tell() {
	if tail := w.tail.Load(); tail != w.told {
		w.told = tail
		select {
		case w.wake <- struct{}{}:
		default: // it has been woken, and has not looked yet
		}
	}
}

// Notices returns a channel that receives after the worker has sent notices.
// There may be one consumer.
func (w *Worker) Notices() <-chan struct{} { return w.wake }

// NextNotice returns the oldest notice that nobody has read.
func (w *Worker) NextNotice() (n state.Notice, ok bool) {
	head := w.head.Load()
	if head == w.tail.Load() {
		return n, false
	}
	n = w.ring[head%noticeRoom]
	w.head.Store(head + 1)
	return n, true
}

// LostNotices returns how many notices found no room.
func (w *Worker) LostNotices() uint64 { return w.lost.Load() }
