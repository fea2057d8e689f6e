package afxdp

import (
	"encoding/binary"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers/internal/nstest"
	"github.com/skein-dataplane/skein/hdr"
)

func buffer(t testing.TB) *buf.Buffer {
	t.Helper()
	p, err := buf.NewPool(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Arena().Close() })
	var one [1]*buf.Buffer
	p.Get(one[:])
	return one[0]
}

// tcp6 is a TCP packet over IPv6 from ::1:2 to ::3:4 whose checksum covers the
// pseudo-header only.
func tcp6() []byte {
	f := make([]byte, 14+40+20+5)
	f[12], f[13] = 0x86, 0xdd
	ip := (*hdr.IPv6)(f[14:])
	ip[0], ip[6], ip[7] = 0x60, hdr.ProtoTCP, 64
	ip[13], ip[23], ip[29], ip[39] = 1, 2, 3, 4
	ip.SetPayloadLen(25)
	(*hdr.TCP)(f[54:]).SetChecksum(ip.PseudoSum(hdr.ProtoTCP, 25))
	return f
}

// tagged puts VLAN tags into a frame.
func tagged(f []byte, tags ...uint32) []byte {
	out := append([]byte(nil), f[:12]...)
	for _, tag := range tags {
		out = binary.BigEndian.AppendUint32(out, tag)
	}
	return append(out, f[12:]...)
}

func edited(f []byte, at int, value byte) []byte {
	f = append([]byte(nil), f...)
	f[at] = value
	return f
}

func TestMarkPartial(t *testing.T) {
	udp := nstest.UDPFrame(hdr.MAC{}, hdr.MAC{}, []byte("payload"))
	padded := append(append([]byte(nil), udp...), make([]byte, 20)...)
	for _, c := range []struct {
		name          string
		frame         []byte
		start, offset uint16 // 0: not partial
	}{
		{"UDP over IPv4", udp, 34, 6},
		{"with padding", padded, 34, 6},
		{"TCP over IPv6", tcp6(), 54, 16},
		{"one tag", tagged(udp, 0x8100_0001), 38, 6},
		{"two tags", tagged(tcp6(), 0x88a8_0001, 0x8100_0002), 62, 16},
		{"three tags", tagged(udp, 0x8100_0001, 0x8100_0001, 0x8100_0001), 0, 0},
		{"finished", nstest.FinishUDP(append([]byte(nil), udp...)), 0, 0},
		{"no checksum", edited(edited(udp, 40, 0), 41, 0), 0, 0},
		{"fragment", edited(udp, 20, 0x20), 0, 0},
		{"other protocol", edited(udp, 23, hdr.ProtoSCTP), 0, 0},
		{"header length 16", edited(udp, 14, 0x44), 0, 0},
		{"cut", udp[:len(udp)-1], 0, 0},
		{"cut in the IP header", udp[:30], 0, 0},
		{"cut in the tag", tagged(udp, 0x8100_0001)[:16], 0, 0},
		{"ARP", edited(udp, 13, 6), 0, 0},
		{"nothing", nil, 0, 0},
	} {
		b := buffer(t)
		b.Set(c.frame)
		markPartial(b)
		want := buf.Buffer{}
		if c.start != 0 {
			want = buf.Buffer{Flags: buf.CsumPartial, CsumStart: buf.Headroom + c.start, CsumOffset: c.offset}
		}
		if b.Flags != want.Flags || b.CsumStart != want.CsumStart || b.CsumOffset != want.CsumOffset {
			t.Errorf("%s: %+v", c.name, b)
		}
	}
}

// TestFinishTwice checks that a finished packet, whose checksum happens to be
// the sum of its pseudo-header, stays as it is when it is finished again.
func TestFinishTwice(t *testing.T) {
	f := nstest.UDPFrame(hdr.MAC{}, hdr.MAC{}, []byte{0, 0})
	pseudo := (*hdr.UDP)(f[34:]).Checksum()
	// Choose the payload so that the whole checksum is the pseudo-header's sum.
	whole := nstest.FinishUDP(append([]byte(nil), f...))
	sum := (*hdr.UDP)(whole[34:]).Checksum()
	binary.BigEndian.PutUint16(f[42:], hdr.Fold(uint64(sum)+uint64(^pseudo)))
	b := buffer(t)
	b.Set(f)
	want := append([]byte(nil), f...)
	if hdr.Fold(hdr.Sum(f[34:], uint64(pseudo))) != 0xffff {
		t.Fatal("the test's packet is not a valid one")
	}
	if markPartial(b); b.Flags&buf.CsumPartial == 0 {
		t.Fatal("not taken for unfinished")
	}
	finish(b)
	if string(b.Bytes()) != string(want) {
		t.Errorf("got  % x\nwant % x", b.Bytes(), want)
	}
}

// FuzzMarkPartial checks that offsets lie within the packet, on any bytes.
func FuzzMarkPartial(f *testing.F) {
	udp := nstest.UDPFrame(hdr.MAC{}, hdr.MAC{}, []byte("payload"))
	f.Add(udp)
	f.Add(tcp6())
	f.Add(tagged(udp, 0x8100_0001, 0x8100_0001))
	f.Fuzz(func(t *testing.T, p []byte) {
		b := buffer(t)
		b.Set(p)
		markPartial(b)
		if b.Flags&buf.CsumPartial == 0 {
			return
		}
		if int(b.CsumStart) < b.Off() || int(b.CsumStart)+int(b.CsumOffset)+2 > b.End() {
			t.Errorf("checksum outside of the packet: %+v", b)
		}
	})
}
