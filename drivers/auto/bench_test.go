package auto

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/internal/nstest"
)

// BenchmarkForward carries 64-byte frames from one veth cable to another on
// one thread, while another floods the first. It reports the time per packet
// that the first is busy, the kernel's share within its system calls included,
// and how many packets came at a time: few if the flood was the slower one.
func BenchmarkForward(b *testing.B) {
	for _, driver := range []string{AFPacket, AFXDP} {
		b.Run(driver+"/vector=256/bytes=64", func(b *testing.B) {
			from, via, to := nstest.New(b), nstest.New(b), nstest.New(b)
			nstest.Veth(b, from, "a0", via, "a1", 1)
			nstest.Veth(b, via, "b1", to, "b0", 1)
			pool := nstest.NewPool(b, 16384, 512)
			in := queue(b, Config{Interface: "a1", NetNS: via.Path(), Driver: driver}, pool)
			out := queue(b, Config{Interface: "b1", NetNS: via.Path(), Driver: driver}, pool)
			stop := flood(b, Config{Interface: "a0", NetNS: from.Path(), Driver: AFXDP})
			defer stop()
			var v [256]*buf.Buffer
			packets, vectors, busy := 0, 0, time.Duration(0)
			for b.Loop() {
				start := time.Now()
				n := in.Rx(pool, v[:])
				if n == 0 {
					time.Sleep(20 * time.Microsecond) // let a vector gather
					continue
				}
				sent := out.Tx(pool, v[:n])
				busy += time.Since(start)
				pool.Put(v[sent:n])
				packets += sent
				vectors++
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(busy)/float64(max(packets, 1)), "busy-ns/packet")
			b.ReportMetric(float64(packets)/float64(max(vectors, 1)), "packets/vector")
		})
	}
}

func queue(b *testing.B, c Config, p *buf.Pool) drivers.Queue {
	b.Helper()
	d, _, err := Open(c, []*buf.Pool{p})
	if err != nil {
		b.Fatal(err)
	}
	q := d.Queues()[0]
	b.Cleanup(func() {
		if err := q.Close(p); err != nil {
			b.Error(err)
		}
		if err := d.Close(); err != nil {
			b.Error(err)
		}
	})
	return q
}

// flood sends from a thread of its own until it is stopped.
func flood(b *testing.B, c Config) (stop func()) {
	p := nstest.NewPool(b, 8192, 64)
	q := queue(b, c, p)
	var over atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		var v [256]*buf.Buffer
		for !over.Load() {
			n := p.Get(v[:])
			for _, x := range v[:n] {
				x.SetLen(64)
				clear(x.Bytes())
				x.Bytes()[0], x.Bytes()[12] = 2, 8
			}
			p.Put(v[q.Tx(p, v[:n]):n])
		}
	}()
	return func() { over.Store(true); <-done }
}
