package nodes_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/state"
)

var hopsExceeded = nodes.ICMPError(3, 0, 0)

func TestICMP6Error(t *testing.T) {
	const (
		sent = "icmp6 error sent"
		no   = "no icmp6 error may answer this packet"
		far  = " > 2001:db8:51::1: "
	)
	as := func(e, i uint32) func(*buf.Buffer) { return func(b *buf.Buffer) { b.Meta, b.RxIf = e, i } }
	rig := on(t, nodes.ICMP6Error, newWorld(t, both).state)
	check(t, onTime(rig), func(b *buf.Buffer) {
		sound6(b)
		b.Meta, b.RxIf = hopsExceeded, pod1
	}, []row{
		{packet: "fd00:1::7" + far + "udp 33434 > 33434 ttl 1", reason: sent,
			out: "fd00:1::1 > fd00:1::7: icmp6 time-exceeded code 0 [fd00:1::7 > 2001:db8:51::1] ttl 64 len 64"},
		{packet: "2001:db8:51::1 > fd00:1::8: udp 1 > 2 len 1480", meta: as(nodes.ICMPError(2, 0, 1400), eth0), reason: sent,
			out: "2001:db8::10 > 2001:db8:51::1: icmp6 too-big mtu 1400 [2001:db8:51::1 > fd00:1::8] ttl 64 len 1232"},
		{packet: "fd00:1::9" + far + "icmp6 echo-request id 1 seq 1 tos 0xe5", reason: sent,
			out: "fd00:1::1 > fd00:1::9: icmp6 time-exceeded code 0 [fd00:1::9 > 2001:db8:51::1] ttl 64 len 64"},
		{packet: "fd00:1::a" + far + "dstopts icmp6 echo-reply id 1 seq 1", reason: sent,
			out: "fd00:1::1 > fd00:1::a: icmp6 time-exceeded code 0 [fd00:1::a > 2001:db8:51::1] ttl 64 len 72"},
		{packet: "fd00:1::b" + far + "frag 0 mf udp 1 > 2", reason: sent,
			out: "fd00:1::1 > fd00:1::b: icmp6 time-exceeded code 0 [fd00:1::b > 2001:db8:51::1] ttl 64 len 72"},
		{packet: "fd00:1::c" + far + "frag 8 proto 17", reason: sent,
			out: "fd00:1::1 > fd00:1::c: icmp6 time-exceeded code 0 [fd00:1::c > 2001:db8:51::1] ttl 64 len 64"},
		{packet: "fd00:1::d" + far + "proto 47", meta: as(nodes.ICMPError(4, 1, 6), pod1), reason: sent,
			out: "fd00:1::1 > fd00:1::d: icmp6 param-problem code 1 pointer 6 [fd00:1::d > 2001:db8:51::1] ttl 64 len 56"},
		// Who is on the link is told from there.
		{packet: "fe80::10 > fd00:1::7: udp 1 > 2", meta: as(nodes.ICMPError(1, 2, 0), tap0), reason: sent,
			out: "fe80::1:1 > fe80::10: icmp6 unreachable code 2 [fe80::10 > fd00:1::7] ttl 64 len 64"},
		// Who has asked an address is answered by it.
		{packet: "fd00:1::e > 2001:db8:18::10: udp 1 > 2", reason: sent,
			out: "2001:db8:18::10 > fd00:1::e: icmp6 time-exceeded code 0 [fd00:1::e > 2001:db8:18::10] ttl 64 len 64"},

		{packet: "fd00:1::7" + far + "icmp6 unreachable code 1", reason: no},
		{packet: "fd00:1::7" + far + "icmp6 too-big mtu 1280", reason: no},
		{packet: "fd00:1::7" + far + "icmp6 time-exceeded", reason: no},
		{packet: "fd00:1::7" + far + "hbh icmp6 param-problem", reason: no},
		{packet: "fd00:1::7" + far + "icmp6 type 127", reason: no},
		{packet: "fd00:1::7" + far + "icmp6 redirect", reason: no},
		{packet: "fd00:1::7" + far + "frag 8 proto 58", reason: no},
		{packet: "fd00:1::7" + far + "proto 58 len 0", reason: no},
		{packet: "fd00:1::7" + far + "udp 1 > 2", meta: func(b *buf.Buffer) { b.Flags |= buf.LinkBroadcast }, reason: no},
		{packet: "::" + far + "udp 1 > 2", reason: no},
	})
}

// What is quoted is the packet as it came, and everything sums up.
func TestICMP6ErrorQuote(t *testing.T) {
	rig := on(t, nodes.ICMP6Error, newWorld(t, both).state)
	for _, size := range []int{0, 1, 7, 1183, 1184, 1185, 1452, 60000} {
		rig.Now += 1e9
		p := line(t, fmt.Sprintf("fd00:1::7 > 2001:db8:51::1: udp 1 > 2 len %d", size))
		b := rig.Load(t, p)[0]
		sound6(b)
		b.Meta, b.RxIf = hopsExceeded, pod1
		b.Flags |= buf.CsumPartial
		b.GSOType, b.GSOSize = buf.GSOUDP, 512
		got := rig.RunBufs(t, b)
		x := got[0]
		q := x.Bytes()[48:]
		if want := p[:min(len(p), 1232)]; !bytes.Equal(q, want) || x.Len() > 1280 {
			t.Errorf("%d bytes: quoted % x", size, q)
		}
		if s := sums6(x.Bytes()); s != "" {
			t.Errorf("%d bytes: bad %s", size, s)
		}
		if x.Flags&buf.CsumPartial != 0 || x.GSOType != buf.GSONone || x.Flags&buf.Originated == 0 || x.RxIf != 0 ||
			int(x.L3) != x.Off() || int(x.L4) != x.Off()+40 {
			t.Errorf("%d bytes: %+v", size, x.Buffer)
		}
		rig.Put(got)
	}
}

func TestICMP6ErrorNoSource(t *testing.T) {
	w := newWorld(t, "interface pod1 tun\n::/0 dev pod1")
	rig := on(t, nodes.ICMP6Error, w.state)
	check(t, rig, sound6, []row{{packet: "fd00:1::7 > fd00:2::8: udp 1 > 2", reason: "no own address to send an icmp6 error from"}})
}

// The limits are those of IPv4, which TestICMP4ErrorLimits looks at closely.
func TestICMP6ErrorLimits(t *testing.T) {
	rig := on(t, nodes.ICMP6Error, newWorld(t, both).state)
	for _, test := range []struct {
		senders, want int
	}{{1, 20}, {300, 50}} {
		rig.Now += 10e9
		p := line(t, "fd00:1::7 > 2001:db8:51::1: udp 1 > 2")
		var packets [][]byte
		for range 256 {
			packets = append(packets, p)
		}
		bufs := rig.Load(t, packets...)
		for i, b := range bufs {
			b.IPv6().SetSrc(hdr.Addr6{Hi: 0xfd00_0001 << 32, Lo: uint64(i % test.senders)})
			sound6(b)
			b.Meta = hopsExceeded
		}
		sent := 0
		got := rig.RunBufs(t, bufs...)
		for _, x := range got {
			if x.Reason == "icmp6 error sent" {
				sent++
			} else if x.Reason != "icmp6 error rate limit" {
				t.Fatal(x.Reason)
			}
		}
		if sent != test.want {
			t.Errorf("%d errors to %d senders, want %d", sent, test.senders, test.want)
		}
		rig.Put(got)
	}
}

func TestICMP6Input(t *testing.T) {
	w := newWorld(t, both)
	rig := on(t, nodes.ICMP6Input, w.state)
	const ignored, to = "icmp6 type for this node is not handled", "fd00:1::7 > fd00:1::1: "
	check(t, rig, routed6(w.state), []row{
		{packet: to + "icmp6 echo-request id 7 seq 9 ttl 3 tos 0x10 len 56", reason: "echo reply sent",
			out: "fd00:1::1 > fd00:1::7: icmp6 echo-reply id 7 seq 9 ttl 64 len 56"},
		{packet: to + "hbh dstopts frag 0 icmp6 echo-request id 7 seq 9 len 3", reason: "echo reply sent",
			out: "fd00:1::1 > fd00:1::7: icmp6 echo-reply id 7 seq 9 ttl 64 len 3"},
		{packet: to + "icmp6 echo-request id 7 seq 9", change: func(p []byte) { p[50] ^= 1 }, reason: "icmp6 bad checksum"},
		{packet: to + "proto 58 len 7", reason: "icmp6 truncated"},
		{packet: to + "proto 58 len 0", reason: "icmp6 truncated"},
		{packet: to + "icmp6 unreachable code 1", reason: ignored},
		{packet: to + "icmp6 router-advert", reason: ignored},
		{packet: to + "hbh icmp6 type 130", reason: ignored},
		{packet: to + "icmp6 echo-reply id 7 seq 9", reason: ""},
	})
}

// Replies sum up whatever was asked, belong to nobody but Skein, and stay on
// the link if they are of it.
func TestICMP6InputSums(t *testing.T) {
	w := newWorld(t, both)
	rig := on(t, nodes.ICMP6Input, w.state)
	for i := range 300 {
		b := rig.Load(t, line(t, fmt.Sprintf("fe80::%x > fe80::1:1: icmp6 echo-request id %d seq %d ttl %d len %d", i+1, i*251&0xffff, i*7, i&0xff, i%9)))[0]
		b.RxIf = tap0
		routed6(w.state)(b)
		got := rig.RunBufs(t, b)
		if s := sums6(got[0].Bytes()); s != "" || b.RxIf != 0 || b.TxIf != tap0 || b.Flags&buf.Originated == 0 {
			t.Errorf("%d: bad %s, from interface %d to %d", i, s, b.RxIf, b.TxIf)
		}
		rig.Put(got)
	}
}

func TestICMP6InputNotice(t *testing.T) {
	w := newWorld(t, both)
	rig := on(t, nodes.ICMP6Input, w.state)
	rig.Now = 77
	b := rig.Load(t, line(t, "fd00:1::7 > fd00:1::1: icmp6 echo-reply id 258 seq 3 ttl 61 len 56"))[0]
	routed6(w.state)(b)
	b.RxIf = pod1
	if got := rig.RunBufs(t, b); len(got) != 0 {
		t.Errorf("%d packets left", len(got))
	}
	n, ok := rig.NextNotice()
	if want := (state.Notice{Kind: state.EchoReply, TTL: 61, Iface: pod1, IP: addr6("fd00:1::7"), Echo: 258<<16 | 3, Len: 64, Now: 77}); n != want {
		t.Errorf("notice %+v, %t; want %+v", n, ok, want)
	}
}
