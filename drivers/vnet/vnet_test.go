package vnet

import (
	"testing"

	"github.com/skein-dataplane/skein/buf"
)

// header writes fields in the order of struct virtio_net_hdr.
func header(flags, gso byte, hdrLen, size, start, offset uint16) *Header {
	h := &Header{flags, gso}
	for i, v := range []uint16{hdrLen, size, start, offset} {
		order.PutUint16(h[2+2*i:], v)
	}
	return h
}

func packet(t testing.TB, n int, at map[int]byte) *buf.Buffer {
	t.Helper()
	pool, err := buf.NewPool(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Arena().Close() })
	var one [1]*buf.Buffer
	pool.GetLarge(one[:])
	b := one[0]
	b.SetLen(n)
	clear(b.Bytes())
	for i, v := range at {
		b.Bytes()[i] = v
	}
	return b
}

func TestDecode(t *testing.T) {
	const h = buf.Headroom
	tcp := map[int]byte{34 + 12: 8 << 4} // a TCP header of 32 bytes at 34
	for _, c := range []struct {
		name string
		n    int
		at   map[int]byte
		hdr  *Header
		ok   bool
		want buf.Buffer // offload fields only
	}{
		{"nothing", 60, nil, header(0, 0, 0, 0, 0, 0), true, buf.Buffer{}},
		{"empty packet", 0, nil, header(0, 0, 0, 0, 0, 0), true, buf.Buffer{}},
		{"verified", 60, nil, header(2, 0, 0, 0, 0, 0), true, buf.Buffer{Flags: buf.CsumValid}},
		{"UDP checksum", 60, nil, header(1, 0, 0, 0, 34, 6), true,
			buf.Buffer{Flags: buf.CsumPartial, CsumStart: h + 34, CsumOffset: 6}},
		{"TCP superpacket, header length is a hint", 40000, tcp, header(1, 1, 1, 1448, 34, 16), true,
			buf.Buffer{Flags: buf.CsumPartial, CsumStart: h + 34, CsumOffset: 16,
				GSOType: buf.GSOTCPv4, GSOSize: 1448, HdrEnd: h + 66}},
		{"with ECN", 40000, tcp, header(1, 0x81, 66, 1448, 34, 16), true,
			buf.Buffer{Flags: buf.CsumPartial, CsumStart: h + 34, CsumOffset: 16,
				GSOType: buf.GSOTCPv4 | buf.GSOECN, GSOSize: 1448, HdrEnd: h + 66}},
		{"UDP superpacket", 40000, nil, header(1, 5, 0, 1200, 54, 6), true,
			buf.Buffer{Flags: buf.CsumPartial, CsumStart: h + 54, CsumOffset: 6,
				GSOType: buf.GSOUDP, GSOSize: 1200, HdrEnd: h + 62}},

		{"checksum ends at the end", 42, nil, header(1, 0, 0, 0, 34, 6), true,
			buf.Buffer{Flags: buf.CsumPartial, CsumStart: h + 34, CsumOffset: 6}},
		{"checksum ends after the end", 41, nil, header(1, 0, 0, 0, 34, 6), false, buf.Buffer{}},
		{"sum wraps 16 bits", 60, nil, header(1, 0, 0, 0, 0xffff, 0xffff), false, buf.Buffer{}},
		{"start beyond what fits", 65800, nil, header(1, 0, 0, 0, 65400, 0), false, buf.Buffer{}},
		{"superpacket without checksum", 4000, tcp, header(0, 1, 66, 1448, 34, 16), false, buf.Buffer{}},
		{"superpacket of size 0", 4000, tcp, header(1, 1, 66, 0, 34, 16), false, buf.Buffer{}},
		{"TCP header too short", 4000, nil, header(1, 1, 66, 1448, 34, 16), false, buf.Buffer{}},
		{"TCP header beyond the end", 60, tcp, header(1, 1, 66, 1448, 34, 16), false, buf.Buffer{}},
		{"wrong checksum place", 4000, tcp, header(1, 1, 66, 1448, 34, 6), false, buf.Buffer{}},
		{"UDP fragmentation, long gone", 4000, nil, header(1, 3, 0, 1448, 34, 6), false, buf.Buffer{}},
		{"UDP with ECN", 4000, nil, header(1, 0x85, 0, 1448, 34, 6), false, buf.Buffer{}},
		{"unknown type", 4000, nil, header(1, 77, 0, 1448, 34, 6), false, buf.Buffer{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := packet(t, c.n, c.at)
			if ok := Decode(c.hdr, b); ok != c.ok {
				t.Fatalf("Decode = %v, want %v", ok, c.ok)
			}
			got := buf.Buffer{Flags: b.Flags &^ buf.Large, CsumStart: b.CsumStart, CsumOffset: b.CsumOffset,
				GSOType: b.GSOType, GSOSize: b.GSOSize, HdrEnd: b.HdrEnd}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// TestEncodeFollowsTheStart checks that headers put on and taken off between
// receive and send move the header's offsets, not the Buffer's.
func TestEncodeFollowsTheStart(t *testing.T) {
	b := packet(t, 4000, map[int]byte{34 + 12: 5 << 4})
	if !Decode(header(1, 4, 99, 1448, 34, 16), b) {
		t.Fatal("refused")
	}
	for _, step := range []int{0, 14, -24} {
		b.Advance(step)
		moved := uint16(b.Off() - buf.Headroom)
		var got Header
		Encode(&got, b)
		if want := header(1, 4, 54-moved, 1448, 34-moved, 16); got != *want {
			t.Errorf("after %d: % x, want % x", step, got, *want)
		}
	}
}

// FuzzDecode feeds arbitrary headers and packets: what is accepted lies within
// the packet, and survives Encode and a second Decode.
func FuzzDecode(f *testing.F) {
	f.Add(header(1, 1, 66, 1448, 34, 16)[:], make([]byte, 100), 0)
	f.Add(header(2, 0, 0, 0, 0, 0)[:], make([]byte, 60), 14)
	f.Add(header(1, 5, 42, 1200, 34, 6)[:], make([]byte, 60), 0)
	f.Fuzz(func(t *testing.T, raw, p []byte, skip int) {
		if len(raw) < HeaderLen {
			return
		}
		b := packet(t, 0, nil)
		b.Set(p)
		if skip > 0 && skip <= b.Len() {
			b.Advance(skip)
		}
		before := *b
		if !Decode((*Header)(raw), b) {
			if *b != before {
				t.Fatalf("refused, but changed: %+v", *b)
			}
			return
		}
		if b.Flags&buf.CsumPartial != 0 {
			if int(b.CsumStart) < b.Off() || int(b.CsumStart)+int(b.CsumOffset)+2 > b.End() {
				t.Fatalf("checksum outside of the packet: %+v", *b)
			}
		}
		if b.GSOType != buf.GSONone && (int(b.HdrEnd) > b.End() || b.HdrEnd <= b.CsumStart || b.GSOSize == 0) {
			t.Fatalf("superpacket that cannot be cut: %+v", *b)
		}
		var h Header
		Encode(&h, b)
		again := before
		Decode(&h, &again)
		again.Flags |= b.Flags & buf.CsumValid // says nothing about who sends
		if again != *b {
			t.Fatalf("Encode lost something: %+v, want %+v", again, *b)
		}
	})
}

func BenchmarkDecode(bb *testing.B) {
	b := packet(bb, 1500, nil)
	h := header(1, 0, 0, 0, 34, 16)
	bb.ReportAllocs()
	for bb.Loop() {
		b.Flags &= buf.Large
		Decode(h, b)
	}
}
