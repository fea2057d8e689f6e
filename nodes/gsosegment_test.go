package nodes_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/nodes"
)

// A superpacket for segmentation tests, as its sender would have built each
// segment had it built them itself.
type superpacket struct {
	ethernet, ip6, udp, ecn bool
	flags                   string // of TCP
	seq                     uint32
	id                      uint16
	size, payload           int
	options                 int // bytes of TCP options
	tags                    int // of VLANs, on Ethernet
}

func (s superpacket) String() string {
	type fields superpacket // has no String
	return fmt.Sprintf("%+v", fields(s))
}

func content(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i*7 + i>>8)
	}
	return p
}

// packet builds one packet with gopacket: the slow twin.
func (s superpacket) packet(t *testing.T, payload []byte, seq uint32, id uint16, has func(flag string) bool) []byte {
	t.Helper()
	var all []gopacket.SerializableLayer
	typ, proto := layers.EthernetTypeIPv4, layers.IPProtocolTCP
	if s.ip6 {
		typ = layers.EthernetTypeIPv6
	}
	if s.udp {
		proto = layers.IPProtocolUDP
	}
	ip4 := &layers.IPv4{Version: 4, TTL: 9, Id: id, Protocol: proto, SrcIP: []byte{10, 0, 0, 1}, DstIP: []byte{10, 0, 0, 2}}
	ip6 := &layers.IPv6{Version: 6, HopLimit: 9, NextHeader: proto, SrcIP: bytes.Repeat([]byte{1}, 16), DstIP: bytes.Repeat([]byte{2}, 16)}
	var net gopacket.NetworkLayer = ip4
	if s.ip6 {
		net = ip6
		all = append(all, ip6)
	} else {
		all = append(all, ip4)
	}
	if s.udp {
		u := &layers.UDP{SrcPort: 1, DstPort: 2}
		_ = u.SetNetworkLayerForChecksum(net)
		all = append(all, u)
	} else {
		tcp := &layers.TCP{SrcPort: 1, DstPort: 2, Seq: seq, Ack: 77, Window: 1000, FIN: has("F"), SYN: has("S"), RST: has("R"),
			PSH: has("P"), ACK: has("A"), URG: has("U"), ECE: has("E"), CWR: has("C")}
		for range s.options {
			tcp.Options = append(tcp.Options, layers.TCPOption{OptionType: layers.TCPOptionKindNop})
		}
		_ = tcp.SetNetworkLayerForChecksum(net)
		all = append(all, tcp)
	}
	out := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(out, opts, append(all, gopacket.Payload(payload))...); err != nil {
		t.Fatal(err)
	}
	if !s.ethernet {
		return out.Bytes()
	}
	link := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}
	for n := range s.tags {
		tpid := []byte{0x81, 0x00}
		if n+1 < s.tags {
			tpid = []byte{0x88, 0xa8}
		}
		link = append(link, tpid[0], tpid[1], 0, byte(100+n))
	}
	link = append(link, byte(typ>>8), byte(typ))
	return append(link, out.Bytes()...)
}

// segments are what the sender would have sent.
func (s superpacket) segments(t *testing.T) (out [][]byte) {
	all := content(s.payload)
	for n := 0; n == 0 || n*s.size < s.payload; n++ {
		at, end := n*s.size, min((n+1)*s.size, s.payload)
		last := end == s.payload
		out = append(out, s.packet(t, all[at:end], s.seq+uint32(at), s.id+uint16(n), func(f string) bool {
			switch {
			case f == "F" || f == "P":
				return last && bytes.Contains([]byte(s.flags), []byte(f))
			case f == "C":
				return n == 0 && bytes.Contains([]byte(s.flags), []byte(f))
			}
			return bytes.Contains([]byte(s.flags), []byte(f))
		}))
	}
	return out
}

// load makes a buffer of the superpacket, as a driver does.
func (s superpacket) load(t *testing.T, b *buf.Buffer) {
	p := s.packet(t, content(s.payload), s.seq, s.id, func(f string) bool { return bytes.Contains([]byte(s.flags), []byte(f)) })
	if b.Set(p) != len(p) {
		t.Fatal("does not fit")
	}
	l3 := 0
	if s.ethernet {
		l3 = 14 + 4*s.tags
	}
	l4 := l3 + 20
	if s.ip6 {
		l4 = l3 + 40
	}
	b.CsumStart, b.CsumOffset = uint16(b.Off()+l4), 16
	b.GSOType = buf.GSOTCPv4
	switch {
	case s.udp:
		b.GSOType, b.CsumOffset = buf.GSOUDP, 6
	case s.ip6:
		b.GSOType = buf.GSOTCPv6
	}
	if s.ecn {
		b.GSOType |= buf.GSOECN
	}
	b.GSOSize = uint16(s.size)
	b.Flags |= buf.CsumPartial
	binary.BigEndian.PutUint16(b.Bytes()[l4+int(b.CsumOffset):], 0x1234) // some pseudo-header sum
}

func TestGSOSegment(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	w := newWorld(t, aNode)
	rig := on(t, nodes.GSOSegment, w.state)
	flags := []string{"A", "PA", "FPA", "CPA", "FPCEA", "A", "U"}
	tests := []superpacket{
		{size: 1448, payload: 0, flags: "PA"},
		{size: 1448, payload: 1, flags: "FPCA"},
		{size: 1448, payload: 1448, flags: "PA"},
		{size: 1448, payload: 1449, flags: "FPCA", id: 0xffff, seq: 0xffffffff},
		{size: 9000, payload: 65000, flags: "PA"}, // large segments
		{size: 512, payload: 64000, udp: true},
		{size: 1, payload: 256, udp: true},
	}
	for range 100 {
		s := superpacket{ip6: rnd.IntN(2) == 0, udp: rnd.IntN(2) == 0, flags: flags[rnd.IntN(len(flags))], seq: rnd.Uint32(),
			id: uint16(rnd.Uint32()), size: 200 + rnd.IntN(1300), options: rnd.IntN(11) * 4, ecn: rnd.IntN(2) == 0, tags: rnd.IntN(3)}
		s.payload = rnd.IntN(20 * s.size)
		tests = append(tests, s)
	}
	for i, s := range tests {
		out := []uint32{eth0, tap0, pod1}[i%3]
		s.ethernet = w.state.Ifaces[out].Ethernet
		b := rig.Load(t, make([]byte, 4000))[0] // a large buffer
		s.load(t, b)
		b.TxIf = out
		got := rig.RunBufs(t, b)
		want := s.segments(t)
		if len(got) != len(want) {
			t.Fatalf("%v: %d segments, want %d", s, len(got), len(want))
		}
		reason := []string{"to uplink", "to tap", "to tun"}[i%3]
		for n, x := range got {
			if !bytes.Equal(x.Bytes(), want[n]) {
				t.Fatalf("%v: segment %d of %d\nhas  % x\nwant % x", s, n, len(got), x.Bytes()[:min(80, x.Len())], want[n][:min(80, len(want[n]))])
			}
			if x.Reason != reason || x.GSOType != buf.GSONone || x.GSOSize != 0 || x.Flags&buf.CsumPartial != 0 || x.TxIf != out {
				t.Errorf("%v: segment %d left by %q as %+v", s, n, x.Reason, x.Buffer)
			}
		}
		rig.Put(got)
	}
}

func TestGSOSegmentRefuses(t *testing.T) {
	const bad = "offload does not fit the packet"
	w := newWorld(t, aNode)
	rig := on(t, nodes.GSOSegment, w.state)
	gso := func(typ buf.GSOType, size uint16) func(*buf.Buffer) {
		return func(b *buf.Buffer) { b.GSOType, b.GSOSize, b.TxIf = typ, size, pod1 }
	}
	tcp, udp := "1.0.0.1 > 2.0.0.2: tcp 1 > 2 len 3000", "1.0.0.1 > 2.0.0.2: udp 1 > 2 len 3000"
	tcp6 := "2001:db8::1 > 2001:db8::2: tcp 1 > 2 len 3000"
	check(t, rig, nil, []row{
		{packet: tcp, meta: gso(buf.GSOUDP, 1000), reason: bad},
		{packet: udp, meta: gso(buf.GSOTCPv4, 1000), reason: bad},
		{packet: tcp, meta: gso(buf.GSOTCPv4, 0), reason: bad},
		{packet: tcp, meta: gso(buf.GSOTCPv4, 2), reason: bad}, // 1500 segments
		{packet: tcp, meta: gso(2, 1000), reason: bad},
		{packet: tcp, change: func(p []byte) { p[0] = 0x41 }, meta: gso(buf.GSOTCPv4, 1000), reason: bad},
		{packet: tcp, change: func(p []byte) { p[0] = 0x95 }, meta: gso(buf.GSOTCPv4, 1000), reason: bad},
		{packet: tcp, change: func(p []byte) { p[32] = 0x10 }, meta: gso(buf.GSOTCPv4, 1000), reason: bad},
		{packet: "1.0.0.1 > 2.0.0.2: tcp 1 > 2 len 8", change: func(p []byte) { p[32] = 0xf0 }, meta: gso(buf.GSOTCPv4, 1000), reason: bad},
		{packet: "1.0.0.1 > 2.0.0.2: proto 6 len 19", meta: gso(buf.GSOTCPv4, 1000), reason: bad},
		{packet: "1.0.0.1 > 2.0.0.2: proto 17 len 7", meta: gso(buf.GSOUDP, 1000), reason: bad},
		{packet: "hex 45", meta: gso(buf.GSOUDP, 1000), reason: bad},
		{packet: tcp6, meta: gso(buf.GSOTCPv6, 1000), reason: bad}, // nobody knows where its transport header starts
		{packet: tcp6, meta: func(b *buf.Buffer) {
			gso(buf.GSOTCPv6, 1000)(b)
			b.Flags |= buf.CsumPartial
			b.CsumStart = uint16(b.Off() + 20)
		}, reason: bad},
		{packet: tcp6, meta: func(b *buf.Buffer) {
			gso(buf.GSOTCPv6, 1000)(b)
			b.Flags |= buf.CsumPartial
			b.CsumStart = 60000
		}, reason: bad},
	})
	all := make([]*buf.Buffer, 8192)
	n := rig.Pool.Get(all)
	rig.Pool.Put(all[:2])
	check(t, rig, nil, []row{{packet: tcp, meta: gso(buf.GSOTCPv4, 1000), reason: "no buffers for segments"}})
	rig.Pool.Put(all[2:n])
}

func TestGSOSegmentNoAllocs(t *testing.T) {
	w := newWorld(t, aNode)
	rig := on(t, nodes.GSOSegment, w.state)
	rig.NoAllocs(t, func(b *buf.Buffer) { b.GSOType, b.GSOSize, b.TxIf = buf.GSOTCPv4, 1448, pod1 }, line(t, "1.0.0.1 > 2.0.0.2: tcp 1 > 2 len 30000"))
}
