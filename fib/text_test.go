package fib_test

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/fib"
)

// ifN is the interface with index N.
func byNumber(name string) (uint32, bool) {
	digits, ok := strings.CutPrefix(name, "if")
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), ok && err == nil && n > 0 && strconv.FormatUint(n, 10) == digits
}

func TestParseRoute4(t *testing.T) {
	tests := []struct{ line, want string }{
		{"default via 192.0.2.1 dev if1", "default via 192.0.2.1 dev if1 proto static"},
		{"0.0.0.0/0 via 192.0.2.1 dev if1 onlink", "default via 192.0.2.1 dev if1 proto static"},
		{"10.1.0.0/16 dev if2 metric 100 proto api", "10.1.0.0/16 dev if2 proto api metric 100"},
		{"10.1.2.3 via 10.0.0.1", "10.1.2.3 via 10.0.0.1 proto static"},
		{"unicast 10.1.2.3/32 dev if4 proto pod", "10.1.2.3 dev if4 proto pod"},
		{"10.9.0.0/16 blackhole", "blackhole 10.9.0.0/16 proto static"},
		{"blackhole 10.9.0.0/16", "blackhole 10.9.0.0/16 proto static"},
		{"prohibit default", "prohibit default proto static"},
		{"unreachable 10.0.0.0/8 metric 4294967295", "unreachable 10.0.0.0/8 proto static metric 4294967295"},
		{"local 192.0.2.1", "local 192.0.2.1 proto static"},
		{"192.0.2.1/32 punt dev if3 proto bgp", "punt 192.0.2.1 dev if3 proto bgp"},
		{"10.0.0.0/8 nexthop via 192.0.2.1 dev if1 weight 2 nexthop dev if2",
			"10.0.0.0/8 proto static nexthop via 192.0.2.1 dev if1 weight 2 nexthop dev if2 weight 1"},
		{"10.0.0.0/8 dev if1 weight 2", "10.0.0.0/8 proto static nexthop dev if1 weight 2"},

		// As iproute2 prints them.
		{"default via 172.17.0.1 dev if1 proto dhcp src 172.17.0.2 metric 100", "default via 172.17.0.1 dev if1 proto host metric 100"},
		{"10.0.0.0/24 dev if1 proto kernel scope link src 10.0.0.1 linkdown", "10.0.0.0/24 dev if1 proto connected"},
		{"10.0.0.0/24 proto boot nexthop via 10.1.0.1 dev if1 weight 1 onlink linkdown nexthop via 10.1.0.2 dev if1 weight 1",
			"10.0.0.0/24 proto host nexthop via 10.1.0.1 dev if1 weight 1 nexthop via 10.1.0.2 dev if1 weight 1"},
	}
	for _, test := range tests {
		r, err := fib.ParseRoute4(test.line, byNumber)
		if err != nil {
			t.Error(err)
		} else if got := r.Text(nil); got != test.want {
			t.Errorf("%s\nreads  %s\nwanted %s", test.line, got, test.want)
		}
	}
}

// ParseRoute takes both families, each of the others its own.
func TestParseRoute(t *testing.T) {
	tests := []struct{ line, want string }{
		{"10.1.0.0/16 dev if2", "10.1.0.0/16 dev if2 proto static"},
		{"default dev if1", "default dev if1 proto static"}, // of IPv4
		{"default via fe80::1 dev if1", "default via fe80::1 dev if1 proto static"},
		{"::/0 dev if1", "::/0 dev if1 proto static"},
		{"2001:db8:1::/48 via 2001:db8::1", "2001:db8:1::/48 via 2001:db8::1 proto static"},
		{"2001:db8::7 dev if4 proto pod", "2001:db8::7 dev if4 proto pod"},
		{"blackhole 2001:db8:9::/48", "blackhole 2001:db8:9::/48 proto static"},
		{"2001:db8::/32 nexthop via fe80::1 dev if1 weight 2 nexthop via fe80::1 dev if2",
			"2001:db8::/32 proto static nexthop via fe80::1 dev if1 weight 2 nexthop via fe80::1 dev if2 weight 1"},
		{"default nexthop dev if1 nexthop via fe80::1 dev if2", "::/0 proto static nexthop dev if1 weight 1 nexthop via fe80::1 dev if2 weight 1"},

		// On a link.
		{"fe80::/64 dev if1", "fe80::/64 dev if1 proto static"},
		{"fe80::%if1/64 dev if1", "fe80::/64 dev if1 proto static"},
		{"punt fe80::1%if1 dev if3", "punt fe80::1%if1 dev if3 proto static"},
		{"local fe80::1%if1", "local fe80::1%if1 proto static"},
		{"local fe80::1 dev if1", "local fe80::1 dev if1 proto static"},
		{"blackhole fe80::/64%if2", "blackhole fe80::%if2/64 proto static"},

		// As iproute2 prints them.
		{"default via fe80::1 dev if1 proto ra metric 1024 expires 1799sec hoplimit 64 pref medium", "default via fe80::1 dev if1 proto host metric 1024"},
		{"fe80::/64 dev if1 proto kernel metric 256 pref medium", "fe80::/64 dev if1 proto connected metric 256"},
		{"2001:db8::/64 dev if1 proto ra metric 100 pref medium", "2001:db8::/64 dev if1 proto host metric 100"},
		{"unreachable 2001:db8:dead::/48 dev lo metric 1024 error -113 pref medium", "unreachable 2001:db8:dead::/48 proto static metric 1024"},
		{"2001:db8:2::/48 nhid 30 metric 1024 pref medium nexthop via fe80::2 dev if1 weight 1 nexthop via fe80::3 dev if2 weight 1",
			"2001:db8:2::/48 proto static metric 1024 nexthop via fe80::2 dev if1 weight 1 nexthop via fe80::3 dev if2 weight 1"},
	}
	for _, test := range tests {
		r, err := fib.ParseRoute(test.line, byNumber)
		if got := r.Text(nil); err != nil || got != test.want {
			t.Errorf("%s\nreads  %s (%v)\nwanted %s", test.line, got, err, test.want)
			continue
		}
		is4 := r.Prefix.Addr().Is4()
		if _, err := fib.ParseRoute4(test.line, byNumber); (err == nil) != is4 && !strings.HasPrefix(test.line, "default") {
			t.Errorf("%s: as IPv4: %v", test.line, err)
		}
		if _, err := fib.ParseRoute6(test.line, byNumber); (err == nil) == is4 && !strings.HasPrefix(test.line, "default") {
			t.Errorf("%s: as IPv6: %v", test.line, err)
		}
	}
	if r, err := fib.ParseRoute6("default dev if1", byNumber); err != nil || r.Text(nil) != "::/0 dev if1 proto static" {
		t.Errorf("%s, %v", r.Text(nil), err)
	}
}

func TestParseRoute6Errors(t *testing.T) {
	tests := []struct{ line, why string }{
		{"10.0.0.0/8 dev if1", "not an IPv6 prefix"},
		{"2001:db8::/32", "no next hop"},
		{"2001:db8::1/32 dev if1", "bits set outside of the prefix"},
		{"2001:db8::/32 via 192.0.2.1", "not an IPv6 address"},
		{"2001:db8::/32 via ::ffff:192.0.2.1", "not a unicast address"},
		{"2001:db8::/32 via ff02::1 dev if1", "not a unicast address"},
		{"2001:db8::/32 via ::1", "not a unicast address"},
		{"2001:db8::/32 via ::", "not a unicast address"},
		{"2001:db8::/32 via fe80::1", "a link-local next hop has no interface"},
		{"2001:db8::/32 via fe80::1%if1 dev if1", "has a zone"},
		{"2001:db8::%if1/32 dev if1", "though it is not link-local"},
		{"2001:db8::%eth9/32 dev if1", "no such interface"},
		{"fe80::/10 dev if1", "not within fe80::/64"},
		{"fe80:1::/64 dev if1", "not within fe80::/64"},
		{"blackhole fe80::/64", "on no link"},
		{"fe80::/64 nexthop dev if1 nexthop dev if2", "leaves its link"},
		{"fe80::%if1/64 dev if2", "leaves its link"},
		{"2001:db8::7 nexthop dev if1 nexthop via 2001:db8::7 dev if1", "the same next hop twice"},
		{"unreachable 2001:db8::/32 dev if1", "leads nowhere"},
		{"2001:db8::/32 dev lo", "no such interface"},
	}
	for _, test := range tests {
		r, err := fib.ParseRoute6(test.line, byNumber)
		if !errors.Is(err, fib.ErrInvalid) || !strings.Contains(err.Error(), test.why) {
			t.Errorf("%q: %v, %v, want %q", test.line, r, err, test.why)
		}
	}
}

func TestParseRoute4Errors(t *testing.T) {
	tests := []struct{ line, why string }{
		{"", "ParseAddr"},
		{"10.0.0.0/8", "no next hop"},
		{"10.0.0.1/8 dev if1", "bits set outside of the prefix"},
		{"10.0.0.0/33 dev if1", "prefix length out of range"},
		{"2001:db8::/32 dev if1", "not an IPv4 prefix"},
		{"10.0.0.0/8 via 2001:db8::1", "not an IPv4 address"},
		{"10.0.0.0/8 via 224.0.0.1", "not a unicast address"},
		{"10.0.0.0/8 via 127.0.0.1 dev if1", "not a unicast address"},
		{"10.0.0.0/8 via 0.0.0.0", "not a unicast address"},
		{"10.0.0.0/8 dev eth9", "no such interface"},
		{"10.0.0.0/8 dev", "no such interface"},
		{"10.0.0.0/8 dev if1 proto neighbor", "no source"},
		{"10.0.0.0/8 dev if1 proto rip", "no such proto"},
		{"10.0.0.0/8 dev if1 metric -1", "invalid syntax"},
		{"10.0.0.0/8 dev if1 weight 0", "a weight of 0"},
		{"10.0.0.0/8 dev if1 weight 256", "out of range"},
		{"10.0.0.0/8 dev if1 colour red", "unknown word"},
		{"10.0.0.0/8 dev if1 src", "nothing after src"},
		{"10.0.0.0/8 dev if1 nexthop dev if2", "both with and without"},
		{"10.0.0.0/8 nexthop", "neither address nor interface"},
		{"10.0.0.0/8 nexthop dev if1 nexthop dev if1", "the same next hop twice"},
		{"10.0.0.0/8" + strings.Repeat(" nexthop dev if1", 65), "too many next hops"},
		{"blackhole 10.0.0.0/8 dev if1", "leads nowhere"},
		{"punt 10.0.0.1 via 10.0.0.2", "an interface alone"},
		{"local 10.0.0.1 nexthop dev if1 nexthop dev if2", "more than one interface"},
		{"blackhole 10.0.0.0/8 blackhole", "unknown word"},
	}
	for _, test := range tests {
		r, err := fib.ParseRoute4(test.line, byNumber)
		if !errors.Is(err, fib.ErrInvalid) || !strings.Contains(err.Error(), test.why) {
			t.Errorf("%q: %v, %v, want %q", test.line, r, err, test.why)
		}
	}
}

// Whatever can be read can be written and read again, and a RIB takes it.
func FuzzParseRoute(f *testing.F) {
	for _, line := range []string{
		"default via 192.0.2.1 dev if1 proto dhcp src 192.0.2.2 metric 100",
		"10.0.0.0/8 nexthop via 192.0.2.1 dev if1 weight 2 nexthop dev if2",
		"blackhole 10.9.0.0/16", "10.9.0.0/16 blackhole", "local 10.1.2.3 dev if1",
		"10.1.2.3 dev if4 proto pod", "punt 192.0.2.1/32 dev if3", "10.1.0.0/16 via 10.2.0.1 onlink",
		"default via fe80::1 dev if1 proto ra metric 1024 expires 1799sec hoplimit 64 pref medium",
		"::/0 nexthop via fe80::1 dev if1 weight 2 nexthop dev if2", "punt fe80::1%if1 dev if3",
		"fe80::/64 dev if1 proto kernel metric 256 pref medium", "unreachable 2001:db8::/32 dev lo error -113",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r, err := fib.ParseRoute(line, byNumber)
		if err != nil {
			if !errors.Is(err, fib.ErrInvalid) {
				t.Errorf("not a typed error: %v", err)
			}
			return
		}
		text := r.Text(nil)
		again, err := fib.ParseRoute(text, byNumber)
		if err != nil {
			t.Fatalf("%q was written as %q: %v", line, text, err)
		}
		if got := again.Text(nil); got != text || again.Prefix != r.Prefix {
			t.Fatalf("%q was written as %q, then as %q", line, text, got)
		}
		if r.Prefix.Addr().Is4() {
			takes(t, fib.NewRIB4, r)
		} else {
			takes(t, fib.NewRIB6, r)
		}
	})
}

// takes checks that a RIB takes a route, and what it then lists.
func takes[A fib.Address, T fib.Table4 | fib.Table6](t *testing.T, newRIB func() *fib.RIB[A, T], r fib.Route) {
	rib := newRIB()
	must(t, rib.Add(r))
	rib.Commit()
	for e := range rib.Routes() {
		if err := newRIB().Add(e.Route); err != nil {
			t.Fatalf("what was listed cannot be added: %v", err)
		}
	}
}

func TestWords(t *testing.T) {
	got := []any{fib.Forward, fib.NoRoute, fib.TypePunt, fib.Type(0), fib.SourceBGP, fib.Source(0), fib.Source(99)}
	want := []string{"forward", "no route", "punt", "undecided", "bgp", "undecided", "undecided"}
	for i, x := range got {
		if s, ok := x.(interface{ String() string }); !ok || s.String() != want[i] {
			t.Errorf("%v, want %s", x, want[i])
		}
	}
	r := fib.Route{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Type: fib.TypeUnicast, Source: fib.SourceStatic, NextHops: []fib.NextHop{{Iface: 7}}}
	if got := r.Text(func(i uint32) string { return "eth" + strconv.Itoa(int(i)) }); got != "10.0.0.0/8 dev eth7 proto static" {
		t.Error(got)
	}
}
