package nodes_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nodes"
)

// both is the world of most tests of IPv6.
const both = aNode + aNode6

func TestIP6Input(t *testing.T) {
	const (
		good = "fd00:1::7 > 2001:db8:51::1: udp 4000 > 53 ttl 64 len 40"
		end  = "end of ip6-unicast"
		src  = "ip6 martian source"
		dst  = "ip6 martian destination"
	)
	head := func(change func(h *hdr.IPv6)) func([]byte) {
		return func(p []byte) { change((*hdr.IPv6)(p)) }
	}
	cut := func(n int) func(*buf.Buffer) { return func(b *buf.Buffer) { b.Trim(n) } }
	check(t, on(t, nodes.IP6Input, newWorld(t, both).state), nil, []row{
		{packet: good, reason: end},
		{packet: good, meta: func(b *buf.Buffer) { b.RxIf = pod1 }, reason: "feature ip6-source-check"},
		{packet: "fd00:1::7 > 2001:db8:51::1: tcp 1 > 2 ttl 0", reason: end}, // the hop limit is another node's business
		{packet: "fd00:1::7 > 2001:db8:51::1: proto 47 len 0", reason: end},
		{packet: "fd00:1::7 > 2001:db8:51::1: proto 59 len 0", reason: end},
		{packet: "fe80::10 > fe80::1:1: udp 1 > 2", reason: end},
		{packet: "::1234:5678 > ::8765:4321: udp 1 > 2", reason: end}, // once IPv4-compatible; RFC 4291 has let them go

		{packet: good, meta: cut(0), reason: "ip6 truncated", out: "hex "},
		{packet: good, meta: cut(39), reason: "ip6 truncated", out: hexOf(line(t, good)[:39])},
		{packet: good, change: func(p []byte) { p[0] = 0x40 }, reason: "ip6 version is not 6"},
		{packet: good, change: func(p []byte) { p[0] = 0x70 }, reason: "ip6 version is not 6"},
		{packet: good, change: head(func(h *hdr.IPv6) { h.SetPayloadLen(49) }), reason: "ip6 payload length exceeds the packet"},
		{packet: good, change: head(func(h *hdr.IPv6) { h.SetPayloadLen(0xffff) }), reason: "ip6 payload length exceeds the packet"},
		{packet: "fd00:1::7 > 2001:db8:51::1: hbh udp 1 > 2", change: head(func(h *hdr.IPv6) { h.SetPayloadLen(0) }), reason: "ip6 jumbogram refused"},

		{packet: ":: > 2001:db8::1: udp 1 > 2", reason: src},
		{packet: "::1 > 2001:db8::1: udp 1 > 2", reason: src},
		{packet: "ff02::1 > 2001:db8::1: udp 1 > 2", reason: src},
		{packet: "ff0e::1 > 2001:db8::1: udp 1 > 2", reason: src},
		{packet: good, change: head(func(h *hdr.IPv6) { h.SetSrc(hdr.Addr6{Lo: 0xffff_0a00_0001}) }), reason: src},
		{packet: "2001:db8::1 > ::: udp 1 > 2", reason: dst},
		{packet: "2001:db8::1 > ::1: udp 1 > 2", reason: dst},
		{packet: good, change: head(func(h *hdr.IPv6) { h.SetDst(hdr.Addr6{Lo: 0xffff_0a00_0001}) }), reason: dst},
		{packet: "2001:db8::1 > ff02::1: udp 1 > 2", reason: "ip6 multicast is not routed"},
		{packet: "2001:db8::1 > ff3e::1234: udp 1 > 2", reason: "ip6 multicast is not routed"},

		{packet: "fd00:1::7 > 2001:db8:51::1: hbh udp 1 > 2", reason: "ip6 hop-by-hop options"},
		{packet: "fd00:1::7 > 2001:db8:51::1: dstopts udp 1 > 2", reason: "ip6 extension headers"},
		{packet: "fd00:1::7 > 2001:db8:51::1: frag 0 mf udp 1 > 2", reason: "ip6 extension headers"},
		{packet: "fd00:1::7 > 2001:db8:51::1: proto 50", reason: end}, // behind it nothing is to be read

		// Ethernet's padding goes.
		{packet: good, change: head(func(h *hdr.IPv6) { h.SetPayloadLen(40) }), reason: end,
			out: "fd00:1::7 > 2001:db8:51::1: udp 4000 > 53 ttl 64 len 32"},
		{packet: "fd00:1::7 > 2001:db8:51::1: tcp 1 > 2", change: head(func(h *hdr.IPv6) { h.SetPayloadLen(0) }), reason: end,
			out: "fd00:1::7 > 2001:db8:51::1: proto 6 ttl 64 len 0"},
	})
}

// A superpacket has to be what its metadata say, also behind other headers.
func TestIP6InputGSO(t *testing.T) {
	const (
		bad = "ip6 offload does not fit the packet"
		tcp = "fd00:1::7 > 2001:db8:51::1: tcp 1 > 2 flags A len 4000"
		udp = "fd00:1::7 > 2001:db8:51::1: udp 1 > 2 len 4000"
	)
	gso := func(typ buf.GSOType, size uint16) func(*buf.Buffer) {
		return func(b *buf.Buffer) { b.GSOType, b.GSOSize = typ, size }
	}
	check(t, on(t, nodes.IP6Input, newWorld(t, both).state), nil, []row{
		{packet: tcp, meta: gso(buf.GSOTCPv6, 1428), reason: "end of ip6-unicast"},
		{packet: tcp, meta: gso(buf.GSOTCPv6|buf.GSOECN, 1428), reason: "end of ip6-unicast"},
		{packet: udp, meta: gso(buf.GSOUDP, 512), reason: "end of ip6-unicast"},
		{packet: tcp, meta: gso(buf.GSOTCPv6, 0), reason: bad},
		{packet: tcp, meta: gso(buf.GSOTCPv4, 1428), reason: bad},
		{packet: tcp, meta: gso(buf.GSOUDP, 512), reason: bad},
		{packet: udp, meta: gso(buf.GSOTCPv6, 512), reason: bad},
		{packet: tcp, meta: gso(3, 1428), reason: bad},
		{packet: tcp, change: func(p []byte) { p[40+12] = 0x40 }, meta: gso(buf.GSOTCPv6, 1428), reason: bad},
		{packet: "fd00:1::7 > 2001:db8:51::1: proto 6 len 19", meta: gso(buf.GSOTCPv6, 1428), reason: bad},
		{packet: "fd00:1::7 > 2001:db8:51::1: proto 17 len 7", meta: gso(buf.GSOUDP, 1428), reason: bad},
	})
	const not = "ip6 offload does not fit the extension headers"
	check(t, on(t, nodes.IP6Extensions, newWorld(t, both).state), nil, []row{
		{packet: "fd00:1::7 > 2001:db8:51::1: dstopts tcp 1 > 2 len 4000", meta: gso(buf.GSOTCPv6, 1428), reason: "end of ip6-unicast"},
		{packet: "fd00:1::7 > 2001:db8:51::1: dstopts udp 1 > 2 len 4000", meta: gso(buf.GSOTCPv6, 1428), reason: not},
		{packet: "fd00:1::7 > 2001:db8:51::1: frag 0 mf tcp 1 > 2 len 4000", meta: gso(buf.GSOTCPv6, 1428), reason: not},
		{packet: "fd00:1::7 > 2001:db8:51::1: frag 8 proto 6 len 4000", meta: gso(buf.GSOTCPv6, 1428), reason: not},
	})
}

// chains is what ip6-extensions makes of chains of headers: where the
// transport header starts, or why not.
func TestIP6Extensions(t *testing.T) {
	const (
		to    = "fd00:1::7 > 2001:db8:51::1: "
		end   = "end of ip6-unicast"
		short = "ip6 extension headers truncated"
		many  = "ip6 extension headers too many or too long"
		first = "ip6 first fragment lacks the transport header"
	)
	cut := func(n int) func(*buf.Buffer) { return func(b *buf.Buffer) { b.Trim(n) } }
	set := func(at int, v byte) func([]byte) { return func(p []byte) { p[at] = v } }
	rig := on(t, nodes.IP6Extensions, newWorld(t, both).state)
	rows := []row{
		{packet: to + "hbh udp 1 > 2", reason: end},
		{packet: to + "hbh dstopts routing 4 ah dstopts tcp 1 > 2", reason: end},
		{packet: to + "frag 0 mf udp 1 > 2", reason: end},
		{packet: to + "frag 0 udp 1 > 2", reason: end}, // RFC 6946: an atomic fragment
		{packet: to + "frag 1448 mf proto 17 len 1448", reason: end},
		{packet: to + "frag 1448 proto 0 len 3", reason: end}, // it need not say what it is
		{packet: to + "dstopts proto 59 len 0", reason: end},
		{packet: to + "dstopts proto 50 len 3", reason: end},
		{packet: to + "frag 0 mf proto 50 len 3", reason: end},
		{packet: to + "hbh udp 1 > 2", meta: func(b *buf.Buffer) { b.RxIf = pod1 }, reason: "feature ip6-source-check"},
		{packet: to + "dstopts dstopts dstopts dstopts dstopts dstopts dstopts dstopts udp 1 > 2", reason: end},
		{packet: to + "dstopts proto 17 len 600", change: set(41, 63), reason: end}, // 512 bytes

		{packet: to + "dstopts udp 1 > 2", meta: cut(40), reason: short, out: "hex"},
		{packet: to + "dstopts udp 1 > 2", meta: cut(47), reason: short, out: "hex"},
		{packet: to + "dstopts udp 1 > 2", change: set(41, 255), reason: short},
		{packet: to + "ah udp 1 > 2 len 0", change: set(41, 20), reason: short},
		{packet: to + "dstopts proto 60 len 7", reason: short},
		{packet: to + "dstopts proto 17 len 600", change: set(41, 64), reason: many},
		{packet: to + "dstopts dstopts dstopts dstopts dstopts dstopts dstopts dstopts dstopts udp 1 > 2", reason: many},
		{packet: to + "dstopts hbh udp 1 > 2", reason: "ip6 hop-by-hop options not first"},
		{packet: to + "hbh hbh udp 1 > 2", reason: "ip6 hop-by-hop options not first"},
		{packet: to + "routing 0 udp 1 > 2", reason: "ip6 routing header type 0 refused"},
		{packet: to + "frag 0 mf proto 17 len 7", reason: first},
		{packet: to + "frag 0 mf proto 6 len 19", reason: first},
		{packet: to + "frag 0 mf proto 132 len 11", reason: first},
		{packet: to + "frag 0 mf proto 58 len 7", reason: first},
		{packet: to + "frag 0 mf dstopts proto 6 len 19", reason: first},
		{packet: to + "frag 0 mf proto 60 len 0", reason: short},
	}
	for i := range rows {
		if rows[i].out == "hex" {
			n := map[int]int{12: 40, 13: 47}[i]
			rows[i].out = hexOf(line(t, rows[i].packet)[:n])
		}
	}
	check(t, rig, nil, rows)

	// Where the transport header is.
	wants := []uint16{48, 40 + 8 + 8 + 8 + 24 + 8, 48, 48, 48, 48, 48, 48}
	var packets [][]byte
	for i := range wants {
		packets = append(packets, line(t, rows[i].packet))
	}
	got := rig.Run(t, packets...)
	for i, x := range got {
		if x.L4-x.L3 != wants[i] {
			t.Errorf("%s: transport header at %d, want %d", rows[i].packet, x.L4-x.L3, wants[i])
		}
	}
	rig.Put(got)
}

// Both directions of a flow have one hash, as have all fragments of a packet,
// and flows spread over next hops.
func TestIP6Hash(t *testing.T) {
	hash := func(s string) uint32 {
		rig := on(t, nodes.IP6Input, newWorld(t, both).state)
		b := rig.Load(t, line(t, s))[0]
		if !nodes.Check6(b) {
			t.Fatal(s)
		}
		h := nodes.Hash6(b)
		if out := nodes.HashOut(b); out != h && !strings.Contains(s, "frag") && !strings.Contains(s, "hbh") {
			t.Errorf("%s: %#x where it leaves, %#x before", s, out, h)
		}
		rig.Pool.Put([]*buf.Buffer{b})
		return h
	}
	for _, pair := range [][2]string{
		{"2001:db8::1 > fd00::2: tcp 1000 > 80", "fd00::2 > 2001:db8::1: tcp 80 > 1000"},
		{"2001:db8::1 > fd00::2: udp 1000 > 80", "fd00::2 > 2001:db8::1: hbh udp 80 > 1000"},
		{"2001:db8::1 > fd00::2: udp 1000 > 80", "2001:db8::1 > fd00::2: frag 0 udp 1000 > 80"},
		{"2001:db8::1 > fd00::2: icmp6 echo-request id 7", "fd00::2 > 2001:db8::1: icmp6 echo-reply id 7"},
		{"2001:db8::1 > fd00::2: frag 0 mf udp 1000 > 80", "2001:db8::1 > fd00::2: frag 1448 proto 60 len 9"},
	} {
		if a, b := hash(pair[0]), hash(pair[1]); a != b {
			t.Errorf("%s: %#x\n%s: %#x", pair[0], a, pair[1], b)
		}
	}
	if a, b := hash("fd00::1 > fd00::2: udp 1000 > 80"), hash("fd00::1 > fd00::2: udp 1001 > 80"); a == b {
		t.Errorf("different flows, one hash: %x", a)
	}
	// The low bits choose next hops: neighboring ports, hosts and networks must
	// part.
	rnd := rand.New(rand.NewPCG(1, 2))
	const flows, ways = 4096, 16
	var spread [4][ways]int
	base, far := hdr.Addr6{Hi: 0x20010db8 << 32, Lo: 1}, hdr.Addr6{Hi: 0xfd00 << 48, Lo: rnd.Uint64()}
	for i := range uint64(flows) {
		for way, h := range []uint32{
			nodes.FlowHash6(base, far, hdr.ProtoUDP, 53<<16|uint32(i)),
			nodes.FlowHash6(hdr.Addr6{Hi: base.Hi, Lo: i}, far, hdr.ProtoUDP, 53),
			nodes.FlowHash6(hdr.Addr6{Hi: base.Hi | i<<16, Lo: 1}, far, hdr.ProtoUDP, 53),
			nodes.FlowHash6(hdr.Addr6{Hi: base.Hi, Lo: rnd.Uint64()}, far, hdr.ProtoUDP, 53),
		} {
			spread[way][h%ways]++
		}
	}
	for i, s := range spread {
		for way, n := range s {
			if mean := flows / ways; n < mean/2 || n > mean*2 {
				t.Errorf("kind %d: %d flows take way %d of %d, %d would be even", i, n, way, ways, mean)
			}
		}
	}
}

// What the hot path of ip6-input decides, its slow checks decide as well.
func TestIP6InputFastAndSlow(t *testing.T) {
	rig := on(t, nodes.IP6Input, newWorld(t, both).state)
	rnd := rand.New(rand.NewPCG(5, 6))
	base := line(t, "fd00:1::7 > 2001:db8:51::1: udp 4000 > 53 len 40")
	for range 4000 {
		p := append([]byte(nil), base...)
		for range 1 + rnd.IntN(3) {
			p[rnd.IntN(40)] = byte(rnd.Uint32()) & byte(-rnd.IntN(2))
		}
		slow := rig.Load(t, p)[0]
		sound := nodes.Check6(slow)
		got := rig.Run(t, p)
		fast := got[0].Reason == "end of ip6-unicast"
		if fast && (!sound || got[0].Hash != slow.Hash || got[0].L4 != slow.L4) {
			t.Fatalf("% x: %s, hash %#x and L4 %d; want %t %#x %d", p, got[0].Reason, got[0].Hash, got[0].L4, sound, slow.Hash, slow.L4)
		}
		if !fast && sound && (*hdr.IPv6)(p).NextHeader() == hdr.ProtoUDP {
			t.Fatalf("% x: %s", p, got[0].Reason)
		}
		rig.Pool.Put([]*buf.Buffer{slow})
		rig.Put(got)
	}
}

func BenchmarkIP6Input(b *testing.B) {
	for _, packet := range []string{"udp 4000 > 53", "hbh dstopts udp 4000 > 53"} {
		for _, size := range []int{256, 16, 1} {
			b.Run(fmt.Sprintf("%s/vector=%d", packet[:3], size), func(b *testing.B) {
				spec := nodes.IP6Input
				if packet[0] == 'h' {
					spec = nodes.IP6Extensions
				}
				rig := on(b, spec, newWorld(b, both).state)
				rig.Loop(b, size, nil, line(b, "fd00:1::7 > 2001:db8:51::1: "+packet))
			})
		}
	}
}
