package nodes_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph/graphtest"
	"github.com/skein-dataplane/skein/internal/pktline"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/state"
)

// An arpBench is ip4-arp in a world that changes.
type arpBench struct {
	*graphtest.Rig
	t testing.TB
	w *world
}

func newARPBench(t testing.TB, text string) *arpBench {
	w := newWorld(t, text)
	return &arpBench{on(t, nodes.IP4ARP, w.state), t, w}
}

// send gives packets to the node, and returns what leaves, in words.
func (a *arpBench) send(lines ...string) []string {
	a.t.Helper()
	var packets [][]byte
	for _, s := range lines {
		packets = append(packets, line(a.t, s))
	}
	bufs := a.Load(a.t, packets...)
	for _, b := range bufs {
		if b.IPv4().Version() == 6 {
			routed6(*a.State)(b)
		} else {
			routed(*a.State)(b)
		}
	}
	return a.words(a.RunBufs(a.t, bufs...))
}

// round changes the world, lets the worker tick, and returns what leaves.
func (a *arpBench) round(edit string) []string {
	a.t.Helper()
	if edit != "" {
		graphtest.Publish(a.t, a.Pub, a.w.edit(a.t, edit))
	}
	return a.words(a.Tick(a.t))
}

func (a *arpBench) words(results []graphtest.Result) (out []string) {
	for _, x := range results {
		s := pktline.Format(x.Bytes(), x.Reason == "arp request sent" || x.Reason == "nd solicitation sent")
		if strings.HasSuffix(x.Reason, "next hop does not answer") && x.Meta != nodes.ICMPError(3, 1, 0) {
			s += fmt.Sprintf(" error %#x", x.Meta)
		}
		out = append(out, x.Reason+": "+s)
	}
	a.Put(results)
	return out
}

func (a *arpBench) notices() (out []string) {
	for n, ok := a.NextNotice(); ok; n, ok = a.NextNotice() {
		kind := map[state.NoticeKind]string{state.NeighborWanted: "wanted", state.NeighborFailed: "failed"}[n.Kind]
		out = append(out, fmt.Sprintf("%s %s on %d", kind, n.Addr(), n.Iface))
	}
	return out
}

func expect(t testing.TB, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

const (
	second  = int64(1e9)
	to50    = "10.1.0.7 > 192.0.2.50: udp 1 > 2 ttl 64 len 5"
	ask50   = "arp request sent: 02:00:00:00:00:10 > ff:ff:ff:ff:ff:ff: arp who-has 192.0.2.50 tell 192.0.2.10"
	gone50  = "arp resolved: " + to50
	fail50  = "arp next hop does not answer: " + to50
	noNeigh = "no neigh 192.0.2.1 dev eth0"
)

// One request for all packets to a next hop; they leave in order when it is
// known.
func TestIP4ARPResolved(t *testing.T) {
	a := newARPBench(t, aNode)
	other := "10.1.0.7 > 192.0.2.50: udp 3 > 4 ttl 64 len 5"
	expect(t, a.send(to50, other), ask50)
	expect(t, a.send(to50))
	expect(t, a.notices(), "wanted 192.0.2.50 on 1")
	expect(t, a.round("10.99.0.0/16 dev eth1")) // nothing to do with it
	expect(t, a.round("neigh 192.0.2.50 dev eth0 lladdr 02:00:00:00:00:50"), gone50, "arp resolved: "+other, gone50)
	expect(t, a.notices())
	expect(t, a.round("10.98.0.0/16 dev eth1"))
}

// The next hop of a route is asked for, not the destination.
func TestIP4ARPVia(t *testing.T) {
	a := newARPBench(t, aNode+noNeigh)
	expect(t, a.send("10.1.0.7 > 8.8.8.8: udp 1 > 2 ttl 64 len 5"),
		"arp request sent: 02:00:00:00:00:10 > ff:ff:ff:ff:ff:ff: arp who-has 192.0.2.1 tell 192.0.2.10")
	// A route that changes takes its packets along, to the same link or not.
	expect(t, a.round("no default via 192.0.2.1 dev eth0\ndefault via 192.0.2.2 dev eth0"), "arp resolved: 10.1.0.7 > 8.8.8.8: udp 1 > 2 ttl 64 len 5")
	expect(t, a.send("10.1.0.7 > 8.8.8.8: udp 1 > 2 ttl 64 len 5"),
		"arp request sent: 02:00:00:00:00:10 > ff:ff:ff:ff:ff:ff: arp who-has 192.0.2.2 tell 192.0.2.10")
	expect(t, a.round("no default via 192.0.2.2 dev eth0"), "arp resolved: 10.1.0.7 > 8.8.8.8: udp 1 > 2 ttl 64 len 5")
}

// Three requests, a second apart; then the senders are told.
func TestIP4ARPFails(t *testing.T) {
	a := newARPBench(t, aNode)
	a.round("") // the first State
	expect(t, a.send(to50, to50), ask50)
	for range 2 {
		a.Advance(second - 1)
		expect(t, a.round(""))
		a.Advance(1)
		expect(t, a.round(""), ask50)
		expect(t, a.round(""))
	}
	a.Advance(second - 1)
	expect(t, a.round(""))
	a.Advance(1)
	expect(t, a.round(""), fail50, fail50)
	expect(t, a.notices(), "wanted 192.0.2.50 on 1", "failed 192.0.2.50 on 1")
	if n := a.Node("ip4-arp").(graphtest.Parker).Parked(); n != 0 {
		t.Errorf("%d packets still parked", n)
	}
	expect(t, a.send(to50), ask50) // it may have come back
	a.round("neigh 192.0.2.50 dev eth0 lladdr 02:00:00:00:00:50")
}

// A new State between the requests does not hasten them.
func TestIP4ARPStates(t *testing.T) {
	a := newARPBench(t, aNode)
	expect(t, a.send(to50), ask50)
	for i := range 5 {
		expect(t, a.round(fmt.Sprintf("10.90.%d.0/24 dev eth1", i)))
	}
	a.Advance(second)
	expect(t, a.round(""), ask50)
	a.round("neigh 192.0.2.50 dev eth0 lladdr 02:00:00:00:00:50")
}

// At most 16 packets wait for a next hop: the oldest makes room.
func TestIP4ARPFull(t *testing.T) {
	a := newARPBench(t, aNode)
	var lines []string
	for i := range 18 {
		lines = append(lines, fmt.Sprintf("10.1.0.7 > 192.0.2.50: udp %d > 2 ttl 64 len 5", i))
	}
	const full = "arp queue of the next hop is full: "
	expect(t, a.send(lines...), full+lines[0], full+lines[1], ask50)
	var want []string
	for _, s := range lines[2:] {
		want = append(want, "arp resolved: "+s)
	}
	expect(t, a.round("neigh 192.0.2.50 dev eth0 lladdr 02:00:00:00:00:50"), want...)
}

// Somebody scans: not every address may have packets parked, and what is
// parked can be told.
func TestIP4ARPCrowded(t *testing.T) {
	a := newARPBench(t, "interface eth0 uplink mac 02:00:00:00:00:10 addr 10.0.0.1\n10.0.0.0/8 dev eth0")
	crowded, asked := 0, 0
	for i := range 4096 / 128 {
		var lines []string
		for j := range 128 {
			lines = append(lines, fmt.Sprintf("10.0.0.1 > 10.1.%d.%d: udp 1 > 2", i, j))
		}
		for _, s := range a.send(lines...) {
			switch {
			case len(s) > 40 && s[:36] == "arp too many unresolved next hops: 1":
				crowded++
			case s[:16] == "arp request sent":
				asked++
			default:
				t.Fatalf("left as %s", s)
			}
		}
	}
	parked := a.Node("ip4-arp").(graphtest.Parker).Parked()
	if asked != parked || asked+crowded != 4096 || parked > 384 || parked < 300 {
		t.Errorf("%d asked for, %d parked, %d refused", asked, parked, crowded)
	}
	// A route's next hop finds a place all the same, a destination that of one
	// that has not answered for a second.
	a.round("default via 10.9.9.9 dev eth0")
	expect(t, a.send("10.0.0.1 > 8.8.8.8: udp 1 > 2"), "arp request sent: 02:00:00:00:00:10 > ff:ff:ff:ff:ff:ff: arp who-has 10.9.9.9 tell 10.0.0.1")
	late := "10.0.0.1 > 10.2.2.2: udp 1 > 2 ttl 64 len 16"
	expect(t, a.send(late), "arp too many unresolved next hops: "+late)
	a.Advance(second)
	a.round("")
	if got := a.send(late); len(got) != 2 || got[0][:16] != "arp request sent" || got[1][:28] != "arp next hop does not answer" {
		t.Errorf("left %q", got)
	}
	for range 3 {
		a.Advance(second)
		a.round("")
	}
	if n := a.Node("ip4-arp").(graphtest.Parker).Parked(); n != 0 {
		t.Errorf("%d still parked after all have failed", n)
	}
}

func TestIP4ARPNoSource(t *testing.T) {
	w := newWorld(t, "interface eth0 uplink mac 02:00:00:00:00:10\n192.0.2.0/24 dev eth0")
	check(t, on(t, nodes.IP4ARP, w.state), routed(w.state), []row{
		{packet: "10.1.0.7 > 192.0.2.50: udp 1 > 2", reason: "arp no own address to ask from"}})
}

// Parking allocates nothing, nor does asking.
func TestIP4ARPNoAllocs(t *testing.T) {
	a := newARPBench(t, aNode)
	a.NoAllocs(t, func(b *buf.Buffer) { routed(*a.State)(b) }, line(t, to50), line(t, "10.1.0.7 > 192.0.2.51: udp 1 > 2"))
	a.round("neigh 192.0.2.50 dev eth0 lladdr 02:00:00:00:00:50\nneigh 192.0.2.51 dev eth0 lladdr 02:00:00:00:00:51")
}
