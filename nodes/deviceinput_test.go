package nodes_test

import (
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/nodes"
)

func TestDeviceInput(t *testing.T) {
	check(t, on(t, nodes.DeviceInput, newWorld(t, aNode).state), nil, []row{
		{packet: "02:00:00:00:00:01 > 02:00:00:00:00:10: 1.0.0.1 > 2.0.0.2: udp 1 > 2", reason: "ethernet"},
		{packet: "1.0.0.1 > 2.0.0.2: udp 1 > 2", meta: func(b *buf.Buffer) { b.RxIf = pod1 }, reason: "ip"},
	})
}

func TestTunInput(t *testing.T) {
	version := func(v byte) func([]byte) { return func(p []byte) { p[0] = v<<4 | p[0]&15 } }
	check(t, on(t, nodes.TunInput, newWorld(t, aNode).state), nil, []row{
		{packet: "1.0.0.1 > 2.0.0.2: udp 1 > 2", reason: "ip4"},
		{packet: "2001:db8::1 > 2001:db8::2: udp 1 > 2", reason: "ip6"},
		{packet: "hex 45", reason: "ip4"}, // ip4-input sees that it is cut off
		{packet: "1.0.0.1 > 2.0.0.2: udp 1 > 2", meta: func(b *buf.Buffer) { b.SetLen(0) }, reason: "empty packet", out: "hex "},
		{packet: "1.0.0.1 > 2.0.0.2: udp 1 > 2", change: version(0), reason: "unknown IP version"},
		{packet: "1.0.0.1 > 2.0.0.2: udp 1 > 2", change: version(5), reason: "unknown IP version"},
		{packet: "1.0.0.1 > 2.0.0.2: udp 1 > 2", change: version(15), reason: "unknown IP version"},
	})
}

// What a pod's kernel sends by itself, and what a pod may forge.
func TestTunInput6(t *testing.T) {
	const nd, mld, ip6 = "neighbour discovery from a pod", "multicast listener discovery from a pod", "ip6"
	check(t, on(t, nodes.TunInput, newWorld(t, both).state), nil, []row{
		{packet: "fd00:1::7 > 2001:db8:51::1: icmp6 echo-request id 1 seq 1", reason: ip6},
		{packet: "fd00:1::7 > 2001:db8:51::1: icmp6 unreachable code 1", reason: ip6},
		{packet: "fd00:1::7 > 2001:db8:51::1: hbh udp 1 > 2", reason: ip6},
		{packet: "fd00:1::7 > 2001:db8:51::1: hbh icmp6 echo-request id 1 seq 1", reason: ip6},
		{packet: "fd00:1::7 > 2001:db8:51::1: proto 58 len 0", reason: ip6}, // icmp6-input sees that it is cut off
		{packet: "fd00:1::7 > 2001:db8:51::1: hbh proto 58 len 0", reason: ip6},
		{packet: "fd00:1::7 > 2001:db8:51::1: proto 0 len 7", reason: ip6},
		{packet: "hex 60", reason: ip6},
		{packet: "fe80::7 > ff02::2: icmp6 router-solicit", reason: nd},
		{packet: "fe80::7 > ff02::1: icmp6 router-advert", reason: nd},
		{packet: "fe80::7 > ff02::1:ff00:1: icmp6 neighbor-solicit fe80::1", reason: nd},
		{packet: "fd00:1::7 > fd00:1::8: icmp6 neighbor-advert fd00:1::1 flags SO", reason: nd},
		{packet: "fd00:1::7 > fd00:1::8: icmp6 redirect", reason: nd},
		{packet: "fd00:1::7 > fd00:1::8: hbh icmp6 redirect ttl 64", reason: nd},
		{packet: "fe80::7 > ff02::16: hbh icmp6 type 143 ttl 1", reason: mld},
		{packet: ":: > ff02::16: hbh icmp6 type 143 ttl 1", reason: mld},
		{packet: "fe80::7 > ff02::1: hbh icmp6 type 130 ttl 1", reason: mld},
		{packet: "fe80::7 > ff02::2: hbh icmp6 type 132 ttl 1", reason: mld},
		{packet: "fe80::7 > ff02::9: icmp6 type 131 ttl 1", reason: mld},
	})
}
