package nodes_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph/graphtest"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nodes"
)

// offloading is a node whose devices take superpackets, and join what comes in
// pieces.
const offloading = aNode + `
	interface tap0 tap mac 02:fe:00:00:00:01 peer eth0 offload all feature gro
	interface pod1 tun offload all feature gro
	interface pod2 tun offload tso4 offload csum feature gro
`

// A bench is gro and, behind it, gso-segment.
type groBench struct{ gro, gso *graphtest.Rig }

func newGROBench(t testing.TB) groBench {
	w := newWorld(t, offloading)
	return groBench{on(t, nodes.GRO, w.state), on(t, nodes.GSOSegment, w.state)}
}

// join sends packets through gro as one vector, and returns what has come out
// in the order in which the vector has it then.
func (g groBench) join(t testing.TB, prepare func(i int, b *buf.Buffer), packets ...[]byte) []graphtest.Result {
	t.Helper()
	bufs := g.gro.Load(t, packets...)
	for i, b := range bufs {
		b.TxIf, b.Feat, b.Meta = pod1, iface.FeatEnd, uint32(i)
		prepare(i, b)
	}
	out := g.gro.RunBufs(t, bufs...)
	slices.SortFunc(out, func(a, b graphtest.Result) int { return int(a.Meta) - int(b.Meta) })
	return out
}

// cut returns what gso-segment makes of what gro has put out.
func (g groBench) cut(t testing.TB, in []graphtest.Result) (out [][]byte) {
	t.Helper()
	for _, x := range in {
		if x.GSOType == buf.GSONone {
			out = append(out, finished(x.Buffer))
			continue
		}
		b := g.gso.Load(t, make([]byte, 4000))[0]
		b.CopyMeta(x.Buffer)
		b.Set(x.Bytes())
		for _, piece := range g.gso.RunBufs(t, b) {
			out = append(out, bytes.Clone(piece.Bytes()))
			g.gso.Pool.Put([]*buf.Buffer{piece.Buffer})
		}
	}
	return out
}

// finished returns a packet's bytes with the checksum that it will have.
func finished(b *buf.Buffer) []byte {
	p := bytes.Clone(b.Bytes())
	if b.Flags&buf.CsumPartial != 0 {
		at := int(b.CsumStart) - b.Off()
		c := hdr.Checksum(p[at:])
		binary.BigEndian.PutUint16(p[at+int(b.CsumOffset):], c)
	}
	return p
}

// What gso-segment has cut, gro joins to the same superpacket, byte for byte.
func TestGROUndoesGSO(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	g := newGROBench(t)
	for range 300 {
		s := superpacket{ip6: rnd.IntN(2) == 0, udp: rnd.IntN(3) == 0, flags: []string{"A", "PA", "FPA", "EA", "FA"}[rnd.IntN(5)],
			seq: rnd.Uint32(), id: uint16(rnd.Uint32()), size: 1 + rnd.IntN(1448), options: rnd.IntN(11) * 4}
		if s.udp {
			s.size = 512 + s.size%900 // no less is joined
		}
		s.payload = min(s.size+1+rnd.IntN(63*s.size), 65000)
		out := []uint32{tap0, pod1}[rnd.IntN(2)]
		s.ethernet = out == tap0
		one := g.gso.Load(t, make([]byte, 4000))[0]
		s.load(t, one)
		one.TxIf = out
		want, meta := bytes.Clone(one.Bytes()), *one
		pieces := g.gso.RunBufs(t, one)
		segments := make([][]byte, len(pieces))
		for i, x := range pieces {
			segments[i] = bytes.Clone(x.Bytes())
		}
		g.gso.Put(pieces)
		got := g.join(t, func(_ int, b *buf.Buffer) { b.TxIf = out }, segments...)
		if len(got) != 1 || got[0].Reason != "coalesced" {
			t.Fatalf("%v: %d pieces are %d packets", s, len(segments), len(got))
		}
		b := got[0]
		binary.BigEndian.PutUint16(want[int(meta.CsumStart)-meta.Off()+int(meta.CsumOffset):], pseudoSum(want, s.ethernet))
		if !bytes.Equal(b.Bytes(), want) {
			t.Fatalf("%v:\nhas  % x\nwant % x", s, b.Bytes()[:90], want[:90])
		}
		if b.GSOType != meta.GSOType || b.GSOSize != meta.GSOSize || b.CsumStart != meta.CsumStart || b.CsumOffset != meta.CsumOffset ||
			b.Flags != meta.Flags || b.TxIf != out || b.HdrEnd != b.CsumStart+uint16(hdrLen(s)) {
			t.Fatalf("%v: metadata %+v, want %+v", s, *b.Buffer, meta)
		}
		g.gro.Put(got)
	}
}

func hdrLen(s superpacket) int {
	if s.udp {
		return hdr.UDPLen
	}
	return hdr.TCPLen + s.options
}

// pseudoSum is the slow twin of what gro puts into the checksum field.
func pseudoSum(p []byte, ethernet bool) uint16 {
	if ethernet {
		p = p[hdr.EtherLen:]
	}
	if p[0]>>4 == 6 {
		return (*hdr.IPv6)(p).PseudoSum(p[6], len(p)-hdr.IPv6Len)
	}
	return (*hdr.IPv4)(p).PseudoSum(len(p) - hdr.IPv4Len)
}

// A stream is a flow that gives packets, most of which follow the one before.
type stream struct {
	superpacket
	port  byte
	fixed bool
	df    bool
}

// flow returns which stream a packet is of.
func flowOf(p []byte) string {
	at := int(p[0]&15) * 4
	if p[0]>>4 == 6 {
		return string(p[8:44])
	}
	return string(p[12 : at+4])
}

// next returns the stream's next packet, and how its device has left it.
func (s *stream) next(t testing.TB, rnd *rand.Rand) ([]byte, func(b *buf.Buffer)) {
	size := s.size
	if rnd.IntN(12) == 0 {
		size = rnd.IntN(1400)
	}
	flags := s.flags
	if rnd.IntN(10) == 0 {
		flags = []string{"PA", "FA", "A", "CA", "EA", "UA", "SA", "RA", "P", "CEPA"}[rnd.IntN(10)]
	}
	p := s.packet(t.(*testing.T), content(size), s.seq, s.id, func(f string) bool { return strings.Contains(flags, f) })
	s.seq += uint32(size)
	if !s.fixed {
		s.id++
	}
	l4 := 40
	if !s.ip6 {
		l4 = 20
		if s.df {
			p[6] |= 0x40
		}
	}
	p[l4+1] = s.port
	if rnd.IntN(15) == 0 { // any byte of the headers but version and length
		p[1+rnd.IntN(l4+hdrLen(s.superpacket)-1)] ^= 1 << rnd.IntN(8)
	}
	if rnd.IntN(20) == 0 {
		s.seq += uint32(rnd.IntN(3000))
	}
	if !s.ip6 && rnd.IntN(20) != 0 {
		seal(p)
	}
	at, partial := uint16(6), rnd.IntN(2) == 0
	if !s.udp {
		at = 16
	}
	wrong := rnd.IntN(20) == 0
	if whole := len(p) > l4+int(at)+1; whole {
		binary.BigEndian.PutUint16(p[l4+int(at):], pseudoSum(p, false))
		if !partial {
			binary.BigEndian.PutUint16(p[l4+int(at):], hdr.Checksum(p[l4:]))
			if wrong {
				p[l4+int(at)]++
			}
		}
	}
	return p, func(b *buf.Buffer) {
		if partial {
			b.Flags |= buf.CsumPartial
			b.CsumStart, b.CsumOffset = uint16(b.Off()+l4), at
		}
	}
}

// Whatever comes, gso-segment makes of what gro has joined the packets that have
// come, in the order of each flow.
func TestGSOUndoesGRO(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	g := newGROBench(t)
	joined := 0
	for round := range 400 {
		streams := make([]stream, 1+rnd.IntN(6))
		for i := range streams {
			streams[i] = stream{port: byte(i + 10), df: rnd.IntN(2) == 0, superpacket: superpacket{ip6: rnd.IntN(2) == 0, udp: rnd.IntN(3) == 0,
				flags: "A", seq: rnd.Uint32(), id: uint16(rnd.Uint32()), size: 1 + rnd.IntN(1400), options: rnd.IntN(3) * 12}}
			streams[i].fixed = streams[i].df && rnd.IntN(2) == 0
		}
		n := 1 + rnd.IntN(120)
		packets, left := make([][]byte, n), make([]func(*buf.Buffer), n)
		hash := make([]uint32, n)
		for i := range packets {
			s := rnd.IntN(len(streams))
			if rnd.IntN(3) > 0 {
				s = 0
			}
			hash[i] = 1 + uint32(s)*uint32(round&1) // every other round they all collide
			packets[i], left[i] = streams[s].next(t, rnd)
		}
		want := map[string][]string{}
		out := g.join(t, func(i int, b *buf.Buffer) {
			left[i](b)
			b.Hash = hash[i]
			f := flowOf(packets[i])
			want[f] = append(want[f], plainID(finished(b)))
		}, packets...)
		for _, x := range out {
			if x.Reason == "coalesced" {
				joined++
			}
		}
		got := map[string][]string{}
		for _, p := range g.cut(t, out) {
			got[flowOf(p)] = append(got[flowOf(p)], plainID(p))
		}
		g.gro.Put(out)
		for f := range want {
			if len(got[f]) != len(want[f]) {
				t.Fatalf("round %d: %d packets of a flow have become %d", round, len(want[f]), len(got[f]))
			}
			for i := range want[f] {
				if got[f][i] != want[f][i] {
					t.Fatalf("round %d: packet %d of a flow\nhas  % x\nwant % x", round, i, got[f][i][:60], want[f][i][:60])
				}
			}
		}
	}
	if joined < 1000 {
		t.Errorf("only %d superpackets were made: this tests too little", joined)
	}
}

// plainID takes the identification out of a packet that must not be fragmented,
// where it means nothing.
func plainID(p []byte) string {
	if len(p) >= 20 && p[0] == 0x45 && p[6]&0x60 == 0x40 && (*hdr.IPv4)(p).SumsUp() {
		(*hdr.IPv4)(p).SetID(0)
		seal(p)
	}
	return string(p)
}

// FuzzGRO makes of a packet a row of such that follow each other, changes one byte
// of one of them, and wants the same row back. Nothing may panic, whatever the
// packet is.
func FuzzGRO(f *testing.F) {
	for i, s := range seeds {
		if p := line(f, s); len(p) > 0 && p[0] != 2 {
			f.Add(p, uint8(i), uint8(3), uint16(i), uint8(1), true)
		}
	}
	g := newGROBench(f)
	f.Fuzz(func(t *testing.T, p []byte, n, which uint8, at uint16, flip uint8, reseal bool) {
		if len(p) == 0 || len(p) > 1500 {
			return
		}
		packets := make([][]byte, 2+n%30)
		for i := range packets {
			packets[i] = follower(bytes.Clone(p), i)
		}
		x := packets[int(which)%len(packets)]
		if x[int(at)%len(x)] ^= flip; reseal {
			follower(x, 0)
		}
		var want []string
		for _, x := range packets {
			want = append(want, plainID(bytes.Clone(x)))
		}
		out := g.join(t, func(int, *buf.Buffer) {}, packets...)
		got := g.cut(t, out)
		g.gro.Put(out)
		if len(got) != len(want) {
			t.Fatalf("%d packets have become %d", len(want), len(got))
		}
		for i := range got {
			if x := plainID(got[i]); x != want[i] {
				t.Fatalf("packet %d\nhas  % x\nwant % x", i, x, want[i])
			}
		}
	})
}

// follower makes p the i-th packet after it in its flow, with the right checksums
// if p is as long as it says.
func follower(p []byte, i int) []byte {
	l4, proto := 40, byte(0)
	switch {
	case len(p) >= 20 && p[0] == 0x45:
		l4, proto = 20, p[9]
		(*hdr.IPv4)(p).SetLen(len(p))
		(*hdr.IPv4)(p).SetID((*hdr.IPv4)(p).ID() + uint16(i))
		seal(p)
	case len(p) >= 40 && p[0]>>4 == 6:
		proto = p[6]
		(*hdr.IPv6)(p).SetPayloadLen(len(p) - 40)
	default:
		return p
	}
	at := l4 + 6
	switch {
	case proto == hdr.ProtoTCP && len(p) >= l4+hdr.TCPLen:
		tcp := (*hdr.TCP)(p[l4:])
		tcp.SetSeq(tcp.Seq() + uint32(i*(len(p)-l4-tcp.HeaderLen())))
		at = l4 + 16
	case proto == hdr.ProtoUDP && len(p) >= l4+hdr.UDPLen:
		(*hdr.UDP)(p[l4:]).SetLen(len(p) - l4)
	default:
		return p
	}
	binary.BigEndian.PutUint16(p[at:], pseudoSum(p, false))
	c := hdr.Checksum(p[l4:])
	if c == 0 && proto == hdr.ProtoUDP {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(p[at:], c)
	return p
}

// What is joined, and what is not: one line for each vector.
func TestGRO(t *testing.T) {
	g := newGROBench(t)
	const tcp, tcp6 = "8.8.8.8 > 10.1.0.7: tcp 1 > 2 ", "2001:db8::8 > fd00:1::7: tcp 1 > 2 "
	const udp, udp6 = "8.8.8.8 > 10.1.0.7: udp 1 > 2 df ", "2001:db8::8 > fd00:1::7: udp 1 > 2 "
	for _, test := range []struct {
		name    string
		to      uint32
		packets []string
		want    string // payload bytes of what comes out
	}{
		{"a stream", pod1, []string{tcp + "flags A seq 1 len 100", tcp + "flags A seq 101 len 100", tcp + "flags A seq 201 len 100"}, "300"},
		{"a stream of IPv6", pod1, []string{tcp6 + "flags A seq 1 len 100", tcp6 + "flags A seq 101 len 100"}, "200"},
		{"to a device that takes no IPv6", pod2, []string{tcp6 + "flags A seq 1 len 100", tcp6 + "flags A seq 101 len 100"}, "100 100"},
		{"to a device that takes no datagrams", pod2, []string{udp + "len 600", udp + "len 600"}, "600 600"},
		{"to a device that takes TCP", pod2, []string{tcp + "flags A seq 1 len 100", tcp + "flags A seq 101 len 100"}, "200"},
		{"a hole", pod1, []string{tcp + "flags A seq 1 len 100", tcp + "flags A seq 102 len 100"}, "100 100"},
		{"PSH ends it", pod1, []string{tcp + "flags A seq 1 len 9", tcp + "flags PA seq 10 len 9", tcp + "flags A seq 19 len 9"}, "18 9"},
		{"FIN ends it", pod1, []string{tcp + "flags A seq 1 len 9", tcp + "flags FA seq 10 len 9", tcp + "flags A seq 19 len 9"}, "18 9"},
		{"a short one ends it", pod1, []string{tcp + "flags A seq 1 len 9", tcp + "flags A seq 10 len 8", tcp + "flags A seq 18 len 8"}, "17 8"},
		{"a long one begins anew", pod1, []string{tcp + "flags A seq 1 len 9", tcp + "flags A seq 10 len 10", tcp + "flags A seq 20 len 10"}, "9 20"},
		{"an acknowledgment between", pod1, []string{tcp + "flags A seq 1 len 9", tcp + "flags A seq 10 len 0", tcp + "flags A seq 10 len 9"}, "9 0 9"},
		{"CWR", pod1, []string{tcp + "flags CA seq 1 len 9", tcp + "flags A seq 10 len 9", tcp + "flags A seq 19 len 9"}, "9 18"},
		{"ECE on all", pod1, []string{tcp + "flags EA seq 1 len 9", tcp + "flags EA seq 10 len 9"}, "18"},
		{"ECE on one", pod1, []string{tcp + "flags EA seq 1 len 9", tcp + "flags A seq 10 len 9"}, "9 9"},
		{"another acknowledgment", pod1, []string{tcp + "flags A seq 1 ack 5 len 9", tcp + "flags A seq 10 ack 6 len 9"}, "9 9"},
		{"datagrams", pod1, []string{udp + "len 600", udp + "len 600", udp + "len 5", udp + "len 5"}, "1205 5"},
		{"small datagrams", pod1, []string{udp + "len 511", udp + "len 511"}, "511 511"},
		{"datagrams of IPv6", pod1, []string{udp6 + "len 512", udp6 + "len 512"}, "1024"},
		{"two flows", pod1, []string{tcp + "flags A seq 1 len 9", udp + "len 700", tcp + "flags A seq 10 len 9", udp + "len 700"}, "18 1400"},
		{"SYN", pod1, []string{tcp + "flags S seq 1 len 0", tcp + "flags S seq 1 len 0"}, "0 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			packets := make([][]byte, len(test.packets))
			for i, s := range test.packets {
				if packets[i] = line(t, s); packets[i][0]>>4 == 4 {
					packets[i][6] |= hdr.DontFragment >> 8
					seal(packets[i])
				}
			}
			out := g.join(t, func(i int, b *buf.Buffer) { b.TxIf, b.Hash = test.to, uint32(packets[i][0])+uint32(packets[i][9]) }, packets...)
			var got []string
			for _, x := range out {
				n := x.Len() - 20
				if x.IPv4().Version() == 6 {
					n -= 20
				}
				if l4 := x.Bytes()[x.Len()-n:]; strings.Contains(test.packets[0], "tcp") && x.Bytes()[9] != hdr.ProtoUDP {
					n -= int(l4[12]>>4) * 4
				} else {
					n -= hdr.UDPLen
				}
				got = append(got, fmt.Sprint(n))
			}
			g.gro.Put(out)
			if s := strings.Join(got, " "); s != test.want {
				t.Errorf("payloads %s, want %s", s, test.want)
			}
		})
	}
}

// Without a large buffer, packets go on as they are.
func TestGRONoBuffers(t *testing.T) {
	g := newGROBench(t)
	all := make([]*buf.Buffer, 8192)
	n := g.gro.Pool.GetLarge(all)
	p := line(t, "8.8.8.8 > 10.1.0.7: udp 1 > 2 df len 600")
	out := g.join(t, func(int, *buf.Buffer) {}, p, p, p)
	if len(out) != 3 || out[2].GSOType != buf.GSONone {
		t.Errorf("%d packets", len(out))
	}
	g.gro.Put(out)
	g.gro.Pool.Put(all[:n])
}

func TestGRONoAllocs(t *testing.T) {
	g := newGROBench(t)
	p := line(t, "8.8.8.8 > 10.1.0.7: udp 1 > 2 df len 1000")
	g.gro.NoAllocs(t, func(b *buf.Buffer) { b.TxIf, b.Feat = pod1, iface.FeatEnd }, p, p, p, p)
}

// BenchmarkGRO joins 44 segments to one superpacket, with and without checksums
// to be verified.
func BenchmarkGRO(b *testing.B) {
	for _, sum := range []string{"verified", "verify"} {
		b.Run("vector=44/sum="+sum, func(b *testing.B) {
			g := newGROBench(b)
			var packets [][]byte
			for i := range 44 {
				packets = append(packets, line(b, fmt.Sprintf("8.8.8.8 > 10.1.0.7: tcp 1 > 2 flags A seq %d len 1448", 1+i*1448)))
			}
			bufs := make([]*buf.Buffer, len(packets))
			for b.Loop() {
				g.gro.Pool.Get(bufs)
				for i, x := range bufs {
					x.Set(packets[i])
					if x.TxIf, x.Feat = pod1, iface.FeatEnd; sum == "verified" {
						x.Flags |= buf.CsumValid
					}
				}
				g.gro.Put(g.gro.RunBufs(b, bufs...))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(packets)), "ns/packet")
		})
	}
}
