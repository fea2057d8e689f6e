package mem

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
)

func newPool(t testing.TB, small, large int) *buf.Pool {
	t.Helper()
	p, err := buf.NewPool(small, large)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s := p.Stats(); s.SmallFree != s.Small || s.LargeFree != s.Large {
			t.Errorf("buffers lost: %+v", s)
		}
		p.Arena().Close()
	})
	return p
}

// packets makes one packet of each size, filled with its number.
func packets(sizes ...int) (out []Packet) {
	for i, n := range sizes {
		out = append(out, Packet{Data: bytes.Repeat([]byte{byte(i)}, n)})
	}
	return out
}

func TestRx(t *testing.T) {
	for _, c := range []struct {
		sizes      []int
		loop, want int
	}{
		{nil, Forever, 0},
		{[]int{64}, 0, 1},
		{[]int{64, 60, 1500}, 2, 9},
		{[]int{0, small, small + 1, 65000}, 1, 8},
		{[]int{64, 65}, Forever, 100},
	} {
		t.Run(fmt.Sprint(c.sizes, c.loop), func(t *testing.T) {
			p := newPool(t, 256, 16)
			in := packets(c.sizes...)
			q := New(Config{Rx: [][]Packet{in}, Loop: c.loop}).Queues()[0]
			var v [100]*buf.Buffer
			n := q.Rx(p, v[:])
			if n != c.want {
				t.Fatalf("Rx = %d, want %d", n, c.want)
			}
			for i, b := range v[:n] {
				want := in[i%len(in)]
				if !bytes.Equal(b.Bytes(), want.Data) || (b.Flags&buf.Large != 0) != (len(want.Data) > small) {
					t.Errorf("packet %d is another: %d bytes, want %d", i, b.Len(), len(want.Data))
				}
			}
			p.Put(v[:n])
			if err := q.Close(p); err != nil {
				t.Error(err)
			}
			if n := q.Rx(p, v[:]); n != 0 {
				t.Errorf("closed queue received %d", n)
			}
		})
	}
}

func TestOffload(t *testing.T) {
	p := newPool(t, 0, 1)
	in := packets(4000)
	in[0].Offload = Offload{Flags: buf.CsumPartial, CsumStart: 20, CsumOffset: 16,
		GSOType: buf.GSOTCPv4, GSOSize: 1460, HdrEnd: 40}
	q := New(Config{Rx: [][]Packet{in}}).Queues()[0]
	var v [1]*buf.Buffer
	if q.Rx(p, v[:]) != 1 {
		t.Fatal("nothing received")
	}
	b := v[0]
	if b.Flags != buf.CsumPartial|buf.Large || b.CsumStart != buf.Headroom+20 || b.CsumOffset != 16 ||
		b.GSOType != buf.GSOTCPv4 || b.GSOSize != 1460 || b.HdrEnd != buf.Headroom+40 {
		t.Errorf("%+v", b)
	}
	p.Put(v[:])
}

func TestPoolExhausted(t *testing.T) {
	p := newPool(t, 3, 0)
	q := New(Config{Rx: [][]Packet{packets(1, 2, 3, 4, 5)}}).Queues()[0]
	var v [8]*buf.Buffer
	if n := q.Rx(p, v[:]); n != 3 || q.Stats().RxNoBufs != 1 {
		t.Errorf("Rx = %d, %+v", n, q.Stats())
	}
	p.Put(v[:3])
	if n := q.Rx(p, v[:]); n != 2 || v[0].Len() != 4 {
		t.Errorf("Rx = %d, starting with %d bytes: packets lost", n, v[0].Len())
	}
	p.Put(v[:2])
}

func TestKeep(t *testing.T) {
	p := newPool(t, 8, 0)
	d := New(Config{Rx: [][]Packet{packets(1, 2, 3, 4, 5)}, Keep: 3, Info: drivers.Info{Ethernet: true}})
	if i := d.Info(); i.Driver != "memory" || i.MTU != 1500 || len(i.MAC) != 6 {
		t.Errorf("Info = %+v", i)
	}
	q := d.Queues()[0].(*Queue)
	var v [5]*buf.Buffer
	q.Rx(p, v[:])
	if n := q.Tx(p, v[:]); n != 3 || q.Stats().TxFull != 1 || len(q.Sent()) != 3 || q.Sent()[2].Len() != 3 {
		t.Errorf("Tx = %d, %+v", n, q.Stats())
	}
	q.Release(p)
	if n := q.Tx(p, v[3:]); n != 2 || len(q.Sent()) != 2 {
		t.Errorf("Tx = %d after Release", n)
	}
	if err := q.Close(p); err != nil {
		t.Error(err)
	}
}

func TestNoAllocations(t *testing.T) {
	p := newPool(t, 256, 0)
	q := New(Config{Rx: [][]Packet{packets(64, 1500)}, Loop: Forever, Keep: 256}).Queues()[0].(*Queue)
	v := make([]*buf.Buffer, 256)
	if n := testing.AllocsPerRun(10, func() {
		q.Tx(p, v[:q.Rx(p, v)])
		q.Release(p)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRxTx(b *testing.B) {
	for _, size := range []int{64, 1500} {
		b.Run(fmt.Sprintf("vector=256/bytes=%d", size), func(b *testing.B) {
			p := newPool(b, 4096, 0)
			q := New(Config{Rx: [][]Packet{packets(size)}, Loop: Forever}).Queues()[0]
			v := make([]*buf.Buffer, 256)
			b.ReportAllocs()
			for b.Loop() {
				q.Tx(p, v[:q.Rx(p, v)])
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/256, "ns/packet")
		})
	}
}
