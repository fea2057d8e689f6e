package afxdp

import (
	"errors"
	"fmt"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"golang.org/x/sys/unix"
)

// addrBits is where, in unaligned mode, the address of a chunk ends and the
// offset of the packet in it starts (XSK_UNALIGNED_BUF_OFFSET_SHIFT).
const addrBits = 48

// chunk is the number of buffers that move between a pool and the rings at once.
const chunk = 64

// maxKicks bounds the system calls of one Tx. A full ring of DefaultRing goes
// in 64 of them at 32 packets each.
const maxKicks = 64

// A queue is a socket and the arena that it shares with the kernel.
type queue struct {
	socket
	index int // of the interface's queues
	dev   *Device
	arena *buf.Arena
	stats drivers.Stats
	whole *whole // sends what the kernel is to cut and sum up; nil: nothing is
	polls bool   // run the NIC's driver with each Rx
	// lent marks the buffers that the kernel has, by their place in the
	// arena. It says what to take back in the end, and catches an address
	// that the kernel was never given.
	lent    []bool
	aside   aside
	scratch [chunk]*buf.Buffer
}

var _ drivers.Filler = (*queue)(nil)

func newQueue(d *Device, index int, s *socket, a *buf.Arena) *queue {
	q := &queue{socket: *s, index: index, dev: d, arena: a, lent: make([]bool, len(a.UMEM())/buf.SmallStride)}
	if s.zeroCopy {
		q.aside.init(len(q.lent))
	}
	return q
}

// FD implements drivers.Queue. There is none to sleep on while the queue itself
// runs the NIC's driver.
func (q *queue) FD() int {
	if q.polls {
		return -1
	}
	return q.fd
}

// usable reports whether the queue is open and p is the pool that Open was
// given for it: the kernel reaches no other's frames.
func (q *queue) usable(p *buf.Pool) bool { return q.fd >= 0 && p.Arena() == q.arena }

// Starves implements drivers.Filler.
func (q *queue) Starves() bool { return q.fd >= 0 && q.fill.pending() == 0 }

// Rx implements drivers.Queue.
func (q *queue) Rx(p *buf.Pool, into []*buf.Buffer) (n int) {
	if !q.usable(p) {
		return 0
	}
	if q.polls {
		q.stats.Syscalls++
		q.wake()
	}
	q.reap(p)
	avail := min(q.rx.ready(uint32(len(into))), uint32(len(into)))
	for range avail {
		if b := q.take(q.rx.at(q.rx.own)); b != nil {
			into[n] = b
			n++
		} else {
			q.stats.RxErrors++
		}
		q.rx.own++
	}
	if avail > 0 {
		q.rx.release()
	}
	q.refill(p)
	if q.fill.sleeps() {
		q.stats.Syscalls++
		q.wake()
	}
	if q.tx.pending() > 0 { // left over by a Tx that met a full device
		q.push(1)
	}
	return n
}

func (q *queue) take(d *unix.XDPDesc) *buf.Buffer {
	addr, off := d.Addr&(1<<addrBits-1), int(d.Addr>>addrBits)
	b := q.recall(addr)
	if b == nil {
		return nil
	}
	off += int(addr - q.arena.Addr(b))
	end := off + int(d.Len)
	if end > buf.SmallStride { // the kernel never says so; an empty packet is dropped later
		off, end = buf.Headroom, buf.Headroom
	}
	b.SetSpan(off, end)
	markPartial(b)
	return b
}

// Tx implements drivers.Queue.
func (q *queue) Tx(p *buf.Pool, bufs []*buf.Buffer) (sent int) {
	if q.whole == nil {
		return q.ringTx(p, bufs)
	}
	return q.splitTx(p, bufs)
}

// ringTx sends by the ring. A small buffer of the queue's pool is sent
// where it is and comes back to p when the kernel is done with it, during a
// later Rx or Tx. Any other is copied into one; what does not fit there counts
// as TxErrors.
func (q *queue) ringTx(p *buf.Pool, bufs []*buf.Buffer) (sent int) {
	if !q.usable(p) {
		return 0
	}
	q.reap(p)
	room := int(q.tx.room(uint32(len(bufs))))
	for sent < len(bufs) && room > 0 {
		b, ok := q.native(p, bufs[sent])
		if !ok {
			break
		}
		sent++
		if b == nil {
			continue
		}
		*q.tx.at(q.tx.own) = unix.XDPDesc{Addr: q.lend(b) + uint64(b.Off()), Len: uint32(b.Len())}
		q.tx.own++
		room--
	}
	q.tx.publish()
	if sent < len(bufs) {
		q.stats.TxFull++
	}
	q.push(maxKicks)
	q.reap(p)
	return sent
}

// native returns b, or a copy of it that the kernel can reach, or nil if that
// is not possible; b is dealt with then. It is not ok if no buffer is there to
// copy to.
func (q *queue) native(p *buf.Pool, b *buf.Buffer) (_ *buf.Buffer, ok bool) {
	if q.arena.Owns(b) && b.Len() > 0 && !q.aside.crosses(q.arena.Addr(b)+uint64(b.Off()), b.Len()) {
		return b, true
	}
	one := q.scratch[:1]
	fits := b.Len() > 0 && b.Len() <= MaxFrame
	for got := false; fits && !got; got = !q.aside.take(one[0], q.arena.Addr(one[0])) {
		if p.Get(one) == 0 {
			return nil, false
		}
	}
	if !fits {
		q.stats.TxErrors++
		one[0] = b
		p.Put(one)
		return nil, true
	}
	c := one[0]
	c.Set(b.Bytes())
	one[0] = b
	p.Put(one)
	return c, true
}

// push makes the kernel send, with at most kicks system calls, and stops when
// one of them sends nothing: the device is full or down, and what is left goes
// with the next Rx or Tx.
func (q *queue) push(kicks int) {
	for left := q.tx.pending(); left > 0 && kicks > 0 && q.tx.sleeps(); kicks-- {
		q.stats.Syscalls++
		q.kick()
		was := left
		if left = q.tx.pending(); left == was {
			return
		}
	}
}

// Stats implements drivers.Queue. It makes one system call, that does not
// block.
func (q *queue) Stats() drivers.Stats {
	s, k := q.stats, q.statistics()
	s.RxDropped += k.Rx_dropped + k.Rx_ring_full
	s.RxErrors += k.Rx_invalid_descs
	s.TxErrors += k.Tx_invalid_descs
	if q.fd >= 0 {
		q.dev.guard.dropped(q.index, len(q.dev.queues), &s)
	}
	return s
}

func (q *queue) closeFDs() error { return errors.Join(q.socket.close(), q.whole.close()) }

// Close implements drivers.Queue. From here on the interface's packets of this
// queue go to the kernel's own stack.
func (q *queue) Close(p *buf.Pool) error {
	if q.fd < 0 {
		return nil
	}
	q.stats = q.Stats()
	err := q.dev.unregister(q.index)
	if e := q.closeFDs(); err == nil {
		err = e
	}
	q.aside.release(p)
	for i, lent := range q.lent {
		if lent {
			q.scratch[0] = q.arena.At(uint64(i) * buf.SmallStride)
			p.Put(q.scratch[:1])
			q.lent[i] = false
		}
	}
	if err != nil {
		return fmt.Errorf("afxdp: close queue %d: %w", q.index, err)
	}
	return nil
}
