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
		toEth1  = "02:00:00:00:00:01 > 02:00:00:00:00:11: " // to an uplink without a host
		noVLAN  = "VLAN tag, and no host to hand it to"
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

		// VLANs are the host's, whatever the address; without a host they are nobody's.
		{packet: fromFar + "vlan 5 " + ip, reason: "bridged"},
		{packet: all + "vlan 5 " + ip, reason: "bridged"},
		{packet: snoop + "vlan 5 " + ip, reason: "bridged"},
		{packet: toPeer + "vlan 5 " + ip, meta: rx(tap0), reason: "bridged"},
		{packet: toPeer + "vlan 0 " + ip, meta: rx(tap0), reason: "bridged"},
		{packet: fromFar + "vlan 5 " + ip, change: typ(0x88, 0xa8), reason: "bridged"},
		{packet: fromFar + "vlan 5 " + ip, change: func(p []byte) { p[14] = 0x60 }, reason: "bridged"}, // with a priority
		{packet: toTap + "vlan 5 " + ip, meta: rx(tap0), reason: noVLAN},
		{packet: toEth1 + "vlan 5 " + ip, meta: rx(eth1), reason: noVLAN},
		{packet: "hex 020000000010020000000001" + "8100", reason: "bridged"}, // cut off: the host may judge
		// VLAN 0 is none.
		{packet: fromFar + "vlan 0 " + ip, reason: "ip4", out: ip},
		{packet: toEth1 + "vlan 0 " + ip, meta: rx(eth1), reason: "ip4", out: ip},
		{packet: fromFar + "vlan 0 " + ip, change: func(p []byte) { p[14] = 0xe0 }, reason: "ip4", out: ip},
		{packet: fromFar + "vlan 0 " + ip, change: typ(0x88, 0xa8), reason: "ip4", out: ip},
		{packet: snoop + "vlan 0 " + ip, reason: "link address is not ours", out: snoop + ip},
		{packet: fromFar + "vlan 0 " + ip6, change: func(p []byte) { copy(p[12:], "\x81\x00\x00\x00\x86\xdd") }, reason: "bridged",
			out: fromFar + ip6 + " ttl 64 len 16"},
		{packet: fromFar + "vlan 0 " + ip, change: func(p []byte) { p[16], p[17] = 0x81, 0 }, reason: "bridged"},

		// A DHCP server answers to an address that the host has not got yet.
		{packet: fromFar + "192.0.2.1 > 192.0.2.50: udp 67 > 68 len 300", reason: "bridged"},
		{packet: toEth1 + "192.0.2.1 > 192.0.2.50: udp 67 > 68 ttl 64 len 300", meta: rx(eth1), reason: "ip4", out: "192.0.2.1 > 192.0.2.50: udp 67 > 68 ttl 64 len 300"},
		{packet: toTap + "192.0.2.1 > 192.0.2.50: udp 67 > 68 ttl 64 len 300", meta: rx(tap0), reason: "ip4", out: "192.0.2.1 > 192.0.2.50: udp 67 > 68 ttl 64 len 300"},
		{packet: fromFar + "192.0.2.1 > 192.0.2.50: udp 67 > 67 ttl 64 len 300", reason: "ip4", out: "192.0.2.1 > 192.0.2.50: udp 67 > 67 ttl 64 len 300"},
		{packet: fromFar + "192.0.2.1 > 192.0.2.50: tcp 67 > 68 ttl 64 len 300", reason: "ip4", out: "hex"},
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

// What a pod asks DHCP servers by broadcast is counted as the relay's where there
// is one, and nothing else is.
func TestEthernetInputDHCPRelay(t *testing.T) {
	const (
		from   = "02:00:00:00:01:01 > "
		all    = from + "ff:ff:ff:ff:ff:ff: "
		asks   = "0.0.0.0 > 255.255.255.255: udp 68 > 67 ttl 64 len 300"
		relays = "dhcp taken by the relay"
		nobody = "link multicast nobody listens to"
	)
	w := newWorld(t, aNode)
	check(t, on(t, nodes.EthernetInput, w.state), nil, []row{{packet: all + asks, meta: rx(eth1), reason: nobody}})
	w.state.Ifaces[eth1].DHCPRelay = true
	check(t, on(t, nodes.EthernetInput, w.state), nil, []row{
		{packet: all + asks, meta: rx(eth1), reason: relays},
		{packet: from + "01:00:5e:00:00:01: " + asks, meta: rx(eth1), reason: nobody},
		{packet: all + "0.0.0.0 > 255.255.255.255: udp 68 > 69 ttl 64 len 300", meta: rx(eth1), reason: nobody},
		{packet: all + "0.0.0.0 > 255.255.255.255: udp 68 > 323 ttl 64 len 300", meta: rx(eth1), reason: nobody}, // 0x143
		{packet: all + "0.0.0.0 > 255.255.255.255: tcp 68 > 67 ttl 64 len 300", meta: rx(eth1), reason: nobody},
		{packet: all + asks, meta: rx(eth1), change: func(p []byte) { p[20] = 0x20 }, reason: nobody}, // a fragment
		{packet: all + asks, meta: rx(eth1), change: func(p []byte) { p[14] = 0x46 }, reason: nobody},
		{packet: "hex ffffffffffff0200000001010800" + "45", meta: rx(eth1), reason: nobody},
	})
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

// IPv6 on interfaces that have it. What is within a link crosses between the
// host and the world; what is to Skein's own address is routed.
func TestEthernetInput6(t *testing.T) {
	const (
		far     = "02:00:00:00:00:01 > 02:00:00:00:00:10: "
		toPeer  = "02:00:00:00:00:10 > 02:00:00:00:00:01: "
		toTap   = "02:00:00:00:00:10 > 02:fe:00:00:00:01: "
		other   = "02:00:00:00:01:01 > 02:00:00:00:00:11: "
		udp     = "2001:db8:51::1 > fd00:1::7: udp 1 > 2 ttl 64 len 20"
		echo    = "2001:db8:51::1 > fd00:1::7: icmp6 echo-request id 1 seq 1 ttl 64 len 20"
		solicit = "icmp6 neighbor-solicit 2001:db8::10 lladdr 02:00:00:00:00:01 ttl 255 len 0"
		ask     = "fe80::1 > ff02::1:ff00:10: " + solicit
		nobody  = "link multicast nobody listens to"
	)
	check(t, on(t, nodes.EthernetInput, newWorld(t, both).state), nil, []row{
		{packet: far + udp, reason: "ip6", out: udp},
		{packet: far + echo, reason: "ip6", out: echo},
		{packet: far + "2001:db8:51::1 > 2001:db8::10: hbh udp 1 > 2 ttl 64 len 20", reason: "ip6", out: "2001:db8:51::1 > 2001:db8::10: hbh udp 1 > 2 ttl 64 len 20"},
		{packet: far + "fe80::1 > 2001:db8::10: udp 1 > 2 ttl 64 len 20", reason: "ip6", out: "fe80::1 > 2001:db8::10: udp 1 > 2 ttl 64 len 20"},
		{packet: toTap + udp, meta: rx(tap0), reason: "ip6", out: udp},
		{packet: toTap + "fe80::10 > fe80::1:1: udp 1 > 2 ttl 64 len 20", meta: rx(tap0), reason: "ip6", out: "fe80::10 > fe80::1:1: udp 1 > 2 ttl 64 len 20"},
		{packet: other + udp, meta: rx(eth1), reason: "ip6", out: udp},
		{packet: other + "fe80::9 > fe80::11: udp 1 > 2 ttl 64 len 20", meta: rx(eth1), reason: "ip6", out: "fe80::9 > fe80::11: udp 1 > 2 ttl 64 len 20"},
		{packet: "hex 020000000010020000000001" + "86dd60", reason: "ip6", out: "hex 60"}, // ip6-input sees that it is cut off

		// A priority is no VLAN.
		{packet: "02:00:00:00:00:01 > 02:00:00:00:00:10: vlan 0 " + udp, reason: "ip6", out: udp},
		{packet: "02:00:00:00:00:01 > 33:33:ff:00:00:10: vlan 0 " + ask, reason: "nd", out: ask},

		// Within the link, between the world and the host.
		{packet: far + "fe80::1 > fe80::10: udp 547 > 546", reason: "bridged"}, // DHCPv6
		{packet: far + "fe80::1 > fe80::10: icmp6 echo-request id 1 seq 1", reason: "bridged"},
		{packet: far + "fe80::1 > fe80::10: icmp6 router-advert", reason: "bridged"},
		{packet: far + "fe80::1 > ff02::1: udp 1 > 2", reason: "bridged"}, // RFC 6085
		{packet: "02:00:00:00:00:01 > 33:33:00:00:00:01: fe80::1 > ff02::1: icmp6 router-advert", reason: "bridged"},
		{packet: "02:00:00:00:00:01 > 33:33:00:00:00:01: fe80::1 > ff02::1: hbh icmp6 type 130", reason: "bridged"},
		{packet: "02:00:00:00:00:10 > 33:33:00:00:00:02: fe80::10 > ff02::2: icmp6 router-solicit", meta: rx(tap0), reason: "bridged"},
		{packet: "02:00:00:00:00:10 > 33:33:00:00:00:16: fe80::10 > ff02::16: hbh icmp6 type 143 ttl 1", meta: rx(tap0), reason: "bridged"},
		{packet: "02:00:00:00:00:10 > 33:33:00:01:00:02: fe80::10 > ff02::1:2: udp 546 > 547", meta: rx(tap0), reason: "bridged"},
		{packet: toPeer + udp, meta: rx(tap0), reason: "bridged"},
		{packet: toPeer + "fe80::10 > fe80::1: " + solicit, meta: rx(tap0), reason: "bridged"}, // is it still there?

		// Solicitations and advertisements concern Skein too.
		{packet: "02:00:00:00:00:01 > 33:33:ff:00:00:10: " + ask, reason: "nd", out: ask},
		{packet: far + "fe80::1 > fe80::10: " + solicit, reason: "nd", out: "fe80::1 > fe80::10: " + solicit},
		{packet: far + "2001:db8::1 > 2001:db8::10: icmp6 neighbor-advert 2001:db8::1 flags S ttl 255 len 0", reason: "nd", out: "2001:db8::1 > 2001:db8::10: icmp6 neighbor-advert 2001:db8::1 flags S ttl 255 len 0"},
		{packet: "02:00:00:00:00:10 > 33:33:ff:00:00:10: " + ask, meta: rx(tap0), reason: "nd", out: ask},
		{packet: "02:00:00:00:01:01 > 33:33:ff:00:00:10: " + ask, meta: rx(eth1), reason: "nd", out: ask},
		{packet: far + "2001:db8::1 > 2001:db8::10: dstopts " + solicit, reason: "ip6", out: "2001:db8::1 > 2001:db8::10: dstopts " + solicit}, // the host may see

		// Nobody is behind this one.
		{packet: "02:00:00:00:01:01 > 33:33:00:00:00:01: fe80::1 > ff02::1: icmp6 router-advert", meta: rx(eth1), reason: nobody},
		{packet: "02:00:00:00:01:01 > ff:ff:ff:ff:ff:ff: " + udp, meta: rx(eth1), reason: nobody},
		{packet: "02:00:00:00:00:01 > 02:00:00:00:00:77: " + udp, reason: "link address is not ours"},
		{packet: "02:00:00:00:00:01 > 02:00:00:00:00:77: fe80::1 > fe80::77: " + solicit, reason: "link address is not ours"},
		{packet: "03:00:00:00:00:01 > 02:00:00:00:00:10: " + udp, reason: "link source is a group address"},
	})
}

// Answers within the link to Skein's own pings are Skein's, and no others.
func TestEthernetInputEcho(t *testing.T) {
	const (
		far  = "02:00:00:00:00:01 > 02:00:00:00:00:10: "
		ours = "fe80::1 > fe80::10: icmp6 echo-reply id 23777 seq 1 ttl 64 len 16"
	)
	tap := func(b *buf.Buffer) { b.RxIf = tap0 }
	rows := []row{
		{packet: far + ours, reason: "ip6", out: ours},
		{packet: far + "vlan 0 " + ours, change: func(p []byte) { copy(p[12:], "\x81\x00\x00\x00\x86\xdd") }, reason: "ip6", out: ours},
		{packet: far + "fe80::1 > fe80::10: icmp6 echo-reply id 1 seq 1", reason: "bridged"},
		{packet: far + "fe80::1 > fe80::10: icmp6 echo-request id 23777 seq 1", reason: "bridged"},
		{packet: far + "fe80::1 > fe80::11: icmp6 echo-reply id 23777 seq 1", reason: "bridged"}, // another address of the host's
		{packet: far + "fe80::1 > fe80::10: hbh icmp6 echo-reply id 23777 seq 1", reason: "bridged"},
		{packet: far + "fe80::1 > fe80::10: frag 0 mf icmp6 echo-reply id 23777 seq 1", reason: "bridged"},
		{packet: far + "fe80::1 > fe80::10: udp 1 > 2", reason: "bridged"},
		{packet: far + "fe80::1 > fe80::10: proto 58 len 3", reason: "bridged"},
		{packet: "02:00:00:00:00:01 > 33:33:00:00:00:01: fe80::1 > ff02::1: icmp6 echo-reply id 23777 seq 1", reason: "bridged"},
		{packet: "02:00:00:00:00:10 > 02:00:00:00:00:01: fe80::10 > fe80::1: icmp6 echo-reply id 23777 seq 1", meta: tap, reason: "bridged"},
	}
	w := newWorld(t, both)
	w.state.EchoID = 0x5ce1
	check(t, on(t, nodes.EthernetInput, w.state), nil, rows)
	w.state.EchoID = 0
	check(t, on(t, nodes.EthernetInput, w.state), nil, []row{{packet: far + ours, reason: "bridged"}})
}
