package graph

import "github.com/skein-dataplane/skein/buf"

// Buffers drift from pool to pool, as whoever sends a packet frees it. A busy
// worker whose pool has less than half of its share left asks the others, with
// the number of buffers that it has, and each that has more sends half of the
// difference. So nothing is shared and nobody waits, and while no pool is short
// it costs one comparison per round.

const (
	// maxGift is how many buffers are given at once: half of a ring, which leaves
	// room for packets.
	maxGift = ringRoom / 2
	// askEvery is how often a pool asks, in nanoseconds: ten million buffers in a
	// second can so come back from one other worker.
	askEvery = 50_000
)

// exchange is what a worker needs to ask for buffers, and to be asked.
type exchange struct {
	next [numClasses]int64 // when to ask again, by Worker.Now
	gift [maxGift]*buf.Buffer
}

// Classes of buffers, as the lowest bit of a target has them.
const (
	smallBuffers = iota
	largeBuffers
	numClasses
)

// balance asks other workers for buffers if there are few. A round calls it that
// has found something to do, so that workers without anything let each other
// sleep.
func (w *Worker) balance() {
	small, large := w.Pool.Short()
	if small {
		w.ask(smallBuffers)
	}
	if large {
		w.ask(largeBuffers)
	}
	w.publish()
}

func (w *Worker) ask(class int) {
	if w.Now < w.exchange.next[class] {
		return
	}
	w.exchange.next[class] = w.Now + askEvery
	for i, r := range w.to {
		if r != nil && r.push(crossing{w.freeOf(class), toAsk | target(class)}) {
			w.unseen |= 1 << i
		}
	}
}

func (w *Worker) freeOf(class int) uint32 {
	small, large := w.Pool.Free()
	return uint32([numClasses]int{small, large}[class])
}

// give answers an ask with half of what this pool has more than the other.
func (w *Worker) give(peer int, ask crossing) {
	class := int(ask.to & 1)
	more := int(w.freeOf(class)) - int(ask.index)
	n := min(max(0, more/2), maxGift, max(0, w.to[peer].room()-ringRoom/4))
	gift := w.exchange.gift[:n]
	if class == largeBuffers {
		w.Pool.GetLarge(gift)
	} else {
		w.Pool.Get(gift)
	}
	for i, b := range gift {
		w.push(peer, toPool, b)
		gift[i] = nil
	}
}
