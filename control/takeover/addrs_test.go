package takeover_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
)

// The metric that an address gives the route of its prefix, as DHCP clients set
// it, is on the TAP, for the kernel needs it when the link was down, and again
// on the NIC.
func TestAddressMetrics(t *testing.T) {
	for _, test := range []struct{ name, addr, prefix string }{
		{"IPv4", "10.1.0.21/24", "10.1.0.0/24"},
		{"IPv4 with a peer", "10.2.0.21 peer 10.2.0.22/32", "10.2.0.22"},
		{"IPv4 that ends", "10.3.0.21/24 valid_lft 3600 preferred_lft 1800", "10.3.0.0/24"},
		{"IPv6", "2001:db8:1::21/64 nodad", "2001:db8:1::/64"},
		{"IPv6 with a peer", "2001:db8:2::21 peer 2001:db8:2::22/128 nodad", "2001:db8:2::22"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHost(t)
			h.ip("addr add " + test.addr + " dev " + uplink + " metric 1024")
			addr, _, _ := strings.Cut(test.addr, " ")
			family := "-4 "
			if strings.Contains(addr, ":") {
				family = "-6 "
			}
			addrs := func() string { return lines(h.ip(family+"-o addr show "+uplink), " metric 1024 ") }
			routes := func() string {
				return passing.ReplaceAllString(h.ip(family+"route show "+test.prefix+" dev "+uplink), "")
			}
			for !strings.Contains(routes(), "metric 1024") && h.ctx.Err() == nil {
				time.Sleep(time.Millisecond) // the kernel makes IPv6 routes in its own time
			}
			before, way := addrs(), routes()
			if !strings.Contains(before, addr) || !strings.Contains(way, "metric 1024") {
				t.Fatalf("the kernel has made\n%s\n%s", before, way)
			}
			s, err := h.snapshot()
			lab.Need(t, err)
			address, _, _ := strings.Cut(addr, "/")
			for _, a := range s.Addrs {
				if want := map[bool]int{true: 1024}[a.Prefix.Addr() == netip.MustParseAddr(address)]; a.Metric != want {
					t.Errorf("%s has metric %d and not %d", a.Prefix, a.Metric, want)
				}
			}
			lab.Need(t, h.take())
			if on := addrs(); on != before || routes() != way {
				t.Errorf("on the TAP:\n%s%s\nand not\n%s%s", on, routes(), before, way)
			}
			lab.Need(t, h.restore())
			if after := addrs(); after != before || routes() != way {
				t.Errorf("after:\n%s%s\nbefore:\n%s%s", after, routes(), before, way)
			}
		})
	}
}

// lines returns the words of those lines that contain a text, without what the
// link's number and the time change.
func lines(all, text string) (out string) {
	for line := range strings.Lines(all) {
		if strings.Contains(line, text) {
			line, _, _ = strings.Cut(line, `\`)
			_, line, _ = strings.Cut(line, ": ")
			out += line + "\n"
		}
	}
	return out
}
