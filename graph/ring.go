package graph

import (
	"sync/atomic"

	"github.com/skein-dataplane/skein/buf"
)

// ringRoom is how many packets may be on their way from one worker to another;
// a power of two. VPP's handoff queues begin with 64 frames, of as many.
const ringRoom = 1024

// cacheLine is how many bytes two threads had better not both write to.
const cacheLine = 64

// A ring carries packets from one worker to another: it has one producer and
// one consumer. What was pushed is seen once it is published, so a sweep costs
// one store that others see, however many packets it hands over.
type ring struct {
	tail atomic.Uint32 // the next to be written, as published
	_    [cacheLine - 4]byte
	head atomic.Uint32 // the next to be read
	_    [cacheLine - 4]byte

	// The producer's own.
	next uint32 // the next to be written
	seen uint32 // head, when it was last looked at
	_    [cacheLine - 8]byte

	slots [ringRoom]crossing
	_     [cacheLine]byte
}

// A crossing is a packet on its way to another worker.
type crossing struct {
	index uint32 // buf.Arena.Index; of an ask, how many buffers the asker has
	to    target
}

// A target is where a crossing leads at the other worker: the number of a node
// or of an interface, or what its kind says.
type target uint32

const (
	toNode   target = iota << 30 // the order of the node's slot
	toDevice                     // the index of the interface
	toPool                       // a buffer for the other's pool
	toAsk                        // no packet: see balance.go

	targetKind = target(3) << 30
)

// push reports whether there was room.
func (r *ring) push(c crossing) bool {
	if r.next-r.seen == ringRoom {
		if r.seen = r.head.Load(); r.next-r.seen == ringRoom {
			return false
		}
	}
	r.slots[r.next%ringRoom] = c
	r.next++
	return true
}

// publish shows the consumer what was pushed.
func (r *ring) publish() { r.tail.Store(r.next) }

// room returns how many more can be pushed.
func (r *ring) room() int {
	r.seen = r.head.Load()
	return int(ringRoom - (r.next - r.seen))
}

// first returns the oldest crossing, which is there.
func (r *ring) first() crossing { return r.slots[r.head.Load()%ringRoom] }

// skip takes the oldest crossing.
func (r *ring) skip() { r.head.Store(r.head.Load() + 1) }

// run takes the buffers that go to the same target as the oldest, in order, up
// to a published tail and at most len(into), and returns how many.
func (r *ring) run(a *buf.Arena, tail uint32, into []*buf.Buffer) (n int) {
	head := r.head.Load()
	to := r.slots[head%ringRoom].to
	for n < len(into) && head != tail && r.slots[head%ringRoom].to == to {
		into[n] = a.Buffer(r.slots[head%ringRoom].index)
		head++
		n++
	}
	r.head.Store(head)
	return n
}
