package nodes_test

import (
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/state"
)

// behindEther does what ethernet-input does before arp-input.
func behindEther(b *buf.Buffer) {
	b.Advance(hdr.EtherLen)
	b.L3 = uint16(b.Off())
}

func rx(i uint32) func(*buf.Buffer) { return func(b *buf.Buffer) { b.RxIf = i } }

func TestARPInput(t *testing.T) {
	const (
		wire    = "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff: "
		toUs    = "02:00:00:00:00:01 > 02:00:00:00:00:10: "
		host    = "02:00:00:00:00:10 > ff:ff:ff:ff:ff:ff: "
		replied = "arp reply sent"
	)
	w := newWorld(t, aNode)
	check(t, on(t, nodes.ARPInput, w.state), behindEther, []row{
		// On the uplink the host speaks for itself, and pods are not behind
		// the link: routers send to the node.
		{packet: wire + "arp who-has 192.0.2.10 tell 192.0.2.1", reason: "bridged"},
		{packet: wire + "arp who-has 192.0.2.99 tell 192.0.2.1", reason: "bridged"},
		{packet: wire + "arp who-has 10.1.0.7 tell 192.0.2.1", reason: "bridged"},
		{packet: toUs + "arp 192.0.2.1 is-at 02:00:00:00:00:01 tell 192.0.2.10", reason: "bridged"},
		{packet: wire + "arp 192.0.2.1 is-at 02:00:00:00:00:01 tell 192.0.2.1", reason: "bridged"}, // gratuitous
		{packet: wire + "arp who-has 192.0.2.1 tell 192.0.2.1", reason: "bridged"},                 // gratuitous
		// What is Skein's own it answers for anywhere.
		{packet: wire + "arp who-has 10.1.0.1 tell 192.0.2.1", reason: replied,
			out: "02:00:00:00:00:10 > 02:00:00:00:00:01: arp 10.1.0.1 is-at 02:00:00:00:00:10 tell 192.0.2.1"},
		{packet: wire + "arp who-has 10.1.0.1 tell 10.1.0.1", reason: "bridged"}, // a claim, not a question
		{packet: wire + "arp who-has 198.18.0.10 tell 198.18.0.1", meta: rx(eth1), reason: replied,
			out: "02:00:00:00:00:11 > 02:00:00:00:00:01: arp 198.18.0.10 is-at 02:00:00:00:00:11 tell 198.18.0.1"},
		// Without a host there is nobody else to answer.
		{packet: wire + "arp who-has 198.18.0.99 tell 198.18.0.1", meta: rx(eth1), reason: "arp for another station"},
		{packet: wire + "arp 198.18.0.1 is-at 02:00:00:00:01:01 tell 198.18.0.10", meta: rx(eth1), reason: "arp reply taken in"},

		// On the tap Skein answers for all that it routes elsewhere.
		{packet: host + "arp who-has 10.1.0.7 tell 192.0.2.10", meta: rx(tap0), reason: replied,
			out: "02:fe:00:00:00:01 > 02:00:00:00:00:10: arp 10.1.0.7 is-at 02:fe:00:00:00:01 tell 192.0.2.10"},
		{packet: host + "arp who-has 203.0.113.9 tell 192.0.2.10", meta: rx(tap0), reason: replied,
			out: "02:fe:00:00:00:01 > 02:00:00:00:00:10: arp 203.0.113.9 is-at 02:fe:00:00:00:01 tell 192.0.2.10"},
		{packet: host + "arp who-has 10.66.0.1 tell 192.0.2.10", meta: rx(tap0), reason: replied,
			out: "02:fe:00:00:00:01 > 02:00:00:00:00:10: arp 10.66.0.1 is-at 02:fe:00:00:00:01 tell 192.0.2.10"},
		{packet: host + "arp who-has 10.67.0.1 tell 192.0.2.10", meta: rx(tap0), reason: replied,
			out: "02:fe:00:00:00:01 > 02:00:00:00:00:10: arp 10.67.0.1 is-at 02:fe:00:00:00:01 tell 192.0.2.10"},
		// A route of the host that only Skein knows the end of leads there too.
		{packet: host + "arp who-has 8.8.8.8 tell 192.0.2.10", meta: rx(tap0), reason: replied,
			out: "02:fe:00:00:00:01 > 02:00:00:00:00:10: arp 8.8.8.8 is-at 02:fe:00:00:00:01 tell 192.0.2.10"},
		// But stations on the link of any uplink speak for themselves, and so
		// does whoever may have an address that the host would like to have.
		{packet: host + "arp who-has 198.18.0.1 tell 192.0.2.10", meta: rx(tap0), reason: "bridged"},
		{packet: host + "arp who-has 198.18.0.99 tell 192.0.2.10", meta: rx(tap0), reason: "bridged"},
		{packet: host + "arp who-has 8.8.8.8 tell 0.0.0.0", meta: rx(tap0), reason: "bridged"},
		{packet: host + "arp who-has 10.1.0.7 tell 0.0.0.0", meta: rx(tap0), reason: replied,
			out: "02:fe:00:00:00:01 > 02:00:00:00:00:10: arp 10.1.0.7 is-at 02:fe:00:00:00:01 tell 0.0.0.0"},
		{packet: host + "arp who-has 192.0.2.1 tell 192.0.2.10", meta: rx(tap0), reason: "bridged"},
		{packet: host + "arp who-has 192.0.2.99 tell 192.0.2.10", meta: rx(tap0), reason: "bridged"},
		{packet: host + "arp who-has 192.0.2.10 tell 192.0.2.10", meta: rx(tap0), reason: "bridged"}, // gratuitous
		{packet: host + "arp who-has 192.0.2.10 tell 0.0.0.0", meta: rx(tap0), reason: "bridged"},    // its probe

		{packet: wire + "arp who-has 192.0.2.10 tell 192.0.2.1", change: func(p []byte) { p[14] = 9 }, reason: "arp malformed",
			out: "hex 0901080006040001020000000001c0000201000000000000c000020a000000000000000000000000000000000000"},
		{packet: wire + "arp who-has 192.0.2.10 tell 192.0.2.1", meta: func(b *buf.Buffer) { b.Trim(27) }, reason: "arp malformed", out: "hex 0001080006040001020000000001c0000201000000000000c00002"},
		{packet: wire + "arp who-has 192.0.2.10 tell 192.0.2.1", change: func(p []byte) { p[22] = 3 }, reason: "arp sender is not a station", out: "hex 0001080006040001030000000001c0000201000000000000c000020a000000000000000000000000000000000000"},
	})
}

// What is learned, and what not.
func TestARPInputLearns(t *testing.T) {
	const mac, other = "02:00:00:00:00:01", "02:00:00:00:00:77"
	w := newWorld(t, aNode)
	rig := on(t, nodes.ARPInput, w.state)
	tests := []struct {
		packet string
		rxIf   uint32
		learnt string // the address, "" if nothing is
	}{
		// Known at this address: only answers are news.
		{mac + " > ff:ff:ff:ff:ff:ff: arp who-has 192.0.2.10 tell 192.0.2.1", eth0, ""},
		{mac + " > 02:00:00:00:00:10: arp 192.0.2.1 is-at " + mac + " tell 192.0.2.10", eth0, "192.0.2.1"},
		// It has changed: by whatever packet.
		{other + " > ff:ff:ff:ff:ff:ff: arp who-has 192.0.2.50 tell 192.0.2.1", eth0, "192.0.2.1"},
		{other + " > ff:ff:ff:ff:ff:ff: arp 192.0.2.1 is-at " + other + " tell 192.0.2.1", eth0, "192.0.2.1"},
		{other + " > ff:ff:ff:ff:ff:ff: arp who-has 192.0.2.1 tell 192.0.2.1", eth0, "192.0.2.1"},
		// Unknown: who answers, or asks for the host or for us.
		{other + " > 02:00:00:00:00:10: arp 192.0.2.50 is-at " + other + " tell 192.0.2.10", eth0, "192.0.2.50"},
		{other + " > ff:ff:ff:ff:ff:ff: arp who-has 192.0.2.10 tell 192.0.2.50", eth0, "192.0.2.50"},
		{other + " > ff:ff:ff:ff:ff:ff: arp who-has 10.1.0.1 tell 192.0.2.50", eth0, "192.0.2.50"},
		{other + " > ff:ff:ff:ff:ff:ff: arp who-has 192.0.2.51 tell 192.0.2.50", eth0, ""},
		{other + " > ff:ff:ff:ff:ff:ff: arp who-has 192.0.2.50 tell 192.0.2.50", eth0, ""},
		// Not on this link.
		{other + " > 02:00:00:00:00:11: arp 192.0.2.1 is-at " + other + " tell 198.18.0.10", eth1, ""},
		{other + " > 02:00:00:00:00:10: arp 8.8.8.8 is-at " + other + " tell 192.0.2.10", eth0, ""},
		{other + " > 02:00:00:00:00:10: arp 10.1.0.7 is-at " + other + " tell 192.0.2.10", eth0, ""},
		{other + " > 02:fe:00:00:00:01: arp 192.0.2.1 is-at " + other + " tell 192.0.2.10", tap0, ""},
		// The host's own address is nobody else's.
		{other + " > ff:ff:ff:ff:ff:ff: arp 192.0.2.10 is-at " + other + " tell 192.0.2.10", eth0, ""},
		// A probe says nothing of its sender.
		{other + " > ff:ff:ff:ff:ff:ff: arp who-has 192.0.2.10 tell 0.0.0.0", eth0, ""},
		{"03:00:00:00:00:01 > 02:00:00:00:00:10: arp 192.0.2.1 is-at 03:00:00:00:00:01 tell 192.0.2.10", eth0, ""},
	}
	for _, test := range tests {
		b := rig.Load(t, line(t, test.packet))[0]
		behindEther(b)
		b.RxIf = test.rxIf
		rig.Put(rig.RunBufs(t, b))
		got, ok := rig.NextNotice()
		learnt := ""
		if ok {
			learnt = got.Addr().String()
			mac := line(t, test.packet)[6:12]
			if got.Kind != state.NeighborSeen || got.Iface != test.rxIf || got.MAC != hdr.MAC(mac) {
				t.Errorf("%s\nnotice %+v", test.packet, got)
			}
		}
		if learnt != test.learnt {
			t.Errorf("%s\nlearnt %q, want %q", test.packet, learnt, test.learnt)
		}
		if _, ok := rig.NextNotice(); ok {
			t.Errorf("%s\nmore than one notice", test.packet)
		}
	}
}
