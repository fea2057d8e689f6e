package nodes_test

import (
	"net/netip"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/internal/pktline"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/state"
)

// A probe goes to the station alone, in either family.
func TestProbe(t *testing.T) {
	pool, err := buf.NewPool(8, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Arena().Close()
	st := &state.State{Ifaces: []iface.Iface{{}, {MAC: hdr.MAC{2, 0, 0, 0, 0, 1}, Ethernet: true,
		Addr4: hdr.Addr4From(netip.MustParseAddr("192.0.2.1")), Addr6: hdr.Addr6From(netip.MustParseAddr("2001:db8::1")),
		LinkLocal: hdr.Addr6From(netip.MustParseAddr("fe80::1"))}}}
	for _, test := range []struct{ ip, want string }{
		{"192.0.2.9", "02:00:00:00:00:01 > 02:00:00:00:00:09: arp who-has 192.0.2.9 tell 192.0.2.1"},
		{"2001:db8::9", "02:00:00:00:00:01 > 02:00:00:00:00:09: fe80::1 > 2001:db8::9: icmp6 neighbor-solicit 2001:db8::9 lladdr 02:00:00:00:00:01 ttl 255 len 0"},
	} {
		var one [1]*buf.Buffer
		pool.Get(one[:])
		nodes.Probe(one[0], st, 1, netip.MustParseAddr(test.ip), hdr.MAC{2, 0, 0, 0, 0, 9})
		if got := pktline.Format(one[0].Bytes(), true); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.ip, got, test.want)
		}
		if one[0].TxIf != 1 {
			t.Errorf("%s: leaves by %d", test.ip, one[0].TxIf)
		}
	}
}
