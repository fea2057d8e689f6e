package buf_test

import (
	"bytes"
	"testing"
	"unsafe"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/hdr"
)

// A Buffer fills one cache line, and only the address of its frame is a
// pointer.
func TestSize(t *testing.T) {
	if n := unsafe.Sizeof(buf.Buffer{}); n != 64 {
		t.Errorf("a Buffer has %d bytes, want 64", n)
	}
}

func pool(t testing.TB, small, large int) *buf.Pool {
	t.Helper()
	p, err := buf.NewPool(small, large)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Arena().Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestPool(t *testing.T) {
	p := pool(t, 4, 2)
	all := make([]*buf.Buffer, 6)
	if n := p.Get(all); n != 4 {
		t.Fatalf("%d small buffers, want 4", n)
	}
	if n := p.GetLarge(all[4:]); n != 2 {
		t.Fatalf("%d large buffers, want 2", n)
	}
	if n := p.GetLarge(make([]*buf.Buffer, 1)); n != 0 {
		t.Errorf("an empty pool gave %d", n)
	}
	seen := map[*buf.Buffer]bool{}
	for i, b := range all {
		seen[b] = true
		if large := b.Flags&buf.Large != 0; large != (i >= 4) || large == p.Arena().Owns(b) {
			t.Errorf("buffer %d: large %t, in UMEM %t", i, large, p.Arena().Owns(b))
		}
		b.Flags |= buf.Traced
		b.TxIf, b.Hops = 7, 3
		b.SetLen(9)
	}
	if len(seen) != 6 {
		t.Errorf("%d different buffers, want 6", len(seen))
	}
	if s := p.Stats(); s != (buf.Stats{Small: 4, Large: 2, Misses: 1, LargeMisses: 1}) {
		t.Errorf("stats %+v", s)
	}
	last := all[3]
	p.Put(all)
	p.Get(all[:1])
	if all[0] != last {
		t.Error("the buffer used last does not come first")
	}
	if b := all[0]; b.Flags != 0 || b.TxIf != 0 || b.Hops != 0 || b.Len() != 0 || b.Off() != buf.Headroom {
		t.Errorf("a buffer from the pool is not reset: %+v", b)
	}
	if s := p.Stats(); s.SmallFree != 3 || s.LargeFree != 2 {
		t.Errorf("stats %+v", s)
	}
}

// No byte of one frame belongs to another.
func TestFramesApart(t *testing.T) {
	p := pool(t, 8, 2)
	all := make([]*buf.Buffer, 10)
	p.Get(all[:8])
	p.GetLarge(all[8:])
	for i, b := range all {
		b.SetSpan(0, b.Cap())
		for j := range b.Bytes() {
			b.Bytes()[j] = byte(i)
		}
	}
	for i, b := range all {
		if want := bytes.Repeat([]byte{byte(i)}, b.Cap()); !bytes.Equal(b.Bytes(), want) {
			t.Errorf("frame %d was written to by another", i)
		}
	}
}

func TestUMEM(t *testing.T) {
	p := pool(t, 8, 0)
	a := p.Arena()
	if len(a.UMEM()) != 8*buf.SmallStride || a.Buffers() != 8 {
		t.Fatalf("UMEM of %d bytes, %d buffers", len(a.UMEM()), a.Buffers())
	}
	all := make([]*buf.Buffer, 8)
	p.Get(all)
	for _, b := range all {
		at := a.Addr(b)
		b.Set([]byte("hello"))
		if got := a.UMEM()[at+buf.Headroom:][:5]; string(got) != "hello" {
			t.Errorf("at %d: %q", at, got)
		}
		for _, inside := range []uint64{0, buf.Headroom, buf.SmallStride - 1} {
			if a.At(at+inside) != b {
				t.Errorf("the byte %d of the frame at %d is another buffer's", inside, at)
			}
		}
	}
}

func TestSpan(t *testing.T) {
	p := pool(t, 1, 1)
	one := make([]*buf.Buffer, 2)
	p.Get(one[:1])
	p.GetLarge(one[1:])
	for _, b := range one {
		if len(b.Room()) != b.Cap()-buf.Headroom {
			t.Errorf("room for %d of %d bytes", len(b.Room()), b.Cap())
		}
		if n := b.Set(make([]byte, 1<<17)); n != len(b.Room()) || b.Len() != n || b.End() != b.Cap() {
			t.Errorf("took %d bytes, has %d up to %d", n, b.Len(), b.End())
		}
		b.Set([]byte("0123456789"))
		b.Advance(4)
		if string(b.Bytes()) != "456789" {
			t.Errorf("after Advance: %q", b.Bytes())
		}
		b.Trim(3)
		copy(b.Prepend(2), "ab")
		if string(b.Bytes()) != "ab456" || b.Off() != buf.Headroom+2 {
			t.Errorf("after Trim and Prepend: %q", b.Bytes())
		}
		b.Seek(buf.Headroom)
		if string(b.Bytes()) != "01ab456" || b.Len() != 7 {
			t.Errorf("after Seek: %q", b.Bytes())
		}
		b.Advance(-2)
		if b.Off() != buf.Headroom-2 {
			t.Errorf("after Advance back: at %d", b.Off())
		}
		was, at := string(b.Bytes()), b.Off()
		b.PrependEther(&hdr.Ether{0: 'x', 13: 'y'})
		if p := string(b.Bytes()); b.Off() != at-hdr.EtherLen || p[0] != 'x' || p[13:] != "y"+was {
			t.Errorf("after PrependEther: %q", p)
		}
	}
}

func TestCopyMeta(t *testing.T) {
	p := pool(t, 1, 1)
	both := make([]*buf.Buffer, 2)
	p.Get(both[:1])
	p.GetLarge(both[1:])
	small, large := both[0], both[1]
	small.Set([]byte("small"))
	large.Set([]byte("a large one"))
	large.Flags |= buf.CsumPartial
	large.TxIf, large.Feat, large.GSOSize = 5, 6, 7
	small.CopyMeta(large)
	if string(small.Bytes()) != "small" || small.Flags != buf.CsumPartial || small.TxIf != 5 || small.Feat != 6 || small.GSOSize != 7 {
		t.Errorf("small after CopyMeta: %q %+v", small.Bytes(), small)
	}
	small.Flags = 0
	large.CopyMeta(small)
	if string(large.Bytes()) != "a large one" || large.Flags != buf.Large {
		t.Errorf("large after CopyMeta: %q %+v", large.Bytes(), large)
	}
}

func TestHeaders(t *testing.T) {
	p := pool(t, 1, 0)
	one := make([]*buf.Buffer, 1)
	p.Get(one)
	b := one[0]
	bytes := make([]byte, 64)
	for i := range bytes {
		bytes[i] = byte(i)
	}
	b.Set(bytes)
	b.L3, b.L4 = buf.Headroom+14, buf.Headroom+34
	if b.Ether()[0] != 0 || b.ARP()[1] != 1 || b.IPv4()[2] != 2 || b.IPv6()[3] != 3 ||
		b.IPv4AtL3()[0] != 14 || b.IPv6AtL3()[0] != 14 || b.UDP()[0] != 34 || b.TCP()[0] != 34 || b.ICMP()[0] != 34 {
		t.Error("a header is not where its offset says")
	}
}

func TestPoolNoAllocs(t *testing.T) {
	p := pool(t, 300, 8)
	bufs, large := make([]*buf.Buffer, 256), make([]*buf.Buffer, 8)
	if n := testing.AllocsPerRun(100, func() {
		p.Put(bufs[:p.Get(bufs)])
		p.Put(large[:p.GetLarge(large)])
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// Several pools share an arena to the last buffer, and take back what another
// one has given out.
func TestPools(t *testing.T) {
	pools, err := buf.NewPools(3, 10, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pools[0].Arena().Close(); err != nil {
			t.Error(err)
		}
	})
	seen := map[*buf.Buffer]bool{}
	all := make([]*buf.Buffer, 12)
	for i, want := range []buf.Stats{{Small: 3, SmallFree: 3}, {Small: 3, SmallFree: 3, Large: 1, LargeFree: 1}, {Small: 4, SmallFree: 4, Large: 1, LargeFree: 1}} {
		p := pools[i]
		if s := p.Stats(); s != want || p.Arena() != pools[0].Arena() {
			t.Errorf("pool %d: %+v, want %+v", i, s, want)
		}
		n := p.Get(all)
		n += p.GetLarge(all[n:])
		for _, b := range all[:n] {
			seen[b] = true
		}
		pools[0].Put(all[:n])
	}
	if s := pools[0].Stats(); len(seen) != 12 || s.SmallFree != 10 || s.LargeFree != 2 || s.Small != 3 {
		t.Errorf("%d buffers, in the end %+v", len(seen), s)
	}
	if _, err := buf.NewPools(0, 1, 1); err == nil {
		t.Error("no pools at all")
	}
}
