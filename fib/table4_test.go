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

func addr(s string) hdr.Addr4 { return hdr.Addr4From(netip.MustParseAddr(s)) }

// ways returns what the table says of an address, each way once, in the order
// of hashes.
func ways(t *fib.Table4, a hdr.Addr4, name func(uint32) string) string {
	var out []string
	seen := map[uint32]bool{}
	for h := range uint32(fib.MaxNextHops) {
		if i := t.Lookup(a, h); !seen[i] {
			seen[i] = true
			out = append(out, t.Describe(i, name))
		}
	}
	return strings.Join(out, " | ")
}

// A small node: two uplinks, a prefix for pods, one pod, recursive routes, and
// a prefix that we have given up on.
const node = `
	default via 192.0.2.1 dev eth0
	192.0.2.0/24 dev eth0 proto kernel
	10.1.0.0/16 via 192.0.2.2 dev eth1 metric 100
	10.1.0.0/16 via 192.0.2.3 dev eth1 metric 50
	10.9.0.0/16 blackhole
	blackhole 10.9.128.0/17
	prohibit 10.10.0.0/16
	unreachable 10.11.0.0/16
	10.1.2.0/24 dev eth1
	10.1.2.1/32 local
	10.1.2.7 dev tun7
	10.1.2.8 dev eth1
	punt 192.0.2.10 dev tap0
	203.0.113.0/24 nexthop via 192.0.2.1 dev eth0 weight 1 nexthop via 10.1.2.9 dev eth1 weight 3
	172.16.0.0/12 via 203.0.113.5 # by a multipath route
	172.17.0.0/16 via 172.17.0.1 # by itself
	172.18.0.0/16 via 192.0.2.77 # on a link
	172.19.0.0/16 via 10.9.0.1 # remotely triggered black hole (RFC 5635)
	link eth2 down
	172.20.0.0/16 dev eth2
	neigh 192.0.2.2 dev eth1 incomplete
	neigh 192.0.2.66 dev eth0 lladdr 02:00:00:00:00:66
	neigh 10.99.0.1 dev eth0 lladdr 02:00:00:00:00:67 # on another link than its prefix
`

func TestLookup(t *testing.T) {
	net := fibtest.New(node)
	const both = "via 192.0.2.1 dev eth0 | via 10.1.2.9 dev eth1"
	tests := []struct{ dst, want string }{
		// The longest prefix wins, at every length; its ends belong to it.
		{"198.51.100.1", "via 192.0.2.1 dev eth0"},
		{"10.1.1.255", "via 192.0.2.3 dev eth1"},
		{"10.1.2.0", "glean dev eth1"},
		{"10.1.2.255", "glean dev eth1"},
		{"10.1.3.0", "via 192.0.2.3 dev eth1"},
		{"10.1.2.1", "local"},
		{"10.1.2.7", "dev tun7"},
		{"10.8.255.255", "via 192.0.2.1 dev eth0"},
		{"10.9.0.0", "blackhole"},
		{"10.9.255.255", "blackhole"},
		{"10.10.0.0", "prohibit"},
		{"10.11.255.255", "unreachable"},
		{"192.0.2.10", "punt dev tap0"},

		// A host route onto a link asks for that host.
		{"10.1.2.8", "resolve via 10.1.2.8 dev eth1"},

		// A neighbor has a host route where its prefix is gleaned, only there.
		{"192.0.2.66", "via 192.0.2.66 dev eth0"},
		{"192.0.2.65", "glean dev eth0"},
		{"10.1.2.9", "via 10.1.2.9 dev eth1"},
		{"10.99.0.1", "via 192.0.2.1 dev eth0"},

		{"203.0.113.9", both},
		{"172.16.0.1", both},
		{"172.17.0.1", "unreachable"},
		{"172.18.0.1", "resolve via 192.0.2.77 dev eth0"},
		{"172.19.0.1", "blackhole"},
		{"172.20.0.1", both},
	}
	for _, test := range tests {
		if got := ways(net.Table, addr(test.dst), net.Name); got != test.want {
			t.Errorf("%s goes %q, want %q", test.dst, got, test.want)
		}
	}
}

// Without routes, every packet still gets an answer.
func TestLookupEmpty(t *testing.T) {
	for name, table := range map[string]*fib.Table4{"zero": {}, "empty": fibtest.MustParse4("")} {
		dst := []hdr.Addr4{0, 1, addr("10.0.0.1"), math.MaxUint32}
		adj := []uint32{9, 9, 9, 9}
		table.LookupVector(dst, make([]uint32, 4), adj)
		for i, a := range dst {
			if got := table.Lookup(a, 7); got != 0 || adj[i] != 0 {
				t.Errorf("%s table: %v leads to %d and %d, want 0", name, a, got, adj[i])
			}
		}
		if got := table.Describe(0, nil); got != "no route" {
			t.Errorf("%s table: adjacency 0 is %q", name, got)
		}
		if table.Adj(math.MaxUint32).Kind != fib.NoRoute {
			t.Errorf("%s table: an index that nobody gave out leads somewhere", name)
		}
	}
}

func TestRewrite(t *testing.T) {
	net := fibtest.New(`
		link eth0 mtu 9000
		default via 192.0.2.1 dev eth0
		10.0.0.1 dev tun1
	`)
	out := net.Table.Adj(net.Table.Lookup(addr("198.51.100.1"), 0))
	want := "02bbc000020102aa000000010800"
	if got := fmt.Sprintf("%x", out.Rewrite[:out.RewriteLen]); got != want || out.MTU != 9000 || out.Iface != 1 {
		t.Errorf("over eth0: %s, MTU %d, interface %d; want %s, 9000, 1", got, out.MTU, out.Iface, want)
	}
	tun := net.Table.Adj(net.Table.Lookup(addr("10.0.0.1"), 0))
	if tun.Kind != fib.Forward || tun.RewriteLen != 0 || tun.MTU != 1500 || tun.Iface != 2 || tun.Via != 0 {
		t.Errorf("over tun1: %+v", tun)
	}
}

func TestLookupNoAllocs(t *testing.T) {
	table := fibtest.MustParse4(node)
	dst := []hdr.Addr4{addr("10.1.2.7"), addr("172.16.0.1"), addr("198.51.100.1")}
	adj, hash := make([]uint32, len(dst)), []uint32{1, 2, 3}
	allocs := testing.AllocsPerRun(100, func() {
		table.LookupVector(dst, hash, adj)
		for i, a := range dst {
			adj[i] = uint32(table.Adj(table.Lookup(a, adj[i])).Kind)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
