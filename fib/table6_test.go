package fib_test

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/fib/fibtest"
	"github.com/skein-dataplane/skein/hdr"
)

func addr6(s string) hdr.Addr6 { return hdr.Addr6From(netip.MustParseAddr(s)) }

// ways6 is ways for IPv6. A link-local address has its interface as a zone.
func ways6(net *fibtest.Net, dst string) string {
	a, zone, _ := strings.Cut(dst, "%")
	var out []string
	seen := map[uint32]bool{}
	for h := range uint32(fib.MaxNextHops) {
		i := net.Table6.Lookup(addr6(a), h)
		if zone != "" {
			i = net.Table6.LookupLink(net.Index(zone), addr6(a), h)
		}
		if !seen[i] {
			seen[i] = true
			out = append(out, net.Describe6(i))
		}
	}
	return strings.Join(out, " | ")
}

// The node of IPv4, as it is with IPv6: a default route by a router's
// link-local address, which two links have, and pods with a /128 each.
const node6 = `
	default via fe80::1 dev eth0 proto ra metric 1024 expires 1799sec hoplimit 64 pref medium
	2001:db8::/64 dev eth0 proto kernel metric 256 pref medium
	fe80::/64 dev eth0 proto kernel metric 256
	fe80::/64 dev eth1 proto kernel metric 256
	punt fe80::ff%eth0 dev tap0
	local fe80::fe%eth1
	punt 2001:db8::10 dev tap0
	2001:db8:1::/48 via fe80::1 dev eth1 metric 100
	2001:db8:1:2::/64 dev eth1
	local 2001:db8:1:2::1
	2001:db8:1:2::7 dev tun7
	2001:db8:1:2::8 dev eth1
	blackhole 2001:db8:9::/48
	unreachable 2001:db8:dead::/48 dev lo metric 1024 error -113 pref medium
	prohibit 2001:db8:a::/48
	2001:db8:3::/48 nexthop via fe80::1 dev eth0 weight 1 nexthop via fe80::2 dev eth1 weight 3
	2001:db8:4::/48 via 2001:db8:3::5 # by a multipath route
	2001:db8:5::/48 via 2001:db8::77 # on a link
	2001:db8:6::/48 via 2001:db8:6::1 # by itself
	neigh 2001:db8::66 dev eth0 lladdr 02:00:00:00:00:66
	neigh fe80::2 dev eth0 lladdr 02:00:00:00:00:67
	neigh fe80::3 dev tap0 lladdr 02:00:00:00:00:68 # on a link without fe80::/64
`

func TestLookup6(t *testing.T) {
	net := fibtest.New(node6)
	const both = "via fe80::1 dev eth0 | via fe80::2 dev eth1"
	tests := []struct{ dst, want string }{
		{"2001:db8:ffff::1", "via fe80::1 dev eth0"},
		{"::", "via fe80::1 dev eth0"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "via fe80::1 dev eth0"},
		{"2001:db8:0:1::", "via fe80::1 dev eth0"},
		{"2001:db8::", "glean dev eth0"},
		{"2001:db8::ffff:ffff:ffff:ffff", "glean dev eth0"},
		{"2001:db8::10", "punt dev tap0"},
		{"2001:db8:1::", "via fe80::1 dev eth1"},
		{"2001:db8:1:1:ffff:ffff:ffff:ffff", "via fe80::1 dev eth1"},
		{"2001:db8:1:2::", "glean dev eth1"},
		{"2001:db8:1:2::1", "local"},
		{"2001:db8:1:2::6", "glean dev eth1"},
		{"2001:db8:1:2::7", "dev tun7"},
		{"2001:db8:1:2::8", "resolve via 2001:db8:1:2::8 dev eth1"},
		{"2001:db8:1:2::9", "glean dev eth1"},
		{"2001:db8:1:3::", "via fe80::1 dev eth1"},
		{"2001:db8:9::1", "blackhole"},
		{"2001:db8:dead::1", "unreachable"},
		{"2001:db8:a::1", "prohibit"},
		{"2001:db8:3::1", both},
		{"2001:db8:4::1", both},
		{"2001:db8:5::1", "resolve via 2001:db8::77 dev eth0"},
		{"2001:db8:6::1", "unreachable"},
		{"2001:db8::66", "via 2001:db8::66 dev eth0"},

		// Each link has link-local addresses of its own, and no default route.
		{"fe80::1%eth0", "via fe80::1 dev eth0"},
		{"fe80::1%eth1", "via fe80::1 dev eth1"},
		{"fe80::2%eth0", "via fe80::2 dev eth0"},
		{"fe80::3%eth0", "glean dev eth0"},
		{"fe80::3%tap0", "no route"},
		{"fe80::1%tun7", "no route"},
		{"fe80::ff%eth0", "punt dev tap0"},
		{"fe80::ff%eth1", "glean dev eth1"},
		{"fe80::fe%eth1", "local"},
		{"fe80:1::1%eth0", "no route"},
		{"2001:db8::66%eth0", "no route"},
	}
	for _, test := range tests {
		if got := ways6(net, test.dst); got != test.want {
			t.Errorf("%s goes %q, want %q", test.dst, got, test.want)
		}
	}
}

// Without routes, every packet still gets an answer.
func TestLookupEmpty6(t *testing.T) {
	for name, table := range map[string]*fib.Table6{"zero": {}, "empty": fibtest.MustParse6("")} {
		for _, n := range []int{0, 1, 4, 300} {
			adj := make([]uint32, n)
			for i := range adj {
				adj[i] = 9
			}
			table.LookupVector(make([]hdr.Addr6, n), make([]uint32, n), adj)
			for i, got := range adj {
				if got != 0 {
					t.Fatalf("%s table: packet %d of %d leads to %d, want 0", name, i, n, got)
				}
			}
		}
		if table.Lookup(addr6("2001:db8::1"), 7) != 0 || table.LookupLink(1, addr6("fe80::1"), 7) != 0 {
			t.Errorf("%s table leads somewhere", name)
		}
		if table.Describe(0, nil) != "no route" || table.Adj(math.MaxUint32).Kind != fib.NoRoute || table.Via(math.MaxUint32) != (hdr.Addr6{}) {
			t.Errorf("%s table: an index that nobody gave out leads somewhere", name)
		}
	}
}

func TestRewrite6(t *testing.T) {
	net := fibtest.New("link eth0 mtu 9000\ndefault via fe80::1 dev eth0\n2001:db8::1 dev tun1")
	i := net.Table6.Lookup(addr6("2001:db8:1::"), 0)
	out := net.Table6.Adj(i)
	want := "02bd0000000102aa0000000186dd"
	if got := fmt.Sprintf("%x", out.Rewrite[:out.RewriteLen]); got != want || out.MTU != 9000 || out.Iface != 1 || net.Table6.Via(i) != addr6("fe80::1") {
		t.Errorf("over eth0: %s, MTU %d, interface %d; want %s, 9000, 1", got, out.MTU, out.Iface, want)
	}
	i = net.Table6.Lookup(addr6("2001:db8::1"), 0)
	tun := net.Table6.Adj(i)
	if tun.Kind != fib.Forward || tun.RewriteLen != 0 || tun.MTU != 1500 || tun.Iface != 2 || net.Table6.Via(i) != (hdr.Addr6{}) {
		t.Errorf("over tun1: %+v", tun)
	}
}

func TestLookupNoAllocs6(t *testing.T) {
	routes := routes6(2000)
	_, table := ip6.load(t, routes)
	dst := ip6.routed(routes)[:512]
	adj, hash := make([]uint32, len(dst)), hashes()[:512]
	allocs := testing.AllocsPerRun(10, func() {
		table.LookupVector(dst, hash, adj)
		for i, a := range dst[:8] {
			adj[i] = uint32(table.Adj(table.Lookup(a, adj[i])).Kind)
		}
		adj[0] = table.LookupLink(1, addr6zero, 0)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

var addr6zero hdr.Addr6

// Vectors of any length, those that fill several batches too, go as packets do
// one by one.
func TestVectorLengths6(t *testing.T) {
	routes := append(routes6(3000), pods6(300)...)
	_, table := ip6.load(t, routes)
	dst, hash := ip6.routed(routes), hashes()
	for _, n := range []int{1, 7, 8, 9, 255, 256, 257, 511, 600, 1000} {
		adj := make([]uint32, n)
		table.LookupVector(dst[:n], hash, adj)
		for i, got := range adj {
			if want := table.Lookup(dst[i], hash[i]); got != want {
				t.Fatalf("packet %d of %d goes %d, alone %d", i, n, got, want)
			}
		}
	}
}

func TestRoutes6(t *testing.T) {
	net := fibtest.New(`
		fe80::/64 dev eth1 proto kernel metric 256
		fe80::/64 dev eth0 proto kernel metric 256
		punt fe80::ff%eth0 dev tap0
		default via fe80::1 dev eth0 proto ra
		2001:db8::7 dev tun7
	`)
	var got strings.Builder
	for e := range net.RIB6.Routes() {
		got.WriteString(e.Route.Text(net.Name) + "\n")
	}
	const want = `default via fe80::1 dev eth0 proto host
2001:db8::7 dev tun7 proto static
fe80::/64 dev eth1 proto connected metric 256
fe80::/64 dev eth0 proto connected metric 256
fe80::1 dev eth0 proto neighbor metric 2
punt fe80::ff%eth0 dev tap0 proto static
`
	if got.String() != want {
		t.Errorf("routes are\n%s\nwant\n%s", got.String(), want)
	}
	n := 0
	for x := range net.RIB6.Neighbors() {
		if n++; x.Addr.String() != "fe80::1" || x.Iface != net.Index("eth0") || x.MAC != fibtest.NeighborMAC6(addr6("fe80::1")) {
			t.Errorf("%+v", x)
		}
	}
	if n != 1 {
		t.Errorf("%d neighbors", n)
	}
	ip := netip.MustParseAddr("fe80::ff")
	if e, ok := net.RIB6.LookupLink(net.Index("eth0"), ip); !ok || e.Route.Link != net.Index("eth0") || e.Route.Type != fib.TypePunt {
		t.Errorf("%+v", e)
	}
	if _, ok := net.RIB6.Lookup(ip); ok {
		t.Error("a link-local address has a route without a link")
	}
	// A route on a link is deleted by its link.
	r := fib.Route{Prefix: netip.MustParsePrefix("fe80::/64"), Source: fib.SourceConnected, Metric: 256, Link: net.Index("eth1")}
	must(t, net.RIB6.Delete(r))
	net.Table6 = net.RIB6.Commit()
	if a, b := ways6(net, "fe80::9%eth1"), ways6(net, "fe80::9%eth0"); a != "no route" || b != "glean dev eth0" {
		t.Errorf("eth1 %q, eth0 %q", a, b)
	}
	if net.RIB6.SetIface(fib.Iface{Index: 1, MTU: 1279}) == nil || net.RIB6.Add(parse(t, net, "10.0.0.0/8 dev eth0")) == nil {
		t.Error("a RIB of IPv6 takes what is not of IPv6")
	}
}
