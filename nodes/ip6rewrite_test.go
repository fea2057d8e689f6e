package nodes_test

import (
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nodes"
)

func TestIP6Rewrite(t *testing.T) {
	const (
		end  = "end of ip6-output"
		hops = "ip6 hop limit exceeded"
		big  = "ip6 packet too big"
		far  = " > 2001:db8:51::1: udp 1 > 2 "
	)
	w := newWorld(t, both)
	originated := func(b *buf.Buffer) { b.Flags |= buf.Originated }
	gso := func(b *buf.Buffer) {
		b.GSOType, b.GSOSize = buf.GSOTCPv6, 1428
		sound6(b)
	}
	link := "02:00:00:00:00:10 > 02:00:00:00:00:01: "
	check(t, on(t, nodes.IP6Rewrite, w.state), routed6(w.state), []row{
		{packet: "fd00:1::7" + far + "ttl 64 len 5", reason: end, out: link + "fd00:1::7" + far + "ttl 63 len 5"},
		{packet: "fd00:1::7 > 2001:db8:113::1: udp 1 > 2 ttl 2 len 5", reason: end,
			out: "02:00:00:00:00:11 > 02:00:00:00:01:01: fd00:1::7 > 2001:db8:113::1: udp 1 > 2 ttl 1 len 5"},
		{packet: "2001:db8:51::1 > fd00:1::7: hbh udp 1 > 2 ttl 255 len 5", reason: end, out: "2001:db8:51::1 > fd00:1::7: hbh udp 1 > 2 ttl 254 len 5"},
		{packet: "2001:db8:51::1 > fd00:1::7: frag 8 mf proto 17 ttl 255 len 8", reason: end, out: "2001:db8:51::1 > fd00:1::7: frag 8 mf proto 17 ttl 254 len 8"},

		// No hop is left. A packet of this node's own loses none.
		{packet: "fd00:1::7" + far + "ttl 1", reason: hops},
		{packet: "fd00:1::7" + far + "ttl 0", reason: hops},
		{packet: "2001:db8::10 > fd00:1::7: udp 1 > 2 ttl 1 len 5", meta: originated, reason: end, out: "2001:db8::10 > fd00:1::7: udp 1 > 2 ttl 1 len 5"},

		// To the byte: 1500 on eth0, 1400 on pod2, 9000 on eth1. There is no
		// fragmenting.
		{packet: "fd00:1::7" + far + "ttl 64 len 1452", reason: end, out: link + "fd00:1::7" + far + "ttl 63 len 1452"},
		{packet: "fd00:1::7" + far + "ttl 64 len 1453", reason: big},
		{packet: "fd00:1::7" + far + "ttl 64 len 1453", meta: originated, reason: big},
		{packet: "fd00:1::7" + far + "ttl 1 len 1453", reason: hops},
		{packet: "fd00:1::7 > fd00:1::8: udp 1 > 2 ttl 64 len 1353", reason: big},
		{packet: "fd00:1::7 > 2001:db8:113::1: udp 1 > 2 ttl 64 len 8952", reason: end,
			out: "02:00:00:00:00:11 > 02:00:00:00:01:01: fd00:1::7 > 2001:db8:113::1: udp 1 > 2 ttl 63 len 8952"},

		// Of a superpacket the segments count: 40 + 20 + 1428 bytes.
		{packet: "fd00:1::7 > 2001:db8:51::1: tcp 1 > 2 flags A seq 0 ack 0 ttl 64 len 30000", meta: gso, reason: end,
			out: link + "fd00:1::7 > 2001:db8:51::1: tcp 1 > 2 flags A seq 0 ack 0 ttl 63 len 30000"},
		{packet: "fd00:1::7 > fd00:1::8: tcp 1 > 2 flags A seq 0 ack 0 ttl 64 len 30000", meta: gso, reason: big},

		// What is of a link stays on it, but for Skein's own.
		{packet: "fe80::7" + far, reason: "ip6 link-local source is not routed"},
		{packet: "fe80::7" + far, meta: originated, reason: "ip6 link-local source is not routed"},
		{packet: "fe80::10 > fe80::1: udp 1 > 2 ttl 64 len 5", meta: func(b *buf.Buffer) { b.RxIf, b.Flags = 0, buf.Originated }, reason: end,
			out: link + "fe80::10 > fe80::1: udp 1 > 2 ttl 64 len 5"},
	})
}

// The errors that ip6-rewrite asks for, and the interface it decides on.
func TestIP6RewriteMeta(t *testing.T) {
	w := newWorld(t, both)
	rig := on(t, nodes.IP6Rewrite, w.state)
	bufs := rig.Load(t,
		line(t, "fd00:1::7 > 2001:db8:51::1: udp 1 > 2 ttl 1"),
		line(t, "fd00:1::7 > fd00:1::8: udp 1 > 2 len 1400"),
		line(t, "fe80::7 > fd00:1::8: udp 1 > 2"),
		line(t, "fd00:1::7 > fd00:1::8: udp 1 > 2"))
	for _, b := range bufs {
		routed6(w.state)(b)
	}
	got := rig.RunBufs(t, bufs...)
	for i, want := range []uint32{nodes.ICMPError(3, 0, 0), nodes.ICMPError(2, 0, 1400), nodes.ICMPError(1, 2, 0)} {
		if got[i].Meta != want {
			t.Errorf("packet %d: error %#x, want %#x", i, got[i].Meta, want)
		}
	}
	if got[3].TxIf != pod2 || sums6(got[3].Bytes()) != "" {
		t.Errorf("to interface %d, %s", got[3].TxIf, sums6(got[3].Bytes()))
	}
	rig.Put(got)
}

func TestIP6Punt(t *testing.T) {
	w := newWorld(t, both)
	w.state.EchoID = 0x5ce1
	// As from ethernet-input, or from a TUN.
	prepare := func(b *buf.Buffer) {
		if b.Ether().Type() == 0x86dd {
			b.Advance(14)
		}
		routed6(w.state)(b)
	}
	from := func(i uint32, flags buf.Flags) func(*buf.Buffer) {
		return func(b *buf.Buffer) { b.RxIf, b.Flags = i, flags }
	}
	const toHost, own = "to host", "02:fe:00:00:00:01 > 02:00:00:00:00:10: "
	check(t, on(t, nodes.IP6Punt, w.state), prepare, []row{
		// From the uplink the frame goes on as it was, no hop taken.
		{packet: "02:00:00:00:00:01 > 02:00:00:00:00:10: 2001:db8:51::1 > 2001:db8::10: hbh udp 1 > 2 ttl 1 len 32", reason: toHost},
		// From elsewhere it gets a header of the tap's.
		{packet: "fd00:1::7 > 2001:db8::10: udp 1 > 2 ttl 64 len 5", meta: from(pod1, 0), reason: toHost, out: own + "fd00:1::7 > 2001:db8::10: udp 1 > 2 ttl 64 len 5"},
		{packet: "02:00:00:00:01:01 > 02:00:00:00:00:11: 2001:db8:113::1 > 2001:db8::10: udp 1 > 2 ttl 64 len 5", meta: from(eth1, 0), reason: toHost,
			out: own + "2001:db8:113::1 > 2001:db8::10: udp 1 > 2 ttl 64 len 5"},
		{packet: "02:00:00:00:00:10 > 02:fe:00:00:00:01: 2001:db8::10 > 2001:db8::10: udp 1 > 2 ttl 64 len 5", meta: from(tap0, buf.Originated), reason: "ip6 host sends to itself",
			out: "2001:db8::10 > 2001:db8::10: udp 1 > 2 ttl 64 len 5"},

		// The answer to Skein's own ping is not the host's.
		{packet: "fd00:1::7 > 2001:db8::10: icmp6 echo-reply id 23777 seq 1", meta: from(pod1, 0), reason: "echo reply to Skein"},
		{packet: "fd00:1::7 > 2001:db8::10: dstopts icmp6 echo-reply id 23777 seq 1", meta: from(pod1, 0), reason: "echo reply to Skein"},
		{packet: "fd00:1::7 > 2001:db8::10: icmp6 echo-request id 23777 seq 1 ttl 64 len 16", meta: from(pod1, 0), reason: toHost,
			out: own + "fd00:1::7 > 2001:db8::10: icmp6 echo-request id 23777 seq 1 ttl 64 len 16"},
		{packet: "fd00:1::7 > 2001:db8::10: icmp6 echo-reply id 1 seq 1 ttl 64 len 16", meta: from(pod1, 0), reason: toHost,
			out: own + "fd00:1::7 > 2001:db8::10: icmp6 echo-reply id 1 seq 1 ttl 64 len 16"},
		{packet: "fd00:1::7 > 2001:db8::10: frag 8 proto 58 ttl 64 len 16", meta: from(pod1, 0), reason: toHost,
			out: own + "fd00:1::7 > 2001:db8::10: frag 8 proto 58 ttl 64 len 16"},
		{packet: "fd00:1::7 > 2001:db8::10: proto 58 ttl 64 len 3", meta: from(pod1, 0), reason: toHost,
			out: own + "fd00:1::7 > 2001:db8::10: proto 58 ttl 64 len 3"},
	})
}

func TestIP6Local(t *testing.T) {
	w := newWorld(t, both)
	rig := on(t, nodes.IP6Local, w.state)
	const to, bad = "fd00:1::7 > fd00:1::1: ", "ip6 bad transport length or checksum"
	rows := []row{
		{packet: to + "udp 1 > 2", reason: "ip6 nobody listens on this port"},
		{packet: to + "proto 47", reason: "ip6 nobody speaks this protocol"},
		{packet: to + "hbh dstopts proto 47", reason: "ip6 nobody speaks this protocol"},
		{packet: to + "tcp 1 > 2 flags S", reason: "ip6 nobody listens on this port"},
		{packet: to + "icmp6 echo-request id 1 seq 1 ttl 1", reason: "icmp6"},
		{packet: to + "dstopts icmp6 echo-request id 1 seq 1 ttl 1", reason: "icmp6"},
		{packet: to + "frag 0 icmp6 echo-request id 1 seq 1 ttl 1", reason: "icmp6"},
		{packet: to + "frag 0 mf icmp6 echo-request id 1 seq 1", reason: "ip6 fragment for this node is not reassembled"},
		{packet: to + "frag 16 proto 17", reason: "ip6 fragment for this node is not reassembled"},
		{packet: to + "proto 59", reason: "ip6 no next header"},
		{packet: to + "udp 1 > 2", change: func(p []byte) { p[46], p[47] = 0, 0 }, reason: bad}, // a checksum is a must
		{packet: to + "udp 1 > 2", change: func(p []byte) { p[47]++ }, reason: bad},
		{packet: to + "udp 1 > 2", change: func(p []byte) { p[47]++ }, meta: func(b *buf.Buffer) { b.Flags |= buf.CsumPartial },
			reason: "ip6 nobody listens on this port"},
		{packet: to + "dstopts tcp 1 > 2", change: func(p []byte) { p[64]++ }, reason: bad},
		{packet: to + "proto 17 len 7", reason: bad},

		// What a destination does with extension headers that it does not know.
		{packet: to + "dstopts udp 1 > 2", change: func(p []byte) { p[42] = 0x1e }, reason: "ip6 nobody listens on this port"}, // skip it
		{packet: to + "dstopts udp 1 > 2", change: func(p []byte) { p[42] = 0x5e }, reason: "ip6 destination option says to discard"},
		{packet: to + "dstopts udp 1 > 2", change: func(p []byte) { p[43] = 5 }, reason: "ip6 destination option says to discard"},
		{packet: to + "dstopts udp 1 > 2", change: func(p []byte) { p[42], p[47] = 0, 1 }, reason: "ip6 destination option says to discard"},
		{packet: to + "dstopts udp 1 > 2", change: func(p []byte) { p[42] = 0x9e }, reason: "ip6 unknown destination option"},
		{packet: to + "dstopts udp 1 > 2", change: func(p []byte) { p[42] = 0xde }, reason: "ip6 unknown destination option"},
		{packet: to + "routing 253 udp 1 > 2", change: func(p []byte) { p[43] = 0 }, reason: "ip6 nobody listens on this port"},
		{packet: to + "routing 253 udp 1 > 2", change: func(p []byte) { p[43] = 1 }, reason: "ip6 routing header with segments left"},
		{packet: to + "dstopts icmp6 echo-request id 1 seq 1", change: func(p []byte) { p[6] = hdr.ProtoHIP }, reason: "ip6 nobody speaks this protocol"},
		{packet: to + "proto 6 len 19", reason: bad},
	}
	check(t, rig, routed6(w.state), rows)
	bufs := rig.Load(t, rows[0].bytes(t), rows[1].bytes(t), rows[2].bytes(t))
	for _, b := range bufs {
		routed6(w.state)(b)
	}
	got := rig.RunBufs(t, bufs...)
	// The pointer is to the byte that names the protocol.
	for i, want := range []uint32{nodes.ICMPError(1, 4, 0), nodes.ICMPError(4, 1, 6), nodes.ICMPError(4, 1, 48)} {
		if got[i].Meta != want {
			t.Errorf("%s: error %#x, want %#x", rows[i].packet, got[i].Meta, want)
		}
	}
	rig.Put(got)
}
