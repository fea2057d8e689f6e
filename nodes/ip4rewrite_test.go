package nodes_test

import (
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/nodes"
)

func TestIP4Rewrite(t *testing.T) {
	const end = "end of ip4-output"
	w := newWorld(t, aNode)
	originated := func(b *buf.Buffer) { b.Flags |= buf.Originated }
	gso := func(b *buf.Buffer) {
		b.GSOType, b.GSOSize = buf.GSOTCPv4, 1448
		sound(b)
	}
	link := "02:00:00:00:00:10 > 02:00:00:00:00:01: "
	check(t, on(t, nodes.IP4Rewrite, w.state), routed(w.state), []row{
		{packet: "10.1.0.7 > 8.8.8.8: udp 1 > 2 ttl 64 len 5", reason: end, out: link + "10.1.0.7 > 8.8.8.8: udp 1 > 2 ttl 63 len 5"},
		{packet: "10.1.0.7 > 203.0.113.5: udp 1 > 2 ttl 2 len 5", reason: end,
			out: "02:00:00:00:00:11 > 02:00:00:00:01:01: 10.1.0.7 > 203.0.113.5: udp 1 > 2 ttl 1 len 5"},
		{packet: "8.8.8.8 > 10.1.0.7: udp 1 > 2 ttl 255 len 5", reason: end, out: "8.8.8.8 > 10.1.0.7: udp 1 > 2 ttl 254 len 5"},

		// No hop is left. A packet of this node's own loses none.
		{packet: "10.1.0.7 > 8.8.8.8: udp 1 > 2 ttl 1 len 5", reason: "ip4 time to live exceeded"},
		{packet: "10.1.0.7 > 8.8.8.8: udp 1 > 2 ttl 0 len 5", reason: "ip4 time to live exceeded"},
		{packet: "192.0.2.10 > 10.1.0.7: udp 1 > 2 ttl 1 len 5", meta: originated, reason: end, out: "192.0.2.10 > 10.1.0.7: udp 1 > 2 ttl 1 len 5"},

		// To the byte: 1500 on eth0, 1400 on pod2, 9000 on eth1.
		{packet: "10.1.0.7 > 8.8.8.8: udp 1 > 2 ttl 64 df len 1472", reason: end, out: link + "10.1.0.7 > 8.8.8.8: udp 1 > 2 ttl 63 df len 1472"},
		{packet: "10.1.0.7 > 8.8.8.8: udp 1 > 2 ttl 64 df len 1473", reason: "ip4 fragmentation needed but forbidden"},
		{packet: "10.1.0.7 > 8.8.8.8: udp 1 > 2 ttl 64 len 1473", reason: "fragment"},
		{packet: "10.1.0.7 > 8.8.8.8: udp 1 > 2 ttl 64 len 1473", meta: originated, reason: "fragment"},
		{packet: "10.1.0.7 > 8.8.8.8: udp 1 > 2 ttl 1 len 1473", reason: "ip4 time to live exceeded"},
		{packet: "10.1.0.7 > 10.1.0.8: udp 1 > 2 ttl 64 len 1373", reason: "fragment"},
		{packet: "10.1.0.7 > 203.0.113.5: udp 1 > 2 ttl 64 len 8972", reason: end,
			out: "02:00:00:00:00:11 > 02:00:00:00:01:01: 10.1.0.7 > 203.0.113.5: udp 1 > 2 ttl 63 len 8972"},

		// Of a superpacket the segments count: 20 + 20 + 1448 bytes.
		{packet: "10.1.0.7 > 8.8.8.8: tcp 1 > 2 flags A seq 0 ack 0 ttl 64 df len 30000", meta: gso, reason: end,
			out: link + "10.1.0.7 > 8.8.8.8: tcp 1 > 2 flags A seq 0 ack 0 ttl 63 df len 30000"},
		{packet: "10.1.0.7 > 10.1.0.8: tcp 1 > 2 flags A seq 0 ack 0 ttl 64 df len 30000", meta: gso, reason: "ip4 fragmentation needed but forbidden"},
		{packet: "10.1.0.7 > 10.1.0.8: tcp 1 > 2 flags A seq 0 ack 0 ttl 64 len 1300", meta: gso, reason: end,
			out: "10.1.0.7 > 10.1.0.8: tcp 1 > 2 flags A seq 0 ack 0 ttl 63 len 1300"},
	})
}

// The errors that ip4-rewrite asks for, and the interface it decides on.
func TestIP4RewriteMeta(t *testing.T) {
	w := newWorld(t, aNode)
	rig := on(t, nodes.IP4Rewrite, w.state)
	bufs := rig.Load(t,
		line(t, "10.1.0.7 > 8.8.8.8: udp 1 > 2 ttl 1"),
		line(t, "10.1.0.7 > 10.1.0.8: udp 1 > 2 df len 1400"),
		line(t, "10.1.0.7 > 10.1.0.8: udp 1 > 2"))
	for _, b := range bufs {
		routed(w.state)(b)
	}
	got := rig.RunBufs(t, bufs...)
	if m := nodes.ICMPError(11, 0, 0); got[0].Meta != m {
		t.Errorf("time exceeded: %#x, want %#x", got[0].Meta, m)
	}
	if m := nodes.ICMPError(3, 4, 1400); got[1].Meta != m {
		t.Errorf("fragmentation needed: %#x, want %#x", got[1].Meta, m)
	}
	if got[2].TxIf != pod2 || sums(got[2].Bytes()) != "" {
		t.Errorf("to interface %d, %s", got[2].TxIf, sums(got[2].Bytes()))
	}
	rig.Put(got)
}
