package afxdp

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
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
	if i.Driver != "af_xdp" || !i.Ethernet || i.MTU != 1500 || i.Offload != 0 || len(w.dev.Queues()) != 2 ||
		!strings.HasPrefix(i.Detail, "copy, native, queues: 2 of 2, zero-copy refused: ") {
		t.Errorf("Info = %+v", i)
	}
	if w.skein.Link(t, "s0").Attrs().Promisc == 0 {
		t.Error("not promiscuous")
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
				a.Ethtool(t, "-K", "a0", "tso", "off", "gso", "off")
				b.Ethtool(t, "-K", "b0", "tso", "off", "gso", "off")
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

// TestPoolExhausted checks that an empty pool is counted, loses what comes
// and heals.
func TestPoolExhausted(t *testing.T) {
	w := newWire(t, 1)
	few := nstest.NewPool(t, 70, 0)
	d := open(t, few, Config{Interface: "s0", NetNS: w.skein.Path()})
	q := d.Queues()[0]
	var v [256]*buf.Buffer
	q.Rx(few, v[:])
	s := w.kernel.ListenUDP(t, "10.0.0.1:9")
	send := func(n int) {
		for range n {
			if _, err := s.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 7}); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(100)
	got := nstest.Collect(few, q, 70)
	if st := q.Stats(); len(got) != 70 || st.RxNoBufs == 0 || st.RxDropped != 30 {
		t.Errorf("%d received, %+v", len(got), st)
	}
	few.Put(got)
	few.Put(v[:q.Rx(few, v[:])])
	send(1)
	if got = nstest.Collect(few, q, 1); len(got) != 1 {
		t.Error("nothing received after buffers came back")
	}
	few.Put(got)
	if n := q.Rx(w.pool, v[:]); n != 0 {
		t.Errorf("received %d into another pool", n)
	}
}

// TestOverflow fills the receive ring and expects the loss to be counted.
func TestOverflow(t *testing.T) {
	w := newWire(t, 1).open(t, Config{Ring: 64})
	s := w.kernel.ListenUDP(t, "10.0.0.1:9")
	for range 200 {
		if _, err := s.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 7}); err != nil {
			t.Fatal(err)
		}
	}
	var v [256]*buf.Buffer
	n := w.q().Rx(w.pool, v[:])
	w.pool.Put(v[:n])
	if st := w.q().Stats(); n != 64 || st.RxDropped != 136 {
		t.Errorf("%d received, %+v", n, st)
	}
}

func TestLinkDown(t *testing.T) {
	each(t, func(t *testing.T, c Config) {
		c.Ring = 64
		w := newWire(t, 1).open(t, c)
		s := w.kernel.ListenUDP(t, "10.0.0.1:9")
		w.skein.Down(t, "s0")
		sent := 0
		for range 100 {
			one := []*buf.Buffer{w.udp(t, w.pool.Get, []byte("down"))}
			n := w.q().Tx(w.pool, one)
			w.pool.Put(one[n:])
			sent += n
		}
		if sent > 64 || w.q().Stats().TxFull == 0 {
			t.Errorf("%d sent on a link that is down, %+v", sent, w.q().Stats())
		}
		w.drain()
		w.skein.Up(t, "s0")
		w.drain()
		if n := w.q().Tx(w.pool, []*buf.Buffer{w.udp(t, w.pool.Get, []byte("up"))}); n != 1 {
			t.Errorf("Tx = %d after the link came up", n)
		}
		got := make([]byte, 10)
		for string(got[:2]) != "up" {
			if _, err := s.Read(got); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.WriteTo([]byte("back"), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 7}); err != nil {
			t.Fatal(err)
		}
		back := nstest.Collect(w.pool, w.q(), 1)
		if len(back) != 1 {
			t.Error("nothing received after the link came up")
		}
		w.pool.Put(back)
	})
}

// TestClose checks that nothing is left, in either order of closing, and that
// packets go to the kernel again.
func TestClose(t *testing.T) {
	for _, deviceFirst := range []bool{false, true} {
		w := newWire(t, 1)
		before := nstest.OpenFDs(t)
		d, err := Open(Config{Interface: "s0", NetNS: w.skein.Path()}, []*buf.Pool{w.pool})
		if err != nil {
			t.Fatal(err)
		}
		w.dev = d
		w.drain()
		w.q().Tx(w.pool, []*buf.Buffer{w.udp(t, w.pool.Get, []byte("x"))})
		if deviceFirst {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
		for range 2 {
			if err := w.q().Close(w.pool); err != nil {
				t.Error(err)
			}
		}
		w.drain()
		if n := w.q().Tx(w.pool, make([]*buf.Buffer, 1)); n != 0 {
			t.Errorf("closed queue sent %d", n)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		w.idle(t)
		if after := nstest.OpenFDs(t); after != before {
			t.Errorf("%d file descriptors left open", after-before)
		}
	}
}

// idle checks that the interface is as before Open.
func (w *wire) idle(t *testing.T) {
	t.Helper()
	a := w.skein.Link(t, "s0").Attrs()
	if a.Promisc != 0 || a.Xdp != nil && a.Xdp.Attached {
		t.Errorf("left behind: promiscuity %d, XDP %+v", a.Promisc, a.Xdp)
	}
}

// TestKilled checks that a process which is killed leaves no program behind.
func TestKilled(t *testing.T) {
	if path := os.Getenv("SKEIN_TEST_NETNS"); path != "" {
		holdUntilKilled(path)
	}
	w := newWire(t, 1)
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), "SKEIN_TEST_NETNS="+strings.Replace(w.skein.Path(), "self", fmt.Sprint(os.Getpid()), 1))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if n, err := out.Read(make([]byte, 5)); n != 5 {
		t.Error(err)
	}
	if a := w.skein.Link(t, "s0").Attrs(); a.Xdp == nil || !a.Xdp.Attached {
		t.Error("the child has not attached its program")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // killed, as it should
	w.idle(t)
}

func holdUntilKilled(path string) {
	p, err := buf.NewPool(256, 0)
	if err == nil {
		_, err = Open(Config{Interface: "s0", NetNS: path, Ring: 64}, []*buf.Pool{p})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print("ready")
	time.Sleep(time.Minute)
	os.Exit(1)
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
