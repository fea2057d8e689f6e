package nodes_test

import (
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/nodes"
)

func TestIP4Punt(t *testing.T) {
	w := newWorld(t, aNode)
	w.state.EchoID = 0x5ce1
	// As from ethernet-input, or from a TUN.
	prepare := func(b *buf.Buffer) {
		if b.Ether().Type() == 0x0800 {
			b.Advance(14)
		}
		routed(w.state)(b)
	}
	from := func(i uint32, flags buf.Flags) func(*buf.Buffer) {
		return func(b *buf.Buffer) { b.RxIf, b.Flags = i, flags }
	}
	const toHost, own = "to host", "02:fe:00:00:00:01 > 02:00:00:00:00:10: "
	check(t, on(t, nodes.IP4Punt, w.state), prepare, []row{
		// From the uplink the frame goes on as it was, no hop taken.
		{packet: "02:00:00:00:00:01 > 02:00:00:00:00:10: 8.8.8.8 > 192.0.2.10: udp 1 > 2 ttl 1 len 32", reason: toHost},
		// From elsewhere it gets a header of the tap's.
		{packet: "10.1.0.7 > 192.0.2.10: udp 1 > 2 ttl 64 len 5", meta: from(pod1, 0), reason: toHost, out: own + "10.1.0.7 > 192.0.2.10: udp 1 > 2 ttl 64 len 5"},
		{packet: "02:00:00:00:01:01 > 02:00:00:00:00:11: 203.0.113.1 > 192.0.2.10: udp 1 > 2 ttl 64 len 5", meta: from(eth1, 0), reason: toHost,
			out: own + "203.0.113.1 > 192.0.2.10: udp 1 > 2 ttl 64 len 5"},
		// Skein's own answers to the host, and to who pretends to be the host.
		{packet: "10.1.0.1 > 192.0.2.10: icmp time-exceeded ttl 64 len 28", meta: from(0, buf.Originated), reason: toHost,
			out: own + "10.1.0.1 > 192.0.2.10: icmp time-exceeded code 0 [99.100.101.102 > 48.49.50.51] ttl 64 len 28"},
		{packet: "02:00:00:00:00:10 > 02:fe:00:00:00:01: 192.0.2.10 > 192.0.2.10: udp 1 > 2 ttl 64 len 5", meta: from(tap0, buf.Originated), reason: "host sends to itself",
			out: "192.0.2.10 > 192.0.2.10: udp 1 > 2 ttl 64 len 5"},

		// The answer to Skein's own ping is not the host's.
		{packet: "10.1.0.7 > 192.0.2.10: icmp echo-reply id 23777 seq 1", meta: from(pod1, 0), reason: "echo reply to Skein"},
		{packet: "10.1.0.7 > 192.0.2.10: icmp echo-request id 23777 seq 1 ttl 64 len 16", meta: from(pod1, 0), reason: toHost,
			out: own + "10.1.0.7 > 192.0.2.10: icmp echo-request id 23777 seq 1 ttl 64 len 16"},
		{packet: "10.1.0.7 > 192.0.2.10: icmp echo-reply id 1 seq 1 ttl 64 len 16", meta: from(pod1, 0), reason: toHost,
			out: own + "10.1.0.7 > 192.0.2.10: icmp echo-reply id 1 seq 1 ttl 64 len 16"},
		{packet: "10.1.0.7 > 192.0.2.10: proto 1 ttl 64 len 3", meta: from(pod1, 0), reason: toHost,
			out: own + "10.1.0.7 > 192.0.2.10: proto 1 ttl 64 len 3 malformed"},
	})
}

func TestIP4Local(t *testing.T) {
	w := newWorld(t, aNode)
	rig := on(t, nodes.IP4Local, w.state)
	const bad = "bad transport length or checksum"
	valid := func(b *buf.Buffer) { b.Flags |= buf.CsumValid }
	check(t, rig, routed(w.state), []row{
		{packet: "10.1.0.7 > 10.1.0.1: icmp echo-request id 1 seq 1 ttl 1", reason: "icmp"},
		{packet: "10.1.0.7 > 10.1.0.1: udp 1 > 2", reason: "nobody listens on this port"},
		{packet: "10.1.0.7 > 10.1.0.1: tcp 1 > 2 flags S", reason: "nobody listens on this port"},
		{packet: "10.1.0.7 > 10.1.0.1: proto 47", reason: "nobody speaks this protocol"},
		{packet: "10.1.0.7 > 10.1.0.1: udp 1 > 2", change: func(p []byte) { p[26], p[27] = 0, 0 }, reason: "nobody listens on this port"}, // no checksum
		{packet: "10.1.0.7 > 10.1.0.1: udp 1 > 2", change: func(p []byte) { p[27]++ }, reason: bad},
		{packet: "10.1.0.7 > 10.1.0.1: udp 1 > 2", change: func(p []byte) { p[27]++ }, meta: valid, reason: "nobody listens on this port"},
		{packet: "10.1.0.7 > 10.1.0.1: udp 1 > 2 len 4", change: func(p []byte) { p[25]++ }, reason: bad},
		{packet: "10.1.0.7 > 10.1.0.1: udp 1 > 2 len 4", change: func(p []byte) { p[25] = 7 }, reason: bad},
		{packet: "10.1.0.7 > 10.1.0.1: proto 17 len 7", reason: bad},
		{packet: "10.1.0.7 > 10.1.0.1: tcp 1 > 2", change: func(p []byte) { p[36]++ }, reason: bad},
		{packet: "10.1.0.7 > 10.1.0.1: tcp 1 > 2", change: func(p []byte) { p[32] = 0x60 }, reason: bad},
		{packet: "10.1.0.7 > 10.1.0.1: proto 6 len 19", reason: bad},
		{packet: "10.1.0.7 > 10.1.0.1: proto 1 mf len 16", reason: "fragment for this node is not reassembled"},
		{packet: "10.1.0.7 > 10.1.0.1: proto 17 offset 16", reason: "fragment for this node is not reassembled"},
	})
	bufs := rig.Load(t, line(t, "10.1.0.7 > 10.1.0.1: udp 1 > 2"), line(t, "10.1.0.7 > 10.1.0.1: proto 47"))
	got := rig.RunBufs(t, bufs...)
	if port, proto := nodes.ICMPError(3, 3, 0), nodes.ICMPError(3, 2, 0); got[0].Meta != port || got[1].Meta != proto {
		t.Errorf("errors %#x and %#x, want %#x and %#x", got[0].Meta, got[1].Meta, port, proto)
	}
	rig.Put(got)
}
