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
func FuzzParseRoute4(f *testing.F) {
	for _, line := range []string{
		"default via 192.0.2.1 dev if1 proto dhcp src 192.0.2.2 metric 100",
		"10.0.0.0/8 nexthop via 192.0.2.1 dev if1 weight 2 nexthop dev if2",
		"blackhole 10.9.0.0/16", "10.9.0.0/16 blackhole", "local 10.1.2.3 dev if1",
		"10.1.2.3 dev if4 proto pod", "punt 192.0.2.1/32 dev if3", "10.1.0.0/16 via 10.2.0.1 onlink",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r, err := fib.ParseRoute4(line, byNumber)
		if err != nil {
			if !errors.Is(err, fib.ErrInvalid) {
				t.Errorf("not a typed error: %v", err)
			}
			return
		}
		text := r.Text(nil)
		again, err := fib.ParseRoute4(text, byNumber)
		if err != nil {
			t.Fatalf("%q was written as %q: %v", line, text, err)
		}
		if got := again.Text(nil); got != text {
			t.Fatalf("%q was written as %q, then as %q", line, text, got)
		}
		rib := fib.NewRIB4()
		if err := rib.Add(r); err != nil {
			t.Fatal(err)
		}
		rib.Commit()
		for e := range rib.Routes() {
			if err := fib.NewRIB4().Add(e.Route); err != nil {
				t.Fatalf("what was listed cannot be added: %v", err)
			}
		}
	})
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
