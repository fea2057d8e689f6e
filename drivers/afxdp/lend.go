package afxdp

import "github.com/skein-dataplane/skein/buf"

// lend marks b as the kernel's and returns the address of its frame.
func (q *queue) lend(b *buf.Buffer) uint64 {
	at := q.arena.Addr(b)
	q.lent[at/buf.SmallStride] = true
	return at
}

// recall returns the buffer at addr, which the kernel gives back, or nil if it
// was not the kernel's.
func (q *queue) recall(addr uint64) *buf.Buffer {
	i := addr / buf.SmallStride
	if i >= uint64(len(q.lent)) || !q.lent[i] {
		return nil
	}
	q.lent[i] = false
	return q.arena.At(addr)
}

// refill keeps the fill ring full, in chunks, as far as the pool has buffers.
func (q *queue) refill(p *buf.Pool) {
	moved := false
	for q.fill.room(chunk) >= chunk {
		got := p.Get(q.scratch[:])
		for _, b := range q.scratch[:got] {
			if q.aside.take(b, q.arena.Addr(b)) {
				continue
			}
			*q.fill.at(q.fill.own) = q.lend(b)
			q.fill.own++
		}
		moved = moved || got > 0
		if got < chunk {
			q.stats.RxNoBufs++
			break
		}
	}
	if moved {
		q.fill.publish()
	}
}

// reap takes back the buffers that have been sent.
func (q *queue) reap(p *buf.Pool) {
	for {
		n := min(q.done.ready(chunk), chunk)
		if n == 0 {
			return
		}
		k := 0
		for range n {
			if b := q.recall(*q.done.at(q.done.own)); b != nil {
				q.scratch[k] = b
				k++
			}
			q.done.own++
		}
		q.done.release()
		p.Put(q.scratch[:k])
	}
}
