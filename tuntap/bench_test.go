package tuntap

import (
	"fmt"
	"net"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers/vnet"
	"github.com/skein-dataplane/skein/internal/lab"
)

// rxScatter is the other way to receive: one readv into a small frame, and
// what does not fit into a large one. It is here to be measured beside
// Queue.Rx.
func rxScatter(q *Queue, p *buf.Pool, into []*buf.Buffer) int {
	var small, large [1]*buf.Buffer
	var iov [2]unix.Iovec
	n := 0
	for ; n < len(into); n++ {
		if small[0] == nil {
			if p.Get(small[:]) == 0 {
				break
			}
			small[0].SetSpan(buf.Headroom-vnet.HeaderLen, buf.SmallStride)
			iov[0] = space(small[0].Bytes())
		}
		if large[0] == nil {
			if p.GetLarge(large[:]) == 0 {
				break
			}
			iov[1] = space(large[0].Room()[smallRoom:])
		}
		size, _, errno := unix.RawSyscall(unix.SYS_READV, uintptr(q.fd), uintptr(unsafe.Pointer(&iov)), 2)
		if errno != 0 {
			break
		}
		packet := int(size) - vnet.HeaderLen
		h := (*vnet.Header)(small[0].Bytes())
		b := &small
		if packet > smallRoom {
			b = &large
			copy(b[0].Room(), small[0].Bytes()[vnet.HeaderLen:])
		}
		b[0].SetLen(packet)
		if !vnet.Decode(h, b[0]) {
			panic("the kernel has sent nonsense")
		}
		into[n], b[0] = b[0], nil
	}
	for _, kept := range [][1]*buf.Buffer{small, large} {
		if kept[0] != nil {
			p.Put(kept[:])
		}
	}
	return n
}

// Reading what a namespace has sent. A superpacket counts as one packet.
func BenchmarkRx(b *testing.B) {
	ways := []struct {
		name string
		rx   func(*Queue, *buf.Pool, []*buf.Buffer) int
	}{{"moving", (*Queue).Rx}, {"scatter", rxScatter}}
	for _, c := range []struct {
		name            string
		size, gso, mtu  int // bytes of payload, of a segment, of an IP packet
		vector, packets int
	}{
		{"bytes=64", 64 - 28, 0, 1500, 256, 256},
		{"bytes=1400", 1400 - 28, 0, 1500, 256, 256},
		{"bytes=8900", 8900 - 28, 0, 9000, 128, 128},
		{"bytes=1400x45", 63000, 1400, 1500, 64, 64},
	} {
		for _, way := range ways {
			b.Run(fmt.Sprintf("%s/%s/vector=%d", way.name, c.name, c.vector), func(b *testing.B) {
				t := newBench(b)
				n := t.space("pod")
				d := t.create(n, Config{Name: "tun0", Offload: true, MTU: c.mtu})
				t.pod(d, "10.0.0.1")
				conn, err := n.DialUDP(port("192.0.2.1", 7))
				lab.Need(b, err)
				defer conn.Close()
				if c.gso > 0 {
					segment(b, conn, c.gso)
				}
				lab.Need(b, conn.SetWriteBuffer(16<<20))
				payload, into := make([]byte, c.size), make([]*buf.Buffer, c.vector)
				q := d.queues[0]
				var spent time.Duration
				total := 0
				for b.Loop() {
					for range c.packets {
						_, _ = conn.Write(payload) // what is dropped is not counted
					}
					for got := 1; got > 0; total += got {
						start := time.Now()
						got = way.rx(q, t.pool, into)
						spent += time.Since(start)
						t.pool.Put(into[:got])
					}
				}
				if total == 0 {
					b.Fatal("nothing received")
				}
				b.ReportMetric(float64(spent.Nanoseconds())/float64(total), "ns/packet")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

func segment(t testing.TB, conn *net.UDPConn, size int) {
	raw, err := conn.SyscallConn()
	lab.Need(t, err)
	var set error
	lab.Need(t, raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, size) }))
	lab.Need(t, set)
}

// A queue with nothing to read, which is what most pods' queues are.
func BenchmarkRxEmpty(b *testing.B) {
	t := newBench(b)
	d := t.create(t.space("pod"), Config{Name: "tun0", Offload: true})
	into := make([]*buf.Buffer, 256)
	b.ReportAllocs()
	for b.Loop() {
		d.queues[0].Rx(t.pool, into)
	}
}

// Writing to a namespace that drops what it gets, as it is for nobody there.
// The superpacket is of 45 datagrams, and counts as one packet.
func BenchmarkTx(b *testing.B) {
	for _, c := range []struct {
		name      string
		size, gso int
		offload   bool
	}{
		{"plain/bytes=64", 64, 0, false},
		{"offload/bytes=64", 64, 0, true},
		{"offload/bytes=1400", 1400, 0, true},
		{"offload/bytes=1400x45", 63000, 1400, true},
	} {
		b.Run(c.name+"/vector=64", func(b *testing.B) {
			t := newBench(b)
			d := t.create(t.space("pod"), Config{Name: "tun0", Offload: c.offload})
			t.pod(d, "10.0.0.1")
			bufs := make([]*buf.Buffer, 64)
			get := t.pool.Get
			if c.size > smallRoom {
				get = t.pool.GetLarge
			}
			packet := udp4("10.0.0.2", 9, make([]byte, c.size-28))
			if c.gso == 0 {
				finish(packet)
			}
			get(bufs)
			for _, x := range bufs {
				x.Set(packet)
			}
			t.pool.Put(bufs)
			b.ReportAllocs()
			for b.Loop() {
				get(bufs)
				for _, x := range bufs { // the bytes are there already
					x.SetLen(c.size)
					if c.gso > 0 {
						x.Flags |= buf.CsumPartial
						x.GSOType, x.GSOSize, x.HdrEnd = buf.GSOUDP, uint16(c.gso), buf.Headroom+28
						x.CsumStart, x.CsumOffset = buf.Headroom+20, 6
					}
				}
				if n := d.queues[0].Tx(t.pool, bufs); n != len(bufs) {
					b.Fatalf("%d sent", n)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/packet")
			if s := d.queues[0].Stats(); s.TxErrors > 0 {
				b.Errorf("%+v", s)
			}
		})
	}
}

// TCP between two namespaces, by way of two TUNs and a loop, beside the
// kernel's own forwarding over veth pairs.
func BenchmarkTCP(b *testing.B) {
	type ends struct{ from, to *lab.Namespace }
	tuns := func(c Config) func(*bench) ends {
		return func(t *bench) ends {
			x, y, _ := t.pair(c, lab.PodAddr, lab.OtherPodAddr, lab.PodAddr6, lab.OtherPodAddr6)
			return ends{x, y}
		}
	}
	for _, way := range []struct {
		name  string
		build func(*bench) ends
	}{
		{"kernel", func(t *bench) ends {
			k, err := t.lab.KernelPair()
			lab.Need(t, err)
			return ends{k.PodA, k.PodB}
		}},
		{"tun=offload", tuns(Config{Name: "eth0", Offload: true})},
		{"tun=plain", tuns(Config{Name: "eth0"})},
	} {
		for _, streams := range []int{1, 4} {
			b.Run(fmt.Sprintf("%s/streams=%d", way.name, streams), func(b *testing.B) {
				t := newBench(b)
				e := way.build(t)
				var sum lab.Rate
				for b.Loop() {
					r, err := lab.Transfer{From: e.from, To: e.to, Addr: port(lab.OtherPodAddr, 0),
						Duration: 300 * time.Millisecond, Streams: streams, Blind: true}.Run(t.within(10 * time.Second))
					lab.Need(b, err)
					sum.Bytes += r.Bytes
					sum.Elapsed += r.Elapsed
				}
				b.ReportMetric(sum.Gbps(), "Gb/s")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
