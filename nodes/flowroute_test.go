package nodes_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/skein-dataplane/skein/nodes"
)

// What comes behind ip4-session and ip6-session on their arc, packets of known
// flows would not visit.
func TestSessionIsLast(t *testing.T) {
	for _, a := range nodes.FeatureArcs() {
		i := max(slices.Index(a.Features, "ip4-session"), slices.Index(a.Features, "ip6-session"))
		if i >= 0 && i != len(a.Features)-1 {
			t.Errorf("%s: %v", a.Name, a.Features)
		}
	}
}

// A node with sessions sends what one without them sends, whatever becomes of
// routes and neighbors while flows go on: what a session remembers of the way of
// its packets is never older than the routes.
func TestRoutesOfKnownFlows(t *testing.T) {
	const config = `
		interface eth0 uplink mac 02:00:00:00:00:10 addr 192.0.2.10 addr 2001:db8::10 addr fe80::10
		interface eth1 uplink mac 02:00:00:00:00:11 addr 203.0.113.10 addr fe80::11
		interface pod1 tun
		node 10.1.0.1
		node fd00:1::1
		local 10.1.0.1
		local fd00:1::1
		10.1.0.7 dev pod1
		fd00:1::7 dev pod1
		192.0.2.0/24 dev eth0
		203.0.113.0/24 dev eth1
		neigh 192.0.2.1 dev eth0 lladdr 02:00:00:00:00:01
		neigh 192.0.2.2 dev eth0 lladdr 02:00:00:00:00:02
		neigh 203.0.113.1 dev eth1 lladdr 02:00:00:00:00:03
		neigh fe80::1 dev eth0 lladdr 02:00:00:00:00:01
		neigh fe80::2 dev eth0 lladdr 02:00:00:00:00:02
		neigh fe80::3 dev eth1 lladdr 02:00:00:00:00:03
		`
	plain, known := newWhole(t, config), newWhole(t, config+"policy pod1 egress allow")
	rng := rand.New(rand.NewPCG(3, 4))
	ways := map[string][]string{
		"198.51.100.0/24": {"via 192.0.2.1 dev eth0", "via 192.0.2.2 dev eth0", "via 203.0.113.1 dev eth1",
			"nexthop via 192.0.2.1 dev eth0 nexthop via 192.0.2.2 dev eth0 nexthop via 203.0.113.1 dev eth1", ""},
		"2001:db8:99::/48": {"via fe80::1 dev eth0", "via fe80::2 dev eth0", "via fe80::3 dev eth1",
			"nexthop via fe80::1 dev eth0 nexthop via fe80::2 dev eth0 nexthop via fe80::3 dev eth1", ""},
	}
	now := map[string]string{}
	change := func(line string) {
		plain.change(t, line)
		known.change(t, line)
	}
	sentBy := map[string]int{}
	for round := range 400 {
		for to, choices := range ways {
			if round > 0 && rng.IntN(4) != 0 {
				continue
			}
			if now[to] != "" {
				change("no " + to + " " + now[to])
			}
			if now[to] = choices[min(round, rng.IntN(len(choices)))]; now[to] != "" {
				change(to + " " + now[to])
			}
		}
		if rng.IntN(8) == 0 { // the router is another machine from now on
			change(fmt.Sprintf("neigh 192.0.2.1 dev eth0 lladdr 02:00:00:00:01:%02x", round%256))
		}
		for range 2 {
			for port := range 8 {
				for _, p := range []string{
					fmt.Sprintf("10.1.0.7 > 198.51.100.%d: udp %d > 53", port, 1000+port),
					fmt.Sprintf("fd00:1::7 > 2001:db8:99::%d: udp %d > 53", port, 1000+port),
				} {
					plain.step(t, "in pod1", p)
					known.step(t, "in pod1", p)
				}
			}
			plain.advance(t, 2e9)
			known.advance(t, 2e9)
			want, got := plain.sent(), known.sent()
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("round %d, %v:\n got %q\nwant %q", round, now, got, want)
			}
			for _, line := range got {
				sentBy[line[:4]]++
			}
			answer(t, known, plain)
		}
	}
	if sentBy["eth0"] < 1000 || sentBy["eth1"] < 1000 || sentBy["pod1"] < 1000 {
		t.Errorf("sent %v: too little happens", sentBy)
	}
	for _, st := range known.Stats() {
		for _, a := range st.Arcs {
			if (st.Name == "ip4-session" || st.Name == "ip6-session") && a.Reason == "forward" && a.Count < 8000 {
				t.Errorf("%s knows the way of %d packets", st.Name, a.Count)
			}
		}
	}
}

// answer has both nodes see an answer to each flow, without which it is not one
// that goes on.
func answer(t *testing.T, both ...*whole) {
	t.Helper()
	for _, w := range both {
		for port := range 8 {
			for _, p := range []string{
				fmt.Sprintf("198.51.100.%d > 10.1.0.7: udp 53 > %d", port, 1000+port),
				fmt.Sprintf("2001:db8:99::%d > fd00:1::7: udp 53 > %d", port, 1000+port),
			} {
				w.step(t, "in eth0", "02:00:00:00:00:01 > 02:00:00:00:00:10: "+p)
			}
		}
		w.advance(t, 1e6)
		w.sent()
	}
}
