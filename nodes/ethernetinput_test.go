package nodes_test

import (
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/nodes"
)

func TestEthernetInput(t *testing.T) {
	const (
		ip      = "192.0.2.1 > 10.1.0.7: udp 1 > 2 ttl 64 len 20"
		ip6     = "2001:db8::1 > 2001:db8::2: udp 1 > 2"
		fromFar = "02:00:00:00:00:01 > 02:00:00:00:00:10: " // to the uplink, which is the host's address too
		toPeer  = "02:00:00:00:00:10 > 02:00:00:00:00:01: " // from the host to its router
		toTap   = "02:00:00:00:00:10 > 02:fe:00:00:00:01: " // from the host to Skein
		all     = "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff: "
		snoop   = "02:00:00:00:00:01 > 02:00:00:00:00:77: "
	)
	rx := func(i uint32) func(*buf.Buffer) { return func(b *buf.Buffer) { b.RxIf = i } }
	typ := func(hi, lo byte) func([]byte) { return func(p []byte) { p[12], p[13] = hi, lo } }
	rows := []row{
		{packet: fromFar + ip, reason: "ip4", out: ip},
		{packet: toTap + ip, meta: rx(tap0), reason: "ip4", out: ip},
		{packet: "02:00:00:00:00:01 > 02:00:00:00:00:11: " + ip, meta: rx(eth1), reason: "ip4", out: ip},

		// The host's IPv6, broadcasts and other protocols cross unrouted.
		{packet: fromFar + ip6, reason: "bridged"},
		{packet: toPeer + ip6, meta: rx(tap0), reason: "bridged"},
		{packet: toPeer + ip, meta: rx(tap0), reason: "bridged"},
		{packet: "02:00:00:00:00:10 > ff:ff:ff:ff:ff:ff: 10.0.0.1 > 255.255.255.255: udp 68 > 67", meta: rx(tap0), reason: "bridged"},
		{packet: all + "10.0.0.1 > 255.255.255.255: udp 67 > 68", reason: "bridged"},
		{packet: "02:00:00:00:00:01 > 01:80:c2:00:00:0e: " + ip, change: typ(0x88, 0xcc), reason: "bridged"}, // LLDP
		{packet: "02:00:00:00:00:01 > 01:00:5e:00:00:01: " + ip, reason: "bridged"},
		{packet: "02:00:00:00:00:01 > 33:33:00:00:00:01: " + ip6, reason: "bridged"},
		{packet: fromFar + ip, change: typ(0x88, 0xcc), reason: "bridged"},
		{packet: fromFar + ip, change: typ(0x05, 0xdc), reason: "bridged"}, // IEEE 802.3 length

		{packet: all + "arp who-has 192.0.2.10 tell 192.0.2.1", reason: "arp", out: "hex"},
		{packet: fromFar + "arp 192.0.2.1 is-at 02:00:00:00:00:01 tell 192.0.2.10", reason: "arp", out: "hex"},
		{packet: toPeer + "arp who-has 192.0.2.1 tell 192.0.2.10", meta: rx(tap0), reason: "bridged"}, // Linux probes what it knows by unicast
		{packet: snoop + "arp 192.0.2.1 is-at 02:00:00:00:00:01 tell 192.0.2.10", reason: "link address is not ours"},

		{packet: snoop + ip, reason: "link address is not ours"},
		{packet: "02:00:00:00:00:01 > 02:00:00:00:00:77: " + ip, meta: rx(eth1), reason: "link address is not ours"},
		{packet: "02:00:00:00:00:01 > 02:00:00:00:00:10: vlan 5 " + ip, reason: "VLAN tag not supported"},
		{packet: "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff: vlan 5 " + ip, reason: "VLAN tag not supported"},
		{packet: fromFar + ip, change: typ(0x88, 0xa8), reason: "VLAN tag not supported"},
		{packet: "02:00:00:00:00:01 > 02:00:00:00:00:11: " + ip6, meta: rx(eth1), reason: "unknown ethertype"},
		{packet: toTap + ip6, meta: rx(tap0), reason: "unknown ethertype"},
		{packet: all + ip6, meta: rx(eth1), reason: "unknown ethertype"},
		{packet: all + ip, meta: rx(eth1), reason: "link multicast nobody listens to"},
		{packet: "03:00:00:00:00:01 > 02:00:00:00:00:10: " + ip, reason: "link source is a group address"},
		{packet: "ff:ff:ff:ff:ff:ff > ff:ff:ff:ff:ff:ff: arp who-has 192.0.2.10 tell 192.0.2.1", reason: "link source is a group address"},
		{packet: "hex 0200000000100200000000010800", reason: "ip4", out: "hex "},
		{packet: "hex 02000000001002000000000108", reason: "shorter than an Ethernet header"},
		{packet: fromFar + ip, meta: func(b *buf.Buffer) { b.SetLen(0) }, reason: "shorter than an Ethernet header", out: "hex "},
	}
	rig := on(t, nodes.EthernetInput, newWorld(t, aNode).state)
	for i := range rows {
		if rows[i].out == "hex" { // an ARP packet without its Ethernet header is no line
			rows[i].out = hexOf(line(t, rows[i].packet)[14:])
		}
	}
	check(t, rig, nil, rows)
}

// What ethernet-input says of a frame besides its way.
func TestEthernetInputMeta(t *testing.T) {
	rig := on(t, nodes.EthernetInput, newWorld(t, aNode).state)
	const ip = "192.0.2.1 > 10.1.0.7: udp 1 > 2"
	bufs := rig.Load(t,
		line(t, "02:00:00:00:00:01 > 02:00:00:00:00:10: "+ip),
		line(t, "02:00:00:00:00:10 > 02:fe:00:00:00:01: "+ip),
		line(t, "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff: "+ip),
		line(t, "02:00:00:00:00:10 > 02:00:00:00:00:01: "+ip),
		line(t, "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff: arp who-has 192.0.2.10 tell 192.0.2.1"))
	bufs[1].RxIf, bufs[3].RxIf = tap0, tap0
	got := rig.RunBufs(t, bufs...)
	want := []struct {
		flags buf.Flags
		txIf  uint32
		l3    uint16
	}{
		{0, 0, buf.Headroom + 14},
		{buf.Originated, 0, buf.Headroom + 14}, // the host's own: no hop is taken
		{buf.LinkBroadcast | buf.Bridged, tap0, 0},
		{buf.Bridged, eth0, 0},
		{buf.LinkBroadcast, 0, buf.Headroom + 14},
	}
	for i, x := range got {
		if l3 := x.L3; x.Flags != want[i].flags || x.TxIf != want[i].txIf || want[i].l3 != 0 && l3 != want[i].l3 {
			t.Errorf("packet %d: flags %b to %d, L3 at %d; want %+v", i, x.Flags, x.TxIf, l3, want[i])
		}
	}
	rig.Put(got)
}
