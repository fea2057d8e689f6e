package nodes_test

import (
	"fmt"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/state"
)

func TestIP6Lookup(t *testing.T) {
	w := newWorld(t, both)
	from := func(i uint32) func(*buf.Buffer) { return func(b *buf.Buffer) { b.RxIf = i } }
	own := func(i uint32) func(*buf.Buffer) { return func(b *buf.Buffer) { b.RxIf, b.TxIf = 0, i } }
	const notRouted = "ip6 link-local destination is not routed"
	tests := []struct {
		packet string // as tcpdump prints it
		meta   func(*buf.Buffer)
		reason string // the arc it leaves by
		adj    string // the adjacency it carries
		error  uint32 // the error it carries
	}{
		{"fd00:1::7 > 2001:db8:51::1: udp 1 > 53", nil, "forward", "via fe80::1 dev eth0", 0},
		{"fd00:1::7 > 2001:db8:113::ffff: udp 1 > 53", nil, "forward", "via 2001:db8:18::1 dev eth1", 0},
		{"2001:db8:51::1 > fd00:1::7: udp 53 > 1", nil, "forward", "dev pod1", 0},
		{"fd00:1::7 > 2001:db8::9: udp 1 > 53", nil, "resolve", "glean dev eth0", 0},
		{"fd00:1::7 > 2001:db8:18::1: udp 1 > 53", nil, "forward", "via 2001:db8:18::1 dev eth1", 0},
		{"fd00:1::7 > 2001:db8::10: udp 1 > 53", nil, "punt", "punt dev tap0", 0},
		{"fd00:1::7 > fd00:1::1: udp 1 > 53", nil, "local", "local", 0},

		// The first and last address of a prefix belong to it; the next does not.
		{"fd00:1::7 > fd00:66::: udp 1 > 1", nil, "ip6 destination blackholed by route", "blackhole", 0},
		{"fd00:1::7 > fd00:66:ffff:ffff:ffff:ffff:ffff:ffff: udp 1 > 1", nil, "ip6 destination blackholed by route", "blackhole", 0},
		{"fd00:1::7 > fd00:67::: udp 1 > 1", nil, "ip6 destination unreachable by route", "unreachable", nodes.ICMPError(1, 3, 0)},
		{"fd00:1::7 > fd00:68::9:9: udp 1 > 1", nil, "ip6 destination prohibited by route", "prohibit", nodes.ICMPError(1, 1, 0)},
		{"fd00:1::7 > fd00:69::: udp 1 > 1", nil, "forward", "via fe80::1 dev eth0", 0},

		// Link-local addresses are those of a link, and nobody is led to one.
		{"fe80::10 > fe80::1:1: udp 1 > 1", from(tap0), "local", "local dev tap0", 0},
		{"fe80::10 > fe80::1:1: udp 1 > 1", from(eth1), notRouted, "glean dev eth1", 0},
		{"fe80::10 > fe80::11: udp 1 > 1", from(eth1), "local", "local dev eth1", 0},
		{"fe80::10 > fe80::9: udp 1 > 1", from(tap0), notRouted, "glean dev tap0", 0},
		{"fd00:1::7 > fe80::1: udp 1 > 1", from(pod1), notRouted, "no route", 0},
		{"fe80::1:1 > fe80::10: udp 1 > 1", own(tap0), "resolve", "glean dev tap0", 0},
		{"fe80::10 > fe80::1: udp 1 > 1", own(eth0), "forward", "via fe80::1 dev eth0", 0},
		{"fe80::10 > fe80::1: udp 1 > 1", own(0), "ip6 no route", "no route", nodes.ICMPError(1, 0, 0)},
	}
	rig := on(t, nodes.IP6Lookup, w.state)
	var rows []row
	var packets [][]byte
	for _, test := range tests {
		rows = append(rows, row{packet: test.packet, meta: test.meta, reason: test.reason})
		packets = append(packets, line(t, test.packet))
	}
	check(t, rig, sound6, rows)
	bufs := rig.Load(t, packets...)
	for i, b := range bufs {
		sound6(b)
		if tests[i].meta != nil {
			tests[i].meta(b)
		}
	}
	got := rig.RunBufs(t, bufs...)
	for i, test := range tests {
		if adj := w.state.FIB6.Describe(got[i].Adj, ifname(w)); adj != test.adj || got[i].Meta != test.error {
			t.Errorf("%s\nhas %q and error %#x, want %q and %#x", test.packet, adj, got[i].Meta, test.adj, test.error)
		}
	}
	rig.Put(got)
}

// Without routes every packet still has a way out.
func TestIP6LookupEmpty(t *testing.T) {
	rig := on(t, nodes.IP6Lookup, state.State{FIB6: new(fib.Table6)})
	check(t, rig, sound6, []row{
		{packet: "2001:db8::1 > 2001:db8::2: udp 1 > 1", reason: "ip6 no route"},
		{packet: "2001:db8::1 > fe80::2: udp 1 > 1", reason: "ip6 link-local destination is not routed"},
	})
}

// All packets of a flow take one of several ways; both ways are taken.
func TestIP6LookupMultipath(t *testing.T) {
	w := newWorld(t, both)
	rig := on(t, nodes.IP6Lookup, w.state)
	ways := map[string]int{}
	for port := range 64 {
		p := line(t, fmt.Sprintf("fd00:1::7 > fd00:80::1: udp %d > 53", 1000+port))
		bufs := rig.Load(t, p, p, p)
		for _, b := range bufs {
			sound6(b)
		}
		got := rig.RunBufs(t, bufs...)
		for _, x := range got {
			if x.Adj != got[0].Adj {
				t.Errorf("one flow, two ways: %d and %d", x.Adj, got[0].Adj)
			}
		}
		ways[w.state.FIB6.Describe(got[0].Adj, ifname(w))]++
		rig.Put(got)
	}
	if a, b := ways["via fe80::1 dev eth0"], ways["via 2001:db8:18::1 dev eth1"]; a+b != 64 || a < 16 || b < 16 {
		t.Errorf("ways %v", ways)
	}
}

func TestIP6SourceCheck(t *testing.T) {
	const ok, forged = "end of ip6-unicast", "ip6 source is not behind this interface"
	st := newWorld(t, both).state
	rig := on(t, nodes.IP6SourceCheck, st)
	check(t, rig, func(b *buf.Buffer) {
		sound6(b)
		b.RxIf = pod1
		b.Feat = 1 << 63
	}, []row{
		{packet: "fd00:1::7 > 2001:db8:51::1: udp 1 > 2", reason: ok},
		{packet: "fd00:1::8 > 2001:db8:51::1: udp 1 > 2", reason: forged}, // another pod's
		{packet: "fd00:1::1 > 2001:db8:51::1: udp 1 > 2", reason: forged}, // Skein's own
		{packet: "2001:db8::10 > 2001:db8:51::1: udp 1 > 2", reason: forged},
		{packet: "2001:db8:51::1 > fd00:1::8: udp 1 > 2", reason: forged},
		{packet: "fe80::7 > fd00:1::8: udp 1 > 2", reason: forged},
		{packet: "fd00:66::1 > fd00:1::8: udp 1 > 2", reason: forged},
		{packet: "fd00:1::8 > 2001:db8:51::1: udp 1 > 2", meta: func(b *buf.Buffer) { b.RxIf = pod2 }, reason: ok},
		{packet: "2001:db8::77 > fd00:1::8: udp 1 > 2", meta: func(b *buf.Buffer) { b.RxIf = eth0 }, reason: ok},
		{packet: "fe80::77 > fd00:1::8: udp 1 > 2", meta: func(b *buf.Buffer) { b.RxIf = eth0 }, reason: ok}, // ip6-rewrite does not route it
		{packet: "fd00:1::7 > 2001:db8:51::1: udp 1 > 2", meta: func(b *buf.Buffer) { b.RxIf = eth0 }, reason: forged},
	})
}
