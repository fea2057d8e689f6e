package afxdp

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

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

func newWire(t testing.TB, queues int) *wire {
	t.Helper()
	w := &wire{kernel: nstest.New(t), skein: nstest.New(t)}
	w.pool = nstest.NewPool(t, 8192, 16)
	nstest.Veth(t, w.kernel, "k0", w.skein, "s0", queues)
	w.kernel.Addr(t, "k0", "10.0.0.1/24")
	w.mac = w.kernel.Link(t, "k0").Attrs().HardwareAddr
	w.kernel.Neigh(t, "k0", "10.0.0.2", w.skein.Link(t, "s0").Attrs().HardwareAddr)
	return w
}

// open opens s0 with one pool, and starts to receive.
func (w *wire) open(t testing.TB, c Config) *wire {
	t.Helper()
	c.Interface, c.NetNS = "s0", w.skein.Path()
	w.dev = open(t, w.pool, c)
	w.drain()
	return w
}

func (w *wire) drain() {
	var v [256]*buf.Buffer
	for _, q := range w.dev.Queues() {
		w.pool.Put(v[:q.Rx(w.pool, v[:])])
	}
}

func open(t testing.TB, p *buf.Pool, c Config) *Device {
	t.Helper()
	d, err := Open(c, []*buf.Pool{p})
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

// udp makes a packet from 10.0.0.2:7 to 10.0.0.1:9 in a buffer from get.
func (w *wire) udp(t testing.TB, get func([]*buf.Buffer) int, payload []byte) *buf.Buffer {
	t.Helper()
	var one [1]*buf.Buffer
	if get(one[:]) != 1 {
		t.Fatal("pool empty")
	}
	src := hdr.MAC(w.skein.Link(t, "s0").Attrs().HardwareAddr)
	one[0].Set(nstest.FinishUDP(nstest.UDPFrame(hdr.MAC(w.mac), src, payload)))
	return one[0]
}

var ways = []Attach{Native, Generic}

func each(t *testing.T, f func(t *testing.T, c Config)) {
	for _, a := range ways {
		t.Run(string(a), func(t *testing.T) { f(t, Config{Attach: a}) })
	}
}

func TestInfo(t *testing.T) {
	w := newWire(t, 2).open(t, Config{})
	i := w.dev.Info()
	t.Log(i.Detail)
	if i.Driver != "af_xdp" || !i.Ethernet || i.MTU != 1500 || i.Offload != wholeOffload || len(w.dev.Queues()) != 2 ||
		!strings.HasPrefix(i.Detail, "copy, native, queues: 2 of 2, zero-copy refused: ") {
		t.Errorf("Info = %+v", i)
	}
	if w.skein.Link(t, "s0").Attrs().Promisc == 0 {
		t.Error("not promiscuous")
	}
}

// TestQueues asks for fewer queues than there are, and for more.
func TestQueues(t *testing.T) {
	for ask, want := range map[int]int{1: 1, 9: 2} {
		d := newWire(t, 2).open(t, Config{Queues: ask}).dev
		if len(d.Queues()) != want || !strings.Contains(d.Info().Detail, fmt.Sprintf("queues: %d of 2", want)) {
			t.Errorf("asked for %d: got %d, %q", ask, len(d.Queues()), d.Info().Detail)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	w := newWire(t, 1)
	before := nstest.OpenFDs(t)
	c := Config{Interface: "s0", NetNS: w.skein.Path()}
	with := func(f func(*Config)) Config { x := c; f(&x); return x }
	w.skein.MTU(t, "s0", MaxMTU+1)
	for _, x := range []struct {
		c       Config
		missing bool
	}{
		{c, true},
		{with(func(c *Config) { c.Interface = "none" }), false},
		{with(func(c *Config) { c.Ring = 100 }), false},
		{with(func(c *Config) { c.Queues = -1 }), false},
		{with(func(c *Config) { c.Mode, c.Attach = ZeroCopy, Generic }), false},
	} {
		d, err := Open(x.c, []*buf.Pool{w.pool})
		var missing *drivers.Missing
		if err == nil || errors.As(err, &missing) != x.missing {
			t.Errorf("Open(%+v) = %v, %v", x.c, d, err)
		}
		t.Log(err)
	}
	w.skein.MTU(t, "s0", 1500)
	var missing *drivers.Missing
	if _, err := Open(with(func(c *Config) { c.Mode = ZeroCopy }), []*buf.Pool{w.pool}); !errors.As(err, &missing) {
		t.Errorf("zero-copy on veth: %v", err)
	}
	if _, err := Open(c, nil); err == nil {
		t.Error("opened without a pool")
	}
	if after := nstest.OpenFDs(t); after != before {
		t.Errorf("%d file descriptors left open", after-before)
	}
	first := open(t, w.pool, c)
	if _, err := Open(c, []*buf.Pool{w.pool}); err == nil || !strings.Contains(err.Error(), "another XDP program") {
		t.Errorf("second Open: %v", err)
	}
	if first.queues[0].FD() < 0 {
		t.Error("no FD")
	}
}

func TestReceive(t *testing.T) {
	each(t, func(t *testing.T, c Config) {
		w := newWire(t, 1).open(t, c)
		s := w.kernel.ListenUDP(t, "10.0.0.1:9")
		for _, size := range []int{0, 1, 100, 1472} {
			payload := bytes.Repeat([]byte{0xa5, 1, 2}, size/3+1)[:size]
			if _, err := s.WriteTo(payload, &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 7}); err != nil {
				t.Fatal(err)
			}
			got := nstest.Collect(w.pool, w.q(), 1)
			if len(got) != 1 {
				t.Fatalf("%d bytes: nothing received", size)
			}
			b := got[0]
			if b.Len() != 42+size || b.Off() != buf.Headroom || !bytes.Equal(b.Bytes()[42:], payload) {
				t.Errorf("%d bytes: got %d at %d", size, b.Len()-42, b.Off())
			}
			if b.Flags != buf.CsumPartial || b.CsumStart != buf.Headroom+34 || b.CsumOffset != 6 {
				t.Errorf("%d bytes: %+v", size, b)
			}
			w.pool.Put(got)
		}
	})
}

// TestSend sends from where the packet is, from a large buffer, and from
// memory that the kernel does not know; a UDP socket gets it.
func TestSend(t *testing.T) {
	each(t, func(t *testing.T, c Config) {
		w := newWire(t, 1).open(t, c)
		s := w.kernel.ListenUDP(t, "10.0.0.1:9")
		got := make([]byte, 2000)
		for i, get := range []func([]*buf.Buffer) int{w.pool.Get, w.pool.GetLarge} {
			payload := fmt.Appendf(nil, "through the ring %d", i)
			if n := w.q().Tx(w.pool, []*buf.Buffer{w.udp(t, get, payload)}); n != 1 {
				t.Fatalf("Tx = %d", n)
			}
			if n, err := s.Read(got); err != nil || !bytes.Equal(got[:n], payload) {
				t.Fatalf("socket got %q, %v, %+v", got[:n], err, w.q().Stats())
			}
		}
		long := w.udp(t, w.pool.GetLarge, make([]byte, 4000))
		empty := w.udp(t, w.pool.Get, nil)
		empty.Trim(0)
		last := w.udp(t, w.pool.Get, []byte("last"))
		if n := w.q().Tx(w.pool, []*buf.Buffer{long, empty, last}); n != 3 || w.q().Stats().TxErrors != 2 {
			t.Errorf("Tx = %d, %+v", n, w.q().Stats())
		}
		if n, err := s.Read(got); err != nil || string(got[:n]) != "last" {
			t.Errorf("socket got %q, %v", got[:n], err)
		}
	})
}

// TestSendMany sends more than one system call of copy mode carries.
func TestSendMany(t *testing.T) {
	each(t, func(t *testing.T, c Config) {
		w := newWire(t, 1).open(t, c)
		s := w.kernel.ListenUDP(t, "10.0.0.1:9")
		var v [256]*buf.Buffer
		for i := range v {
			v[i] = w.udp(t, w.pool.Get, []byte{byte(i)})
		}
		if n := w.q().Tx(w.pool, v[:]); n != len(v) {
			t.Fatalf("Tx = %d", n)
		}
		t.Logf("%+v", w.q().Stats())
		got := make([]byte, 10)
		for i := range v {
			if n, err := s.Read(got); err != nil || n != 1 || got[0] != byte(i) {
				t.Fatalf("packet %d: got % x, %v", i, got[:n], err)
			}
		}
	})
}

// TestTCP runs TCP through two devices. Nothing that a kernel sends here has a
// finished checksum.
func TestTCP(t *testing.T) {
	for _, proto := range []string{"IPv4", "IPv6"} {
		t.Run(proto, func(t *testing.T) {
			each(t, func(t *testing.T, c Config) {
				a, b, m := nstest.New(t), nstest.New(t), nstest.New(t)
				pool := nstest.NewPool(t, 16384, 0)
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
				// In generic mode nobody stops senders from sending superpackets.
				a.Run(t, "ethtool", "-K", "a0", "tso", "off", "gso", "off")
				b.Run(t, "ethtool", "-K", "b0", "tso", "off", "gso", "off")
				c.NetNS = m.Path()
				c.Interface = "m0"
				qa := open(t, pool, c).Queues()[0]
				c.Interface = "m1"
				qb := open(t, pool, c).Queues()[0]
				stop := nstest.Relay(pool, qa, qb, finish)
				rate := nstest.SendTCP(t, a, b, to, 8<<20)
				stop()
				t.Logf("%.2f Gb/s, %+v, %+v", rate, qa.Stats(), qb.Stats())
			})
		})
	}
}

// finish does in software what the graph does before such a device.
func finish(b *buf.Buffer) {
	if b.Flags&buf.CsumPartial == 0 {
		return
	}
	p := b.Bytes()[int(b.CsumStart)-b.Off():]
	sum := ^hdr.Fold(hdr.Sum(p, 0))
	p[b.CsumOffset], p[b.CsumOffset+1] = byte(sum>>8), byte(sum)
	b.Flags &^= buf.CsumPartial
}

// TestSharedUMEM has two queues on one pool.
func TestSharedUMEM(t *testing.T) {
	each(t, func(t *testing.T, c Config) {
		w := newWire(t, 2).open(t, c)
		s := w.kernel.ListenUDP(t, "10.0.0.1:9")
		got := make([]byte, 10)
		for i, q := range w.dev.Queues() {
			if n := q.Tx(w.pool, []*buf.Buffer{w.udp(t, w.pool.Get, []byte{byte(i)})}); n != 1 {
				t.Errorf("queue %d: Tx = %d", i, n)
			}
			if n, err := s.Read(got); err != nil || n != 1 || got[0] != byte(i) {
				t.Fatalf("queue %d: socket got % x, %v", i, got[:n], err)
			}
		}
		const flows = 64
		for range flows {
			c := w.kernel.ListenUDP(t, "10.0.0.1:0")
			if _, err := c.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 7}); err != nil {
				t.Fatal(err)
			}
		}
		total := 0
		for i, q := range w.dev.Queues() {
			var v [256]*buf.Buffer
			n := q.Rx(w.pool, v[:])
			t.Logf("queue %d: %d packets", i, n)
			w.pool.Put(v[:n])
			total += n
		}
		if total != flows {
			t.Errorf("%d packets, want %d", total, flows)
		}
	})
}

// TestTwoPools has each of two queues on a pool of its own, as two workers
// would: of one arena, which they share, or of two.
func TestTwoPools(t *testing.T) {
	shared, err := buf.NewPools(2, 8192, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shared[0].Arena().Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("one arena", func(t *testing.T) { testTwoPools(t, shared) })
	t.Run("two arenas", func(t *testing.T) {
		testTwoPools(t, []*buf.Pool{nstest.NewPool(t, 4096, 0), nstest.NewPool(t, 4096, 0)})
	})
	for i, p := range shared {
		if s := p.Stats(); s.SmallFree != s.Small {
			t.Errorf("pool %d has %d of %d buffers", i, s.SmallFree, s.Small)
		}
	}
}

func testTwoPools(t *testing.T, pools []*buf.Pool) {
	w := newWire(t, 2)
	d, err := Open(Config{Interface: "s0", NetNS: w.skein.Path()}, pools)
	if err != nil {
		t.Fatal(err)
	}
	var v [256]*buf.Buffer
	for i, q := range d.Queues() {
		q.Rx(pools[i], v[:])
	}
	const flows = 64
	for range flows {
		c := w.kernel.ListenUDP(t, "10.0.0.1:0")
		if _, err := c.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 7}); err != nil {
			t.Fatal(err)
		}
	}
	total := 0
	for i, q := range d.Queues() {
		n := q.Rx(pools[i], v[:])
		for _, b := range v[:n] {
			if !pools[i].Arena().Owns(b) {
				t.Errorf("queue %d received into the other's pool", i)
			}
		}
		if n == 0 {
			t.Errorf("queue %d received nothing", i)
		}
		total += n
		pools[i].Put(v[:n])
		if err := q.Close(pools[i]); err != nil {
			t.Error(err)
		}
	}
	if total != flows {
		t.Errorf("%d packets, want %d", total, flows)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestNoAllocations(t *testing.T) {
	w := newWire(t, 1).open(t, Config{})
	far := open(t, w.pool, Config{Interface: "k0", NetNS: w.kernel.Path()}).Queues()[0]
	model := w.udp(t, w.pool.Get, make([]byte, 18))
	frame := append([]byte(nil), model.Bytes()...)
	w.pool.Put([]*buf.Buffer{model})
	v := make([]*buf.Buffer, 256)
	total := 0
	if n := testing.AllocsPerRun(20, func() {
		w.pool.Get(v[:100])
		for _, b := range v[:100] {
			b.Set(frame)
		}
		w.q().Tx(w.pool, v[:100])
		n := far.Rx(w.pool, v)
		w.pool.Put(v[:n])
		total += n
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if total == 0 {
		t.Error("nothing received")
	}
}
