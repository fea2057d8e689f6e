package nodes_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/graph/graphtest"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/state"
)

// A trace says which rule of which endpoint has decided about a packet, also
// about one that goes in reverse, and when nothing was asked or matched.
func TestPolicyWords(t *testing.T) {
	each(t, func(t *testing.T, f *family) {
		w := newWhole(t, aNode+aNode6+`
			policy pod1 egress allow udp to ports 53
			policy pod2 ingress deny udp
			policy tap0 ingress tier admin pass
			policy tap0 ingress tier base
			policy tap0 ingress allow tcp
			policy eth1 in allow tcp
			policy eth0 untracked-ingress deny udp to ports 7
			policy eth0 untracked-egress deny udp to ports 7
			policy eth1 out deny udp`)
		saw := func(in uint32, packet, node, want string) {
			t.Helper()
			w.ClearTrace()
			w.TraceIface(in, 1)
			p, err := receive(f.addrs.Replace(packet), w.queues[in].ethernet)
			if err != nil {
				t.Fatal(err)
			}
			w.queues[in].rx = append(w.queues[in].rx, p)
			w.advance(t, 1000)
			var all []string
			for _, r := range w.Traces() {
				if r.Node == f.name+"-"+node && r.Details == want {
					return
				}
				all = append(all, r.Node+": "+r.Details)
			}
			t.Errorf("%s: no %q in\n%s", packet, want, strings.Join(all, "\n"))
		}
		const ether = "02:00:00:00:00:01 > 02:00:00:00:00:10: "
		saw(pod1, "$a > $x: udp 1 > 53", "policy", "pod1 egress: tier default, policy p, rule 1 (allow udp to ports 53)")
		saw(pod1, "$a > $x: udp 1 > 53", "session", map[string]string{"ip4": "session 1 via 192.0.2.1 dev eth0", "ip6": "session 1 via fe80::1 dev eth0"}[f.name])
		saw(pod1, "$a > $x: udp 1 > 54", "session", "to be judged")
		saw(pod1, "$a > $x: udp 1 > 54", "policy", "pod1 egress: tier default, no rule matched, default deny")
		saw(eth0, ether+"$x > $b: udp 1 > 54", "policy", "pod2 ingress: tier default, policy p, rule 1 (deny udp)")
		saw(pod2, "$b > $x: udp 1 > 54", "policy", "")
		saw(pod2, "$b > $h: tcp 1 > 54 flags S", "policy", "tap0 ingress: tier base, policy p, rule 1 (allow tcp)")
		saw(pod2, "$b > $h: udp 1 > 54", "policy", "tap0 ingress: tier base, no rule matched, default deny")
		saw(eth1, strings.Replace(ether, "0:10:", "0:11:", 1)+"$x > $b: udp 1 > 54", "acl", "eth1 access list in: tier default, no rule matched, default deny")
		saw(eth0, ether+"$x > $h: udp 1 > 7", "acl", "eth0 untracked ingress: tier default, policy p, rule 1 (deny udp to ports 7)")
		saw(tap0, "02:00:00:00:00:10 > 02:fe:00:00:00:01: $h > $x: udp 1 > 7", "acl", "eth0 untracked egress: tier default, policy p, rule 1 (deny udp to ports 7)")
		saw(pod2, "$b > $r: udp 1 > 2", "acl-output", "eth1 access list out: tier default, policy p, rule 1 (deny udp)")
		w.change(t, "no policy pod1 egress\npolicy pod1 egress deny udp")
		saw(eth0, ether+"$x > $a: udp 53 > 1", "policy", "pod1 egress: tier default, policy p, rule 1 (deny udp)")
	})
}

// A Log rule tells control of packets, of some if there are many, and rules count
// what they match.
func TestPolicyLog(t *testing.T) {
	each(t, func(t *testing.T, f *family) {
		w := newWhole(t, aNode+aNode6+"policy pod1 egress log udp to ports 53\npolicy pod1 egress deny\npolicy pod2 in log\npolicy pod2 in allow")
		pod := func(in uint32, s string) {
			p, err := receive(f.addrs.Replace(s), false)
			if err != nil {
				t.Fatal(err)
			}
			w.queues[in].rx = append(w.queues[in].rx, p)
		}
		pod(pod1, "$a > $x: udp 9 > 53")
		pod(pod1, "$a > $x: udp 9 > 54")
		pod(pod2, "$b > $x: icmpX echo-request id 1 seq 1")
		w.advance(t, 1000)
		var got []string
		for {
			n, ok := w.NextNotice()
			if !ok {
				break
			}
			if n.Kind == state.PolicyLog {
				got = append(got, fmt.Sprintf("%d %v %v > %v %d %d %d allowed %v rule %d gen %d", n.Iface, n.Log.Gate, n.Addr(), n.Log.Dst.Addr().Unmap(),
					n.Log.Proto, n.Log.SrcPort, n.Log.DstPort, n.Log.Allowed, n.Log.Rule, n.Log.Gen))
			}
		}
		want := []string{f.addrs.Replace("4 access list in $b > $x PROTO TYPE 0 allowed true rule 0 gen 1"),
			f.addrs.Replace("3 egress $a > $x 17 9 53 allowed false rule 0 gen 1")}
		icmp := strings.NewReplacer("PROTO", "1", "TYPE", "8")
		if f.name == "ip6" {
			icmp = strings.NewReplacer("PROTO", "58", "TYPE", "128")
		}
		want[0] = icmp.Replace(want[0])
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("logged %q, want %q", got, want)
		}
		if hits := w.world.state.Policy.At(pod1).From.HitsOf(0); !slices.Equal(hits, []uint64{1, 2, 0, 0}) {
			t.Errorf("hits %v, want 1 of log and 2 of deny", hits)
		}
		for range 300 {
			pod(pod2, "$b > $x: icmpX echo-request id 1 seq 1")
		}
		w.advance(t, 1000)
		n := 0
		for _, ok := w.NextNotice(); ok; _, ok = w.NextNotice() {
			n++
		}
		if n == 0 || n > 100 {
			t.Errorf("%d notices of 300 packets at once, want 100 at most", n)
		}
	})
}

// Skein's own pings are answered whatever the host's policy says.
func TestPolicyEcho(t *testing.T) {
	each(t, func(t *testing.T, f *family) {
		w := newWhole(t, aNode+aNode6+"policy eth0 ingress")
		st := w.world.state
		st.EchoID = 77
		graphtest.Publish(t, w.pub, st)
		for _, id := range []string{"77", "78"} {
			p, err := receive(f.addrs.Replace("02:00:00:00:00:01 > 02:00:00:00:00:10: $l > $h: icmpX echo-reply id "+id+" seq 1"), true)
			if err != nil {
				t.Fatal(err)
			}
			w.queues[eth0].rx = append(w.queues[eth0].rx, p)
			w.advance(t, 1000)
		}
		if n := w.policyDrops(); n != 1 {
			t.Errorf("%d replies of 2 were dropped, want that to somebody else", n)
		}
	})
}

// SetPolicy switches on what is asked and nothing else, and leaves other States
// alone.
func TestSetPolicy(t *testing.T) {
	w := newWorld(t, aNode+aNode6)
	before := w.state
	prog, err := acl.Compile(&acl.RuleSet{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ruled := state.NewRuled(prog, 1)
	next := before
	nodes.SetPolicy(&next, &state.Policy{Gen: 1, Ends: []*state.Endpoint{eth0: {UntrackedFrom: ruled}, eth1: {In: ruled, Out: ruled}}})
	names := func(st *state.State, i uint32) (all []string) {
		all = append(all, nodes.IP4UnicastArc.Names(st.Ifaces[i].Feat[iface.IP4Unicast])...)
		all = append(all, nodes.IP6UnicastArc.Names(st.Ifaces[i].Feat[iface.IP6Unicast])...)
		all = append(all, nodes.IP4OutputArc.Names(st.Ifaces[i].Feat[iface.IP4Output])...)
		return append(all, nodes.IP6OutputArc.Names(st.Ifaces[i].Feat[iface.IP6Output])...)
	}
	for i, want := range map[uint32]string{
		pod1: "[ip4-source-check ip4-session ip6-source-check ip6-session]",
		pod2: "[ip4-session ip6-session]",
		eth0: "[ip4-session ip6-session]",
		tap0: "[ip4-acl ip4-session ip6-acl ip6-session]",
		eth1: "[ip4-acl ip4-session ip6-acl ip6-session ip4-acl-output ip6-acl-output]",
	} {
		if got := fmt.Sprint(names(&next, i)); got != want {
			t.Errorf("interface %d has %s, want %s", i, got, want)
		}
	}
	if got := fmt.Sprint(names(&before, eth1)); got != "[]" {
		t.Errorf("the State before has %s by now", got)
	}
	again := next
	nodes.SetPolicy(&again, next.Policy)
	if &again.Ifaces[0] != &next.Ifaces[0] {
		t.Error("interfaces copied for no change")
	}
	nodes.SetPolicy(&next, nil)
	for i := range next.Ifaces {
		if got, want := fmt.Sprint(names(&next, uint32(i))), fmt.Sprint(names(&before, uint32(i))); got != want {
			t.Errorf("without policy, interface %d has %s, want %s", i, got, want)
		}
	}
}
