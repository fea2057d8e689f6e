package redirect

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/internal/lab"
)

const tcp, udp = 6, 17 // IANA's protocol numbers

func key(to string, proto uint8) Key { return Key{netip.MustParseAddrPort(to), proto} }

func to(a string) netip.AddrPort { return netip.MustParseAddrPort(a) }

func TestDiff(t *testing.T) {
	a, b, c := key("10.0.0.1:30001", tcp), key("10.0.0.1:30001", udp), key("[2001:db8::1]:30001", tcp)
	for name, x := range map[string]struct{ has, want, gone, come Ports }{
		"the same":  {Ports{a: to("10.96.0.1:80")}, Ports{a: to("10.96.0.1:80")}, Ports{}, Ports{}},
		"the first": {nil, Ports{a: to("10.96.0.1:80")}, Ports{}, Ports{a: to("10.96.0.1:80")}},
		"the last":  {Ports{c: to("[2001:db8:96::1]:80")}, nil, Ports{c: to("[2001:db8:96::1]:80")}, Ports{}},
		"another":   {Ports{a: to("10.96.0.1:80")}, Ports{b: to("10.96.0.1:80")}, Ports{a: to("10.96.0.1:80")}, Ports{b: to("10.96.0.1:80")}},
		"elsewhere": {Ports{a: to("10.96.0.1:80"), b: to("10.96.0.1:80")}, Ports{a: to("10.96.0.2:80"), b: to("10.96.0.1:80")},
			Ports{a: to("10.96.0.1:80")}, Ports{a: to("10.96.0.2:80")}},
	} {
		if gone, come := diff(x.has, x.want); !maps.Equal(gone, x.gone) || !maps.Equal(come, x.come) {
			t.Errorf("%s: %v goes and %v comes; want %v and %v", name, gone, come, x.gone, x.come)
		}
	}
}

// A kernel without nf_tables is told from one that refuses.
func TestBecause(t *testing.T) {
	if err := because("x", fmt.Errorf("receive: %w", unix.EOPNOTSUPP), unix.EINVAL); !errors.Is(err, ErrUnsupported) || !errors.Is(err, unix.EOPNOTSUPP) {
		t.Error(err)
	}
	if err := because("x", unix.ENOENT, unix.ENOENT); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
	if err := because("x", unix.EPERM, unix.EINVAL); errors.Is(err, ErrUnsupported) || !errors.Is(err, unix.EPERM) {
		t.Error(err)
	}
}

// many returns ports of both families, more than go into one message.
func many() Ports {
	out := Ports{}
	for port := range uint16(3000) {
		out[Key{netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), 30000+port), tcp}] = netip.AddrPortFrom(netip.MustParseAddr("10.96.1.1"), port+1)
		out[Key{netip.AddrPortFrom(netip.MustParseAddr("2001:db8::1"), 30000+port), udp}] = netip.AddrPortFrom(netip.MustParseAddr("2001:db8:96::1"), port+1)
	}
	return out
}

// The kernel has what was asked for, whatever was there before; nft(8), which
// others write with, reads it.
func TestTable(t *testing.T) {
	l := lab.ForTest(t)
	ns := l.Add(t, "host")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	nft := func(words ...string) string {
		t.Helper()
		out, err := ns.Exec(ctx, "nft", words...)
		lab.Need(t, err)
		return string(out)
	}
	var table Table
	set := func(want Ports) {
		t.Helper()
		lab.Need(t, ns.Do(func() error { return table.Set(want) }))
		lab.Need(t, ns.Do(func() error {
			there, err := present()
			if err == nil && there != (len(want) > 0) {
				err = fmt.Errorf("there is a table: %v", there)
			}
			if there {
				err = errors.Join(err, standing(len(want)))
			}
			return err
		}))
	}
	set(nil)
	one, six := key("10.0.0.1:30001", tcp), key("[2001:db8::1]:30002", udp)
	set(Ports{one: to("10.96.0.1:80"), six: to("[2001:db8:96::1]:53")})
	for _, want := range []string{
		"type nat hook output priority",
		"dnat ip to ip daddr . meta l4proto . th dport map @ports4",
		"dnat ip6 to ip6 daddr . meta l4proto . th dport map @ports6",
		"10.0.0.1 . 6 . 30001 : 10.96.0.1 . 80",
		"2001:db8::1 . 17 . 30002 : 2001:db8:96::1 . 53",
	} {
		if got := nft("-n", "list", "table", "inet", TableName); !strings.Contains(strings.Join(strings.Fields(got), " "), want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	set(Ports{one: to("10.96.0.2:80")}) // leads elsewhere
	if got := nft("list", "table", "inet", TableName); !strings.Contains(got, "10.96.0.2 . 80") || strings.Contains(got, "10.96.0.1") {
		t.Error(got)
	}
	set(many())
	nft("flush", "ruleset")
	set(many()) // the same, but it was gone
	nft("flush", "table", "inet", TableName)
	set(many())
	nft("flush", "ruleset")
	set(Ports{one: to("10.96.0.2:80")}) // a difference to what is gone
	table = Table{}                     // as a successor
	set(Ports{six: to("[2001:db8:96::1]:53")})
	nft("add", "table", "inet", "other")
	set(nil)
	set(nil)
	if got := nft("list", "tables"); strings.TrimSpace(got) != "table inet other" {
		t.Errorf("left: %s", got)
	}
	lab.Need(t, ns.Do(Remove))
}
