package afpacket

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/internal/nstest"
	"github.com/skein-dataplane/skein/hdr"
)

// wire is a namespace with a kernel at one end of a cable, ours, and a device
// on the other end.
type wire struct {
	kernel, skein *nstest.NS
	pool          *buf.Pool
	dev           *Device
	mac           net.HardwareAddr // the kernel's
}

// newWire gives the kernel's end, k0, the address 10.0.0.1/24 and the
// neighbour 10.0.0.2; the device is on s0.
func newWire(t testing.TB, queues int) *wire {
	t.Helper()
	w := &wire{kernel: nstest.New(t), skein: nstest.New(t)}
	w.pool = nstest.NewPool(t, 4096, 256)
	nstest.Veth(t, w.kernel, "k0", w.skein, "s0", 2)
	w.kernel.Addr(t, "k0", "10.0.0.1/24")
	w.mac = w.kernel.Link(t, "k0").Attrs().HardwareAddr
	w.kernel.Neigh(t, "k0", "10.0.0.2", w.skein.Link(t, "s0").Attrs().HardwareAddr)
	w.dev = open(t, w.pool, Config{Interface: "s0", NetNS: w.skein.Path(), Queues: queues})
	return w
}

func open(t testing.TB, p *buf.Pool, c Config) *Device {
	t.Helper()
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, q := range d.Queues() {
			if err := q.Close(p); err != nil {
				t.Error(err)
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (w *wire) q() drivers.Queue { return w.dev.Queues()[0] }

// udp makes a packet from 10.0.0.2:7 to 10.0.0.1:9 with a partial checksum.
func (w *wire) udp(t testing.TB, payload []byte) *buf.Buffer {
	t.Helper()
	var one [1]*buf.Buffer
	get := w.pool.Get
	if len(payload) > 1500 {
		get = w.pool.GetLarge
	}
	if get(one[:]) != 1 {
		t.Fatal("pool empty")
	}
	b := one[0]
	src := hdr.MAC(w.skein.Link(t, "s0").Attrs().HardwareAddr)
	b.Set(nstest.UDPFrame(hdr.MAC(w.mac), src, payload))
	b.Flags |= buf.CsumPartial
	b.CsumStart, b.CsumOffset = buf.Headroom+34, 6
	return b
}

func TestInfo(t *testing.T) {
	w := newWire(t, 1)
	i := w.dev.Info()
	if i.Driver != "af_packet" || !i.Ethernet || i.MTU != 1500 || i.Offload != drivers.AllOffloads ||
		!bytes.Equal(i.MAC, w.skein.Link(t, "s0").Attrs().HardwareAddr) || i.Detail == "" {
		t.Errorf("Info = %+v", i)
	}
}

func TestOpenRefuses(t *testing.T) {
	ns := nstest.New(t)
	before := nstest.OpenFDs(t)
	for _, c := range []Config{
		{Interface: "none", NetNS: ns.Path()},
		{Interface: "lo", NetNS: ns.Path(), Queues: MaxQueues + 1},
		{Interface: "lo", NetNS: "/no/such/namespace"},
	} {
		if d, err := Open(c); err == nil {
			t.Errorf("Open(%+v) = %+v", c, d.Info())
		} else {
			t.Log(err)
		}
	}
	if after := nstest.OpenFDs(t); after != before {
		t.Errorf("%d file descriptors left open", after-before)
	}
}

// TestReceive has the kernel send packets of all sizes around the edge between
// small and large buffers, and looks at them.
func TestReceive(t *testing.T) {
	w := newWire(t, 1)
	w.kernel.MTU(t, "k0", 9000)
	w.skein.MTU(t, "s0", 9000)
	c := w.kernel.ListenUDP(t, "10.0.0.1:9")
	for _, size := range []int{0, 1, 100, 1472, firstPart - 43, firstPart - 42, firstPart - 41, 8972} {
		payload := bytes.Repeat([]byte{0xa5, 1, 2}, size/3+1)[:size]
		if _, err := c.WriteTo(payload, &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 7}); err != nil {
			t.Fatal(err)
		}
		got := nstest.Collect(w.pool, w.q(), 1)
		if len(got) != 1 {
			t.Fatalf("%d bytes: nothing received", size)
		}
		b := got[0]
		if b.Len() != 42+size || !bytes.Equal(b.Bytes()[42:], payload) {
			t.Errorf("%d bytes: got %d", size, b.Len()-42)
		}
		if want := 42+size > firstPart; want != (b.Flags&buf.Large != 0) {
			t.Errorf("%d bytes: in a large buffer: %v", size, !want)
		}
		if b.Flags&buf.CsumPartial == 0 || b.CsumStart != buf.Headroom+34 || b.CsumOffset != 6 {
			t.Errorf("%d bytes: checksum not partial: %+v", size, b)
		}
		w.pool.Put(got)
	}
}

// TestIgnoresOutgoing checks that a queue does not hear what goes out by its
// own interface, alone and in a fanout group.
func TestIgnoresOutgoing(t *testing.T) {
	for _, queues := range []int{1, 2} {
		w := newWire(t, queues)
		if w.q().Tx(w.pool, []*buf.Buffer{w.udp(t, []byte("hello"))}) != 1 {
			t.Fatal("not sent")
		}
		time.Sleep(10 * time.Millisecond)
		var v [4]*buf.Buffer
		for _, q := range w.dev.Queues() {
			n := q.Rx(w.pool, v[:])
			for _, b := range v[:n] {
				if b.Ether().Src() == hdr.MAC(w.dev.Info().MAC) {
					t.Errorf("%d queues: received % x", queues, b.Bytes())
				}
			}
			w.pool.Put(v[:n])
		}
	}
}

// TestSend checks that a UDP socket at the other end gets what was sent, so
// that lengths and checksums are right.
func TestSend(t *testing.T) {
	w := newWire(t, 1)
	c := w.kernel.ListenUDP(t, "10.0.0.1:9")
	got := make([]byte, 2000)
	for _, room := range []bool{true, false} {
		payload := []byte("through the socket")
		b := w.udp(t, payload)
		if !room { // the packet fills the frame from its start on
			frame := nstest.UDPFrame(hdr.MAC(w.mac), hdr.MAC(w.dev.Info().MAC), payload)
			b.SetSpan(0, len(frame))
			copy(b.Bytes(), frame)
			b.CsumStart = 34
		}
		if n := w.q().Tx(w.pool, []*buf.Buffer{b}); n != 1 {
			t.Fatalf("Tx = %d", n)
		}
		n, err := c.Read(got)
		if err != nil || string(got[:n]) != string(payload) {
			t.Fatalf("headroom %v: socket got %q, %v", room, got[:n], err)
		}
	}
}

// TestSendUSO sends one superpacket and expects its datagrams.
func TestSendUSO(t *testing.T) {
	w := newWire(t, 1)
	c := w.kernel.ListenUDP(t, "10.0.0.1:9")
	const size, count = 1000, 40
	payload := make([]byte, size*count-1)
	for i := range payload {
		payload[i] = byte(i / size)
	}
	b := w.udp(t, payload)
	b.GSOType, b.GSOSize, b.HdrEnd = buf.GSOUDP, size, buf.Headroom+42
	if n := w.q().Tx(w.pool, []*buf.Buffer{b}); n != 1 {
		t.Fatalf("Tx = %d, %+v", n, w.q().Stats())
	}
	got := make([]byte, 2000)
	for i := range count {
		n, err := c.Read(got)
		if err != nil {
			t.Fatalf("datagram %d: %v", i, err)
		}
		if want := min(size, len(payload)-i*size); n != want || got[0] != byte(i) || got[n-1] != byte(i) {
			t.Errorf("datagram %d: %d bytes of %d, want %d", i, n, got[0], want)
		}
	}
}

// TestVLAN checks that a tag, which the kernel takes out of received frames,
// is in the frame again, and that sent tags arrive.
func TestVLAN(t *testing.T) {
	w := newWire(t, 1)
	other := open(t, w.pool, Config{Interface: "k0", NetNS: w.kernel.Path()})
	for _, tag := range []uint32{0x8100_0000 | 5<<13 | 42, 0x88a8_0000 | 7} {
		b := w.udp(t, []byte("tagged"))
		want := append([]byte(nil), b.Bytes()...)
		want = append(want[:12:12], append(binary.BigEndian.AppendUint32(nil, tag), want[12:]...)...)
		b.Set(want)
		b.CsumStart += 4
		if w.q().Tx(w.pool, []*buf.Buffer{b}) != 1 {
			t.Fatal("not sent")
		}
		got := nstest.Collect(w.pool, other.Queues()[0], 1)
		if len(got) != 1 {
			t.Fatalf("nothing received, %+v", w.q().Stats())
		}
		if !bytes.Equal(got[0].Bytes(), want) {
			t.Errorf("got  % x\nwant % x", got[0].Bytes(), want)
		}
		if g := got[0]; g.Flags&buf.CsumPartial == 0 || int(g.CsumStart)-g.Off() != 38 {
			t.Errorf("checksum starts at %d of the frame, want 38", int(g.CsumStart)-g.Off())
		}
		w.pool.Put(got)
	}
}

// TestTCP runs TCP through two devices, and expects superpackets in both
// directions of the relay.
func TestTCP(t *testing.T) {
	for _, proto := range []string{"IPv4", "IPv6"} {
		t.Run(proto, func(t *testing.T) {
			a, b, m := nstest.New(t), nstest.New(t), nstest.New(t)
			pool := nstest.NewPool(t, 4096, 512)
			nstest.Veth(t, a, "a0", m, "m0", 1)
			nstest.Veth(t, b, "b0", m, "m1", 1)
			addrA, addrB, to := "10.0.0.1/24", "10.0.0.2/24", "10.0.0.2:0"
			if proto == "IPv6" {
				addrA, addrB, to = "fd00::1/64", "fd00::2/64", "[fd00::2]:0"
				a.Sysctl(t, "net/ipv6/conf/a0/disable_ipv6", "0")
				b.Sysctl(t, "net/ipv6/conf/b0/disable_ipv6", "0")
			}
			a.Addr(t, "a0", addrA)
			b.Addr(t, "b0", addrB)
			qa := open(t, pool, Config{Interface: "m0", NetNS: m.Path()}).Queues()[0]
			qb := open(t, pool, Config{Interface: "m1", NetNS: m.Path()}).Queues()[0]
			super := 0
			stop := nstest.Relay(pool, qa, qb, func(b *buf.Buffer) {
				if b.GSOType != buf.GSONone {
					super++
				}
			})
			rate := nstest.SendTCP(t, a, b, to, 64<<20)
			stop()
			t.Logf("%.1f Gb/s, %d superpackets, %+v, %+v", rate, super, qa.Stats(), qb.Stats())
			if super < 500 {
				t.Errorf("%d superpackets in 64 MiB", super)
			}
		})
	}
}

// TestFanout checks that two queues share the packets, by flow, without doubles.
func TestFanout(t *testing.T) {
	w := newWire(t, 2)
	const flows, each = 32, 4
	for f := range flows {
		c := w.kernel.ListenUDP(t, "10.0.0.1:0")
		for range each {
			if _, err := c.WriteTo([]byte{byte(f)}, &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 7}); err != nil {
				t.Fatal(err)
			}
		}
	}
	var seen [2][flows]int
	total := 0
	for i, q := range w.dev.Queues() {
		var v [256]*buf.Buffer
		n := q.Rx(w.pool, v[:])
		for _, b := range v[:n] {
			seen[i][b.Bytes()[42]]++
		}
		w.pool.Put(v[:n])
		total += n
		if n == 0 {
			t.Errorf("queue %d got nothing", i)
		}
	}
	if total != flows*each {
		t.Errorf("%d packets, want %d", total, flows*each)
	}
	for f := range flows {
		if seen[0][f] != 0 && seen[1][f] != 0 {
			t.Errorf("flow %d is on both queues", f)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	w := newWire(t, 1)
	other := open(t, w.pool, Config{Interface: "k0", NetNS: w.kernel.Path()}).Queues()[0]
	out := make([]*buf.Buffer, 256)
	in := make([]*buf.Buffer, 256)
	frame := append([]byte(nil), w.udp1(t)...)
	total := 0
	if n := testing.AllocsPerRun(20, func() {
		w.pool.Get(out[:100])
		for _, b := range out[:100] {
			b.Set(frame)
		}
		w.q().Tx(w.pool, out[:100])
		n := other.Rx(w.pool, in)
		w.pool.Put(in[:n])
		total += n
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if total == 0 {
		t.Error("nothing received")
	}
}

func (w *wire) udp1(t testing.TB) []byte {
	b := w.udp(t, make([]byte, 18))
	frame := append([]byte(nil), b.Bytes()...)
	w.pool.Put([]*buf.Buffer{b})
	return frame
}
