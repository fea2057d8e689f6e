package nodes_test

import (
	"slices"
	"testing"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nodes"
)

// TestPodEther: on a pod's Ethernet device Skein answers for its gateways and
// for all that is not the pod's, and for nothing that the pod asks for to know
// whether it is free.
func TestPodEther(t *testing.T) {
	const (
		group4 = "02:00:00:00:00:77 > ff:ff:ff:ff:ff:ff: "
		group6 = "02:00:00:00:00:77 > 33:33:ff:00:00:01: "
		toPod  = "ee:ee:ee:ee:ee:ee > 02:00:00:00:00:77: "
		arpOut = "arp reply sent"
		ndOut  = "nd advertisement sent"
		sol    = "icmp6 neighbor-solicit "
		gw6    = "fe80::ecee:eeff:feee:eeee"
		lladdr = " lladdr 02:00:00:00:00:77"
	)
	w := newWorld(t, aNode+aNode6)
	st := w.state
	st.Ifaces = slices.Clone(st.Ifaces)
	pod := &st.Ifaces[pod1]
	pod.Ethernet, pod.MAC = true, hdr.MAC{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}
	pod.LinkLocal = hdr.Addr6{Hi: 0xfe80 << 48, Lo: 0xecee_eeff_feee_eeee}
	check(t, on(t, nodes.ARPInput, st), behindEther, []row{
		{packet: group4 + "arp who-has 169.254.1.1 tell 10.1.0.7", meta: rx(pod1), reason: arpOut,
			out: toPod + "arp 169.254.1.1 is-at ee:ee:ee:ee:ee:ee tell 10.1.0.7"},
		{packet: group4 + "arp who-has 10.1.0.8 tell 10.1.0.7", meta: rx(pod1), reason: arpOut,
			out: toPod + "arp 10.1.0.8 is-at ee:ee:ee:ee:ee:ee tell 10.1.0.7"},
		{packet: group4 + "arp who-has 10.1.0.7 tell 10.1.0.9", meta: rx(pod1), reason: "arp for another station"},
		{packet: group4 + "arp who-has 10.1.0.8 tell 0.0.0.0", meta: rx(pod1), reason: "arp for another station"},
	})
	check(t, on(t, nodes.NDInput, st), behindEther, []row{
		{packet: group6 + "fe80::77 > ff02::1:ffee:eeee: " + sol + gw6 + lladdr, meta: rx(pod1), reason: ndOut,
			out: toPod + gw6 + " > fe80::77: icmp6 neighbor-advert " + gw6 + " flags SR lladdr ee:ee:ee:ee:ee:ee ttl 255 len 0"},
		{packet: group6 + "fd00:1::7 > ff02::1:ff00:8: " + sol + "fd00:1::8" + lladdr, meta: rx(pod1), reason: ndOut,
			out: toPod + gw6 + " > fd00:1::7: icmp6 neighbor-advert fd00:1::8 flags SR lladdr ee:ee:ee:ee:ee:ee ttl 255 len 0"},
		{packet: group6 + "fe80::77 > ff02::1:ff00:9: " + sol + "fe80::9" + lladdr, meta: rx(pod1), reason: "nd for another station"},
		{packet: group6 + "fe80::77 > ff02::1:ff00:7: " + sol + "fd00:1::7" + lladdr, meta: rx(pod1), reason: "nd for another station"},
		{packet: group6 + ":: > ff02::1:ff00:8: " + sol + "fd00:1::8", meta: rx(pod1), reason: "nd for another station"},
	})
}
