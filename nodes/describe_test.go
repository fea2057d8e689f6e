package nodes_test

import (
	"testing"

	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nodes"
)

// What a trace says of a packet, in words.
func TestDescribe(t *testing.T) {
	st := newWorld(t, both).state
	adj4 := st.FIB4.Lookup(0x08080808, 0)
	adj6 := st.FIB6.Lookup(addr6("2001:db8:51::1"), 0)
	const (
		frame    = "02:00:00:00:00:01 > 02:00:00:00:00:10: "
		route4   = "via 192.0.2.1 dev eth0"
		route6   = "via fe80::1 dev eth0"
		sent, l3 = "icmp error sent", hdr.EtherLen
	)
	tests := []struct {
		spec         graph.Spec
		reason, next string
		packet       string
		l3           int
		want         string
	}{
		{nodes.EthernetInput, "bridged", "", frame + "192.0.2.1 > 192.0.2.10: udp 1 > 2", -1, "IP4: 02:00:00:00:00:01 -> 02:00:00:00:00:10"},
		{nodes.EthernetInput, "bridged", "", frame + "fe80::1 > fe80::10: udp 1 > 2", -1, "IP6: 02:00:00:00:00:01 -> 02:00:00:00:00:10"},
		{nodes.EthernetInput, "bridged", "", frame + "arp who-has 192.0.2.10 tell 192.0.2.1", -1, "ARP: 02:00:00:00:00:01 -> 02:00:00:00:00:10"},
		{nodes.EthernetInput, "bridged", "", "hex 0180c200000e02000000000188cc0207", -1, "0x88cc: 02:00:00:00:00:01 -> 01:80:c2:00:00:0e"},
		{nodes.EthernetInput, "shorter than an Ethernet header", "", "hex 0180", -1, ""},
		{nodes.EthernetInput, "ip4", "", "192.0.2.1 > 192.0.2.10: udp 1 > 2", 0, ""},
		{nodes.ARPInput, "bridged", "", frame + "arp who-has 192.0.2.10 tell 192.0.2.1", l3, "who-has 192.0.2.10 tell 192.0.2.1"},
		{nodes.ARPInput, "bridged", "", frame + "arp 192.0.2.1 is-at 02:00:00:00:00:01 tell 192.0.2.10", l3, "192.0.2.1 is-at 02:00:00:00:00:01"},
		{nodes.ARPInput, "arp malformed", "", "hex 0001", 0, ""},
		{nodes.NDInput, "bridged", "", frame + "fe80::1 > ff02::1:ff00:10: icmp6 neighbor-solicit 2001:db8::10", l3, "who-has 2001:db8::10 tell fe80::1"},
		{nodes.NDInput, "bridged", "", frame + "fe80::1 > fe80::10: icmp6 neighbor-advert fe80::1 flags S lladdr 02:00:00:00:00:01", l3, "fe80::1 is-at 02:00:00:00:00:01"},
		{nodes.NDInput, "bridged", "", "fe80::1 > fe80::10: icmp6 neighbor-advert fe80::1 flags S", 0, "fe80::1 is there"},
		{nodes.NDInput, "nd malformed", "", "fe80::1 > fe80::10: proto 58 len 23", 0, ""},
		{nodes.IP4Lookup, "forward", "ip4-rewrite", "10.1.0.7 > 8.8.8.8: udp 1 > 2", 0, route4},
		{nodes.IP4Rewrite, "end of ip4-output", "interface-output", "10.1.0.7 > 8.8.8.8: udp 1 > 2", 0, route4},
		{nodes.IP4Rewrite, "ip4 time to live exceeded", "icmp4-error", "10.1.0.7 > 8.8.8.8: udp 1 > 2", 0, ""},
		{nodes.IP6Lookup, "forward", "ip6-rewrite", "fd00:1::7 > 2001:db8:51::1: udp 1 > 2", 0, route6},
		{nodes.IP6Rewrite, "end of ip6-output", "interface-output", "fd00:1::7 > 2001:db8:51::1: udp 1 > 2", 0, route6},
		{nodes.IP6Rewrite, "ip6 packet too big", "icmp6-error", "fd00:1::7 > 2001:db8:51::1: udp 1 > 2", 0, ""},
		{nodes.ICMP4Error, sent, "", "10.1.0.1 > 10.1.0.7: icmp time-exceeded", 0, "icmp type 11 code 0 to 10.1.0.7 from 10.1.0.1"},
		{nodes.ICMP4Error, "icmp error rate limit", "", "10.1.0.7 > 8.8.8.8: udp 1 > 2", 0, ""},
		{nodes.ICMP6Error, "icmp6 error sent", "", "fd00:1::1 > fd00:1::7: icmp6 too-big mtu 1400", 0, "icmp6 type 2 code 0 to fd00:1::7 from fd00:1::1"},
		{nodes.ICMP6Error, "icmp6 error rate limit", "", "fd00:1::7 > 2001:db8:51::1: udp 1 > 2", 0, ""},
		{nodes.UplinkOutput, "", "", frame + "fe80::1 > fe80::10: udp 1 > 2", l3, "eth0 IP6: 02:00:00:00:00:01 -> 02:00:00:00:00:10"},
	}
	for _, test := range tests {
		r := graph.Record{Node: test.spec.Name, Reason: test.reason, Next: test.next, State: &st, Bytes: line(t, test.packet), L3: test.l3}
		r.Meta.TxIf, r.Meta.Adj = eth0, adj4
		if test.want == route6 {
			r.Meta.Adj = adj6
		}
		if got := test.spec.Describe(&r); got != test.want {
			t.Errorf("%s, %s: %q, want %q", test.spec.Name, test.packet, got, test.want)
		}
	}
}
