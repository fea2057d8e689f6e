package graph

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/buf"
)

const (
	// spin is how long an idle worker looks for packets before it sleeps:
	// longer than a round trip between two pods, so that a conversation never
	// waits for the scheduler (11 against 26 us, at no CPU when idle).
	spin = 50 * time.Microsecond
	// minBurst is the least number of packets that a queue may give per
	// round, so that vectors stay worth while when many queues are busy.
	minBurst = 16
	// maxBytes is how many bytes come in between two sweeps: what a second-
	// level cache holds. With vectors of 256 superpackets four TCP streams
	// ran at 8.4 to 10.5 Gbit/s, with 256 KiB at 12.6 to 14.4.
	maxBytes = 256 << 10
	// feedEvery is how often a sleeping worker looks for buffers for a device
	// that has none.
	feedEvery = 10 * time.Millisecond
)

// ErrStopped means that the worker does not run, or no longer.
var ErrStopped = errors.New("graph: the worker is not running")

// loop is what a worker needs to take turns between packets, requests and
// sleep.
type loop struct {
	start  time.Time
	poller poller
	calls  chan call
	done   chan struct{} // closed when Run has returned
	rxBufs [MaxVector]*buf.Buffer
	gen    uint64 // the generation of State that the tickers have seen
	tickAt int64  // when the next ticker is due; 0 is never
	load   Load
	naps   atomic.Uint64 // sleeps that packets have ended << 1 | it is asleep
}

// Load is how a worker has spent its time.
type Load struct {
	Rounds  uint64        // times around the loop
	Busy    uint64        // of them, those that found packets
	Packets uint64        // taken in, also from other workers
	Handed  uint64        // of them, those from other workers
	BusyFor time.Duration // spent in rounds that found packets
	Slept   time.Duration // spent asleep
	Since   int64         // when counting began, by Worker.Now
}

type call struct {
	run  func()
	done chan struct{}
}

func (w *Worker) openLoop() error {
	w.start = time.Now()
	w.calls = make(chan call, 16)
	w.done = make(chan struct{})
	w.wake = make(chan struct{}, 1)
	return w.poller.open()
}

// Close releases what New has taken, and the ports that are left. The worker
// must not be running.
func (w *Worker) Close() error {
	var failed error
	for i, p := range w.ports {
		if p != nil {
			failed = errors.Join(failed, w.RemovePort(uint32(i)))
		}
	}
	if w.ownTable != nil {
		failed = errors.Join(failed, w.ownTable.Close())
		w.ownTable = nil
	}
	return errors.Join(failed, w.poller.close())
}

// Run moves packets until ctx is done. It keeps its operating system thread.
func (w *Worker) Run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(w.done)
	unpin, err := w.pin()
	if err != nil {
		return err
	}
	defer unpin()
	defer context.AfterFunc(ctx, w.poller.wake)()
	for ctx.Err() == nil {
		if err := w.Round(spin); err != nil {
			return fmt.Errorf("graph: worker: %w", err)
		}
	}
	return nil
}

// Round goes around the loop once: requests, packets, timers. If there is
// nothing to do it looks for as long as spin says and then sleeps until there
// is; a negative spin never sleeps.
func (w *Worker) Round(spin time.Duration) error {
	w.Now = int64(time.Since(w.start))
	w.serve()
	ready, err := w.poller.poll(0)
	if err == nil && ready == 0 && spin >= 0 {
		if w.idleSince(spin) {
			ready, err = w.sleep()
		} else {
			yield()
		}
	}
	if err != nil {
		return err
	}
	w.account(w.turn(ready))
	return nil
}

// yield lets whoever waits for this core have it: of those that a worker with
// nothing to do keeps waiting, one may be about to send. On two cores that others
// kept busy twice as many small datagrams arrived; with nobody else there it makes
// no difference, and costs 0.5 us.
func yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) } // it always succeeds

// turn does what there is to do at w.Now, and returns how many packets it took.
func (w *Worker) turn(ready int) (packets int) {
	if w.peers != nil {
		w.listen()
	}
	w.State = w.pub.Load()
	packets = w.take(ready)
	if w.peers != nil {
		handed := w.arrive()
		w.load.Handed += uint64(handed)
		packets += handed
	}
	w.tick()
	w.Sweep()
	w.Flush()
	if w.peers != nil && packets+ready > 0 {
		w.balance()
	}
	w.tell()
	return packets
}

// RoundAt is a Round that never sleeps, at a time that the caller has chosen:
// tests and simulations let hours pass in no time.
func (w *Worker) RoundAt(now int64) error {
	w.Now = now
	w.serve()
	ready, err := w.poller.poll(0)
	if err != nil {
		return err
	}
	w.turn(ready)
	return nil
}

// idleSince reports whether there have been no packets for the given time, and
// nobody wants anything: a request may have put packets into the graph, and a
// poll may just have consumed the wake that says that there is a request.
func (w *Worker) idleSince(d time.Duration) bool {
	return w.Now-w.poller.lastBusy >= int64(d) && len(w.calls) == 0 &&
		!w.poller.woken && w.pending == [2]uint64{}
}

// sleep waits for a packet, a request or the next timer.
func (w *Worker) sleep() (ready int, err error) {
	timeout := time.Duration(-1)
	if w.tickAt != 0 {
		timeout = max(0, time.Duration(w.tickAt-w.Now))
	}
	if w.hungry() {
		if timeout < 0 || timeout > feedEvery {
			timeout = feedEvery
		}
		if w.peers != nil {
			w.balance()
		}
	}
	if w.peers != nil {
		w.asleep.Store(true)
		defer w.asleep.Store(false)
		if w.expects() {
			return 0, nil
		}
	}
	w.doze()
	ready, err = w.poller.poll(timeout)
	w.rouse(ready > 0)
	now := int64(time.Since(w.start))
	w.load.Slept += time.Duration(now - w.Now)
	w.Now = now
	return ready, err
}

// take gets packets from the queues that are ready, a share from each, and
// sweeps in between when a vector is full.
func (w *Worker) take(ready int) (packets int) {
	if ready == 0 {
		return 0
	}
	share := max(minBurst, MaxVector/ready)
	room, bytes := MaxVector, uint64(0)
	for i, at := range w.poller.ready[:ready] {
		p := w.port(at.iface())
		if p == nil {
			continue // it was removed by a request of this round
		}
		before := p.RxBytes
		n := w.rx(p, at.queue(), w.rxBufs[:min(share, room)])
		if n > 0 {
			p.faults = 0
		} else if w.poller.broken[i] {
			w.fault(p, at.queue())
		}
		packets += n
		room -= n
		bytes += p.RxBytes - before
		if room < minBurst || bytes >= maxBytes {
			w.Sweep()
			w.Flush()
			room, bytes = MaxVector, 0
		}
	}
	return packets
}

// tick calls the tickers that are due, and all of them after a new State.
func (w *Worker) tick() {
	fresh := w.gen != w.State.Gen
	if !fresh && (w.tickAt == 0 || w.Now < w.tickAt) {
		return
	}
	w.gen, w.tickAt, w.ticking = w.State.Gen, 0, true
	for _, s := range w.slots {
		if s.ticker == nil {
			continue
		}
		if fresh || s.nextTick != 0 && w.Now >= s.nextTick {
			w.running = s
			s.nextTick = s.ticker.Tick(w)
		}
		if s.nextTick != 0 && (w.tickAt == 0 || s.nextTick < w.tickAt) {
			w.tickAt = s.nextTick
		}
	}
	w.running, w.ticking = nil, false
}

// TickAt makes sure that the running node's Tick is called at the given time
// by Worker.Now, or before. A node that has begun to wait for something calls
// it from Process.
func (w *Worker) TickAt(at int64) {
	s := w.running
	if s.nextTick == 0 || at < s.nextTick {
		s.nextTick = at
	}
	if w.tickAt == 0 || at < w.tickAt {
		w.tickAt = at
	}
}

func (w *Worker) account(packets int) {
	w.load.Rounds++
	if packets == 0 {
		return
	}
	w.load.Busy++
	w.load.Packets += uint64(packets)
	now := int64(time.Since(w.start))
	w.load.BusyFor += time.Duration(now - w.Now)
	w.poller.lastBusy = now
}

// Load returns how the worker has spent its time since Load.Since.
func (w *Worker) Load() Load { return w.load }

// Wake has a worker that sleeps look for a new State.
func (w *Worker) Wake() { w.poller.wake() }

// serve answers the requests that wait.
func (w *Worker) serve() {
	for n := len(w.calls); n > 0; n-- {
		c := <-w.calls
		c.run()
		close(c.done)
	}
}

// Do has the worker's goroutine run f between two sweeps, and waits for it.
// Whoever wants to read or change what belongs to the worker does it so. An
// f whose turn came after ctx was done may still run.
func (w *Worker) Do(ctx context.Context, f func()) error {
	c := call{f, make(chan struct{})}
	select {
	case w.calls <- c:
		w.poller.wake()
	case <-w.done:
		return ErrStopped
	case <-ctx.Done():
		return fmt.Errorf("graph: ask the worker: %w", ctx.Err())
	}
	select {
	case <-c.done:
		return nil
	case <-w.done:
		return ErrStopped
	case <-ctx.Done():
		return fmt.Errorf("graph: wait for the worker: %w", ctx.Err())
	}
}
