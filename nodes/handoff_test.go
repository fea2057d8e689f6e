package nodes_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/session"
)

// contains counts the lines that hold all of the words.
func contains(lines []string, words ...string) (n int) {
	for _, l := range lines {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(l, w) }) {
			n++
		}
	}
	return n
}

// Fragments come out together, the first one first, in whatever order and at
// whichever workers they come in.
func TestHandoffFragments(t *testing.T) {
	frags := map[string][]string{
		"ip4": {"$a > $x: udp 1000 > 53 ipid %d mf len 40", "$a > $x: proto 17 ipid %d mf offset 48 len 20", "$a > $x: proto 17 ipid %d offset 72 len 30"},
		"ip6": {"$a > $x: frag 0 mf id %d udp 1000 > 53 len 40", "$a > $x: frag 48 mf id %d proto 17 len 20", "$a > $x: frag 72 id %d proto 17 len 30"},
	}
	each(t, func(t *testing.T, f *family) {
		for _, n := range []int{2, 4} {
			c := newCrew(t, n, false, aNode+aNode6+"policy pod1 egress allow udp to ports 53")
			for id := 1; id <= 60; id++ {
				for _, i := range c.rng.Perm(3) {
					c.receive(t, "pod1", f.addrs.Replace(fmt.Sprintf(frags[f.name][i], id)), -1)
					if c.rng.IntN(2) == 0 {
						c.advance(t, 1e6)
					}
				}
				c.advance(t, 1e6)
				out := c.sent()
				if len(out) != 3 || strings.Contains(out[0], "offset") || strings.Contains(out[0], "frag 48") || strings.Contains(out[0], "frag 72") {
					t.Fatalf("of %d workers, packet %d: %q, drops %q", n, id, out, c.newDrops())
				}
			}
			if c.handed() == 0 {
				t.Error("nothing has been handed over")
			}
		}
	})
}

// Later fragments wait for the first for a second, and not too many of them.
func TestHandoffFirstMissing(t *testing.T) {
	frag := map[string]string{"ip4": "$a > $x: proto 17 ipid 7 mf offset %d len 8", "ip6": "$a > $x: frag %d mf id 7 proto 17 len 8"}
	each(t, func(t *testing.T, f *family) {
		c := newCrew(t, 2, false, aNode+aNode6+"policy pod1 egress allow udp to ports 53")
		for i := range 20 { // session.Frags holds 16 of a packet
			c.receive(t, "pod1", f.addrs.Replace(fmt.Sprintf(frag[f.name], 48+8*i)), -1)
		}
		c.advance(t, 1e6)
		if d := c.newDrops(); contains(d, "4 "+f.name+"-handoff", "too many fragments wait") != 1 || c.parked() != 16 {
			t.Errorf("drops %q, %d wait", d, c.parked())
		}
		c.advance(t, 2e9)
		if d := c.newDrops(); contains(d, "16 "+f.name+"-handoff", "first fragment has not come") != 1 || c.parked() != 0 {
			t.Errorf("drops %q, %d wait", d, c.parked())
		}
	})
}

// What a worker can't take in time is dropped by those that have it, with a
// reason: of flows, and of interfaces with a rate.
func TestHandoffBehind(t *testing.T) {
	each(t, func(t *testing.T, f *family) {
		c := newCrew(t, 2, false, aNode+aNode6+"policy pod1 egress allow udp to ports 53")
		for i := range 3000 {
			c.receive(t, "pod1", f.addrs.Replace(fmt.Sprintf("$a > $x: udp %d > 53", 1000+i)), 0)
		}
		for range 200 {
			if err := c.All()[0].RoundAt(c.now); err != nil {
				t.Fatal(err)
			}
		}
		c.advance(t, 1e6)
		d := c.newDrops()
		if contains(d, f.name+"-handoff", "worker of the flow is behind") != 1 {
			t.Errorf("drops %q", d)
		}
		if h := c.handed(); h != 1024 {
			t.Errorf("%d handed over, want 1024", h)
		}
	})
	for _, dir := range []string{"in", "out"} {
		c := newCrew(t, 2, false, aNode+"interface pod1 tun feature rate-limit-"+dir)
		limit := iface.PacketRate(100_000, 2000)
		at := &c.world.state.Ifaces[pod1]
		in, far := "pod1", 1-int(pod1)%2
		if at.RxLimit = limit; dir == "out" {
			in, at.RxLimit, at.TxLimit = "pod2", iface.Limit{}, limit
		}
		c.change(t, "")
		to := map[string]string{"pod1": "10.1.0.7 > 10.1.0.8", "pod2": "10.1.0.8 > 10.1.0.7"}[in]
		for range 3000 {
			c.receive(t, in, to+": udp 1000 > 53", far)
		}
		for range 200 {
			if err := c.All()[far].RoundAt(c.now); err != nil {
				t.Fatal(err)
			}
		}
		c.advance(t, 1e6)
		if d := c.newDrops(); contains(d, "1976 rate-limit-"+dir, "rate limit is behind") != 1 || len(d) != 1 {
			t.Errorf("%s: drops %q", dir, d)
		}
	}
}

// A rate is the same whatever the number of workers.
func TestRateLimitWorkers(t *testing.T) {
	for _, dir := range []string{"in", "out"} {
		c := newCrew(t, 3, false, aNode+"interface pod1 tun feature rate-limit-"+dir)
		at := &c.world.state.Ifaces[pod1]
		in := "pod1"
		if at.RxLimit = iface.PacketRate(100, 30); dir == "out" {
			in, at.RxLimit, at.TxLimit = "pod2", iface.Limit{}, iface.PacketRate(100, 30)
		}
		c.change(t, "")
		to := map[string]string{"pod1": "10.1.0.7 > 10.1.0.8", "pod2": "10.1.0.8 > 10.1.0.7"}[in]
		passed := 0
		for range 100 {
			for range 10 {
				c.receive(t, in, to+": udp 1000 > 53", -1)
			}
			c.advance(t, 1e7)
			passed += len(c.sent())
		}
		if passed < 127 || passed > 131 {
			t.Errorf("%s: %d packets passed in a second, want 129", dir, passed)
		}
	}
}

// checkOwned fails the test if a worker has a session whose packets, in either
// direction, another one is given.
func checkOwned(t testing.TB, c *crew) (sessions int) {
	t.Helper()
	st := c.pub.Load()
	for _, w := range c.All() {
		if w.Sharding() == nil {
			return w.Flows.Stats().Sessions
		}
		for i := w.Flows.Next(0); i != 0; i = w.Flows.Next(i) {
			sessions++
			for _, r := range []session.Ref{session.Ref(i << 1), session.Ref(i<<1) | session.Reverse} {
				var owner int
				var key fmt.Stringer
				if w.Flows.At(i).IsIPv6() {
					k := w.Flows.Key6(r)
					owner, key = nodes.Owner6(st, w.Sharding(), k), k
				} else {
					k := w.Flows.Key4(r)
					owner, key = nodes.Owner4(st, w.Sharding(), k), k
				}
				if owner != w.ID() {
					t.Errorf("worker %d has a session with %v, which is worker %d's", w.ID(), key, owner)
				}
			}
		}
	}
	return sessions
}

// Packets of a flow that come in by one queue come out in order, however many
// workers they cross.
func TestHandoffOrder(t *testing.T) {
	each(t, func(t *testing.T, f *family) {
		for _, single := range []bool{false, true} {
			c := newCrew(t, 3, single, aNode+aNode6+"policy pod1 egress allow udp to ports 53")
			rng := rand.New(rand.NewPCG(5, 6))
			next := map[int]int{}
			for range 20 {
				for range 300 {
					flow := rng.IntN(20)
					next[flow]++
					c.receive(t, "pod1", f.addrs.Replace(fmt.Sprintf("$a > $x: udp %d > 53 len %d", 1000+flow, 10+next[flow])), flow)
				}
				c.advance(t, 1e6)
			}
			seen := map[int]int{}
			for _, s := range c.sent() {
				var sport, n, ttl int
				if _, err := fmt.Sscanf(s[strings.Index(s, "udp"):], "udp %d > 53 ttl %d len %d", &sport, &ttl, &n); err != nil {
					t.Fatalf("%s: %v", s, err)
				}
				if seen[sport]++; n != 10+seen[sport] {
					t.Fatalf("flow %d: packet %d comes as number %d", sport, n-10, seen[sport])
				}
			}
			for flow, n := range next {
				if seen[1000+flow] != n {
					t.Errorf("flow %d: %d packets of %d: %q", flow, seen[1000+flow], n, c.newDrops())
				}
			}
			if n := checkOwned(t, c); n != 20 {
				t.Errorf("%d sessions, want 20", n)
			}
		}
	})
}

// A single worker pays nothing: no interface has the nodes that hand over.
func TestHandoffOff(t *testing.T) {
	for n, want := range map[int]bool{0: false, 1: false, 2: true} {
		w := newWorld(t, aNode+"policy pod1 egress allow")
		w.state.Workers = n
		st := w.edit(t, "policy pod1 egress allow")
		got := slices.Contains(nodes.IP4UnicastArc.Names(st.Ifaces[pod1].Feat[iface.IP4Unicast]), "ip4-handoff") &&
			slices.Contains(nodes.IP6UnicastArc.Names(st.Ifaces[pod1].Feat[iface.IP6Unicast]), "ip6-handoff")
		if got != want {
			t.Errorf("%d workers: handed over: %t", n, got)
		}
	}
	if _, ok := nodes.IP4Handoff.New().(graph.Ticker); !ok {
		t.Error("nobody ends what waits")
	}
}

// Nothing is allocated where packets of known flows cross.
func TestHandoffNoAllocs(t *testing.T) {
	each(t, func(t *testing.T, f *family) {
		c := newCrew(t, 2, false, aNode+aNode6+"policy pod1 egress allow udp to ports 53")
		var packets []memPacket
		for i := range 100 {
			p, err := receive(f.addrs.Replace(fmt.Sprintf("$a > $x: udp %d > 53", 1000+i)), false)
			if err != nil {
				t.Fatal(err)
			}
			packets = append(packets, p)
		}
		for _, queues := range c.queues {
			for _, q := range queues[1:] {
				q.quiet = true
			}
		}
		q := c.queues[0][pod1]
		if n := testing.AllocsPerRun(20, func() {
			q.rx = packets
			for range 8 {
				c.now += 1e5
				for _, w := range c.All() {
					if err := w.RoundAt(c.now); err != nil {
						t.Fatal(err)
					}
				}
			}
		}); n != 0 {
			t.Errorf("%v allocations, want none", n)
		}
		if c.handed() < 500 {
			t.Errorf("%d packets handed over", c.handed())
		}
	})
}

// Workers share how many ICMP errors a node sends.
func TestErrorLimitWorkers(t *testing.T) {
	each(t, func(t *testing.T, f *family) {
		c := newCrew(t, 2, false, aNode+aNode6)
		for i := range 400 { // many senders, so that none is at its own limit
			dst := map[string]string{"ip4": fmt.Sprintf("02:00:00:00:00:01 > 02:00:00:00:00:10: 8.8.%d.%d > 10.1.0.7", i/200, i%200+1),
				"ip6": fmt.Sprintf("02:00:00:00:00:01 > 02:00:00:00:00:10: 2001:db8:99::%x > fd00:1::7", i+1)}[f.name]
			c.receive(t, "eth0", dst+": udp 1 > 53 ttl 1", -1)
		}
		c.advance(t, 1e6)
		if n := len(c.sent()); n < 40 || n > 52 {
			t.Errorf("%d errors at once, want about 50: %q", n, c.newDrops())
		}
	})
}
