package fibtest_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/fib/fibtest"
	"github.com/skein-dataplane/skein/hdr"
)

func TestNew(t *testing.T) {
	net := fibtest.New(`
		link eth1 mtu 9000       # so eth1 is 1
		default via 192.0.2.1 dev eth0
		10.0.0.0/8 via 198.51.100.1 dev eth1
		10.1.0.1 dev tun1
		10.2.0.0/16 dev wg0
		link wg0 p2p
		10.3.0.0/16 via 192.0.2.3 dev eth0
		neigh 192.0.2.3 dev eth0 incomplete
		neigh 192.0.2.1 dev eth0 lladdr 02:00:00:00:00:01
	`)
	for i, name := range []string{"eth1", "eth0", "tun1", "wg0"} {
		if got := net.Index(name); got != uint32(i+1) || net.Name(got) != name {
			t.Errorf("%s has index %d, named %s", name, got, net.Name(got))
		}
	}
	if net.Index("eth9") != 0 || net.Name(9) != "if9" {
		t.Error("an interface that the text has not")
	}
	tests := []struct {
		dst, want string
		mtu       uint32
		mac       hdr.MAC
	}{
		{"203.0.113.1", "via 192.0.2.1 dev eth0", 1500, hdr.MAC{2, 0, 0, 0, 0, 1}},
		{"10.9.0.0", "via 198.51.100.1 dev eth1", 9000, fibtest.NeighborMAC(198<<24 | 51<<16 | 100<<8 | 1)},
		{"10.1.0.1", "dev tun1", 1500, hdr.MAC{}},
		{"10.2.0.1", "dev wg0", 1500, hdr.MAC{}},
		{"10.3.0.1", "resolve via 192.0.2.3 dev eth0", 1500, hdr.MAC{}},
	}
	for _, test := range tests {
		i := net.Table.Lookup(hdr.Addr4From(netip.MustParseAddr(test.dst)), 0)
		adj := net.Table.Adj(i)
		if net.Describe(i) != test.want || adj.MTU != test.mtu || hdr.MAC(adj.Rewrite[:6]) != test.mac {
			t.Errorf("%s goes %s, MTU %d, to %x", test.dst, net.Describe(i), adj.MTU, adj.Rewrite[:6])
		}
	}
}

func TestNewPanics(t *testing.T) {
	for _, text := range []string{
		"nonsense", "link", "link eth0 fast", "link eth0 mtu x", "link eth0 mtu 1\n10.0.0.0/8 dev eth0",
		"neigh 192.0.2.1", "neigh x dev eth0 incomplete", "neigh 192.0.2.1 dev eth0 lladdr 02",
		"neigh 192.0.2.1 dev eth0 maybe", "neigh 192.0.2.1 dev tun0 lladdr 02:00:00:00:00:01",
	} {
		func() {
			defer func() {
				if why, ok := recover().(string); !ok || !strings.HasPrefix(why, "fibtest: ") {
					t.Errorf("%q: %v", text, why)
				}
			}()
			fibtest.New(text)
		}()
	}
	var _ *fib.Table4 = fibtest.MustParse4("")
}
