package control

import (
	"net/netip"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/state"
)

// onLink returns a Control with one Ethernet interface, host-x, on the link of
// 10.0.0.0/8 and 2001:db8::/64. Its worker does not run.
func onLink(t *testing.T) *Control {
	t.Helper()
	c, err := New(configs.Default(), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.closeWorkers(); err != nil {
			t.Error(err)
		}
	})
	p := &port{index: 1, Iface: iface.Iface{Kind: iface.Uplink, Name: "host-x", Up: true, Ethernet: true, MTU: 1500, MAC: hdr.MAC{2, 0, 0, 0, 0, 1}}}
	c.ports = append(c.ports, p)
	if err := c.rib.SetIface(p.link()); err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{"10.0.0.0/8", "2001:db8::/64"} {
		r := fib.Route{Prefix: netip.MustParsePrefix(prefix), Type: fib.TypeUnicast, Source: fib.SourceConnected, NextHops: []fib.NextHop{{Iface: 1}}}
		if err := c.rib.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.publish(); err != nil {
		t.Fatal(err)
	}
	return c
}

func seen(ip string, last byte) state.Notice {
	return state.Notice{Kind: state.NeighborSeen, Iface: 1, IP: hdr.Addr6From(netip.MustParseAddr(ip)), MAC: hdr.MAC{2, 0, 0, 0, 1, last}}
}

// Whoever scans a prefix fills up what is not resolved, and nothing else
// (RFC 6583): neighbours that answer are taken in all the same.
func TestScan(t *testing.T) {
	c := onLink(t)
	for i := range 3 * maxUnresolved {
		c.notice(state.Notice{Kind: state.NeighborWanted, Iface: 1, IP: hdr.Addr6{Hi: 0x20010db8 << 32, Lo: uint64(i) + 0x1000}})
	}
	if len(c.neighbors) != maxUnresolved || c.unresolved != maxUnresolved {
		t.Fatalf("%d neighbours, %d unresolved, want %d", len(c.neighbors), c.unresolved, maxUnresolved)
	}
	for _, ip := range []string{"10.0.0.9", "2001:db8::9", "2001:db8::1000"} { // the last one is among the scanned
		if !c.notice(seen(ip, 9)) {
			t.Errorf("%s was not taken in", ip)
		}
	}
	if c.unresolved != maxUnresolved-1 {
		t.Errorf("%d unresolved, want one less than %d", c.unresolved, maxUnresolved)
	}
	c.age(time.Now().Add(2 * reachable))
	if c.unresolved != 0 || len(c.neighbors) != 3 {
		t.Errorf("later: %d neighbours, %d unresolved", len(c.neighbors), c.unresolved)
	}
}

// A neighbour that says the same again changes nothing; one that has moved
// does; one that does not answer for long is asked, and then forgotten.
func TestNeighborsLife(t *testing.T) {
	c := onLink(t)
	if !c.notice(seen("10.0.0.9", 9)) || c.notice(seen("10.0.0.9", 9)) || !c.notice(seen("10.0.0.9", 8)) {
		t.Error("news and no news are not told apart")
	}
	later := time.Now().Add(2 * reachable)
	for range maxProbes {
		if ask := c.age(later); len(ask) != 1 || ask[0].MAC != (hdr.MAC{2, 0, 0, 0, 1, 8}) || ask[0].Interface != "host-x" {
			t.Errorf("asks %+v", ask)
		}
	}
	if ask := c.age(later); len(ask) != 0 || len(c.neighbors) != 0 {
		t.Errorf("asks %+v, %d neighbours left", ask, len(c.neighbors))
	}
	adj := c.pub.Load().FIB4
	if k := adj.Adj(adj.Lookup(hdr.Addr4From(netip.MustParseAddr("10.0.0.9")), 0)).Kind; k != fib.Glean {
		t.Errorf("a forgotten neighbour's route is of kind %v", k)
	}
}

// Whoever says that a neighbour has moved is taken at its word for a second
// only: the neighbour is asked there at the next tick.
func TestMovedIsAsked(t *testing.T) {
	c := onLink(t)
	c.notice(seen("10.0.0.9", 9))
	if ask := c.age(time.Now()); len(ask) != 0 {
		t.Errorf("one that has just answered is asked: %+v", ask)
	}
	c.notice(seen("10.0.0.9", 8))
	if ask := c.age(time.Now()); len(ask) != 1 || ask[0].MAC != (hdr.MAC{2, 0, 0, 0, 1, 8}) {
		t.Errorf("asks %+v", ask)
	}
}
