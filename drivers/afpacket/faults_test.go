package afpacket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/internal/nstest"
)

// TestPoolExhausted checks that packets wait in the kernel while there are no
// buffers, of either size.
func TestPoolExhausted(t *testing.T) {
	w := newWire(t, 1)
	c := w.kernel.ListenUDP(t, "10.0.0.1:9")
	to := &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 7}
	const count = 300
	for i := range count {
		if _, err := c.WriteTo([]byte{byte(i), byte(i >> 8)}, to); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []*buf.Pool{nstest.NewPool(t, 100, 0), nstest.NewPool(t, 0, 100)} {
		var v [256]*buf.Buffer
		if n := w.q().Rx(p, v[:]); n != 0 {
			t.Errorf("received %d without buffers", n)
		}
		w.dev.queues[0].(*queue).rx.release(p)
	}
	if s := w.q().Stats(); s.RxNoBufs != 2 || s.RxDropped != 0 {
		t.Errorf("%+v", s)
	}
	few := nstest.NewPool(t, 10, 5)
	var v [256]*buf.Buffer
	for i := 0; i < count; {
		n := w.q().Rx(few, v[:])
		if n == 0 {
			t.Fatalf("after %d packets: nothing, %+v", i, w.q().Stats())
		}
		for _, b := range v[:n] {
			if got := int(binary.LittleEndian.Uint16(b.Bytes()[42:])); got != i {
				t.Fatalf("packet %d came as %d", got, i)
			}
			i++
		}
		few.Put(v[:n])
	}
	w.dev.queues[0].(*queue).rx.release(few)
}

// TestOverflow fills the socket and expects the loss to be counted.
func TestOverflow(t *testing.T) {
	w := newWire(t, 1)
	tight := open(t, w.pool, Config{Interface: "s0", NetNS: w.skein.Path(), RxBytes: 4096}).Queues()[0]
	c := w.kernel.ListenUDP(t, "10.0.0.1:9")
	const count = 200
	for range count {
		if _, err := c.WriteTo(make([]byte, 1000), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 7}); err != nil {
			t.Fatal(err)
		}
	}
	got := nstest.Collect(w.pool, w.q(), count)
	var v [256]*buf.Buffer
	n := tight.Rx(w.pool, v[:])
	if s := tight.Stats(); len(got) != count || n == 0 || uint64(n)+s.RxDropped != count {
		t.Errorf("wide socket %d, tight one %d, %+v, want %d", len(got), n, s, count)
	}
	w.pool.Put(got)
	w.pool.Put(v[:n])
}

// TestRefused checks that a packet which can never be sent does not hold up
// those behind it.
func TestRefused(t *testing.T) {
	w := newWire(t, 1)
	c := w.kernel.ListenUDP(t, "10.0.0.1:9")
	long := w.udp(t, make([]byte, 5000)) // EMSGSIZE
	odd := w.udp(t, []byte("odd"))
	odd.CsumStart = 0 // EINVAL: before the packet
	short := w.udp(t, nil)
	short.Trim(3) // EINVAL: no Ethernet header
	v := []*buf.Buffer{w.udp(t, []byte("1")), long, odd, w.udp(t, []byte("2")), short, w.udp(t, []byte("3"))}
	if n := w.q().Tx(w.pool, v); n != len(v) {
		t.Errorf("Tx = %d, want %d", n, len(v))
	}
	if s := w.q().Stats(); s.TxErrors != 3 {
		t.Errorf("%+v", s)
	}
	got := make([]byte, 100)
	for _, want := range []string{"1", "2", "3"} {
		if n, err := c.Read(got); err != nil || string(got[:n]) != want {
			t.Fatalf("got %q, %v, want %q", got[:n], err, want)
		}
	}
}

// TestLinkDown takes the link down and up under a queue.
func TestLinkDown(t *testing.T) {
	w := newWire(t, 1)
	c := w.kernel.ListenUDP(t, "10.0.0.1:9")
	w.skein.Down(t, "s0")
	v := []*buf.Buffer{w.udp(t, []byte("1")), w.udp(t, []byte("2"))}
	if n := w.q().Tx(w.pool, v); n != 2 {
		t.Errorf("Tx = %d on a link that is down", n)
	}
	var in [8]*buf.Buffer
	for range 3 {
		if n := w.q().Rx(w.pool, in[:]); n != 0 {
			t.Errorf("Rx = %d on a link that is down", n)
		}
	}
	if s := w.q().Stats(); s.TxErrors != 2 || s.Syscalls > 6 {
		t.Errorf("%+v", s)
	}
	w.skein.Up(t, "s0")
	if n := w.q().Tx(w.pool, []*buf.Buffer{w.udp(t, []byte("3"))}); n != 1 {
		t.Errorf("Tx = %d after the link came up", n)
	}
	got := make([]byte, 100)
	if n, err := c.Read(got); err != nil || string(got[:n]) != "3" {
		t.Errorf("got %q, %v", got[:n], err)
	}
	if _, err := c.WriteTo([]byte("back"), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 7}); err != nil {
		t.Fatal(err)
	}
	back := nstest.Collect(w.pool, w.q(), 1)
	if len(back) != 1 {
		t.Error("nothing received after the link came up")
	}
	w.pool.Put(back)
}

// TestInterfaceGone deletes the interface under a queue.
func TestInterfaceGone(t *testing.T) {
	w := newWire(t, 1)
	v := []*buf.Buffer{w.udp(t, []byte("1")), w.udp(t, []byte("2"))}
	if err := w.skein.Links.LinkDel(w.skein.Link(t, "s0")); err != nil {
		t.Fatal(err)
	}
	var in [8]*buf.Buffer
	for range 3 {
		if n := w.q().Rx(w.pool, in[:]); n != 0 {
			t.Errorf("Rx = %d", n)
		}
	}
	if n := w.q().Tx(w.pool, v); n != 2 || w.q().Stats().TxErrors != 2 {
		t.Errorf("Tx = %d, %+v", n, w.q().Stats())
	}
}

// TestFull sends to an interface that lets next to nothing out, until the
// socket's send buffer, or the queueing discipline, is full.
func TestFull(t *testing.T) {
	for _, c := range []struct {
		name    string
		limit   string // of the queueing discipline
		txBytes int
	}{
		{"EAGAIN", "100mb", 64 << 10},
		{"ENOBUFS", "64kb", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWire(t, 1)
			d := open(t, w.pool, Config{Interface: "s0", NetNS: w.skein.Path(), TxBytes: c.txBytes})
			w.skein.Run(t, "tc", "qdisc", "add", "dev", "s0", "root", "tbf", "rate", "8kbit", "burst", "10kb", "limit", c.limit)
			q, sent := d.Queues()[0], 0
			var v [256]*buf.Buffer
			for range 8 {
				for i := range v {
					v[i] = w.udp(t, make([]byte, 1000))
				}
				n := q.Tx(w.pool, v[:])
				w.pool.Put(v[n:])
				sent += n
			}
			s := q.Stats()
			t.Logf("%d of %d sent, %+v", sent, 8*len(v), s)
			if sent == 0 || sent == 8*len(v) || s.TxFull == 0 || s.TxErrors != 0 {
				t.Errorf("%d sent, %+v", sent, s)
			}
		})
	}
}

// TestUnprivileged expects an error that says what is needed.
func TestUnprivileged(t *testing.T) {
	w := newWire(t, 1)
	var missing *drivers.Missing
	w.skein.DoUnprivileged(t, func() error {
		if _, err := Open(Config{Interface: "s0"}); !errors.As(err, &missing) {
			return fmt.Errorf("not a *drivers.Missing: %w", err)
		}
		return nil
	})
	t.Log(missing)
}

// TestClose checks that nothing is left: no file descriptor, no promiscuous mode.
func TestClose(t *testing.T) {
	w := newWire(t, 1)
	before := nstest.OpenFDs(t)
	d, err := Open(Config{Interface: "k0", NetNS: w.kernel.Path(), Queues: 2})
	if err != nil {
		t.Fatal(err)
	}
	if w.kernel.Link(t, "k0").Attrs().Promisc == 0 {
		t.Error("not promiscuous while open")
	}
	var v [8]*buf.Buffer
	for _, q := range d.Queues() {
		w.pool.Put(v[:q.Rx(w.pool, v[:])])
		for range 2 { // the second Close has nothing to do
			if err := q.Close(w.pool); err != nil {
				t.Error(err)
			}
		}
		if n := q.Rx(w.pool, v[:]); n != 0 {
			t.Errorf("closed queue received %d", n)
		}
		q.(*queue).rx.release(w.pool)
	}
	if n := w.kernel.Link(t, "k0").Attrs().Promisc; n != 0 {
		t.Errorf("still promiscuous after Close: %d", n)
	}
	if after := nstest.OpenFDs(t); after != before {
		t.Errorf("%d file descriptors left open", after-before)
	}
}
