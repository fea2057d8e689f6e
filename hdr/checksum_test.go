package hdr_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/skein-dataplane/skein/hdr"
)

// slowSum is the slow twin of Fold(Sum(p, sum)): RFC 1071, section 4.1, word
// by word.
func slowSum(p []byte, sum uint64) uint16 {
	for ; len(p) > 1; p = p[2:] {
		sum += uint64(p[0])<<8 | uint64(p[1])
	}
	if len(p) == 1 {
		sum += uint64(p[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

func TestSumRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 600 {
		p := make([]byte, n)
		for round := range 20 {
			for i := range p {
				p[i] = byte(rnd.Uint32())
			}
			if round == 0 { // all carries
				for i := range p {
					p[i] = 0xff
				}
			}
			start := rnd.Uint64() >> rnd.IntN(64) >> 2
			if got, want := hdr.Fold(hdr.Sum(p, start)), slowSum(p, start); got != want {
				t.Fatalf("%d bytes on %#x: sum %#x, want %#x\n% x", n, start, got, want, p)
			}
		}
	}
}

// Sums over pieces of even length are the sum over the whole.
func TestSumPieces(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		p := make([]byte, rnd.IntN(300))
		for i := range p {
			p[i] = byte(rnd.Uint32())
		}
		cut := rnd.IntN(len(p)+1) &^ 1
		got := hdr.Fold(hdr.Sum(p[cut:], hdr.Sum(p[:cut], 0)))
		if want := slowSum(p, 0); got != want {
			t.Fatalf("cut at %d of %d: %#x, want %#x", cut, len(p), got, want)
		}
	}
}

func FuzzSum(f *testing.F) {
	f.Add([]byte{0x45, 0, 0, 20, 0xff, 0xff, 0xff}, uint32(0xffff_ffff))
	f.Fuzz(func(t *testing.T, p []byte, start uint32) {
		if got, want := hdr.Fold(hdr.Sum(p, uint64(start))), slowSum(p, uint64(start)); got != want {
			t.Errorf("%#x, want %#x", got, want)
		}
	})
}

// A word that changes is patched in as if the whole had been summed again, up
// to the two ways in which ones' complement writes zero. All values of one
// word against some of the other cover every carry.
func TestPatch16(t *testing.T) {
	others := []uint16{0, 1, 0xff, 0x100, 0x7fff, 0x8000, 0xfffe, 0xffff, 0x4500, 0x1234}
	var p [4]byte
	for was := range 0x10000 {
		for _, is := range others {
			for _, other := range others {
				binary.BigEndian.PutUint16(p[:], other)
				binary.BigEndian.PutUint16(p[2:], uint16(was))
				c := hdr.Patch16(hdr.Checksum(p[:]), uint16(was), is)
				binary.BigEndian.PutUint16(p[2:], is)
				// Right is what a receiver takes for right.
				if sum := slowSum(p[:], uint64(c)); sum != 0xffff && !(other == 0 && is == 0) {
					t.Fatalf("%#x to %#x beside %#x: checksum %#x, the sum is %#x", was, is, other, c, sum)
				}
			}
		}
	}
}

func TestDecTTL(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for ttl := 1; ttl < 256; ttl++ {
		// The identification makes the checksum pass through all its values.
		for id := range 0x10000 {
			h := hdr.IPv4{0: 0x45, 8: uint8(ttl), 9: hdr.ProtoUDP, 12: 10, 15: byte(rnd.Uint32()), 16: 10, 19: 7}
			h.SetLen(48)
			h.SetID(uint16(id))
			h.SetChecksum(hdr.Checksum(h[:]))
			h.DecTTL()
			if int(h.TTL()) != ttl-1 || h.Sum20() != 0xffff {
				t.Fatalf("ttl %d id %#x: ttl %d, sum %#x", ttl, id, h.TTL(), h.Sum20())
			}
			// As if summed up anew: 00 00 and not ff ff, which is as good but
			// not what others send (RFC 1624, section 3).
			anew := h
			anew.SetChecksum(0)
			if want := hdr.Checksum(anew[:]); h.Checksum() != want {
				t.Fatalf("ttl %d id %#x: checksum %#x, want %#x", ttl, id, h.Checksum(), want)
			}
			if ttl > 8 && id > 0x1ff {
				break // the carries have been seen
			}
		}
	}
}

func TestSum20(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	for range 100_000 {
		var h hdr.IPv4
		for i := range h {
			h[i] = byte(rnd.Uint32()) | byte(-rnd.IntN(2))
		}
		want := slowSum(h[:], 0)
		if got := h.Sum20(); got != want {
			t.Fatalf("% x: %#x, want %#x", h, got, want)
		}
		if h.SumsUp() != (want == 0xffff) {
			t.Fatalf("% x: sums up to %#x: %t", h, want, h.SumsUp())
		}
		h.SetChecksum(0)
		h.SetChecksum(^slowSum(h[:], 0))
		if !h.SumsUp() {
			t.Fatalf("% x: does not sum up, %#x", h, slowSum(h[:], 0))
		}
	}
}

// Each bit that makes a header unusual is seen, and no other.
func TestIsPlain(t *testing.T) {
	plain := hdr.IPv4{0: 0x45, 8: 64, 9: hdr.ProtoUDP, 12: 10, 15: 1, 16: 10, 19: 2}
	plain.SetLen(1000)
	for bit := range 8 * hdr.IPv4Len {
		h := plain
		h[bit/8] ^= 0x80 >> (bit % 8)
		broken := h
		h.SetChecksum(0)
		h.SetChecksum(hdr.Checksum(h[:]))
		// Version, IHL and length; MF and the fragment offset, but not DF.
		odd := bit < 8 || bit >= 16 && bit < 32 || bit >= 50 && bit < 64
		if h.IsPlain(1000) == odd {
			t.Errorf("bit %d: plain %t", bit, !odd)
		}
		if broken.IsPlain(1000) {
			t.Errorf("bit %d: plain with a wrong checksum", bit)
		}
	}
}

func TestPseudoSum(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	for range 10_000 {
		var h hdr.IPv4
		var h6 hdr.IPv6
		for i := range h {
			h[i] = byte(rnd.Uint32())
		}
		for i := range h6 {
			h6[i] = byte(rnd.Uint32()) | byte(-rnd.IntN(2))
		}
		n := rnd.IntN(1 << 16)
		pseudo := append(append([]byte(nil), h[12:20]...), 0, h[9], byte(n>>8), byte(n))
		if got, want := h.PseudoSum(n), slowSum(pseudo, 0); got != want {
			t.Fatalf("IPv4 % x, %d bytes: %#x, want %#x", h, n, got, want)
		}
		pseudo = append(append([]byte(nil), h6[8:40]...), 0, 0, byte(n>>8), byte(n), 0, 0, 0, 17)
		if got, want := h6.PseudoSum(17, n), slowSum(pseudo, 0); got != want {
			t.Fatalf("IPv6 % x, %d bytes: %#x, want %#x", h6, n, got, want)
		}
	}
}

func BenchmarkSum(b *testing.B) {
	p := make([]byte, 1460)
	var sum uint64
	for b.Loop() {
		sum = hdr.Sum(p, sum)
	}
	b.SetBytes(int64(len(p)))
}
