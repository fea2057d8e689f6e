package control

import (
	"net/netip"
	"testing"

	"github.com/skein-dataplane/skein/service"
)

// Which ClusterIPs have a route of their own, and when that is looked at.
func TestVIPRoutes(t *testing.T) {
	cidrs := []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("2001:db8:96::/112")}
	links := []netip.Prefix{netip.MustParsePrefix("10.0.0.21/24"), netip.MustParsePrefix("2001:db8::21/64")}
	for addr, want := range map[string]bool{
		"10.97.0.1": true, "2001:db8:97::1": true, "10.96.0.1": false, "2001:db8:96::1": false,
		"10.0.0.254": false, "2001:db8::254": false, "127.0.0.1": false, "::1": false, "0.0.0.0": false, "224.0.0.1": false, "fe80::1": false,
	} {
		if got := needsRoute(netip.MustParseAddr(addr), cidrs, links); got != want {
			t.Errorf("%s: %t", addr, got)
		}
	}
	v := vipRoutes{of: map[string][]netip.Addr{}, used: map[netip.Addr]int{}}
	one := &service.Service{ClusterIPs: []netip.Addr{netip.MustParseAddr("10.97.0.1"), netip.MustParseAddr("2001:db8:97::1")}}
	two := &service.Service{ClusterIPs: one.ClusterIPs[:1]}
	for i, step := range []struct {
		ref   string
		to    *service.Service
		stale bool
		used  int
	}{
		{"a", one, true, 2}, {"a", one, false, 2}, {"b", two, true, 2}, {"a", nil, true, 1}, {"b", two, false, 1}, {"b", one, true, 2}, {"b", nil, true, 0}, {"c", nil, true, 0},
	} {
		v.stale = false
		if v.set(step.ref, step.to); v.stale != step.stale || len(v.used) != step.used {
			t.Errorf("step %d: stale %t, used %v", i, v.stale, v.used)
		}
	}
}
