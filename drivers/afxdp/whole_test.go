package afxdp

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/afpacket"
	"github.com/skein-dataplane/skein/drivers/internal/nstest"
	"golang.org/x/sys/unix"
)

func TestSuperpacketsInfo(t *testing.T) {
	w := newWire(t, 1)
	for _, x := range []struct {
		mode Superpackets
		want drivers.Offload
	}{{AutoSuperpackets, wholeOffload}, {Whole, wholeOffload}, {Cut, 0}} {
		before := nstest.OpenFDs(t)
		d, err := Open(Config{Interface: "s0", NetNS: w.skein.Path(), Superpackets: x.mode}, []*buf.Pool{w.pool})
		if err != nil {
			t.Fatal(err)
		}
		i := d.Info()
		if i.Offload != x.want || strings.Contains(i.Detail, "TCP superpackets whole") != (x.want != 0) {
			t.Errorf("superpackets %q: %+v", x.mode, i)
		}
		if err := d.queues[0].Close(w.pool); err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if after := nstest.OpenFDs(t); after != before {
			t.Errorf("superpackets %q: %d file descriptors left open", x.mode, after-before)
		}
	}
	c := Config{Interface: "s0", NetNS: w.skein.Path(), Superpackets: "some"}
	if _, err := Open(c, []*buf.Pool{w.pool}); err == nil {
		t.Error("opened with superpackets \"some\"")
	}
}

// TestSuperpacketsTCP has a kernel's superpackets sent by a device, and another
// kernel receive them.
func TestSuperpacketsTCP(t *testing.T) {
	for _, family := range []string{"IPv4", "IPv6"} {
		each(t, func(t *testing.T, c Config) {
			t.Run(family, func(t *testing.T) { testSuperpacketsTCP(t, c, family == "IPv6") })
		})
	}
}

func testSuperpacketsTCP(t *testing.T, c Config, six bool) {
	a, b, m := nstest.New(t), nstest.New(t), nstest.New(t)
	pool := nstest.NewPool(t, 16384, 512)
	nstest.Veth(t, a, "a0", m, "m0", 1)
	nstest.Veth(t, b, "b0", m, "m1", 1)
	addrA, addrB, to := "10.0.0.1/24", "10.0.0.2/24", "10.0.0.2:0"
	if six {
		addrA, addrB, to = "fd00::1/64", "fd00::2/64", "[fd00::2]:0"
		a.Sysctl(t, "net/ipv6/conf/a0/disable_ipv6", "0")
		b.Sysctl(t, "net/ipv6/conf/b0/disable_ipv6", "0")
	}
	a.Addr(t, "a0", addrA)
	b.Addr(t, "b0", addrB)
	left, err := afpacket.Open(afpacket.Config{Interface: "m0", NetNS: m.Path()})
	if err != nil {
		t.Fatal(err)
	}
	qa := left.Queues()[0]
	t.Cleanup(func() {
		if err := qa.Close(pool); err != nil {
			t.Error(err)
		}
	})
	c.Interface, c.NetNS = "m1", m.Path()
	qb := open(t, pool, c).Queues()[0]
	super := 0
	stop := nstest.Relay(pool, qa, qb, func(b *buf.Buffer) {
		if b.GSOType != buf.GSONone {
			super++
			return
		}
		if b.CsumOffset != 16 { // not TCP
			finish(b)
		}
	})
	rate := nstest.SendTCP(t, a, b, to, 32<<20)
	stop()
	t.Logf("%.2f Gb/s, %d superpackets, %+v, %+v", rate, super, qa.Stats(), qb.Stats())
	if super < 250 {
		t.Errorf("%d superpackets in 32 MiB", super)
	}
}

// TestSuperpacketsInOrder sends by both ways, and expects what was sent first to
// arrive first.
func TestSuperpacketsInOrder(t *testing.T) {
	each(t, func(t *testing.T, c Config) {
		w := newWire(t, 1).open(t, c)
		s := w.kernel.ListenUDP(t, "10.0.0.1:9")
		var v [100]*buf.Buffer
		for i := range v {
			v[i] = w.udp(t, w.pool.Get, []byte{byte(i)})
			if i%7 < 3 { // as one whose checksum is left open
				b := v[i]
				b.Set(nstest.UDPFrame(b.Ether().Dst(), b.Ether().Src(), []byte{byte(i)}))
				b.Flags, b.CsumStart, b.CsumOffset = b.Flags|buf.CsumPartial, uint16(b.Off()+34), 6
			}
		}
		if n := w.q().Tx(w.pool, v[:]); n != len(v) {
			t.Fatalf("Tx = %d", n)
		}
		got := make([]byte, 10)
		for i := range v {
			if n, err := s.Read(got); err != nil || n != 1 || got[0] != byte(i) {
				t.Fatalf("packet %d: got % x, %v", i, got[:n], err)
			}
		}
	})
}

// TestSuperpacketsLinkDown has a link go down and come up.
func TestSuperpacketsLinkDown(t *testing.T) {
	w := newWire(t, 1).open(t, Config{})
	open := func() []*buf.Buffer {
		b := w.udp(t, w.pool.Get, []byte("x"))
		b.Set(nstest.UDPFrame(b.Ether().Dst(), b.Ether().Src(), []byte("x")))
		b.Flags, b.CsumStart, b.CsumOffset = b.Flags|buf.CsumPartial, uint16(b.Off()+34), 6
		return []*buf.Buffer{b}
	}
	w.skein.Down(t, "s0")
	if n := w.q().Tx(w.pool, open()); n != 1 || w.q().Stats().TxErrors != 1 {
		t.Errorf("Tx = %d on a link that is down, %+v", n, w.q().Stats())
	}
	w.skein.Up(t, "s0")
	s := w.kernel.ListenUDP(t, "10.0.0.1:9")
	if n := w.q().Tx(w.pool, open()); n != 1 {
		t.Errorf("Tx = %d", n)
	}
	got := make([]byte, 10)
	if n, err := s.Read(got); err != nil || !bytes.Equal(got[:n], []byte("x")) {
		t.Errorf("socket got %q, %v", got[:n], err)
	}
	if err := w.q().Close(w.pool); err != nil {
		t.Error(err)
	}
	if one := open(); w.q().Tx(w.pool, one) != 0 {
		t.Error("sent after Close")
	} else {
		w.pool.Put(one)
	}
}

// TestSuperpacketsHeardByNobody checks that the socket which sends receives
// nothing, which would fill its buffer and cost time.
func TestSuperpacketsHeardByNobody(t *testing.T) {
	w := newWire(t, 1).open(t, Config{})
	s := w.kernel.ListenUDP(t, "10.0.0.1:9")
	for i := range 3 {
		b := w.udp(t, w.pool.Get, fmt.Append(nil, i))
		if n := w.q().Tx(w.pool, []*buf.Buffer{b}); n != 1 {
			t.Fatalf("Tx = %d", n)
		}
		if _, err := s.WriteTo([]byte("answer"), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 7}); err != nil {
			t.Fatal(err)
		}
	}
	fd := w.q().(*queue).whole.fd
	if n, _, err := unix.Recvfrom(fd, make([]byte, 100), unix.MSG_DONTWAIT); err != unix.EAGAIN {
		t.Errorf("the socket has received %d bytes, %v", n, err)
	}
}
