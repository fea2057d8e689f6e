// Package mem answers one question: how is a graph fed without any kernel?
//
// A Device receives packets that lie in memory and keeps, or forgets, what is
// sent. It serves tests and benchmarks. Receiving copies each packet, since a
// graph changes what it is given. Receiving and forgetting a packet together
// cost 10 ns at 64 bytes and 22 ns at 1,500, pool included (BenchmarkRxTx,
// vectors of 256, AMD EPYC): take that off a graph's own figures.
// Maturity: stable.
package mem

import (
	"net"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
)

// A Packet is something to receive.
type Packet struct {
	Data []byte // at most 65,856 bytes: what a large buffer takes
	// Offload are the fields of a buf.Buffer of the same names, and its flags,
	// all counted from the start of Data.
	Offload Offload
}

// Offload is what a device would say of a packet.
type Offload struct {
	Flags                 buf.Flags // CsumPartial, CsumValid
	CsumStart, CsumOffset uint16
	GSOType               buf.GSOType
	GSOSize, HdrEnd       uint16
}

// Forever makes a source start over each time that it is through.
const Forever = -1

// Config says what a device is like. The zero Config is an IP device with one
// queue that receives nothing and forgets what is sent.
type Config struct {
	Rx   [][]Packet   // what each queue receives, in order; the length is the number of queues
	Loop int          // how often to start over, or Forever
	Keep int          // sent packets that each queue holds before it is full; 0: they are forgotten
	Info drivers.Info // an empty Driver becomes "memory", an MTU of 0 becomes 1500
}

// A Device is a device in memory.
type Device struct {
	info   drivers.Info
	queues []drivers.Queue
}

// New makes a device.
func New(c Config) *Device {
	d := &Device{info: c.Info}
	if d.info.Driver == "" {
		d.info.Driver = "memory"
	}
	if d.info.MTU == 0 {
		d.info.MTU = 1500
	}
	if d.info.Ethernet && d.info.MAC == nil {
		d.info.MAC = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	}
	if len(c.Rx) == 0 {
		c.Rx = make([][]Packet, 1)
	}
	for _, packets := range c.Rx {
		d.queues = append(d.queues, &Queue{source: NewSource(packets, c.Loop), sent: make([]*buf.Buffer, 0, c.Keep)})
	}
	return d
}

// Info implements drivers.Device.
func (d *Device) Info() drivers.Info { return d.info }

// Queues implements drivers.Device. Each is a *Queue.
func (d *Device) Queues() []drivers.Queue { return d.queues }

// Close implements drivers.Device.
func (d *Device) Close() error { return nil }

// A Queue is a queue in memory.
type Queue struct {
	source *Source
	sent   []*buf.Buffer
	stats  drivers.Stats
}

// Rx implements drivers.Queue.
func (q *Queue) Rx(p *buf.Pool, into []*buf.Buffer) int { return q.source.Rx(p, into, &q.stats) }

// Tx implements drivers.Queue.
func (q *Queue) Tx(p *buf.Pool, bufs []*buf.Buffer) (sent int) {
	if cap(q.sent) == 0 {
		p.Put(bufs)
		return len(bufs)
	}
	sent = min(len(bufs), cap(q.sent)-len(q.sent))
	q.sent = append(q.sent, bufs[:sent]...)
	if sent < len(bufs) {
		q.stats.TxFull++
	}
	return sent
}

// Sent returns what has been sent and is held. It is the queue's until
// Release.
func (q *Queue) Sent() []*buf.Buffer { return q.sent }

// Release forgets what has been sent, and so makes room for more.
func (q *Queue) Release(p *buf.Pool) {
	p.Put(q.sent)
	q.sent = q.sent[:0]
}

// FD implements drivers.Queue: there is nothing to sleep on.
func (q *Queue) FD() int { return -1 }

// Stats implements drivers.Queue.
func (q *Queue) Stats() drivers.Stats { return q.stats }

// Close implements drivers.Queue.
func (q *Queue) Close(p *buf.Pool) error {
	q.source.Stop()
	q.Release(p)
	return nil
}

var _ drivers.Queue = (*Queue)(nil)
var _ drivers.Device = (*Device)(nil)
