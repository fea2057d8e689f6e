package tuntap

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/vnet"
	"github.com/skein-dataplane/skein/internal/lab"
)

// What a kernel sends is read, with its checksum left to us where offload says
// so, and finished where not.
func TestRxFromUDPSocket(t *testing.T) {
	for _, c := range []Config{
		{Name: "tun0", Mode: TUN, Offload: true},
		{Name: "tun0", Mode: TUN},
		{Name: "tun0", Mode: TUN, MTU: 9000},
	} {
		t.Run(fmt.Sprintf("offload=%v MTU=%d", c.Offload, c.MTU), func(t *testing.T) { testRx(t, c) })
	}
}

func testRx(t *testing.T, c Config) {
	b := newBench(t)
	d := b.create(b.space("pod"), c)
	b.pod(d, "10.0.0.1")
	conn, err := b.lab.Get("pod").DialUDP(port("192.0.2.1", 7))
	lab.Need(t, err)
	payload := bytes.Repeat([]byte("skein"), 200)
	for range 3 {
		_, err = conn.Write(payload)
		lab.Need(t, err)
	}
	lab.Need(t, conn.Close())
	got := b.rx(d.queues[0], 3)
	for _, p := range got {
		if p.Off() != buf.Headroom || p.Flags&buf.Large != 0 || p.Len() != 1028 || p.Bytes()[0] != 0x45 || !bytes.Equal(p.Bytes()[28:], payload) {
			t.Errorf("%+v: got % x…", c, p.Bytes()[:28])
		}
		if partial := p.Flags&buf.CsumPartial != 0; partial != c.Offload {
			t.Errorf("%+v: checksum partial: %v", c, partial)
		}
		if c.Offload && (int(p.CsumStart) != p.Off()+20 || p.CsumOffset != 6) {
			t.Errorf("checksum at %d+%d, want %d+6", p.CsumStart, p.CsumOffset, p.Off()+20)
		}
	}
	b.pool.Put(got)
}

// udp4 builds a datagram from 192.0.2.1:7. Its checksum is that of the pseudo
// header only (RFC 768).
func udp4(dst string, dstPort uint16, payload []byte) []byte {
	p := make([]byte, 28+len(payload))
	addr := port(dst, 0).Addr().As4()
	p[0], p[8], p[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	copy(p[12:], []byte{192, 0, 2, 1})
	copy(p[16:], addr[:])
	binary.BigEndian.PutUint16(p[10:], ^sum(p[:20], 0))
	binary.BigEndian.PutUint16(p[20:], 7)
	binary.BigEndian.PutUint16(p[22:], dstPort)
	binary.BigEndian.PutUint16(p[24:], uint16(8+len(payload)))
	binary.BigEndian.PutUint16(p[26:], sum(p[12:20], unix.IPPROTO_UDP+uint32(8+len(payload))))
	copy(p[28:], payload)
	return p
}

// sum is the Internet checksum, not yet complemented (RFC 1071).
func sum(b []byte, s uint32) uint16 {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// finish puts the whole checksum in, in place of the pseudo header's.
func finish(p []byte) []byte {
	binary.BigEndian.PutUint16(p[26:], ^sum(p[20:], 0))
	return p
}

// A packet that we write reaches a socket: with a checksum that is left to the
// kernel, with a finished one, and from a frame without headroom.
func TestTxReachesUDPSocket(t *testing.T) {
	for _, offload := range []bool{true, false} {
		t.Run(fmt.Sprintf("offload=%v", offload), func(t *testing.T) { testTx(t, offload) })
	}
}

func testTx(t *testing.T, offload bool) {
	b := newBench(t)
	d := b.create(b.space("pod"), Config{Name: "tun0", Offload: offload})
	b.pod(d, "10.0.0.1")
	conn, err := b.lab.Get("pod").ListenUDP(port("10.0.0.1", 0))
	lab.Need(t, err)
	defer conn.Close()
	dstPort := conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	bufs := make([]*buf.Buffer, 4)
	b.pool.Get(bufs)
	payloads := []string{"partial", "finished", "no headroom", "broken"}
	for i, text := range payloads {
		p := udp4("10.0.0.1", dstPort, []byte(text))
		switch text {
		case "partial":
			bufs[i].Set(p)
			bufs[i].Flags |= buf.CsumPartial
			bufs[i].CsumStart, bufs[i].CsumOffset = uint16(bufs[i].Off()+20), 6
		case "no headroom":
			bufs[i].SetSpan(4, 4+len(p))
			copy(bufs[i].Bytes(), finish(p))
		case "finished":
			bufs[i].Set(finish(p))
		case "broken": // the kernel must find the wrong checksum
			finish(p)[26] ^= 0x55
			bufs[i].Set(p)
		}
	}
	if n := d.queues[0].Tx(b.pool, bufs); n != 4 {
		t.Errorf("offload %v: Tx took %d of 4", offload, n)
	}
	wantErrors := uint64(0)
	want := payloads[:3]
	if !offload {
		wantErrors, want = 1, payloads[1:3] // nobody would finish the first
	}
	got := make([]byte, 100)
	for _, text := range want {
		lab.Need(t, conn.SetReadDeadline(time.Now().Add(time.Second)))
		n, err := conn.Read(got)
		if err != nil || string(got[:n]) != text {
			t.Errorf("offload %v: read %q, %v, want %q", offload, got[:n], err, text)
		}
	}
	lab.Need(t, conn.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	if n, err := conn.Read(got); err == nil {
		t.Errorf("offload %v: %q came as well", offload, got[:n])
	}
	if s := d.queues[0].Stats(); s.TxErrors != wantErrors {
		t.Errorf("offload %v: %+v", offload, s)
	}
}

func TestEmptyAndExhausted(t *testing.T) {
	b := newBench(t)
	d := b.create(b.space("pod"), Config{Name: "tun0", Offload: true})
	b.pod(d, "10.0.0.1")
	q := d.queues[0]
	into := make([]*buf.Buffer, 8)
	if n := q.Rx(b.pool, into); n != 0 || q.Stats() != (drivers.Stats{Syscalls: 1}) {
		t.Errorf("an empty queue gave %d packets, %+v", n, q.Stats())
	}
	conn, err := b.lab.Get("pod").DialUDP(port("192.0.2.1", 7))
	lab.Need(t, err)
	defer conn.Close()
	for range 3 {
		_, err = conn.Write([]byte("x"))
		lab.Need(t, err)
	}
	// Without large frames nothing is read, and nothing is lost.
	large := make([]*buf.Buffer, b.pool.Stats().Large)
	b.pool.GetLarge(large)
	if n := q.Rx(b.pool, into); n != 0 || q.Stats().RxNoBufs != 1 {
		t.Errorf("without buffers: %d packets, %+v", n, q.Stats())
	}
	b.pool.Put(large)
	// Without small ones, large ones do.
	small := make([]*buf.Buffer, b.pool.Stats().Small)
	b.pool.Get(small)
	n := q.Rx(b.pool, into[:2])
	if n != 2 || into[0].Flags&buf.Large == 0 || into[0].Len() != 29 {
		t.Errorf("without small frames: %d packets, %+v", n, q.Stats())
	}
	b.pool.Put(into[:n])
	b.pool.Put(small)
	if n = q.Rx(b.pool, into); n != 1 || into[0].Flags&buf.Large != 0 {
		t.Errorf("with all buffers: %d packets, want the 1 that waited", n)
	}
	b.pool.Put(into[:n])
}

// An interface that is down, or gone, refuses all packets. That is counted,
// once for each packet, and takes one system call per vector.
func TestDownAndGone(t *testing.T) {
	b := newBench(t)
	d := b.create(b.space("pod"), Config{Name: "tun0", Offload: true})
	q := d.queues[0]
	send := func() drivers.Stats {
		bufs := make([]*buf.Buffer, 32)
		b.pool.Get(bufs)
		for _, x := range bufs {
			x.Set(finish(udp4("10.0.0.1", 9, []byte("x"))))
		}
		before := q.Stats()
		if n := q.Tx(b.pool, bufs); n != 32 {
			t.Errorf("Tx took %d of 32", n)
		}
		after := q.Stats()
		return drivers.Stats{TxErrors: after.TxErrors - before.TxErrors, Syscalls: after.Syscalls - before.Syscalls}
	}
	refused := drivers.Stats{TxErrors: 32, Syscalls: 1}
	if s := send(); s != refused {
		t.Errorf("before it is up: %+v", s)
	}
	l := b.pod(d, "10.0.0.1")
	if s := send(); s != (drivers.Stats{Syscalls: 32}) {
		t.Errorf("up: %+v", s)
	}
	lab.Need(t, l.SetDown())
	if s := send(); s != refused {
		t.Errorf("down: %+v", s)
	}
	lab.Need(t, d.Delete())
	if s := send(); s != refused {
		t.Errorf("gone: %+v", s)
	}
	into := make([]*buf.Buffer, 4)
	if n := q.Rx(b.pool, into); n != 0 || q.Stats().RxErrors != 1 {
		t.Errorf("gone: Rx gave %d, %+v", n, q.Stats())
	}
	lab.Need(t, q.Close(b.pool))
	lab.Need(t, q.Close(b.pool))
	if s := send(); s != refused {
		t.Errorf("closed: %+v", s)
	}
}

// A packet that the kernel does not like is skipped, and those behind it go
// their way.
func TestTxSkipsRefused(t *testing.T) {
	b := newBench(t)
	d := b.create(b.space("pod"), Config{Name: "tun0", Offload: true})
	b.pod(d, "10.0.0.1")
	conn, err := b.lab.Get("pod").ListenUDP(port("10.0.0.1", 9))
	lab.Need(t, err)
	defer conn.Close()
	bufs := make([]*buf.Buffer, 5)
	b.pool.Get(bufs)
	for i, x := range bufs {
		x.Set(finish(udp4("10.0.0.1", 9, []byte{byte(i)})))
	}
	bufs[0].Bytes()[0] = 0x75                            // version 7
	bufs[1].Trim(0)                                      // nothing
	bufs[2].Flags |= buf.CsumPartial                     // a checksum from the frame's start on
	bufs[3].GSOType, bufs[3].GSOSize = buf.GSOTCPv4, 100 // UDP is not TCP
	if n := d.queues[0].Tx(b.pool, bufs); n != 5 || d.queues[0].Stats().TxErrors != 4 {
		t.Errorf("Tx took %d of 5, %+v", n, d.queues[0].Stats())
	}
	lab.Need(t, conn.SetReadDeadline(time.Now().Add(time.Second)))
	got := make([]byte, 10)
	if n, err := conn.Read(got); err != nil || n != 1 || got[0] != 4 {
		t.Errorf("read % x, %v, want the last packet", got[:n], err)
	}
}

func TestNoAllocs(t *testing.T) {
	for _, offload := range []bool{true, false} {
		b := newBench(t)
		d := b.create(b.space("pod"), Config{Name: "tun0", Offload: offload})
		b.pod(d, "10.0.0.1")
		q, into := d.queues[0], make([]*buf.Buffer, 32)
		packet := finish(udp4("10.0.0.1", 9, []byte("x")))
		conn, err := b.lab.Get("pod").DialUDP(port("192.0.2.1", 7))
		lab.Need(t, err)
		defer conn.Close()
		if n := testing.AllocsPerRun(100, func() {
			_, _ = conn.Write(packet)
			n := q.Rx(b.pool, into)
			b.pool.Put(into[:n])
			n = b.pool.Get(into)
			for _, x := range into[:n] {
				x.Set(packet)
			}
			sent := q.Tx(b.pool, into[:n])
			b.pool.Put(into[sent:n])
		}); n != 0 {
			t.Errorf("offload %v: %v allocations per vector", offload, n)
		}
	}
}

// One call reads no more than stays in the cache until it is written.
func TestRxStopsAfterBytes(t *testing.T) {
	b := newBench(t)
	n := b.space("pod")
	d := b.create(n, Config{Name: "tun0", Offload: true})
	b.pod(d, "10.0.0.1")
	conn, err := n.DialUDP(port("192.0.2.1", 7))
	lab.Need(t, err)
	defer conn.Close()
	segment(t, conn, 1000)
	for range 10 {
		_, err := conn.Write(make([]byte, 50_000))
		lab.Need(t, err)
	}
	into := make([]*buf.Buffer, 256)
	for _, want := range []int{6, 4, 0} { // 6 of 50,028 bytes are the first above 262,144
		got := d.queues[0].Rx(b.pool, into)
		if got != want {
			t.Errorf("%d packets, want %d", got, want)
		}
		b.pool.Put(into[:got])
	}
}

// The MTU of an open plain device is raised behind our back: what does not fit
// is lost and counted, and never half a packet is handed out.
func TestPlainPacketTooLarge(t *testing.T) {
	b := newBench(t)
	n := b.space("pod")
	d := b.create(n, Config{Name: "tun0"})
	lab.Need(t, b.pod(d, "10.0.0.1").SetMTU(9000))
	conn, err := n.DialUDP(port("192.0.2.1", 7))
	lab.Need(t, err)
	defer conn.Close()
	for _, size := range []int{smallRoom - 28, smallRoom - 29, 5000} {
		_, err := conn.Write(make([]byte, size))
		lab.Need(t, err)
	}
	into := make([]*buf.Buffer, 8)
	got := d.queues[0].Rx(b.pool, into)
	if got != 1 || into[0].Len() != smallRoom-1 || d.queues[0].Stats().RxErrors != 2 {
		t.Errorf("%d packets, %+v", got, d.queues[0].Stats())
	}
	b.pool.Put(into[:got])
}

// A header that the packet contradicts costs the packet, and no buffer.
func TestTakeRefusesNonsense(t *testing.T) {
	pool, err := buf.NewPool(4, 2)
	lab.Need(t, err)
	defer pool.Arena().Close()
	for _, size := range []int{0, 5, vnet.HeaderLen, 100, 10_000, buf.LargeStride} {
		q := newQueue(-1, true)
		pool.GetLarge(q.frame[:])
		f := q.frame[0]
		f.SetSpan(buf.Headroom-vnet.HeaderLen, buf.Headroom)
		h := f.Bytes()
		copy(h, bytes.Repeat([]byte{0xff}, len(h)))
		var out [1]*buf.Buffer
		if q.take(pool, size, out[:]) {
			t.Errorf("%d bytes were taken", size)
		}
		if q.frame[0] != nil {
			pool.Put(q.frame[:])
		}
		if s := pool.Stats(); s.SmallFree != 4 || s.LargeFree != 2 {
			t.Errorf("%d bytes: %+v", size, s)
		}
	}
}
