package nat_test

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/hdr"
)

const udpLite, dccp = 136, 33

// A flow is what a packet of the tests is made of.
type flow struct {
	v6           bool
	src, dst     hdr.Addr6 // IPv4: the low word
	sport, dport uint16
	proto        uint8 // of the upper layer
	reply        bool  // ICMP: an echo reply
	payload      []byte
	partial      bool // leave the checksum as buf.CsumPartial has it
	noSum        bool // UDP: without a checksum
	exts         int  // IPv6: destination options; IPv4: words of options
	more         bool // the first fragment: what is here is not all
	after        []byte
	offset       bool // a fragment behind the first
}

func (f flow) swap() flow {
	f.src, f.dst, f.sport, f.dport = f.dst, f.src, f.dport, f.sport
	return f
}

// pseudo returns the sum of the pseudo-header for n bytes, the slow way.
func (f *flow) pseudo(n int) (sum uint64) {
	var b []byte
	if f.v6 {
		b = binary.BigEndian.AppendUint64(b, f.src.Hi)
		b = binary.BigEndian.AppendUint64(b, f.src.Lo)
		b = binary.BigEndian.AppendUint64(b, f.dst.Hi)
		b = binary.BigEndian.AppendUint64(b, f.dst.Lo)
	} else {
		b = binary.BigEndian.AppendUint32(b, uint32(f.src.Lo))
		b = binary.BigEndian.AppendUint32(b, uint32(f.dst.Lo))
	}
	b = append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n), 0, 0, 0, f.proto)
	return slowSum(b)
}

func slowSum(p []byte) (sum uint64) {
	for i, c := range p {
		sum += uint64(c) << (8 * (1 - i%2))
	}
	return sum
}

func slowFold(sum uint64) uint16 {
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// transport returns the upper layer of a whole datagram, with a checksum that
// is computed anew, and where that is.
func (f *flow) transport() (p []byte, at int) {
	p = binary.BigEndian.AppendUint16(nil, f.sport)
	p = binary.BigEndian.AppendUint16(p, f.dport)
	all := append(append([]byte{}, f.payload...), f.after...)
	pseudo := true
	switch f.proto {
	case hdr.ProtoTCP:
		p, at = append(p, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, hdr.TCPAck, 1, 2, 0, 0, 0, 0), 16
	case hdr.ProtoUDP, udpLite:
		n := 8 + len(all)
		if f.proto == udpLite {
			n = 0
		}
		p, at = append(p, byte(n>>8), byte(n), 0, 0), 6
	case dccp:
		p, at = append(p, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 6
	case hdr.ProtoSCTP:
		p, at = append(p, 9, 8, 7, 6, 0, 0, 0, 0), 8
	case hdr.ProtoICMP, hdr.ProtoICMPv6:
		typ, id := byte(hdr.ICMPEcho), f.sport
		if f.v6 {
			typ = hdr.ICMP6EchoRequest
		}
		if f.reply {
			id = f.dport
			typ = byte(hdr.ICMPEchoReply)
			if f.v6 {
				typ = hdr.ICMP6EchoReply
			}
		}
		p, at, pseudo = []byte{typ, 0, 0, 0, byte(id >> 8), byte(id), 0, 1}, 2, f.v6
	default:
		return append([]byte("????"), all...), -1
	}
	p = append(p, all...)
	if f.proto == hdr.ProtoSCTP {
		if !f.partial {
			binary.LittleEndian.PutUint32(p[8:], crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)))
		}
		return p, at
	}
	sum := uint64(0)
	if pseudo {
		sum = f.pseudo(len(p))
	}
	c := slowFold(sum)
	if !f.partial {
		if c = ^slowFold(sum + slowSum(p)); c == 0 && (f.proto == hdr.ProtoUDP || f.proto == udpLite) {
			c = 0xffff
		}
	}
	if !f.noSum {
		binary.BigEndian.PutUint16(p[at:], c)
	}
	return p, at
}

// packet returns the packet, where its upper layer is, and where in that the
// checksum.
func (f *flow) packet() (p []byte, l4, at int) {
	up, at := f.transport()
	up = up[:len(up)-len(f.after)]
	if f.v6 {
		p = f.header6(len(up))
	} else {
		p = f.header4(len(up))
	}
	return append(p, up...), len(p), at
}

func (f *flow) header4(n int) []byte {
	h := make([]byte, 20+4*f.exts)
	h[0], h[8], h[9] = 0x45+byte(f.exts), 60, f.proto
	for i := 20; i < len(h); i++ {
		h[i] = 1
	}
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)+n))
	switch {
	case f.offset:
		h[7] = 100
	case f.more:
		h[6] = 0x20
	}
	binary.BigEndian.PutUint32(h[12:], uint32(f.src.Lo))
	binary.BigEndian.PutUint32(h[16:], uint32(f.dst.Lo))
	binary.BigEndian.PutUint16(h[10:], ^slowFold(slowSum(h)))
	return h
}

func (f *flow) header6(n int) []byte {
	h := new(hdr.IPv6)
	h.SetFirst(0, 5)
	h.SetHopLimit(60)
	h.SetSrc(f.src)
	h.SetDst(f.dst)
	p := h[:]
	for range f.exts {
		p = append(p, 0, 0, 1, 4, 0, 0, 0, 0)
	}
	switch {
	case f.offset:
		p = append(p, 0, 0, 0, 80, 1, 2, 3, 4)
	case f.more:
		p = append(p, 0, 0, 0, 1, 1, 2, 3, 4)
	}
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40+n))
	return fixChain(p, f)
}

// fixChain writes the next header fields of a chain of options and fragment
// header, in the order of header6.
func fixChain(p []byte, f *flow) []byte {
	at := 6
	for i := range f.exts {
		p[at] = hdr.ProtoDstOpts
		at = 40 + 8*i
	}
	if f.offset || f.more {
		p[at] = hdr.ProtoFragment
		at = 40 + 8*f.exts
	}
	p[at] = f.proto
	return p
}

// An errorOf quotes a packet, cut to a number of bytes.
type errorOf struct {
	typ      byte
	from, to hdr.Addr6
	quotes   flow
	cut      int
	partial  bool
}

func (e *errorOf) packet() (p []byte, l4 int) {
	inner, _, _ := e.quotes.packet()
	inner = inner[:min(len(inner), e.cut)]
	m := append([]byte{e.typ, 1, 0, 0, 0, 0, 5, 0xdc}, inner...)
	f := flow{v6: e.quotes.v6, src: e.from, dst: e.to, proto: hdr.ProtoICMP}
	sum := uint64(0)
	if f.v6 {
		f.proto = hdr.ProtoICMPv6
		sum = f.pseudo(len(m))
	}
	if c := slowFold(sum); e.partial {
		binary.BigEndian.PutUint16(m[2:], c)
	} else {
		binary.BigEndian.PutUint16(m[2:], ^slowFold(sum+slowSum(m)))
	}
	h := f.header4
	if f.v6 {
		h = f.header6
	}
	p = h(len(m))
	return append(p, m...), len(p)
}

// A bench has one buffer.
type bench struct{ b *buf.Buffer }

func newBench(t testing.TB) bench {
	p, err := buf.NewPool(2, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Arena().Close() })
	var one [1]*buf.Buffer
	if p.Get(one[:]) != 1 {
		t.Fatal("no buffer")
	}
	return bench{one[0]}
}

func (r bench) set(p []byte) *buf.Buffer {
	r.b.Reset()
	r.b.Set(p)
	return r.b
}

// setPartial makes p a packet whose checksum, at at behind l4, is to be finished.
func (r bench) setPartial(p []byte, l4, at int, partial bool) *buf.Buffer {
	b := r.set(p)
	if partial {
		b.Flags |= buf.CsumPartial
		b.CsumStart, b.CsumOffset = uint16(b.Off()+l4), uint16(at)
	}
	return b
}

func randomAddr(rng *rand.Rand, v6 bool) hdr.Addr6 {
	if v6 {
		return hdr.Addr6{Hi: rng.Uint64(), Lo: rng.Uint64()}
	}
	return hdr.Addr6{Lo: uint64(rng.Uint32())}
}

func randomPort(rng *rand.Rand) uint16 {
	return [...]uint16{uint16(rng.Uint32()), uint16(rng.Uint32()), 0, 0xffff}[rng.IntN(4)]
}

func randomFlow(rng *rand.Rand) flow {
	f := flow{v6: rng.IntN(2) == 0, exts: max(0, rng.IntN(5)-2)}
	f.src, f.dst = randomAddr(rng, f.v6), randomAddr(rng, f.v6)
	f.sport, f.dport = randomPort(rng), randomPort(rng)
	icmp := uint8(hdr.ProtoICMP)
	if f.v6 {
		icmp = hdr.ProtoICMPv6
	}
	f.proto = []uint8{hdr.ProtoTCP, hdr.ProtoUDP, hdr.ProtoSCTP, udpLite, dccp, icmp, 47}[rng.IntN(7)]
	f.payload = make([]byte, rng.IntN(64))
	if rng.IntN(3) > 0 {
		for i := range f.payload {
			f.payload[i] = byte(rng.Uint32())
		}
	}
	if f.proto == icmp {
		f.reply = rng.IntN(2) == 0
		f.onlyID()
	}
	f.noSum = f.proto == hdr.ProtoUDP && rng.IntN(4) == 0
	return f
}

// onlyID leaves an echo message the one port that is its identifier.
func (f *flow) onlyID() {
	if f.reply {
		f.sport = 0
	} else {
		f.dport = 0
	}
}
