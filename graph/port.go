package graph

import (
	"fmt"
	"slices"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/state"
)

// txRoom is the number of packets that may wait for a device in one sweep
// before they are sent at once.
const txRoom = 2 * MaxVector

// PortCounters are what an interface has seen, as users count it: bytes with
// the Ethernet header if there is one, and a superpacket as one packet.
type PortCounters struct {
	RxPackets, RxBytes uint64
	TxPackets, TxBytes uint64
	Drops              uint64 // received here, and dropped with a reason
	TxFull             uint64 // to be sent here, and dropped: the device had no room
}

// A Port is an interface's queues at one worker.
type Port struct {
	PortCounters
	index  uint32
	queues []drivers.Queue
	peer   int // the ID of the worker that sends, if there are no queues here
	out    []*buf.Buffer
	faults int // polls in a row that found an error and no packet
}

// maxFaults is after how many such polls the device counts as gone. A link
// that goes down is one; a TUN that somebody has deleted polls so for ever.
const maxFaults = 16

// AddPort gives the worker the queues of interface i. The State may show the
// interface before or after. Only the worker's goroutine may call it.
func (w *Worker) AddPort(i uint32, queues []drivers.Queue) error {
	if w.port(i) != nil {
		return fmt.Errorf("graph: interface %d has queues already", i)
	}
	if len(queues) == 0 || len(queues) > 256 {
		return fmt.Errorf("graph: interface %d with %d queues: from 1 to 256 are possible", i, len(queues))
	}
	p := newPort(i, queues)
	for n, q := range queues {
		if err := w.poller.add(q.FD(), i, n); err != nil {
			for m, done := range queues[:n] {
				w.poller.remove(done.FD(), i, m)
			}
			return fmt.Errorf("graph: watch queue %d of interface %d: %w", n, i, err)
		}
	}
	for _, q := range queues {
		q.Rx(w.Pool, nil) // a device may want buffers before packets can come
		if f, ok := q.(drivers.Filler); ok {
			w.fillers = append(w.fillers, f)
		}
	}
	w.setPort(p)
	return nil
}

// AddFarPort tells the worker which other one, by its ID, has queues of interface
// i, of which it has none itself: it hands over what goes out there. Only the
// worker's goroutine may call it, and RemovePort undoes it.
func (w *Worker) AddFarPort(i uint32, peer int) error {
	switch {
	case w.port(i) != nil:
		return fmt.Errorf("graph: interface %d has queues already", i)
	case peer < 0 || peer >= len(w.peers) || peer == w.id:
		return fmt.Errorf("graph: interface %d at worker %d: it is not another worker", i, peer)
	}
	p := newPort(i, nil)
	p.peer = peer
	w.setPort(p)
	return nil
}

func newPort(i uint32, queues []drivers.Queue) *Port {
	return &Port{index: i, queues: queues, out: make([]*buf.Buffer, 0, txRoom)}
}

func (w *Worker) setPort(p *Port) {
	for int(p.index) >= len(w.ports) {
		w.ports = append(w.ports, nil)
	}
	w.ports[p.index] = p
	w.dirty = append(make([]*Port, 0, len(w.ports)), w.dirty...)
}

// RemovePort takes the queues of interface i away and closes them. Only the
// worker's goroutine may call it.
func (w *Worker) RemovePort(i uint32) error {
	p := w.port(i)
	if p == nil {
		return fmt.Errorf("graph: interface %d has no queues", i)
	}
	w.Flush()
	w.ports[i] = nil
	var failed error
	for n, q := range p.queues {
		w.poller.remove(q.FD(), i, n)
		w.fillers = slices.DeleteFunc(w.fillers, func(f drivers.Filler) bool { return f == q })
		if err := q.Close(w.Pool); err != nil && failed == nil {
			failed = fmt.Errorf("graph: close a queue of interface %d: %w", i, err)
		}
	}
	return failed
}

// Send puts packets before the device of interface i; Flush sends them. It
// takes them over, and reports false, without taking any, if there is no
// such device.
func (w *Worker) Send(i uint32, bufs []*buf.Buffer) bool {
	p := w.port(i)
	if p == nil {
		return false
	}
	if len(p.out) == 0 {
		w.dirty = append(w.dirty, p)
	}
	if len(bufs) == 1 && len(p.out) < cap(p.out) {
		p.out = append(p.out, bufs[0]) // without a call
		return true
	}
	for len(bufs) > 0 {
		if len(p.out) == cap(p.out) {
			w.flush(p)
		}
		n := min(len(bufs), cap(p.out)-len(p.out))
		p.out = append(p.out, bufs[:n]...)
		bufs = bufs[n:]
	}
	return true
}

// Flush hands what Send has gathered to the devices, and what Cross has to the
// other workers.
func (w *Worker) Flush() {
	for _, p := range w.dirty {
		w.flush(p)
	}
	w.dirty = w.dirty[:0]
	if w.unseen != 0 {
		w.publish()
	}
}

// flush sends what waits. A device that has no room for all of it loses the
// rest, as a NIC does when its ring is full: waiting would let one slow pod
// stop all others.
func (w *Worker) flush(p *Port) {
	out := p.out
	p.out = p.out[:0]
	switch {
	case len(out) == 0:
		return
	case len(p.queues) == 0:
		w.flushFar(p, out)
		return
	}
	var bytes uint64
	for _, b := range out {
		bytes += uint64(b.Len())
	}
	q := p.queues[0]
	sent := q.Tx(w.Pool, out)
	for _, b := range out[sent:] {
		bytes -= uint64(b.Len())
	}
	p.TxPackets += uint64(sent)
	p.TxBytes += bytes
	p.TxFull += uint64(len(out) - sent)
	w.Pool.Put(out[sent:])
}

// flushFar hands over what another worker is to send, which counts it there. What
// finds no room is lost as before a device.
func (w *Worker) flushFar(p *Port, out []*buf.Buffer) {
	for len(out) > 0 && w.push(p.peer, toDevice|target(p.index), out[0]) {
		out = out[1:]
	}
	p.TxFull += uint64(len(out))
	w.Pool.Put(out)
}

// rx takes up to len(into) packets from a queue into the graph.
func (w *Worker) rx(p *Port, queue int, into []*buf.Buffer) int {
	n := p.queues[queue].Rx(w.Pool, into)
	if n == 0 {
		return 0
	}
	bufs := into[:n]
	var bytes uint64
	for _, b := range bufs {
		bytes += uint64(b.Len())
	}
	p.RxPackets += uint64(n)
	p.RxBytes += bytes
	w.receive(p.index, bufs)
	return n
}

// fault takes in that a queue polled an error and had no packet, and stops
// asking a device that is gone.
func (w *Worker) fault(p *Port, queue int) {
	if p.faults++; p.faults < maxFaults {
		return
	}
	p.faults = 0
	w.poller.remove(p.queues[queue].FD(), p.index, queue)
	w.Notify(state.Notice{Kind: state.DeviceGone, Iface: p.index})
}

// hungry feeds the devices that have no buffers to receive into, and reports
// whether one is left that has none.
func (w *Worker) hungry() (still bool) {
	for _, f := range w.fillers {
		if f.Starves() {
			f.Rx(w.Pool, nil)
			still = still || f.Starves()
		}
	}
	return still
}
