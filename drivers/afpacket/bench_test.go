package afpacket

import (
	"fmt"
	"testing"
	"time"
	"unsafe"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/internal/packetsock"
	"github.com/skein-dataplane/skein/drivers/vnet"
	"golang.org/x/sys/unix"
)

const vector = 256

// pair is a device on each end of a veth cable. Frames between them are for
// nobody, so that the kernel's stack drops them at once.
type pair struct {
	*wire
	far   drivers.Queue
	frame []byte
	v     [vector]*buf.Buffer
}

func newPair(b *testing.B, size int) *pair {
	p := &pair{wire: newWire(b, 1)}
	p.far = open(b, p.pool, Config{Interface: "k0", NetNS: p.kernel.Path()}).Queues()[0]
	p.frame = make([]byte, size)
	p.frame[0], p.frame[5], p.frame[12] = 2, 0x99, 8
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

func perPacket(b *testing.B, took time.Duration, packets int) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(took)/float64(packets), "ns/packet")
}

// BenchmarkTx includes the veth's crossing to the other end, and the other
// socket's enqueueing there.
func BenchmarkTx(b *testing.B) {
	for _, size := range []int{64, 1514} {
		b.Run(fmt.Sprintf("vector=%d/bytes=%d", vector, size), func(b *testing.B) {
			p := newPair(b, size)
			b.ReportAllocs()
			var took time.Duration
			packets := 0
			for b.Loop() {
				took += p.send(b)
				packets += vector
				for n := vector; n == vector; {
					n = p.far.Rx(p.pool, p.v[:])
					p.pool.Put(p.v[:n])
				}
			}
			perPacket(b, took, packets)
		})
	}
}

func BenchmarkRx(b *testing.B) { benchmarkRx(b, drivers.Queue.Rx) }

func benchmarkRx(b *testing.B, rx func(drivers.Queue, *buf.Pool, []*buf.Buffer) int) {
	for _, size := range []int{64, 1514} {
		b.Run(fmt.Sprintf("vector=%d/bytes=%d", vector, size), func(b *testing.B) {
			p := newPair(b, size)
			b.ReportAllocs()
			var took time.Duration
			packets := 0
			for b.Loop() {
				p.send(b)
				for try := 0; try < 3; try++ { // the veth delivers in softirq
					start := time.Now()
					n := rx(p.far, p.pool, p.v[:])
					if n > 0 {
						took += time.Since(start)
					}
					packets += n
					p.pool.Put(p.v[:n])
				}
			}
			perPacket(b, took, packets)
		})
	}
}

// BenchmarkRxStrategy is the way not taken: receive everything into large
// buffers, and copy small packets to small ones. Compare with BenchmarkRx.
func BenchmarkRxStrategy(b *testing.B) {
	var s struct {
		large [batch]*buf.Buffer
		msgs  [batch]packetsock.Mmsghdr
		iovs  [batch][2]unix.Iovec
		hdrs  [batch]vnet.Header
		aux   [batch]auxdata
	}
	large, err := buf.NewPool(0, batch)
	if err != nil {
		b.Fatal(err)
	}
	defer large.Arena().Close()
	large.GetLarge(s.large[:])
	for i := range s.msgs {
		s.iovs[i][0].Base = &s.hdrs[i][0]
		s.iovs[i][0].SetLen(vnet.HeaderLen)
		s.iovs[i][1].Base = unsafe.SliceData(s.large[i].Room())
		s.iovs[i][1].SetLen(len(s.large[i].Room()))
		s.msgs[i].Iov = &s.iovs[i][0]
		s.msgs[i].SetIovlen(2)
		s.msgs[i].Control = (*byte)(unsafe.Pointer(&s.aux[i]))
	}
	benchmarkRx(b, func(q drivers.Queue, p *buf.Pool, into []*buf.Buffer) (n int) {
		for n < len(into) {
			for i := range s.msgs {
				s.msgs[i].SetControllen(int(unsafe.Sizeof(auxdata{})))
			}
			got, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(q.FD()),
				uintptr(unsafe.Pointer(&s.msgs[0])), batch, unix.MSG_DONTWAIT, 0, 0)
			if errno != 0 {
				return n
			}
			p.Get(into[n : n+int(got)])
			for i := range int(got) {
				s.large[i].SetLen(int(s.msgs[i].N) - vnet.HeaderLen)
				into[n].Set(s.large[i].Bytes())
				vnet.Decode(&s.hdrs[i], into[n])
				n++
			}
			if got < batch {
				return n
			}
		}
		return n
	})
}
