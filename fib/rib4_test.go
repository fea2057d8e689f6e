package fib_test

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/fib/fibtest"
	"github.com/skein-dataplane/skein/hdr"
)

// parse reads a route for a net.
func parse(tb testing.TB, net *fibtest.Net, line string) fib.Route {
	tb.Helper()
	r, err := fib.ParseRoute4(line, func(name string) (uint32, bool) {
		i := net.Index(name)
		return i, i != 0
	})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// goes checks where the packets for an address go.
func goes(tb testing.TB, net *fibtest.Net, dst, want string) {
	tb.Helper()
	if got := ways(net.RIB.Commit(), addr(dst), net.Name); got != want {
		tb.Errorf("%s goes %q, want %q", dst, got, want)
	}
}

func TestBestRoute(t *testing.T) {
	net := fibtest.New("10.0.0.0/8 via 192.0.2.1 dev eth0 proto api metric 5")
	better := parse(t, net, "10.0.0.0/8 via 192.0.2.2 dev eth0 proto api metric 4")
	best := parse(t, net, "10.0.0.0/8 via 192.0.2.3 dev eth0 proto static metric 9")
	steps := []struct {
		change func(...fib.Route) error
		route  fib.Route
		want   string
	}{
		{net.RIB.Add, better, "resolve via 192.0.2.2 dev eth0"},
		{net.RIB.Add, best, "resolve via 192.0.2.3 dev eth0"},
		{net.RIB.Delete, better, "resolve via 192.0.2.3 dev eth0"},
		{net.RIB.Delete, best, "via 192.0.2.1 dev eth0"},
	}
	for _, step := range steps {
		must(t, step.change(step.route))
		goes(t, net, "10.1.2.3", step.want)
	}
}

// A link that goes down takes its paths out, and brings them back.
func TestIfaceDown(t *testing.T) {
	net := fibtest.New(`
		10.0.0.0/8 nexthop via 192.0.2.1 dev eth0 nexthop via 198.51.100.1 dev eth1
		10.1.0.0/16 via 192.0.2.1 dev eth0
		10.1.0.0/16 dev tun1 metric 9
		10.2.0.0/16 via 10.1.0.1
		192.0.2.0/24 dev eth0
	`)
	check := func(all, first, recursive string) {
		t.Helper()
		goes(t, net, "10.9.0.1", all)
		goes(t, net, "10.1.0.1", first)
		goes(t, net, "10.2.0.1", recursive)
	}
	const eth0, eth1 = "via 192.0.2.1 dev eth0", "via 198.51.100.1 dev eth1"
	eth := fib.Iface{Index: net.Index("eth0"), MTU: 1500, MAC: fibtest.MAC(1), Up: true}
	down := eth
	down.Up = false

	check(eth0+" | "+eth1, eth0, eth0)
	must(t, net.RIB.SetIface(down))
	check(eth1, "dev tun1", "dev tun1")
	goes(t, net, "192.0.2.1", "no route")
	must(t, net.RIB.SetIface(eth))
	check(eth0+" | "+eth1, eth0, eth0)

	// On a link without addresses, nobody has one.
	eth.PointToPoint = true
	must(t, net.RIB.SetIface(eth))
	check("dev eth0 | "+eth1, "dev eth0", "dev eth0")
	goes(t, net, "192.0.2.1", "dev eth0")
	must(t, net.RIB.DelIface(eth.Index))
	check(eth1, "dev tun1", "dev tun1")
}

// What covers a recursive next hop may change in any way; who uses it follows.
func TestRecursion(t *testing.T) {
	net := fibtest.New(`
		default via 192.0.2.1 dev eth0
		10.0.0.0/8 via 203.0.113.7
	`)
	goes(t, net, "10.0.0.1", "via 192.0.2.1 dev eth0")
	cover := parse(t, net, "203.0.113.0/24 dev eth0")
	must(t, net.RIB.Add(cover))
	goes(t, net, "10.0.0.1", "resolve via 203.0.113.7 dev eth0")
	must(t, net.RIB.SetNeighbor(1, netip.MustParseAddr("203.0.113.7"), hdr.MAC{2}))
	goes(t, net, "10.0.0.1", "via 203.0.113.7 dev eth0")
	must(t, net.RIB.Add(parse(t, net, "203.0.113.7 via 10.0.0.9")))
	goes(t, net, "10.0.0.1", "unreachable") // in a circle
	must(t, net.RIB.Add(parse(t, net, "203.0.113.7 nexthop via 10.0.0.9 nexthop via 192.0.2.1 dev eth0")))
	goes(t, net, "10.0.0.1", "via 192.0.2.1 dev eth0") // the circle has a way out
}

func TestRecursionDepth(t *testing.T) {
	lines := []string{"10.0.0.0/16 via 192.0.2.1 dev eth0"}
	for i := range 9 {
		lines = append(lines, fmt.Sprintf("10.%d.0.0/16 via 10.%d.0.1", i+1, i))
	}
	net := fibtest.New(strings.Join(lines, "\n"))
	goes(t, net, "10.8.0.1", "via 192.0.2.1 dev eth0")
	goes(t, net, "10.9.0.1", "unreachable")
}

// An adjacency keeps its index while it is in use, whatever comes and goes.
func TestAdjIndexIsStable(t *testing.T) {
	net := fibtest.New(`
		10.1.0.0/16 via 192.0.2.1 dev eth0
		10.2.0.0/16 via 192.0.2.2 dev eth0
		10.3.0.0/16 via 192.0.2.3 dev eth0
	`)
	was := net.Table.Lookup(addr("10.2.0.0"), 0)
	must(t, net.RIB.Delete(parse(t, net, "10.1.0.0/16 dev eth0")))
	must(t, net.RIB.Delete(parse(t, net, "10.2.0.0/16 dev eth0")))
	must(t, net.RIB.Add(parse(t, net, "10.4.0.0/16 nexthop via 192.0.2.4 dev eth0 nexthop via 192.0.2.2 dev eth0")))
	must(t, net.RIB.DelNeighbor(1, netip.MustParseAddr("192.0.2.2")))
	table := net.RIB.Commit()
	if got := table.Lookup(addr("10.4.0.0"), 0); got != was {
		t.Errorf("index %d, was %d", got, was)
	}
	if net.Table.Adj(was).Kind != fib.Forward || table.Adj(was).Kind != fib.Resolve {
		t.Errorf("was %v, is %v; want forward, resolve", net.Table.Adj(was).Kind, table.Adj(was).Kind)
	}
}

func TestCommitOfNothing(t *testing.T) {
	net := fibtest.New(node)
	must(t, net.RIB.Add(parse(t, net, "10.1.2.0/24 dev eth1")))
	must(t, net.RIB.SetNeighbor(1, netip.MustParseAddr("192.0.2.1"), fibtest.NeighborMAC(addr("192.0.2.1"))))
	must(t, net.RIB.SetIface(fib.Iface{Index: 1, MTU: 1500, MAC: fibtest.MAC(1), Up: true}))
	if net.RIB.Commit() != net.Table {
		t.Error("what was already so made a new table")
	}
}

func TestFailedChange(t *testing.T) {
	net := fibtest.New(node)
	was := slices.Collect(net.RIB.Routes())
	add := fib.Change{Op: fib.OpAdd, Route: parse(t, net, "10.77.0.0/16 via 192.0.2.200 dev eth0")}
	del := fib.Change{Op: fib.OpDelete, Route: add.Route}
	replace := fib.Change{Op: fib.OpAdd, Route: parse(t, net, "10.1.2.0/24 dev eth0")}
	bad := fib.Change{Op: fib.OpAdd, Route: fib.Route{Prefix: add.Route.Prefix}}
	tests := []struct {
		name    string
		changes []fib.Change
		want    error
	}{
		{"delete twice", []fib.Change{replace, add, del, del}, fib.ErrNotFound},
		{"bad last", []fib.Change{replace, add, bad}, fib.ErrInvalid},
		{"no op", []fib.Change{add, {Route: add.Route}}, fib.ErrInvalid},
		{"delete what is not there", []fib.Change{replace, del}, fib.ErrNotFound},
	}
	for _, test := range tests {
		if err := net.RIB.Apply(test.changes...); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	if err := net.RIB.Add(add.Route, bad.Route); !errors.Is(err, fib.ErrInvalid) {
		t.Errorf("add: %v", err)
	}
	if net.RIB.Commit() != net.Table {
		t.Error("failed changes made a new table")
	}
	is := slices.Collect(net.RIB.Routes())
	if a, b := fmt.Sprint(was), fmt.Sprint(is); a != b {
		t.Errorf("routes are\n%s\nwere\n%s", b, a)
	}
	must(t, net.RIB.Apply(add, del, replace))
	goes(t, net, "10.1.2.9", "glean dev eth0")
}

func TestInvalid(t *testing.T) {
	ip := netip.MustParseAddr
	net := fibtest.New("192.0.2.0/24 dev eth0\n10.0.0.1 dev tun1")
	mac := hdr.MAC{2, 0, 0, 0, 0, 1}
	tests := []struct {
		name string
		err  error
		want error
	}{
		{"interface 0", net.RIB.SetIface(fib.Iface{MTU: 1500}), fib.ErrInvalid},
		{"tiny MTU", net.RIB.SetIface(fib.Iface{Index: 1, MTU: 67}), fib.ErrInvalid},
		{"no interface", net.RIB.DelIface(9), fib.ErrNotFound},
		{"neighbor of none", net.RIB.SetNeighbor(9, ip("192.0.2.1"), mac), fib.ErrNotFound},
		{"neighbor on a TUN", net.RIB.SetNeighbor(2, ip("192.0.2.1"), mac), fib.ErrInvalid},
		{"neighbor of IPv6", net.RIB.SetNeighbor(1, ip("2001:db8::1"), mac), fib.ErrInvalid},
		{"group MAC", net.RIB.SetNeighbor(1, ip("192.0.2.1"), hdr.BroadcastMAC), fib.ErrInvalid},
		{"no MAC", net.RIB.SetNeighbor(1, ip("192.0.2.1"), hdr.MAC{}), fib.ErrInvalid},
		{"group neighbor", net.RIB.SetNeighbor(1, ip("224.0.0.1"), mac), fib.ErrInvalid},
		{"unknown neighbor", net.RIB.DelNeighbor(1, ip("192.0.2.1")), fib.ErrNotFound},
		{"delete IPv6 neighbor", net.RIB.DelNeighbor(1, ip("2001:db8::1")), fib.ErrInvalid},
		{"no source", net.RIB.Add(fib.Route{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Type: fib.TypeLocal}), fib.ErrInvalid},
		{"the RIB's own source", net.RIB.Add(fib.Route{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Type: fib.TypeLocal, Source: fib.SourceNeighbor}), fib.ErrInvalid},
	}
	for _, test := range tests {
		if !errors.Is(test.err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, test.err, test.want)
		}
	}
	if net.RIB.Commit() != net.Table {
		t.Error("refused changes made a new table")
	}
}

// Flows are spread by weight over as few buckets as give exact shares.
func TestSpread(t *testing.T) {
	tests := []struct {
		weights string
		want    []int // of 64 consecutive hashes
	}{
		{"1", []int{64}},
		{"1 1", []int{32, 32}},
		{"1 3", []int{16, 48}},
		{"1 1 1", []int{22, 21, 21}},
		{"1 2 5", []int{8, 16, 40}},
		{"1 255", []int{1, 63}},
		{"255 255 1", []int{32, 31, 1}},
		{strings.Repeat("1 ", 64), slices.Repeat([]int{1}, 64)},
		{"1 " + strings.Repeat("255 ", 63), slices.Repeat([]int{1}, 64)},
	}
	for _, test := range tests {
		line := "10.0.0.0/8"
		for i, w := range strings.Fields(test.weights) {
			line += fmt.Sprintf(" nexthop via 192.0.2.%d dev eth0 weight %s", i+1, w)
		}
		table := fibtest.MustParse4(line)
		counts := make([]int, len(test.want))
		for h := range uint32(64) {
			via := table.Adj(table.Lookup(addr("10.0.0.0"), h)).Via
			counts[via-addr("192.0.2.1")]++
		}
		if !slices.Equal(counts, test.want) {
			t.Errorf("weights %s: %v, want %v", test.weights, counts, test.want)
		}
	}
}

// A recursive next hop shares out its part as its covering route does.
func TestRecursiveSpread(t *testing.T) {
	net := fibtest.New(`
		10.0.0.0/8 nexthop via 203.0.113.1 nexthop dev tun1
		203.0.113.0/24 nexthop via 192.0.2.1 dev eth0 nexthop via 192.0.2.2 dev eth0 weight 3
	`)
	got := map[string]int{}
	for h := range uint32(64) {
		got[net.Describe(net.Table.Lookup(addr("10.0.0.1"), h))]++
	}
	want := map[string]int{"via 192.0.2.1 dev eth0": 8, "via 192.0.2.2 dev eth0": 24, "dev tun1": 32}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// No more than MaxNextHops are left of a recursion: those with the most flows.
func TestRecursionTooWide(t *testing.T) {
	text := "10.0.0.0/8 nexthop via 172.16.0.1 nexthop via 172.17.0.1 weight 200\n"
	for i := range 2 {
		text += fmt.Sprintf("172.%d.0.0/16", 16+i)
		for j := range fib.MaxNextHops {
			text += fmt.Sprintf(" nexthop via 192.0.%d.%d dev eth0", 2+i, 1+j)
		}
		text += "\n"
	}
	net := fibtest.New(text)
	for h := range uint32(64) {
		if via := net.Table.Adj(net.Table.Lookup(addr("10.0.0.1"), h)).Via; via>>8 != addr("192.0.3.0")>>8 {
			t.Errorf("hash %d goes to %v, which has 1 in 201 flows", h, via)
		}
	}
}

func TestRoutes(t *testing.T) {
	net := fibtest.New(node)
	var got strings.Builder
	for e := range net.RIB.Routes() {
		mark := "  "
		if e.Best {
			mark = "* "
		}
		got.WriteString(mark + e.Route.Text(net.Name))
		for _, i := range e.Adjs {
			got.WriteString(" -> " + net.Describe(i))
		}
		got.WriteString("\n")
	}
	const want = `* default via 192.0.2.1 dev eth0 proto static -> via 192.0.2.1 dev eth0
* 10.1.0.0/16 via 192.0.2.3 dev eth1 proto static metric 50 -> via 192.0.2.3 dev eth1
  10.1.0.0/16 via 192.0.2.2 dev eth1 proto static metric 100 -> resolve via 192.0.2.2 dev eth1
* 10.1.2.0/24 dev eth1 proto static -> glean dev eth1
* local 10.1.2.1 proto static -> local
* 10.1.2.7 dev tun7 proto static -> dev tun7
* 10.1.2.8 dev eth1 proto static -> resolve via 10.1.2.8 dev eth1
* 10.1.2.9 dev eth1 proto neighbor metric 2 -> via 10.1.2.9 dev eth1
* blackhole 10.9.0.0/16 proto static -> blackhole
* blackhole 10.9.128.0/17 proto static -> blackhole
* prohibit 10.10.0.0/16 proto static -> prohibit
* unreachable 10.11.0.0/16 proto static -> unreachable
* 172.16.0.0/12 via 203.0.113.5 proto static -> via 192.0.2.1 dev eth0 -> via 10.1.2.9 dev eth1
* 172.17.0.0/16 via 172.17.0.1 proto static -> unreachable
* 172.18.0.0/16 via 192.0.2.77 proto static -> resolve via 192.0.2.77 dev eth0
* 172.19.0.0/16 via 10.9.0.1 proto static -> blackhole
  172.20.0.0/16 dev eth2 proto static
* 192.0.2.0/24 dev eth0 proto connected -> glean dev eth0
* 192.0.2.1 dev eth0 proto neighbor metric 1 -> via 192.0.2.1 dev eth0
* punt 192.0.2.10 dev tap0 proto static -> punt dev tap0
* 192.0.2.66 dev eth0 proto neighbor metric 1 -> via 192.0.2.66 dev eth0
* 203.0.113.0/24 proto static nexthop via 192.0.2.1 dev eth0 weight 1 nexthop via 10.1.2.9 dev eth1 weight 3 -> via 192.0.2.1 dev eth0 -> via 10.1.2.9 dev eth1
`
	if got.String() != want {
		t.Errorf("routes are\n%s\nwant\n%s", got.String(), want)
	}
	if e, ok := net.RIB.Lookup(netip.MustParseAddr("10.1.77.1")); !ok || e.Route.Metric != 50 || !e.Best {
		t.Errorf("10.1.77.1 takes %s", e.Route.Text(net.Name))
	}
	if net.RIB.Len() != 21 {
		t.Errorf("%d prefixes", net.RIB.Len())
	}
}

func TestNeighbors(t *testing.T) {
	net := fibtest.New(node)
	var got []string
	for n := range net.RIB.Neighbors() {
		got = append(got, fmt.Sprintf("%s dev %s %x", n.Addr, net.Name(n.Iface), n.MAC))
	}
	want := []string{
		"10.99.0.1 dev eth0 020000000067", "192.0.2.1 dev eth0 02bbc0000201", "192.0.2.66 dev eth0 020000000066",
		"10.1.2.9 dev eth1 02bb0a010209", "192.0.2.3 dev eth1 02bbc0000203",
	}
	if !slices.Equal(got, want) {
		t.Errorf("neighbors are %q, want %q", got, want)
	}
}

// A link that had no addresses for a while finds its neighbors again.
func TestNeighborsComeBack(t *testing.T) {
	net := fibtest.New("link eth0\nneigh 192.0.2.9 dev eth0 lladdr 02:00:00:00:00:09")
	eth := fib.Iface{Index: 1, MTU: 1500, MAC: fibtest.MAC(1), Up: true}
	tun := eth
	tun.PointToPoint = true
	must(t, net.RIB.SetIface(tun))
	must(t, net.RIB.Add(parse(t, net, "192.0.2.0/24 dev eth0")))
	goes(t, net, "192.0.2.9", "dev eth0")
	must(t, net.RIB.SetIface(eth))
	goes(t, net, "192.0.2.9", "via 192.0.2.9 dev eth0")
}
