package nodes_test

import (
	"fmt"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/state"
)

func TestIP4Lookup(t *testing.T) {
	w := newWorld(t, aNode)
	tests := []struct {
		packet string // as tcpdump prints it
		reason string // the arc it leaves by
		adj    string // the adjacency it carries
		meta   uint32 // the error it carries
	}{
		{"10.1.0.7 > 8.8.8.8: udp 1 > 53", "forward", "via 192.0.2.1 dev eth0", 0},
		{"10.1.0.7 > 203.0.113.255: udp 1 > 53", "forward", "via 198.18.0.1 dev eth1", 0},
		{"8.8.8.8 > 10.1.0.7: udp 53 > 1", "forward", "dev pod1", 0},
		{"10.1.0.7 > 192.0.2.9: udp 1 > 53", "resolve", "glean dev eth0", 0},
		{"10.1.0.7 > 192.0.2.1: udp 1 > 53", "forward", "via 192.0.2.1 dev eth0", 0},
		{"10.1.0.7 > 192.0.2.10: udp 1 > 53", "punt", "punt dev tap0", 0},
		{"10.1.0.7 > 10.1.0.1: udp 1 > 53", "local", "local", 0},

		// The first and last address of a prefix belong to it; the next does not.
		{"10.1.0.7 > 10.66.0.0: udp 1 > 1", "ip4 destination blackholed by route", "blackhole", 0},
		{"10.1.0.7 > 10.66.255.255: udp 1 > 1", "ip4 destination blackholed by route", "blackhole", 0},
		{"10.1.0.7 > 10.67.0.0: udp 1 > 1", "ip4 destination unreachable by route", "unreachable", nodes.ICMPError(3, 1, 0)},
		{"10.1.0.7 > 10.68.9.9: udp 1 > 1", "ip4 destination prohibited by route", "prohibit", nodes.ICMPError(3, 13, 0)},
		{"10.1.0.7 > 10.69.0.0: udp 1 > 1", "forward", "via 192.0.2.1 dev eth0", 0},
	}
	rig := on(t, nodes.IP4Lookup, w.state)
	var rows []row
	var packets [][]byte
	for _, test := range tests {
		rows = append(rows, row{packet: test.packet, reason: test.reason})
		packets = append(packets, line(t, test.packet))
	}
	check(t, rig, sound, rows)
	got := rig.Run(t, packets...)
	for i, test := range tests {
		if adj := w.state.FIB4.Describe(got[i].Adj, ifname(w)); adj != test.adj || got[i].Meta != test.meta {
			t.Errorf("%s\nhas %q and error %#x, want %q and %#x", test.packet, adj, got[i].Meta, test.adj, test.meta)
		}
	}
	rig.Put(got)
}

func ifname(w *world) func(uint32) string {
	return func(i uint32) string { return w.state.Ifaces[i].Name }
}

// Without routes every packet still has a way out.
func TestIP4LookupEmpty(t *testing.T) {
	rig := on(t, nodes.IP4Lookup, state.State{FIB4: new(fib.Table4)})
	check(t, rig, sound, []row{{packet: "10.0.0.1 > 10.0.0.2: udp 1 > 1", reason: "ip4 no route"}})
}

// All packets of a flow take one of several ways; both ways are taken.
func TestIP4LookupMultipath(t *testing.T) {
	w := newWorld(t, aNode)
	rig := on(t, nodes.IP4Lookup, w.state)
	ways := map[string]int{}
	for port := range 64 {
		p := line(t, fmt.Sprintf("10.1.0.7 > 10.80.0.1: udp %d > 53", 1000+port))
		bufs := rig.Load(t, p, p, p)
		for _, b := range bufs {
			sound(b)
		}
		got := rig.RunBufs(t, bufs...)
		for _, x := range got {
			if x.Adj != got[0].Adj {
				t.Errorf("one flow, two ways: %d and %d", x.Adj, got[0].Adj)
			}
		}
		ways[w.state.FIB4.Describe(got[0].Adj, ifname(w))]++
		rig.Put(got)
	}
	if a, b := ways["via 192.0.2.1 dev eth0"], ways["via 198.18.0.1 dev eth1"]; a+b != 64 || a < 16 || b < 16 {
		t.Errorf("ways %v", ways)
	}
}

func TestIP4SourceCheck(t *testing.T) {
	const ok, forged = "end of ip4-unicast", "ip4 source is not behind this interface"
	st := newWorld(t, aNode).state
	rig := on(t, nodes.IP4SourceCheck, st)
	check(t, rig, func(b *buf.Buffer) {
		sound(b)
		b.RxIf = pod1
		b.Feat = 1 << 63
	}, []row{
		{packet: "10.1.0.7 > 8.8.8.8: udp 1 > 2", reason: ok},
		{packet: "10.1.0.8 > 8.8.8.8: udp 1 > 2", reason: forged}, // another pod's
		{packet: "10.1.0.1 > 8.8.8.8: udp 1 > 2", reason: forged}, // Skein's own
		{packet: "192.0.2.10 > 8.8.8.8: udp 1 > 2", reason: forged},
		{packet: "8.8.8.8 > 10.1.0.8: udp 1 > 2", reason: forged},
		{packet: "10.66.0.1 > 10.1.0.8: udp 1 > 2", reason: forged},
		{packet: "10.1.0.8 > 8.8.8.8: udp 1 > 2", meta: func(b *buf.Buffer) { b.RxIf = pod2 }, reason: ok},
		{packet: "192.0.2.77 > 10.1.0.8: udp 1 > 2", meta: func(b *buf.Buffer) { b.RxIf = eth0 }, reason: ok},
		{packet: "192.0.2.10 > 10.1.0.8: udp 1 > 2", meta: func(b *buf.Buffer) { b.RxIf = tap0 }, reason: forged}, // not for taps: the host's address is punted
		{packet: "10.1.0.7 > 8.8.8.8: udp 1 > 2", meta: func(b *buf.Buffer) { b.RxIf = eth0 }, reason: forged},
	})
}
