package nodes_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph/graphtest"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/state"
)

var (
	ttlExceeded = nodes.ICMPError(hdr.ICMPTimeExceeded, hdr.ICMPTTLExceeded, 0)
	fragNeeded  = nodes.ICMPError(hdr.ICMPUnreachable, hdr.ICMPFragNeeded, 1400)
)

func TestICMP4Error(t *testing.T) {
	const (
		sent = "icmp error sent"
		no   = "no icmp error may answer this packet"
	)
	rig := on(t, nodes.ICMP4Error, newWorld(t, aNode).state)
	check(t, onTime(rig), func(b *buf.Buffer) {
		sound(b)
		b.Meta, b.RxIf = ttlExceeded, pod1
	}, []row{
		{packet: "10.1.0.7 > 8.8.8.8: udp 33434 > 33434 ttl 1", reason: sent,
			out: "10.1.0.1 > 10.1.0.7: icmp time-exceeded code 0 [10.1.0.7 > 8.8.8.8] ttl 64 tos 0xc0 df len 44"},
		{packet: "8.8.8.8 > 10.1.0.8: udp 1 > 2 len 1480", meta: func(b *buf.Buffer) { b.Meta, b.RxIf = fragNeeded, eth0 }, reason: sent,
			out: "192.0.2.10 > 8.8.8.8: icmp unreachable code 4 mtu 1400 [8.8.8.8 > 10.1.0.8] ttl 64 tos 0xc0 df len 548"},
		{packet: "10.1.0.9 > 8.8.8.8: icmp echo-request id 1 seq 1 tos 0xe5", reason: sent,
			out: "10.1.0.1 > 10.1.0.9: icmp time-exceeded code 0 [10.1.0.9 > 8.8.8.8] ttl 64 tos 0xe0 df len 44"},
		{packet: "10.1.0.10 > 8.8.8.8: icmp echo-reply id 1 seq 1", reason: sent,
			out: "10.1.0.1 > 10.1.0.10: icmp time-exceeded code 0 [10.1.0.10 > 8.8.8.8] ttl 64 tos 0xc0 df len 44"},
		{packet: "10.1.0.11 > 8.8.8.8: proto 17 mf len 16", reason: sent, // the first fragment
			out: "10.1.0.1 > 10.1.0.11: icmp time-exceeded code 0 [10.1.0.11 > 8.8.8.8] ttl 64 tos 0xc0 df len 36"},
		{packet: "10.1.0.12 > 8.8.8.8: proto 99 len 40", change: withOptions(1, 1, 148, 4, 0, 0), reason: sent,
			out: "10.1.0.1 > 10.1.0.12: icmp time-exceeded code 0 [10.1.0.12 > 8.8.8.8] ttl 64 tos 0xc0 df len 60"},

		// The pointer is to the byte at fault, and who has asked an address is answered by it.
		{packet: "10.1.0.13 > 8.8.8.8: proto 99 len 8", meta: func(b *buf.Buffer) { b.Meta = nodes.ICMPError(hdr.ICMPParamProblem, 0, 21) }, reason: sent,
			out: "hex 45c0003800004000400125f60a0100010a01000d0c00122f15000000" + hexOf(line(t, "10.1.0.13 > 8.8.8.8: proto 99 len 8"))[4:]},
		{packet: "10.1.0.14 > 198.18.0.10: udp 1 > 2", reason: sent,
			out: "198.18.0.10 > 10.1.0.14: icmp time-exceeded code 0 [10.1.0.14 > 198.18.0.10] ttl 64 tos 0xc0 df len 44"},

		{packet: "10.1.0.7 > 8.8.8.8: icmp unreachable code 1", reason: no},
		{packet: "10.1.0.7 > 8.8.8.8: icmp time-exceeded", reason: no},
		{packet: "10.1.0.7 > 8.8.8.8: icmp redirect", reason: no},
		{packet: "10.1.0.7 > 8.8.8.8: icmp type 12", reason: no},
		{packet: "10.1.0.7 > 8.8.8.8: icmp type 4", reason: no},
		{packet: "10.1.0.7 > 8.8.8.8: proto 1 len 0", reason: no},
		{packet: "10.1.0.7 > 8.8.8.8: proto 17 offset 1480 len 16", reason: no},
		{packet: "10.1.0.7 > 8.8.8.8: udp 1 > 2", meta: func(b *buf.Buffer) { b.Flags |= buf.LinkBroadcast }, reason: no},
		{packet: "0.0.0.0 > 8.8.8.8: udp 1 > 2", reason: no},
		{packet: "10.1.0.7 > 10.66.0.1: udp 1 > 2", reason: no}, // a blackhole says nothing
	})
}

// onTime lets the rate limit's buckets fill before a table runs.
func onTime(rig *graphtest.Rig) *graphtest.Rig {
	rig.Now += 10e9
	return rig
}

// What is quoted is the packet as it came, and everything sums up.
func TestICMP4ErrorQuote(t *testing.T) {
	rig := on(t, nodes.ICMP4Error, newWorld(t, aNode).state)
	for _, size := range []int{0, 1, 7, 519, 520, 521, 1472, 60000} {
		rig.Now += 1e9
		p := line(t, fmt.Sprintf("10.1.0.7 > 8.8.8.8: udp 1 > 2 len %d", size))
		b := rig.Load(t, p)[0]
		sound(b)
		b.Meta, b.RxIf = ttlExceeded, pod1
		b.Flags |= buf.CsumPartial
		b.GSOType, b.GSOSize = buf.GSOUDP, 512
		got := rig.RunBufs(t, b)
		x := got[0]
		q := x.Bytes()[28:]
		if want := p[:min(len(p), 548)]; !bytes.Equal(q, want) {
			t.Errorf("%d bytes: quoted % x", size, q)
		}
		if s := sums(x.Bytes()); s != "" {
			t.Errorf("%d bytes: bad %s", size, s)
		}
		if x.Flags&buf.CsumPartial != 0 || x.GSOType != buf.GSONone || x.Flags&buf.Originated == 0 || x.RxIf != 0 ||
			int(x.L3) != x.Off() || int(x.L4) != x.Off()+20 {
			t.Errorf("%d bytes: %+v", size, x.Buffer)
		}
		rig.Put(got)
	}
}

func TestICMP4ErrorNoSource(t *testing.T) {
	w := newWorld(t, "interface pod1 tun\ndefault dev pod1")
	rig := on(t, nodes.ICMP4Error, w.state)
	check(t, rig, sound, []row{{packet: "10.1.0.7 > 8.8.8.8: udp 1 > 2", reason: "no own address to send an icmp error from"}})
}

// errors sends n packets of a source, and returns how many are answered.
func answered(t *testing.T, rig *graphtest.Rig, n int, source func(i int) hdr.Addr4) (sent int) {
	t.Helper()
	p := line(t, "10.1.0.7 > 8.8.8.8: udp 1 > 2")
	for n > 0 {
		var packets [][]byte
		for range min(n, 256) {
			packets = append(packets, p)
		}
		n -= len(packets)
		bufs := rig.Load(t, packets...)
		for i, b := range bufs {
			sound(b)
			b.IPv4().SetSrc(source(n + i))
			b.Meta = ttlExceeded
		}
		got := rig.RunBufs(t, bufs...)
		for _, x := range got {
			if x.Reason == "icmp error sent" {
				sent++
			}
		}
		rig.Put(got)
	}
	return sent
}

// 20 at once for one sender and 20 per second from then on; 50 at once for
// all, and 1000 per second. Also in the very first second.
func TestICMP4ErrorLimits(t *testing.T) {
	for _, start := range []int64{0, 1, 123456789, 7e18} {
		rig := on(t, nodes.ICMP4Error, newWorld(t, aNode).state)
		rig.Now = start
		one := func(int) hdr.Addr4 { return 0x0a010007 }
		for i, want := range []int{20, 0} {
			if got := answered(t, rig, 300, one); got != want {
				t.Errorf("at %d, try %d: %d errors to one sender, want %d", start, i, got, want)
			}
		}
		rig.Now += 50e6 - 1
		if got := answered(t, rig, 300, one); got != 0 {
			t.Errorf("at %d, just before 50 ms: %d errors, want none", start, got)
		}
		rig.Now += 1 + 50e6
		if got := answered(t, rig, 300, one); got != 2 {
			t.Errorf("at %d, after 100 ms: %d errors, want 2", start, got)
		}
		rig.Now += 10e9
		many := func(i int) hdr.Addr4 { return hdr.Addr4(0x0a010000 + i) }
		if got := answered(t, rig, 300, many); got != 50 {
			t.Errorf("at %d: %d errors to many senders, want 50", start, got)
		}
		rig.Now += 10e6
		if got := answered(t, rig, 300, many); got != 10 {
			t.Errorf("at %d, after 10 ms: %d errors to many senders, want 10", start, got)
		}
	}
}

func TestICMP4Input(t *testing.T) {
	w := newWorld(t, aNode)
	rig := on(t, nodes.ICMP4Input, w.state)
	const ignored = "icmp type for this node is not handled"
	check(t, rig, routed(w.state), []row{
		{packet: "10.1.0.7 > 10.1.0.1: icmp echo-request id 7 seq 9 ttl 3 tos 0x10 len 56", reason: "echo reply sent",
			out: "10.1.0.1 > 10.1.0.7: icmp echo-reply id 7 seq 9 ttl 64 tos 0x10 len 56"},
		{packet: "10.1.0.7 > 10.1.0.1: icmp echo-request id 7 seq 9 ttl 255 len 0", reason: "echo reply sent",
			out: "10.1.0.1 > 10.1.0.7: icmp echo-reply id 7 seq 9 ttl 64 len 0"},
		{packet: "10.1.0.7 > 10.1.0.1: icmp echo-request id 7 seq 9", change: func(p []byte) { p[30] ^= 1 }, reason: "icmp bad checksum"},
		{packet: "10.1.0.7 > 10.1.0.1: proto 1 len 7", reason: "icmp truncated"},
		{packet: "10.1.0.7 > 10.1.0.1: proto 1 len 0", reason: "icmp truncated"},
		{packet: "10.1.0.7 > 10.1.0.1: icmp echo-request id 7", meta: func(b *buf.Buffer) { b.Flags |= buf.LinkBroadcast }, reason: "icmp echo to a broadcast"},
		{packet: "10.1.0.7 > 10.1.0.1: icmp unreachable code 1", reason: ignored},
		{packet: "10.1.0.7 > 10.1.0.1: icmp type 13", reason: ignored},
		{packet: "10.1.0.7 > 10.1.0.1: icmp echo-reply id 7 seq 9", reason: ""},
	})
}

// Replies sum up whatever was asked, and belong to nobody but Skein.
func TestICMP4InputSums(t *testing.T) {
	w := newWorld(t, aNode)
	rig := on(t, nodes.ICMP4Input, w.state)
	for ttl := range 256 {
		b := rig.Load(t, line(t, fmt.Sprintf("10.1.0.7 > 10.1.0.1: icmp echo-request id %d seq %d ttl %d len %d", ttl*251, ttl*7, ttl, ttl%9)))[0]
		routed(w.state)(b)
		got := rig.RunBufs(t, b)
		if s := sums(got[0].Bytes()); s != "" || b.RxIf != 0 || b.Flags&buf.Originated == 0 {
			t.Errorf("ttl %d: bad %s, from interface %d", ttl, s, b.RxIf)
		}
		rig.Put(got)
	}
}

func TestICMP4InputNotice(t *testing.T) {
	w := newWorld(t, aNode)
	rig := on(t, nodes.ICMP4Input, w.state)
	rig.Now = 77
	b := rig.Load(t, line(t, "10.1.0.7 > 10.1.0.1: icmp echo-reply id 258 seq 3 ttl 61 len 56"))[0]
	routed(w.state)(b)
	b.RxIf = pod1
	if got := rig.RunBufs(t, b); len(got) != 0 {
		t.Errorf("%d packets left", len(got))
	}
	n, ok := rig.NextNotice()
	if want := (state.Notice{Kind: state.EchoReply, TTL: 61, Iface: pod1, IP: state.Mapped(0x0a010007), Echo: 258<<16 | 3, Len: 64, Now: 77}); n != want {
		t.Errorf("notice %+v, %t; want %+v", n, ok, want)
	}
}
