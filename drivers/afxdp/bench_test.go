package afxdp

import (
	"fmt"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/internal/nstest"
	"github.com/skein-dataplane/skein/hdr"
)

const vector = 256

// pair is a device on each end of a veth cable.
type pair struct {
	*wire
	far   drivers.Queue
	frame []byte
	v     [vector]*buf.Buffer
}

func newPair(b *testing.B, a Attach, size int) *pair {
	p := &pair{wire: newWire(b, 1).open(b, Config{Attach: a})}
	p.far = open(b, p.pool, Config{Interface: "k0", NetNS: p.kernel.Path(), Attach: a}).Queues()[0]
	p.far.Rx(p.pool, p.v[:0])
	p.frame = nstest.FinishUDP(nstest.UDPFrame(hdr.MAC{2, 0, 0, 0, 0, 9}, hdr.MAC{2}, make([]byte, size-42)))
	return p
}

// send sends a vector from s0 and returns what that took.
func (p *pair) send(b *testing.B) time.Duration {
	p.pool.Get(p.v[:])
	for _, x := range p.v {
		x.Set(p.frame)
	}
	start := time.Now()
	if n := p.q().Tx(p.pool, p.v[:]); n != vector {
		b.Fatalf("Tx = %d, %+v", n, p.q().Stats())
	}
	return time.Since(start)
}

// receive empties the far end, and returns how many packets came and what
// that took. A call that finds nothing is not counted.
func (p *pair) receive() (packets int, took time.Duration) {
	for range 3 { // the veth delivers in softirq
		start := time.Now()
		n := p.far.Rx(p.pool, p.v[:])
		if n > 0 {
			took += time.Since(start)
		}
		packets += n
		p.pool.Put(p.v[:n])
	}
	return packets, took
}

// BenchmarkTx includes the veth's crossing to the other end, and the kernel's
// copy into the other socket there. BenchmarkRx is what is left for us.
func BenchmarkTx(b *testing.B) {
	run(b, func(b *testing.B, p *pair) (int, time.Duration) {
		took := p.send(b)
		p.receive()
		return vector, took
	})
}

func BenchmarkRx(b *testing.B) {
	run(b, func(b *testing.B, p *pair) (int, time.Duration) {
		p.send(b)
		return p.receive()
	})
}

func run(b *testing.B, round func(*testing.B, *pair) (int, time.Duration)) {
	for _, a := range ways {
		for _, size := range []int{64, 1514} {
			b.Run(fmt.Sprintf("%s/vector=%d/bytes=%d", a, vector, size), func(b *testing.B) {
				p := newPair(b, a, size)
				b.ReportAllocs()
				packets, took := 0, time.Duration(0)
				for b.Loop() {
					n, t := round(b, p)
					packets, took = packets+n, took+t
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(took)/float64(max(packets, 1)), "ns/packet")
			})
		}
	}
}

func BenchmarkMarkPartial(b *testing.B) {
	p, err := buf.NewPool(1, 0)
	if err != nil {
		b.Fatal(err)
	}
	var one [1]*buf.Buffer
	p.Get(one[:])
	one[0].Set(nstest.FinishUDP(nstest.UDPFrame(hdr.MAC{}, hdr.MAC{}, make([]byte, 22))))
	for b.Loop() {
		markPartial(one[0])
	}
}
