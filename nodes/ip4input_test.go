package nodes_test

import (
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/internal/pktline"
	"github.com/skein-dataplane/skein/nodes"
)

// hexOf writes bytes as a line.
func hexOf(p []byte) string { return "hex " + hex.EncodeToString(p) }

// seal makes the checksum of a header right, of whatever length it says.
func seal(p []byte) {
	h := (*hdr.IPv4)(p)
	h.SetChecksum(0)
	h.SetChecksum(hdr.Checksum(p[:min(len(p), max(20, h.HeaderLen()))]))
}

// withOptions returns a packet whose payload begins with IP options.
func withOptions(opts ...byte) func(p []byte) {
	return func(p []byte) {
		for len(opts)%4 != 0 {
			opts = append(opts, 0)
		}
		copy(p[20:], opts)
		p[0] = 0x40 | byte(5+len(opts)/4)
		seal(p)
	}
}

func TestIP4Input(t *testing.T) {
	const (
		good = "10.1.0.7 > 198.51.100.1: udp 4000 > 53 ttl 64 len 40"
		end  = "end of ip4-unicast"
	)
	head := func(change func(h *hdr.IPv4)) func([]byte) {
		return func(p []byte) { change((*hdr.IPv4)(p)); seal(p) }
	}
	cut := func(n int) func(*buf.Buffer) { return func(b *buf.Buffer) { b.Trim(n) } }
	check(t, on(t, nodes.IP4Input, newWorld(t, aNode).state), nil, []row{
		{packet: good, reason: end},
		{packet: good, meta: func(b *buf.Buffer) { b.RxIf = pod1 }, reason: "feature ip4-source-check"},
		{packet: "10.1.0.7 > 198.51.100.1: tcp 1 > 2 ttl 0", reason: end}, // the TTL is another node's business
		{packet: "10.1.0.7 > 198.51.100.1: proto 47 len 0", reason: end},

		{packet: good, meta: cut(0), reason: "ip4 truncated", out: "hex "},
		{packet: good, meta: cut(19), reason: "ip4 truncated", out: hexOf(line(t, good)[:19])},
		{packet: good, change: func(p []byte) { p[0] = 0x65; seal(p) }, reason: "ip4 version is not 4"},
		{packet: good, change: func(p []byte) { p[0] = 0x05; seal(p) }, reason: "ip4 version is not 4"},
		{packet: good, change: func(p []byte) { p[0] = 0x44; seal(p) }, reason: "ip4 bad header length"},
		{packet: good, change: func(p []byte) { p[0] = 0x40; seal(p) }, reason: "ip4 bad header length"},
		{packet: "10.1.0.7 > 198.51.100.1: proto 47 len 36", change: func(p []byte) { p[0] = 0x4f; seal(p) }, reason: "ip4 bad header length"},
		{packet: good, change: head(func(h *hdr.IPv4) { h.SetLen(69) }), reason: "ip4 total length exceeds the packet"},
		{packet: good, change: head(func(h *hdr.IPv4) { h.SetLen(19) }), reason: "ip4 total length exceeds the packet"},
		{packet: good, change: head(func(h *hdr.IPv4) { h.SetLen(0) }), reason: "ip4 total length exceeds the packet"},
		{packet: good, change: func(p []byte) { p[8]++ }, reason: "ip4 bad header checksum"},
		{packet: good, change: func(p []byte) { p[0] = 0x46 }, reason: "ip4 bad header checksum"},

		{packet: "224.0.0.1 > 10.0.0.1: udp 1 > 2", reason: "ip4 martian source"},
		{packet: "240.0.0.1 > 10.0.0.1: udp 1 > 2", reason: "ip4 martian source"},
		{packet: "255.255.255.255 > 10.0.0.1: udp 1 > 2", reason: "ip4 martian source"},
		{packet: "0.0.0.0 > 10.0.0.1: udp 68 > 67", reason: "ip4 martian source"},
		{packet: "127.0.0.1 > 10.0.0.1: udp 1 > 2", reason: "ip4 martian source"},
		{packet: "10.0.0.1 > 0.0.0.1: udp 1 > 2", reason: "ip4 martian destination"},
		{packet: "10.0.0.1 > 127.9.9.9: udp 1 > 2", reason: "ip4 martian destination"},
		{packet: "10.0.0.1 > 240.0.0.1: udp 1 > 2", reason: "ip4 martian destination"},
		{packet: "10.0.0.1 > 224.0.0.251: udp 1 > 2", reason: "ip4 multicast is not routed"},
		{packet: "10.0.0.1 > 255.255.255.255: udp 1 > 2", reason: "ip4 multicast is not routed"},
		{packet: "223.255.255.255 > 223.255.255.255: udp 1 > 2", reason: end},

		// Options travel; source routes and options that do not add up do not.
		{packet: "1.0.0.1 > 2.0.0.2: proto 99 len 40", change: withOptions(1, 1, 148, 4, 0, 0), reason: end},
		{packet: "1.0.0.1 > 2.0.0.2: proto 99 len 40", change: withOptions(1, 131, 3, 4), reason: "ip4 source route option refused"},
		{packet: "1.0.0.1 > 2.0.0.2: proto 99 len 40", change: withOptions(137, 3, 4), reason: "ip4 source route option refused"},
		{packet: "1.0.0.1 > 2.0.0.2: proto 99 len 40", change: withOptions(0, 131, 3, 4), reason: end}, // behind the end nothing counts
		{packet: "1.0.0.1 > 2.0.0.2: proto 99 len 40", change: withOptions(7, 1, 1, 1), reason: "ip4 bad option length"},
		{packet: "1.0.0.1 > 2.0.0.2: proto 99 len 40", change: withOptions(7, 0, 1, 1), reason: "ip4 bad option length"},
		{packet: "1.0.0.1 > 2.0.0.2: proto 99 len 40", change: withOptions(7, 5, 1, 1), reason: "ip4 bad option length"},
		{packet: "1.0.0.1 > 2.0.0.2: proto 99 len 40", change: withOptions(1, 1, 1, 7), reason: "ip4 bad option length"},

		// Ethernet's padding goes.
		{packet: good, change: head(func(h *hdr.IPv4) { h.SetLen(60) }), reason: end,
			out: "10.1.0.7 > 198.51.100.1: udp 4000 > 53 ttl 64 len 32"},
	})
}

// A superpacket has to be what its metadata say.
func TestIP4InputGSO(t *testing.T) {
	const (
		end = "end of ip4-unicast"
		bad = "ip4 offload does not fit the packet"
		tcp = "10.1.0.7 > 198.51.100.1: tcp 1 > 2 flags A len 4000"
		udp = "10.1.0.7 > 198.51.100.1: udp 1 > 2 len 4000"
	)
	gso := func(typ buf.GSOType, size uint16) func(*buf.Buffer) {
		return func(b *buf.Buffer) { b.GSOType, b.GSOSize = typ, size }
	}
	check(t, on(t, nodes.IP4Input, newWorld(t, aNode).state), nil, []row{
		{packet: tcp, meta: gso(buf.GSOTCPv4, 1448), reason: end},
		{packet: tcp, meta: gso(buf.GSOTCPv4|buf.GSOECN, 1448), reason: end},
		{packet: udp, meta: gso(buf.GSOUDP, 512), reason: end},
		{packet: tcp, meta: gso(buf.GSOTCPv4, 0), reason: bad},
		{packet: tcp, meta: gso(buf.GSOUDP, 512), reason: bad},
		{packet: udp, meta: gso(buf.GSOTCPv4, 512), reason: bad},
		{packet: tcp, meta: gso(buf.GSOTCPv6, 1448), reason: bad},
		{packet: tcp, meta: gso(3, 1448), reason: bad},
		{packet: tcp, change: func(p []byte) { p[20+12] = 0x40 }, meta: gso(buf.GSOTCPv4, 1448), reason: bad},
		{packet: "10.1.0.7 > 198.51.100.1: tcp 1 > 2 flags A len 3", change: func(p []byte) { p[20+12] = 0x60 }, meta: gso(buf.GSOTCPv4, 1448), reason: bad},
		{packet: "10.1.0.7 > 198.51.100.1: proto 6 len 19", meta: gso(buf.GSOTCPv4, 1448), reason: bad},
		{packet: "10.1.0.7 > 198.51.100.1: proto 17 len 7", meta: gso(buf.GSOUDP, 1448), reason: bad},
		{packet: "10.1.0.7 > 198.51.100.1: proto 17 len 4000 mf", meta: gso(buf.GSOUDP, 1448), reason: bad},
		{packet: "10.1.0.7 > 198.51.100.1: proto 17 len 4000 offset 800", meta: gso(buf.GSOUDP, 1448), reason: bad},
	})
}

// Both directions of a flow have one hash, as have all fragments of a packet,
// and flows spread over next hops.
func TestIP4Hash(t *testing.T) {
	rig := on(t, nodes.IP4Input, newWorld(t, aNode).state)
	hash := func(lines ...string) (out []uint32) {
		var packets [][]byte
		for _, s := range lines {
			packets = append(packets, line(t, s))
		}
		got := rig.Run(t, packets...)
		for _, x := range got {
			out = append(out, nodes.Hash4(x.Buffer))
			if h := nodes.HashOut(x.Buffer); h != out[len(out)-1] {
				t.Errorf("%#x where it leaves, %#x before", h, out[len(out)-1])
			}
		}
		rig.Put(got)
		return out
	}
	for _, pair := range [][2]string{
		{"10.0.0.1 > 10.0.0.2: tcp 1000 > 80", "10.0.0.2 > 10.0.0.1: tcp 80 > 1000"},
		{"10.0.0.1 > 10.0.0.2: udp 1000 > 80", "10.0.0.2 > 10.0.0.1: udp 80 > 1000"},
		{"10.0.0.1 > 10.0.0.2: icmp echo-request id 7", "10.0.0.2 > 10.0.0.1: icmp echo-reply id 7"},
		{"10.0.0.1 > 10.0.0.2: proto 17 mf len 1480", "10.0.0.1 > 10.0.0.2: proto 17 offset 1480 len 900"},
	} {
		if h := hash(pair[0], pair[1]); h[0] != h[1] {
			t.Errorf("%s: %#x\n%s: %#x", pair[0], h[0], pair[1], h[1])
		}
	}
	if h := hash("10.0.0.1 > 10.0.0.2: tcp 1000 > 80", "10.0.0.1 > 10.0.0.2: udp 1000 > 80", "10.0.0.1 > 10.0.0.2: udp 1001 > 80"); h[0] == h[1] || h[1] == h[2] {
		t.Errorf("different flows, one hash: %x", h)
	}
	// The low bits choose next hops: neighboring ports and addresses must part.
	rnd := rand.New(rand.NewPCG(1, 2))
	const flows, ways = 4096, 16
	var byPort, byAddr [ways]int
	one := rig.Load(t, line(t, "10.0.0.1 > 10.0.0.2: udp 1000 > 80"))[0]
	sound(one)
	for i := range flows {
		one.IPv4().SetSrc(0x0a000001)
		one.UDP()[0], one.UDP()[1] = byte(i>>8), byte(i)
		byPort[nodes.Hash4(one)%ways]++
		one.UDP()[0] = byte(rnd.Uint32())
		one.IPv4().SetSrc(hdr.Addr4(0x0a000000 + i))
		byAddr[nodes.Hash4(one)%ways]++
	}
	rig.Pool.Put([]*buf.Buffer{one})
	for i := range ways {
		if mean := flows / ways; byPort[i] < mean/2 || byPort[i] > mean*2 || byAddr[i] < mean/2 || byAddr[i] > mean*2 {
			t.Errorf("way %d of %d: %d flows by port, %d by address, %d would be even", i, ways, byPort[i], byAddr[i], mean)
		}
	}
}

// A bit that flips anywhere in a header is noticed.
func TestIP4InputBitFlips(t *testing.T) {
	rig := on(t, nodes.IP4Input, newWorld(t, aNode).state)
	good := line(t, "10.1.0.7 > 198.51.100.1: udp 4000 > 53 len 4")
	var packets [][]byte
	for bit := range 160 {
		p := append([]byte(nil), good...)
		p[bit/8] ^= 1 << (bit % 8)
		packets = append(packets, p)
	}
	got := rig.Run(t, packets...)
	for i, x := range got {
		if x.Reason == "end of ip4-unicast" {
			t.Errorf("bit %d flipped, and nobody minds: %s", i, pktline.Format(x.Bytes(), false))
		}
	}
	rig.Put(got)
}
