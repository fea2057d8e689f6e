package control

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/control/takeover"
	"github.com/skein-dataplane/skein/fib"
)

func addr(text string) takeover.Addr { return takeover.Addr{Prefix: netip.MustParsePrefix(text)} }

func route(dst, via string, metric int) takeover.Route {
	r := takeover.Route{Dst: netip.MustParsePrefix(dst), Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_BOOT, Type: unix.RTN_UNICAST, Metric: metric}
	if via != "" {
		r.Via = netip.MustParseAddr(via)
	}
	return r
}

// aHost is what the host has in these tests at first.
func aHost() takeover.Snapshot {
	return takeover.Snapshot{Name: "enp0s3", MAC: "02:00:00:00:00:01", MTU: 1500, Up: true,
		Addrs: []takeover.Addr{addr("10.0.0.21/24"), addr("2001:db8::21/64")}, Routes: []takeover.Route{route("0.0.0.0/0", "10.0.0.254", 0)}}
}

func TestDifferences(t *testing.T) {
	tests := []struct {
		name   string
		change func(s *takeover.Snapshot)
		want   []string
	}{
		{"nothing", func(s *takeover.Snapshot) {}, nil},
		{"order", func(s *takeover.Snapshot) { slices.Reverse(s.Addrs) }, nil},
		{"time passes", func(s *takeover.Snapshot) { s.Addrs[0].Valid = 100 }, nil},
		{"it becomes the primary address", func(s *takeover.Snapshot) { s.Addrs[0].Flags = unix.IFA_F_SECONDARY }, nil},
		{"a lease", func(s *takeover.Snapshot) { s.Addrs[0] = addr("10.0.0.60/24") }, []string{"del addr 10.0.0.21/24", "add addr 10.0.0.60/24"}},
		{"another length", func(s *takeover.Snapshot) { s.Addrs[0] = addr("10.0.0.21/16") }, []string{"del addr 10.0.0.21/24", "add addr 10.0.0.21/16"}},
		{"a peer", func(s *takeover.Snapshot) { s.Addrs[0].Peer = netip.MustParsePrefix("10.9.0.1/32") },
			[]string{"del addr 10.0.0.21/24", "add addr 10.0.0.21/24 peer 10.9.0.1/32"}},
		{"another metric", func(s *takeover.Snapshot) { s.Routes[0].Metric = 100 },
			[]string{"del route 0.0.0.0/0 via 10.0.0.254 proto 3", "add route 0.0.0.0/0 via 10.0.0.254 proto 3 metric 100"}},
		{"another metric of an address", func(s *takeover.Snapshot) { s.Addrs[1].Metric = 100 },
			[]string{"del addr 2001:db8::21/64", "add addr 2001:db8::21/64 metric 100"}},
		{"down", func(s *takeover.Snapshot) { s.Up, s.Routes = false, nil }, []string{"link down", "del route 0.0.0.0/0 via 10.0.0.254 proto 3"}},
		{"link", func(s *takeover.Snapshot) { s.MTU, s.MAC = 9000, "02:00:00:00:00:02" }, []string{"mtu 9000", "address 02:00:00:00:00:02"}},
	}
	for _, test := range tests {
		next := aHost()
		test.change(&next)
		if got := Differences(aHost(), next); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestRenewed(t *testing.T) {
	lease := func(valid int) takeover.Snapshot {
		s := aHost()
		s.Addrs[0].Valid = valid
		return s
	}
	for _, test := range []struct {
		was, now int
		ago      time.Duration
		want     bool
	}{
		{0, 0, time.Hour, false}, // for ever
		{120, 60, time.Minute, false},
		{120, 58, time.Minute, false},
		{120, 120, time.Minute, true},
		{120, 20, time.Minute, true}, // less than before
		{120, 0, time.Minute, true},  // for ever from now on
		{0, 120, time.Minute, true},
	} {
		if got := renewed(lease(test.was), lease(test.now), test.ago); got != test.want {
			t.Errorf("%d s, %v later %d s: renewed %t", test.was, test.ago, test.now, got)
		}
	}
}

// What the host has becomes routes. IPv6 is as IPv4 here, without broadcasts.
func TestHostWays(t *testing.T) {
	const up, tap = 1, 2
	ways := func(change func(s *takeover.Snapshot)) (out []string) {
		s := aHost()
		change(&s)
		for _, r := range hostWays(&s, up, tap, 0) {
			if !r.Prefix.Addr().Is4() {
				continue
			}
			out = append(out, fmt.Sprintf("%s %s %s %d %v", r.Type, r.Prefix, r.Source, r.Metric, r.NextHops))
		}
		return out
	}
	const (
		own     = "punt 10.0.0.21/32 connected 0 [{2 invalid IP 0}]"
		network = "unicast 10.0.0.0/24 connected 0 [{1 invalid IP 0}]"
		all     = "blackhole 10.0.0.255/32 connected 0 []"
		world   = "unicast 0.0.0.0/0 host 0 [{1 10.0.0.254 0}]"
	)
	tests := []struct {
		name   string
		change func(s *takeover.Snapshot)
		want   []string
	}{
		{"as it is", func(*takeover.Snapshot) {}, []string{own, all, network, world}},
		{"down", func(s *takeover.Snapshot) { s.Up = false }, nil},
		{"a /32", func(s *takeover.Snapshot) { s.Addrs[0] = addr("10.0.0.21/32") }, []string{own, world}},
		{"a /31", func(s *takeover.Snapshot) { s.Addrs[0] = addr("10.0.0.21/31") },
			[]string{own, "unicast 10.0.0.20/31 connected 0 [{1 invalid IP 0}]", world}},
		{"a peer", func(s *takeover.Snapshot) {
			s.Addrs[0] = takeover.Addr{Prefix: netip.MustParsePrefix("10.0.0.21/32"), Peer: netip.MustParsePrefix("10.9.0.1/32")}
		}, []string{own, "unicast 10.9.0.1/32 connected 0 [{1 invalid IP 0}]", world}},
		{"no route for the prefix", func(s *takeover.Snapshot) { s.Addrs[0].Flags = unix.IFA_F_NOPREFIXROUTE }, []string{own, all, world}},
		{"a metric of the address", func(s *takeover.Snapshot) { s.Addrs[0].Metric = 1024 },
			[]string{own, all, strings.Replace(network, "connected 0", "connected 1024", 1), world}},
		{"NetworkManager's route for the prefix", func(s *takeover.Snapshot) {
			s.Addrs[0].Flags = unix.IFA_F_NOPREFIXROUTE
			r := route("10.0.0.0/24", "", 100)
			r.Protocol = unix.RTPROT_KERNEL
			s.Routes = append(s.Routes, r)
		}, []string{own, all, strings.Replace(network, "connected 0", "connected 100", 1), world}},
		{"what is not for Skein", func(s *takeover.Snapshot) {
			for i := range 5 {
				r := route("192.0.2.0/24", "10.0.0.254", i)
				switch i {
				case 0:
					r.Table = 100
				case 1:
					r.Type = unix.RTN_BLACKHOLE
				case 2:
					r.Protocol = 115
				case 3:
					r.Protocol = unix.RTPROT_KERNEL
				case 4:
					r.TOS = 16
				}
				s.Routes = append(s.Routes, r)
			}
		}, []string{own, all, network, world}},
	}
	for _, test := range tests {
		if got := ways(test.change); !slices.Equal(got, test.want) {
			t.Errorf("%s:\n%q\nwant\n%q", test.name, got, test.want)
		}
	}
}

// Each link has link-local prefixes of its own, with the same metrics.
func TestWaysOfTwoLinks(t *testing.T) {
	keys := map[wayKey]bool{}
	for _, up := range []uint32{1, 3} {
		s := aHost()
		r := route("fe80::/64", "", 256)
		r.Protocol = unix.RTPROT_STATIC
		s.Routes = append(s.Routes, r)
		for _, r := range hostWays(&s, up, up+1, 0) {
			if r.Prefix.Addr().IsLinkLocalUnicast() && r.Metric == 256 {
				keys[keyOf(r)] = true
			}
		}
	}
	if len(keys) != 2 {
		t.Errorf("%v, want a route for each link", keys)
	}
}

// What changes becomes as few steps as possible, always in the same order.
func TestWaySteps(t *testing.T) {
	set := func(change func(s *takeover.Snapshot)) map[wayKey]fib.Route {
		s, out := aHost(), map[wayKey]fib.Route{}
		change(&s)
		for _, r := range hostWays(&s, 1, 2, 0) {
			out[keyOf(r)] = r
		}
		return out
	}
	was := set(func(*takeover.Snapshot) {})
	if steps := waySteps(was, was); len(steps) != 0 {
		t.Errorf("nothing has changed, and %d steps", len(steps))
	}
	next := set(func(s *takeover.Snapshot) {
		s.Addrs[0] = addr("10.0.0.60/24")
		s.Routes[0].Via = netip.MustParseAddr("10.0.0.253")
	})
	var got []string
	for _, step := range waySteps(was, next) {
		got = append(got, fmt.Sprint(step.Op == fib.OpAdd, " ", step.Route.Prefix))
	}
	want := []string{"true 0.0.0.0/0", "true 10.0.0.60/32", "false 10.0.0.21/32"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
