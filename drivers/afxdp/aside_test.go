package afxdp

import (
	"bytes"
	"net"
	"slices"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers/internal/nstest"
)

func TestCrosses(t *testing.T) {
	copyMode, zeroCopy := aside{}, aside{}
	zeroCopy.init(0)
	zeroCopy.page = 4096
	for _, c := range []struct {
		addr uint64
		n    int
		want bool
	}{
		{0, buf.SmallStride, false},
		{1984, buf.SmallStride, false}, // ends with the page
		{1985, buf.SmallStride, true},
		{2112, buf.SmallStride, true},
		{4096, buf.SmallStride, false},
		{4095, 1, false},
		{4095, 2, true},
	} {
		if got := zeroCopy.crosses(c.addr, c.n); got != c.want || copyMode.crosses(c.addr, c.n) {
			t.Errorf("%d bytes at %d: %v, want %v", c.n, c.addr, got, c.want)
		}
	}
}

// TestAside has a queue act as in zero-copy mode: the kernel gets no frame on
// two pages, packets go both ways, and all buffers are there in the end.
func TestAside(t *testing.T) {
	w := newWire(t, 1)
	w.dev = open(t, w.pool, Config{Interface: "s0", NetNS: w.skein.Path()})
	q := w.q().(*queue)
	q.aside.init(len(q.lent))
	w.drain()
	if len(q.aside.held) == 0 {
		t.Error("nothing set aside")
	}
	for i, lent := range q.lent {
		if addr := uint64(i) * buf.SmallStride; lent && q.aside.crosses(addr, buf.SmallStride) {
			t.Fatalf("the kernel has the frame at %d", addr)
		}
	}
	s := w.kernel.ListenUDP(t, "10.0.0.1:9")
	got, payload := make([]byte, 2000), bytes.Repeat([]byte("x"), 1400)
	// One buffer that is not in the UMEM, and one on two pages.
	large := w.udp(t, w.pool.GetLarge, payload)
	at := slices.IndexFunc(q.aside.held, func(b *buf.Buffer) bool {
		return q.aside.crosses(q.arena.Addr(b)+buf.Headroom, large.Len())
	})
	bufs := []*buf.Buffer{large, q.aside.held[at]}
	q.aside.held = slices.Delete(q.aside.held, at, at+1)
	bufs[1].Set(large.Bytes())
	if n := q.Tx(w.pool, bufs); n != 2 {
		t.Errorf("Tx = %d, %+v", n, q.Stats())
	}
	for range bufs {
		if n, err := s.Read(got); err != nil || !bytes.Equal(got[:n], payload) {
			t.Fatalf("socket got %d bytes, %v", n, err)
		}
	}
	if _, err := s.WriteTo(payload, &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 7}); err != nil {
		t.Fatal(err)
	}
	back := nstest.Collect(w.pool, q, 1)
	if len(back) != 1 {
		t.Error("nothing received")
	}
	w.pool.Put(back)
}
