package graph

import (
	"math/bits"
	"sync/atomic"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/session"
)

// Packets cross from worker to worker by rings, one for each ordered pair:
//
//   - A node hands a packet over by Cross; the other worker finds it before the
//     node that the arc leads to, at its next round.
//   - What goes out by an interface of which this worker has no queue is sent by
//     one that has, see AddFarPort.
//   - Pools ask each other for buffers, see balance.go.
//
// What was pushed is published once per sweep. A worker reads the tails of its
// rings before it loads the State: so what it takes in was handed over under a
// State that is no newer, and each interface that a packet names is there.
// Nobody waits: where a ring is full, packets are dropped and counted.

// crossings are what a worker needs to hand packets over, and to be handed some.
type crossings struct {
	to       []*ring // by ID of the other; nil at its own
	from     []*ring
	tails    []uint32 // of from, as this round has found them
	unseen   uint64   // one bit for each of to that holds what is not published
	sharding *session.Sharding
	asleep   *sleeper
	arrived  arrivals
	exchange exchange
}

// A sleeper says whether a worker sleeps, or is about to. It fills a cache line,
// as those who hand packets over look at it.
type sleeper struct {
	atomic.Bool
	_ [cacheLine - 4]byte
}

// arrivals count what other workers have handed over.
type arrivals struct {
	calls  uint64
	nodes  [maxSpecs]uint64 // packets, by the node that they came before
	device uint64           // packets for a device
	gone   uint64           // of them, those that found none
}

// connect makes the rings between workers.
func connect(all []*Worker, by *session.Sharding) {
	for _, w := range all {
		w.peers, w.sharding = all, by
		w.to, w.from, w.tails = make([]*ring, len(all)), make([]*ring, len(all)), make([]uint32, len(all))
		w.asleep = new(sleeper)
	}
	for i, from := range all {
		for j, to := range all {
			if i != j {
				r := new(ring)
				from.to[j], to.from[i] = r, r
			}
		}
	}
}

// Cross hands b, a packet of the running node's vector or one that it has kept,
// over to another worker, by its ID: it goes on there as if it had left the same
// node by arc, or, with Again, at the same node. The node then leaves it alone, with the arc Handed if it is one of
// the vector. It reports false, and b stays the node's, if the other worker is so
// far behind that there is no room for more.
func (w *Worker) Cross(peer int, arc Arc, b *buf.Buffer) bool {
	to := w.running.next[arc&(numArcs-1)]
	if arc == Again {
		to = w.running
	}
	if to == nil || !w.push(peer, toNode|target(to.order), b) {
		return false
	}
	b.Flow, b.Adj = 0, 0 // of this worker, and of this sweep
	return true
}

func (w *Worker) push(peer int, to target, b *buf.Buffer) bool {
	if !w.to[peer].push(crossing{w.Pool.Arena().Index(b), to}) {
		return false
	}
	w.unseen |= 1 << peer
	return true
}

// publish shows other workers what was handed over since it was last called, and
// wakes those that sleep.
func (w *Worker) publish() {
	for ; w.unseen != 0; w.unseen &= w.unseen - 1 {
		i := bits.TrailingZeros64(w.unseen)
		w.to[i].publish()
		// It says that it sleeps before it looks at its rings for the last time,
		// and here it is the other way round, so one of the two sees the other.
		if p := w.peers[i]; p.asleep.Load() && p.asleep.Swap(false) {
			p.poller.wake()
		}
	}
}

// listen takes note of what waits to be taken in.
func (w *Worker) listen() {
	for i, r := range w.from {
		if r != nil {
			w.tails[i] = r.tail.Load()
		}
	}
}

// expects reports whether something waits to be taken in.
func (w *Worker) expects() bool {
	for _, r := range w.from {
		if r != nil && r.tail.Load() != r.head.Load() {
			return true
		}
	}
	return false
}

// arrive takes in what waited when listen was called, and returns how many
// packets it was.
func (w *Worker) arrive() (packets int) {
	w.arrived.calls++
	for i, r := range w.from {
		for r != nil && r.head.Load() != w.tails[i] {
			packets += w.arriveRun(i, r)
		}
	}
	return packets
}

// arriveRun takes in the oldest crossing of a ring, with those that follow it to
// the same target.
func (w *Worker) arriveRun(peer int, r *ring) (packets int) {
	c := r.first()
	if c.to&targetKind == toAsk {
		r.skip()
		w.give(peer, c)
		return 0
	}
	if w.rxCount >= MaxVector {
		w.Sweep()
		w.Flush()
	}
	bufs := w.rxBufs[:MaxVector-w.rxCount]
	bufs = bufs[:r.run(w.Pool.Arena(), w.tails[peer], bufs)]
	at := c.to &^ targetKind
	switch c.to & targetKind {
	case toPool:
		w.Pool.Put(bufs)
		return 0
	case toDevice:
		w.arriveAtDevice(uint32(at), bufs)
	case toNode:
		w.arriveAtNode(w.slots[at], bufs)
	}
	return len(bufs)
}

func (w *Worker) arriveAtNode(s *slot, bufs []*buf.Buffer) {
	for _, b := range bufs {
		b.Hops = 0
		if b.Flags&buf.Traced != 0 {
			w.adopt(b)
		}
	}
	w.arrived.nodes[s.order] += uint64(len(bufs))
	w.rxCount += len(bufs)
	w.enqueue(s, bufs)
}

// arriveAtDevice sends packets that another worker has no queue for. Those that
// find none here either are not handed on once more.
func (w *Worker) arriveAtDevice(i uint32, bufs []*buf.Buffer) {
	w.arrived.device += uint64(len(bufs))
	if p := w.port(i); p == nil || len(p.queues) == 0 {
		w.arrived.gone += uint64(len(bufs))
		w.Pool.Put(bufs)
		return
	}
	w.Send(i, bufs)
}
