package nodes_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph/graphtest"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/state"
)

// newNDBench is newARPBench for ip6-nd.
func newNDBench(t testing.TB, text string) *arpBench {
	w := newWorld(t, text)
	return &arpBench{on(t, nodes.IP6ND, w.state), t, w}
}

const (
	to6     = "fd00:1::7 > 2001:db8::50: udp 1 > 2 ttl 64 len 5"
	asked6  = "nd solicitation sent: 02:00:00:00:00:10 > 33:33:ff:00:00:50: fe80::10 > ff02::1:ff00:50: icmp6 neighbor-solicit 2001:db8::50 lladdr 02:00:00:00:00:10 ttl 255 len 0"
	gone6   = "nd resolved: " + to6
	failed6 = "nd next hop does not answer: " + to6
	neigh6  = "neigh 2001:db8::50 dev eth0 lladdr 02:00:00:00:00:50"
)

// One solicitation for all packets to a next hop; they leave in order when it
// is known.
func TestIP6NDResolved(t *testing.T) {
	a := newNDBench(t, both)
	other := "fd00:1::7 > 2001:db8::50: dstopts udp 3 > 4 ttl 64 len 5"
	expect(t, a.send(to6, other), asked6)
	expect(t, a.send(to6))
	expect(t, a.notices(), "wanted 2001:db8::50 on 1")
	expect(t, a.round("fd99::/64 dev eth1")) // nothing to do with it
	expect(t, a.round(neigh6), gone6, "nd resolved: "+other, gone6)
	expect(t, a.notices())
	expect(t, a.round("fd98::/64 dev eth1"))
}

// The next hop of a route is asked for, not the destination; by its own group
// on its own link.
func TestIP6NDVia(t *testing.T) {
	a := newNDBench(t, both+"no neigh fe80::1 dev eth0")
	const out = "fd00:1::7 > 2001:db8:51::1: udp 1 > 2 ttl 64 len 5"
	expect(t, a.send(out),
		"nd solicitation sent: 02:00:00:00:00:10 > 33:33:ff:00:00:01: fe80::10 > ff02::1:ff00:1: icmp6 neighbor-solicit fe80::1 lladdr 02:00:00:00:00:10 ttl 255 len 0")
	// A route that changes takes its packets along, to the same link or not.
	expect(t, a.round("no ::/0 via fe80::1 dev eth0\n::/0 via fe80::ab:cdef dev eth1"), "nd resolved: "+out)
	expect(t, a.send(out),
		"nd solicitation sent: 02:00:00:00:00:11 > 33:33:ff:ab:cd:ef: fe80::11 > ff02::1:ffab:cdef: icmp6 neighbor-solicit fe80::ab:cdef lladdr 02:00:00:00:00:11 ttl 255 len 0")
	expect(t, a.round("no ::/0 via fe80::ab:cdef dev eth1"), "nd resolved: "+out)
}

// Skein's own packet to a link-local address waits on that link.
func TestIP6NDLinkLocal(t *testing.T) {
	a := newNDBench(t, both)
	const reply = "fe80::1:1 > fe80::10: icmp6 echo-reply id 1 seq 1 ttl 64 len 5"
	b := a.Load(t, line(t, reply))[0]
	sound6(b)
	b.RxIf, b.TxIf, b.Flags = 0, tap0, buf.Originated
	b.Adj = nodes.Lookup6(a.State.FIB6, tap0, b.IPv6().Dst(), b.Hash)
	expect(t, a.words(a.RunBufs(t, b)),
		"nd solicitation sent: 02:fe:00:00:00:01 > 33:33:ff:00:00:10: fe80::1:1 > ff02::1:ff00:10: icmp6 neighbor-solicit fe80::10 lladdr 02:fe:00:00:00:01 ttl 255 len 0")
	expect(t, a.round("neigh fe80::10 dev eth0 lladdr 02:00:00:00:00:10")) // that is another link
	expect(t, a.round("neigh fe80::10 dev tap0 lladdr 02:00:00:00:00:10"), "nd resolved: "+reply)
}

// Three solicitations, a second apart; then the senders are told. It is as for
// IPv4, whose tests look at it more closely.
func TestIP6NDFails(t *testing.T) {
	a := newNDBench(t, both)
	a.round("") // the first State
	expect(t, a.send(to6, to6), asked6)
	for range 2 {
		a.Advance(second - 1)
		expect(t, a.round(""))
		a.Advance(1)
		expect(t, a.round(""), asked6)
	}
	a.Advance(second)
	var meta []uint32
	results := a.Tick(t)
	for _, x := range results {
		meta = append(meta, x.Meta)
	}
	expect(t, a.words(results), failed6+" error 0x1030000", failed6+" error 0x1030000")
	if want := nodes.ICMPError(1, 3, 0); len(meta) != 2 || meta[0] != want {
		t.Errorf("errors %#x, want %#x", meta, want)
	}
	expect(t, a.notices(), "wanted 2001:db8::50 on 1", "failed 2001:db8::50 on 1")
	expect(t, a.send(to6), asked6) // it may have come back
	a.round(neigh6)
}

// A link of 2^64 addresses is scanned: what was waiting before leaves when it
// is answered, a route's next hop finds a place, and what is parked can be told.
func TestIP6NDScan(t *testing.T) {
	a := newNDBench(t, both+"no neigh fe80::1 dev eth0")
	expect(t, a.send(to6), asked6)
	crowded, asked := 0, 0
	for i := range 4096 / 128 {
		var lines []string
		for j := range 128 {
			lines = append(lines, fmt.Sprintf("fd00:1::7 > 2001:db8::%x:%x: udp 1 > 2", i+1, j*257))
		}
		for _, s := range a.send(lines...) {
			switch {
			case strings.HasPrefix(s, "nd too many unresolved next hops: "):
				crowded++
			case strings.HasPrefix(s, "nd solicitation sent: "):
				asked++
			default:
				t.Fatalf("left as %s", s)
			}
		}
	}
	parked := a.Node("ip6-nd").(graphtest.Parker).Parked()
	if asked+1 != parked || asked+crowded != 4096 || parked > 384 || parked < 300 {
		t.Errorf("%d asked for, %d parked, %d refused", asked, parked, crowded)
	}
	if got := a.send("fd00:1::7 > 2001:db8:51::1: udp 1 > 2 ttl 64 len 5"); len(got) != 1 || !strings.Contains(got[0], "neighbor-solicit fe80::1 ") {
		t.Errorf("the router: %q", got)
	}
	expect(t, a.round(neigh6), gone6)
	a.Advance(second)
	a.round("")
	// Who is asked for now takes the place of one that has not answered.
	late := 0
	for i := range 64 {
		got := a.send(fmt.Sprintf("fd00:1::7 > 2001:db8::a:b:%x: udp 1 > 2", i))
		if len(got) > 0 && strings.Contains(got[0], "neighbor-solicit 2001:db8::a:b:") {
			late++
		}
	}
	if late < 60 {
		t.Errorf("of 64 that come late, only %d are asked for", late)
	}
	for range 3 {
		a.Advance(second)
		a.round("")
	}
	if n := a.Node("ip6-nd").(graphtest.Parker).Parked(); n != 0 {
		t.Errorf("%d still parked after all have failed", n)
	}
}

// At most 16 packets wait for a next hop: the oldest makes room.
func TestIP6NDFull(t *testing.T) {
	a := newNDBench(t, both)
	var lines []string
	for i := range 18 {
		lines = append(lines, fmt.Sprintf("fd00:1::7 > 2001:db8::50: udp %d > 2 ttl 64 len 5", i))
	}
	const full = "nd queue of the next hop is full: "
	expect(t, a.send(lines...), full+lines[0], full+lines[1], asked6)
	var want []string
	for _, s := range lines[2:] {
		want = append(want, "nd resolved: "+s)
	}
	expect(t, a.round(neigh6), want...)
}

func TestIP6NDNoSource(t *testing.T) {
	w := newWorld(t, "interface eth0 uplink mac 02:00:00:00:00:10\n2001:db8::/64 dev eth0")
	check(t, on(t, nodes.IP6ND, w.state), routed6(w.state), []row{
		{packet: to6, reason: "nd no own address to ask from"}})
}

// Parking allocates nothing, nor does asking.
func TestIP6NDNoAllocs(t *testing.T) {
	a := newNDBench(t, both)
	a.NoAllocs(t, func(b *buf.Buffer) { routed6(*a.State)(b) }, line(t, to6), line(t, "fd00:1::7 > 2001:db8::51: udp 1 > 2"))
	a.round(neigh6 + "\nneigh 2001:db8::51 dev eth0 lladdr 02:00:00:00:00:51")
}

// solicit and advert are messages as they come by a link: from 02:…:FROM, to the
// group of the target, or to our MAC.
func TestNDInput(t *testing.T) {
	const (
		sent     = "nd advertisement sent"
		bridged  = "bridged"
		router   = "02:00:00:00:00:01 > "
		host     = "02:00:00:00:00:10 > "
		us       = "02:00:00:00:00:10: fe80::1 > fe80::10: "
		group    = "33:33:ff:00:00:"
		sol, adv = "icmp6 neighbor-solicit ", "icmp6 neighbor-advert "
	)
	rx := func(i uint32) func(*buf.Buffer) { return func(b *buf.Buffer) { b.RxIf = i } }
	set := func(at int, v byte) func([]byte) { return func(p []byte) { p[at] = v } }
	resum := func(at int, v byte) func([]byte) { return func(p []byte) { p[at] = v; sumND(p) } }
	rows := []row{
		// The host's, and others': they cross as they are.
		{packet: router + group + "10: fe80::1 > ff02::1:ff00:10: " + sol + "2001:db8::10 lladdr 02:00:00:00:00:01", reason: bridged},
		{packet: router + us + sol + "fe80::10 lladdr 02:00:00:00:00:01", reason: bridged},
		{packet: router + us + adv + "fe80::1 flags RSO lladdr 02:00:00:00:00:01", reason: bridged},
		{packet: router + "33:33:00:00:00:01: fe80::1 > ff02::1: " + adv + "fe80::1 flags RO lladdr 02:00:00:00:00:01", reason: bridged},
		{packet: host + group + "01: fe80::10 > ff02::1:ff00:1: " + sol + "fe80::1 lladdr 02:00:00:00:00:10", meta: rx(tap0), reason: bridged},
		{packet: host + "33:33:00:00:00:01: 2001:db8::10 > ff02::1: " + adv + "2001:db8::10 flags O lladdr 02:00:00:00:00:10", meta: rx(tap0), reason: bridged},
		{packet: host + group + "50: fe80::10 > ff02::1:ff00:50: " + sol + "2001:db8::50 lladdr 02:00:00:00:00:10", meta: rx(tap0), reason: bridged},
		{packet: router + group + "07: fe80::1 > ff02::1:ff00:7: " + sol + "fd00:1::7 lladdr 02:00:00:00:00:01", reason: bridged}, // a pod is behind a route, not on the link
		// Duplicate address detection: the host's, and a station's on the link.
		{packet: host + group + "10: :: > ff02::1:ff00:10: " + sol + "2001:db8::10", meta: rx(tap0), reason: bridged},
		{packet: host + group + "99: :: > ff02::1:ff00:99: " + sol + "2001:db8:51::99", meta: rx(tap0), reason: bridged},
		{packet: router + group + "10: :: > ff02::1:ff00:10: " + sol + "2001:db8::10", reason: bridged},

		// Skein's own addresses.
		{packet: "02:00:00:00:01:01 > " + group + "11: fe80::9 > ff02::1:ff00:11: " + sol + "fe80::11 lladdr 02:00:00:00:01:01", meta: rx(eth1), reason: sent,
			out: "02:00:00:00:00:11 > 02:00:00:00:01:01: fe80::11 > fe80::9: icmp6 neighbor-advert fe80::11 flags OSR lladdr 02:00:00:00:00:11 ttl 255 len 0"},
		{packet: "02:00:00:00:01:01 > " + group + "10: 2001:db8:18::1 > ff02::1:ff00:10: " + sol + "2001:db8:18::10 lladdr 02:00:00:00:01:99", meta: rx(eth1), reason: sent,
			out: "02:00:00:00:00:11 > 02:00:00:00:01:99: 2001:db8:18::10 > 2001:db8:18::1: icmp6 neighbor-advert 2001:db8:18::10 flags OSR lladdr 02:00:00:00:00:11 ttl 255 len 0"},
		{packet: "02:00:00:00:01:01 > 02:00:00:00:00:11: 2001:db8:18::1 > 2001:db8:18::10: " + sol + "2001:db8:18::10", meta: rx(eth1), reason: sent,
			out: "02:00:00:00:00:11 > 02:00:00:00:01:01: 2001:db8:18::10 > 2001:db8:18::1: icmp6 neighbor-advert 2001:db8:18::10 flags OSR lladdr 02:00:00:00:00:11 ttl 255 len 0"},
		{packet: "02:00:00:00:01:01 > " + group + "10: :: > ff02::1:ff00:10: " + sol + "2001:db8:18::10", meta: rx(eth1), reason: sent, // it is taken
			out: "02:00:00:00:00:11 > 33:33:00:00:00:01: 2001:db8:18::10 > ff02::1: icmp6 neighbor-advert 2001:db8:18::10 flags OR lladdr 02:00:00:00:00:11 ttl 255 len 0"},
		{packet: host + group + "01: fe80::10 > ff02::1:ff00:1: " + sol + "fd00:1::1 lladdr 02:00:00:00:00:10", meta: rx(tap0), reason: sent,
			out: "02:fe:00:00:00:01 > 02:00:00:00:00:10: fd00:1::1 > fe80::10: icmp6 neighbor-advert fd00:1::1 flags OSR lladdr 02:fe:00:00:00:01 ttl 255 len 0"},

		// The tap stands for what Skein routes itself.
		{packet: host + group + "07: fe80::10 > ff02::1:ff00:7: " + sol + "fd00:1::7 lladdr 02:00:00:00:00:10", meta: rx(tap0), reason: sent,
			out: "02:fe:00:00:00:01 > 02:00:00:00:00:10: fe80::1:1 > fe80::10: icmp6 neighbor-advert fd00:1::7 flags SR lladdr 02:fe:00:00:00:01 ttl 255 len 0"},
		{packet: host + "02:fe:00:00:00:01: fe80::10 > fd00:1::7: " + sol + "fd00:1::7", meta: rx(tap0), reason: sent, // is it still there?
			out: "02:fe:00:00:00:01 > 02:00:00:00:00:10: fe80::1:1 > fe80::10: icmp6 neighbor-advert fd00:1::7 flags SR lladdr 02:fe:00:00:00:01 ttl 255 len 0"},
		{packet: host + group + "07: :: > ff02::1:ff00:7: " + sol + "fd00:1::7", meta: rx(tap0), reason: sent, // a pod has it
			out: "02:fe:00:00:00:01 > 33:33:00:00:00:01: fe80::1:1 > ff02::1: icmp6 neighbor-advert fd00:1::7 flags R lladdr 02:fe:00:00:00:01 ttl 255 len 0"},
		{packet: host + group + "09: fe80::10 > ff02::1:ff00:9: " + sol + "fd00:67::9 lladdr 02:00:00:00:00:10", meta: rx(tap0), reason: sent, // to be refused
			out: "02:fe:00:00:00:01 > 02:00:00:00:00:10: fe80::1:1 > fe80::10: icmp6 neighbor-advert fd00:67::9 flags SR lladdr 02:fe:00:00:00:01 ttl 255 len 0"},

		// To us alone.
		{packet: host + "02:fe:00:00:00:01: fe80::10 > fe80::1:1: " + adv + "fe80::10 flags S lladdr 02:00:00:00:00:10", meta: rx(tap0), reason: "nd advertisement taken in"},
		{packet: host + "02:fe:00:00:00:01: fe80::10 > fe80::1:1: " + sol + "fe80::99", meta: rx(tap0), reason: "nd for another station"},
		{packet: "02:00:00:00:01:01 > 02:00:00:00:00:11: 2001:db8:18::1 > fe80::11: " + adv + "2001:db8:18::1 flags S lladdr 02:00:00:00:01:01", meta: rx(eth1), reason: "nd advertisement taken in"},
		{packet: "02:00:00:00:01:01 > " + group + "99: fe80::9 > ff02::1:ff00:99: " + sol + "2001:db8:18::99", meta: rx(eth1), reason: "nd for another station"},

		// Nonsense, and who pretends to be on the link.
		{packet: router + us + adv + "fe80::1 flags SO ttl 254", reason: "nd from beyond the link"},
		{packet: router + us + sol + "fe80::10 ttl 64", reason: "nd from beyond the link"},
		{packet: router + us + adv + "fe80::1 flags SO", change: set(60, 0x40), reason: "nd bad checksum"},
		{packet: router + us + "proto 58 ttl 255 len 23", change: set(54, 135), reason: "nd malformed"},
		{packet: router + us + sol + "fe80::10", change: set(19, 64), reason: "nd malformed"},
		{packet: router + us + sol + "fe80::10 code 1", reason: "nd malformed"},
		{packet: router + us + sol + "ff02::10", reason: "nd malformed"},
		{packet: router + us + sol + "fe80::10 lladdr 02:00:00:00:00:01", change: resum(79, 0), reason: "nd malformed"},
		{packet: router + us + sol + "fe80::10 lladdr 02:00:00:00:00:01", change: resum(79, 2), reason: "nd malformed"},
		{packet: router + us + sol + "fe80::10 len 5", reason: "nd malformed"},
		{packet: router + "33:33:00:00:00:01: fe80::1 > ff02::1: " + adv + "fe80::1 flags SO", reason: "nd malformed"},
		{packet: router + "33:33:00:00:00:01: :: > ff02::1: " + sol + "fe80::1", reason: "nd malformed"},
		{packet: router + group + "10: :: > ff02::1:ff00:10: " + sol + "2001:db8::10 lladdr 02:00:00:00:00:01", reason: "nd malformed"},
		{packet: router + us + adv + "fe80::1 flags SO lladdr 03:00:00:00:00:01", reason: "nd sender is not a station"},
		{packet: router + "02:00:00:00:00:10: ff02::1 > fe80::10: " + sol + "fe80::10", reason: "nd sender is not a station"},
		{packet: router + "02:00:00:00:00:10: ::1 > fe80::10: " + sol + "fe80::10", reason: "nd sender is not a station"},

		// A device may leave the checksum to others.
		{packet: host + group + "07: fe80::10 > ff02::1:ff00:7: " + sol + "fd00:1::7 lladdr 02:00:00:00:00:10", change: set(57, 0),
			meta: func(b *buf.Buffer) { b.RxIf, b.Flags = tap0, buf.CsumPartial }, reason: sent,
			out: "02:fe:00:00:00:01 > 02:00:00:00:00:10: fe80::1:1 > fe80::10: icmp6 neighbor-advert fd00:1::7 flags SR lladdr 02:fe:00:00:00:01 ttl 255 len 0"},
	}
	for i := range rows {
		if r := &rows[i]; r.out == "" && r.reason != bridged && r.reason != "nd advertisement taken in" && r.reason != "nd for another station" {
			r.out = hexOf(r.bytes(t)[14:]) // it has not come so far that its link header is at the front
		}
	}
	check(t, on(t, nodes.NDInput, newWorld(t, both).state), behindEther, rows)
}

// What is learnt, and from whom.
func TestNDLearn(t *testing.T) {
	const (
		router = "02:00:00:00:00:01 > 02:00:00:00:00:10: "
		other  = "02:00:00:00:00:77 > 02:00:00:00:00:10: "
		adv    = "icmp6 neighbor-advert "
		sol    = "icmp6 neighbor-solicit "
	)
	w := newWorld(t, both)
	rig := on(t, nodes.NDInput, w.state)
	tests := []struct {
		packet string
		rxIf   uint32
		learnt string // address and link address
	}{
		// An answer to a question, or to the host's.
		{other + "2001:db8::50 > fe80::10: " + adv + "2001:db8::50 flags S lladdr 02:00:00:00:00:77", eth0, "2001:db8::50 02:00:00:00:00:77"},
		{other + "fe80::50 > fe80::10: " + adv + "fe80::50 flags RS lladdr 02:00:00:00:00:78", eth0, "fe80::50 02:00:00:00:00:78"},
		{router + "fe80::1 > fe80::10: " + adv + "fe80::1 flags RS lladdr 02:00:00:00:00:01", eth0, "fe80::1 02:00:00:00:00:01"},
		{router + "fe80::1 > fe80::10: " + adv + "fe80::1 flags RS", eth0, "fe80::1 02:00:00:00:00:01"}, // is still there
		// Nobody has asked: only who is known may have changed.
		{other + "2001:db8::50 > ff02::1: " + adv + "2001:db8::50 flags O lladdr 02:00:00:00:00:77", eth0, ""},
		{other + "fe80::1 > ff02::1: " + adv + "fe80::1 flags RO lladdr 02:00:00:00:00:77", eth0, "fe80::1 02:00:00:00:00:77"},
		{router + "fe80::1 > ff02::1: " + adv + "fe80::1 flags RO lladdr 02:00:00:00:00:01", eth0, ""}, // no news
		// Who does not override does not take over.
		{other + "fe80::1 > fe80::10: " + adv + "fe80::1 flags S lladdr 02:00:00:00:00:77", eth0, ""},
		// Without a link address there is nothing to learn.
		{other + "2001:db8::50 > fe80::10: " + adv + "2001:db8::50 flags S", eth0, ""},
		// Not on this link, or not anybody's.
		{other + "2001:db8:18::1 > fe80::10: " + adv + "2001:db8:18::1 flags SO lladdr 02:00:00:00:00:77", eth0, ""},
		{other + "fd00:1::7 > fe80::10: " + adv + "fd00:1::7 flags SO lladdr 02:00:00:00:00:77", eth0, ""},
		{other + "2001:db8::10 > fe80::10: " + adv + "2001:db8::10 flags SO lladdr 02:00:00:00:00:77", eth0, ""},
		{other + "fd00:1::1 > fe80::10: " + adv + "fd00:1::1 flags SO lladdr 02:00:00:00:00:77", eth0, ""},
		{other + "2001:db8:51::1 > fe80::10: " + adv + "2001:db8:51::1 flags SO lladdr 02:00:00:00:00:77", eth0, ""},
		// Who asks for us, or for the host.
		{other + "2001:db8::50 > ff02::1:ff00:10: " + sol + "2001:db8::10 lladdr 02:00:00:00:00:77", eth0, "2001:db8::50 02:00:00:00:00:77"},
		{other + "fe80::50 > ff02::1:ff00:10: " + sol + "2001:db8::10 lladdr 02:00:00:00:00:77", eth0, "fe80::50 02:00:00:00:00:77"},
		{other + "2001:db8::50 > ff02::1:ff00:51: " + sol + "2001:db8::51 lladdr 02:00:00:00:00:77", eth0, ""},
		{other + "fe80::1 > ff02::1:ff00:51: " + sol + "2001:db8::51 lladdr 02:00:00:00:00:77", eth0, "fe80::1 02:00:00:00:00:77"},
		{other + "2001:db8::50 > fe80::10: " + sol + "2001:db8::10", eth0, ""},
		{other + ":: > ff02::1:ff00:50: " + sol + "2001:db8::50", eth0, ""}, // it is not sure of its address yet
		{"02:00:00:00:00:10 > 33:33:ff:00:01:01: fe80::10 > ff02::1:ff01:1: " + sol + "fe80::1:1 lladdr 02:00:00:00:00:10", tap0, "fe80::10 02:00:00:00:00:10"},
		{"02:00:00:00:00:10 > 33:33:ff:00:00:07: 2001:db8::10 > ff02::1:ff00:7: " + sol + "fd00:1::7 lladdr 02:00:00:00:00:10", tap0, ""}, // punted, not forwarded
	}
	for _, test := range tests {
		b := rig.Load(t, line(t, test.packet))[0]
		behindEther(b)
		b.RxIf = test.rxIf
		rig.Put(rig.RunBufs(t, b))
		learnt := ""
		if n, ok := rig.NextNotice(); ok {
			learnt = fmt.Sprintf("%s %02x:%02x:%02x:%02x:%02x:%02x", n.Addr(), n.MAC[0], n.MAC[1], n.MAC[2], n.MAC[3], n.MAC[4], n.MAC[5])
			if n.Kind != state.NeighborSeen || n.Iface != test.rxIf {
				t.Errorf("%s\nnotice %+v", test.packet, n)
			}
		}
		if learnt != test.learnt {
			t.Errorf("%s\nlearnt %q, want %q", test.packet, learnt, test.learnt)
		}
		if _, ok := rig.NextNotice(); ok {
			t.Errorf("%s\nmore than one notice", test.packet)
		}
	}
}

// sumND makes the checksum of a neighbor discovery message in a frame right.
func sumND(p []byte) {
	h, m := (*hdr.IPv6)(p[14:]), (*hdr.ICMP)(p[54:])
	m.SetChecksum(0)
	m.SetChecksum(h.Checksum(hdr.ProtoICMPv6, p[54:]))
}
