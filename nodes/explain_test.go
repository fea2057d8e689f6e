package nodes_test

import (
	"reflect"
	"testing"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/state"
)

// ask has AskPolicy judge a packet as the first of a flow.
func (w *whole) ask(k slowKey) nodes.Opinion {
	st, rx, v := w.pub.Load(), w.world.index[stations[k.src].iface], 0
	if k.v6 {
		v = 1
	}
	src, dst := stations[k.src].addr[v], stations[k.dst].addr[v]
	proto := map[string]uint8{"tcp": hdr.ProtoTCP, "udp": hdr.ProtoUDP, "echo": []uint8{hdr.ProtoICMP, hdr.ProtoICMPv6}[v]}[k.proto]
	var key acl.Key
	var adj *fib.Adj
	if k.v6 {
		key.Set6(hdr.Addr6From(src), hdr.Addr6From(dst), proto, uint16(k.from), uint16(k.to))
		adj = st.FIB6.Adj(st.FIB6.Lookup(hdr.Addr6From(dst), 0))
	} else {
		key.Set4(hdr.Addr4From(src), hdr.Addr4From(dst), proto, uint16(k.from), uint16(k.to))
		adj = st.FIB4.Adj(st.FIB4.Lookup(hdr.Addr4From(dst), 0))
	}
	if k.proto == "echo" {
		key.SrcPort, key.DstPort = 0, 0
		typ := [2][2]uint8{{hdr.ICMPEcho, hdr.ICMPEchoReply}, {hdr.ICMP6EchoRequest, hdr.ICMP6EchoReply}}[v]
		key.SetICMP(typ[map[bool]int{true: 1}[k.from == 0]], 0)
	}
	return nodes.AskPolicy(st, rx, adj, &key)
}

// What is asked is told in order, with what comes of it, and leaves no trace.
func TestAskPolicy(t *testing.T) {
	w := newWhole(t, aNode+aNode6+`
		policy pod1 egress allow udp to ports 53
		policy pod2 ingress deny udp
		policy eth1 in allow tcp
		policy eth0 untracked-ingress allow udp to ports 7
		policy eth0 pre-dnat deny tcp to ports 9
		policy eth0 ingress allow tcp`)
	pod1, pod2, eth0 := w.world.index["pod1"], w.world.index["pod2"], w.world.index["eth0"]
	at := func(i uint32, g state.Gate) nodes.AskedAt { return nodes.AskedAt{Iface: i, Gate: g} }
	for _, tc := range []struct {
		k    slowKey
		want nodes.Opinion
	}{
		{slowKey{"a", "b", false, "udp", 1, 53}, nodes.Opinion{Asked: []nodes.AskedAt{at(pod1, state.GateFrom), at(pod2, state.GateTo)}, Drop: "ip4 policy denies: ingress rule"}},
		{slowKey{"a", "x", true, "udp", 1, 53}, nodes.Opinion{Asked: []nodes.AskedAt{at(pod1, state.GateFrom)}, Flow: true}},
		{slowKey{"a", "x", true, "udp", 1, 54}, nodes.Opinion{Asked: []nodes.AskedAt{at(pod1, state.GateFrom)}, Drop: "ip6 no rule allows: egress (default deny)"}},
		{slowKey{"x", "host", false, "udp", 1, 7}, nodes.Opinion{Asked: []nodes.AskedAt{at(eth0, state.GateUntrackedTo)}, Untracked: true}},
		{slowKey{"x", "host", false, "tcp", 1, 9}, nodes.Opinion{Asked: []nodes.AskedAt{at(eth0, state.GateUntrackedTo), at(eth0, state.GatePreDNAT)}, Drop: "ip4 policy denies: ingress rule"}},
		{slowKey{"x", "host", true, "tcp", 1, 8}, nodes.Opinion{Asked: []nodes.AskedAt{at(eth0, state.GateUntrackedTo), at(eth0, state.GatePreDNAT), at(eth0, state.GateTo)}, Flow: true}},
	} {
		if got := w.ask(tc.k); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%+v: %+v, want %+v", tc.k, got, tc.want)
		}
	}
	for _, e := range w.pub.Load().Policy.Ends {
		for g := range state.NumGates {
			if e == nil || e.At(g) == nil {
				continue
			}
			for rule, n := range e.At(g).HitsOf(0) {
				if n != 0 {
					t.Errorf("%s %v rule %d has %d hits", e.Name, g, rule, n)
				}
			}
		}
	}
}
