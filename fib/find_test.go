package fib_test

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/fib/fibtest"
)

// filtered returns those of all routes that keep says, as the slow way to find
// some.
func filtered[A fib.Address, T fib.Table4 | fib.Table6](rib *fib.RIB[A, T], keep func(fib.Route) bool) (out []fib.Entry) {
	for e := range rib.Routes() {
		if keep(e.Route) {
			out = append(out, e)
		}
	}
	return out
}

func over(iface uint32) func(fib.Route) bool {
	return func(r fib.Route) bool {
		return slices.ContainsFunc(r.NextHops, func(n fib.NextHop) bool { return n.Iface == iface })
	}
}

func TestFind(t *testing.T) {
	t.Run("IPv4", func(t *testing.T) { testFind(t, ip4) })
	t.Run("IPv6", func(t *testing.T) { testFind(t, ip6) })
}

// Routes come and go, some interfaces with few and some with more than are
// remembered, and what is found is what a look at all of them finds.
func testFind[A fib.Address, T fib.Table4 | fib.Table6](t *testing.T, k *kind[A, T]) {
	rng := rand.New(rand.NewPCG(7, 7))
	routes := k.routes(5000)
	for i := range routes {
		r := &routes[i]
		r.Metric = uint32(i % 3)
		if i%5 == 0 {
			r.Prefix = routes[i/2].Prefix
		}
		r.NextHops = []fib.NextHop{{Iface: uint32(2 + rng.IntN(3)*rng.IntN(40)), Via: k.hop(i % 4)}}
		if i%7 == 0 {
			r.NextHops = append(r.NextHops, fib.NextHop{Iface: 1, Via: k.hop(5)})
		}
	}
	rib := k.withLinks(t)
	check := func() {
		t.Helper()
		rib.Commit()
		for i := range uint32(84) {
			if got, want := slices.Collect(rib.RoutesOver(i)), filtered(rib, over(i)); !reflect.DeepEqual(got, want) {
				t.Fatalf("over %d: %d routes, want %d", i, len(got), len(want))
			}
		}
		for _, r := range routes[:50] {
			want := filtered(rib, func(x fib.Route) bool { return x.Prefix == r.Prefix })
			if got := slices.Collect(rib.RoutesTo(r.Prefix)); !reflect.DeepEqual(got, want) {
				t.Fatalf("to %v: %v, want %v", r.Prefix, got, want)
			}
			found, ok := rib.Find(r)
			i := slices.IndexFunc(want, func(e fib.Entry) bool { return e.Route.Source == r.Source && e.Route.Metric == r.Metric })
			if ok != (i >= 0) || ok && !reflect.DeepEqual(found, want[i].Route) {
				t.Fatalf("%v: %v, %v", r, found, ok)
			}
		}
	}
	must(t, rib.Add(routes...))
	check()
	for i := range routes {
		if j := rng.IntN(i + 1); i%2 == 0 {
			routes[i], routes[j] = routes[j], routes[i]
		}
	}
	for _, r := range routes[2000:] {
		if _, ok := rib.Find(r); ok {
			must(t, rib.Delete(r))
		}
	}
	check()
	must(t, rib.Add(routes[1000:3000]...))
	check()
}

func TestFindOnLinks(t *testing.T) {
	net := fibtest.New(node6)
	for _, p := range []string{"fe80::/64", "fe80::ff/128", "fe80::1/128", "::/0", "2001:db8:1::/48"} {
		prefix := netip.MustParsePrefix(p)
		want := filtered(net.RIB6, func(r fib.Route) bool { return r.Prefix == prefix })
		if got := slices.Collect(net.RIB6.RoutesTo(prefix)); len(got) == 0 || !reflect.DeepEqual(got, want) {
			t.Errorf("to %s: %v, want %v", p, got, want)
		}
		for _, e := range want {
			if got, ok := net.RIB6.Find(e.Route); !ok || !reflect.DeepEqual(got, e.Route) {
				t.Errorf("%v is not found: %v", e.Route, got)
			}
		}
	}
	eth0 := net.Index("eth0")
	if got, want := slices.Collect(net.RIB6.RoutesOver(eth0)), filtered(net.RIB6, over(eth0)); len(got) == 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("over eth0: %v, want %v", got, want)
	}
	for _, p := range []netip.Prefix{{}, netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::1/32"), netip.MustParsePrefix("4000::/3")} {
		for e := range net.RIB6.RoutesTo(p) {
			t.Errorf("%v has a route to %v", p, e.Route)
		}
	}
	if _, ok := net.RIB6.Find(fib.Route{}); ok {
		t.Error("the route to no prefix is found")
	}
}

// A table has room for so many prefixes and no more.
func TestFull(t *testing.T) {
	rib, routes := ip6.withLinks(t), routes6(12)
	rib.LimitRoutes(10)
	if err := rib.Add(routes[:11]...); !errors.Is(err, fib.ErrFull) || rib.Len() != 0 {
		t.Errorf("11 routes: %v, %d are there", err, rib.Len())
	}
	must(t, rib.Add(routes[:10]...))
	if err := rib.Apply(fib.Change{Op: fib.OpAdd, Route: routes[11]}); !errors.Is(err, fib.ErrFull) {
		t.Errorf("one more: %v", err)
	}
	must(t, rib.Delete(routes[0]))
}
