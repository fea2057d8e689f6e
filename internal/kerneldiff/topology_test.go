package kerneldiff

import (
	"net"
	"net/netip"
	"strings"

	"github.com/skein-dataplane/skein/hdr"
)

// The router has two links, and on each of them stands one station, known by
// its link address. The right link takes less than the left.
//
//	10.1.0.0/16 ── station ── left (router) right ── station ── 10.2.0.0/16
const (
	left = iota
	right
	numPorts
)

// A port is the router's end of a link.
type port struct {
	name        string
	mtu         int
	mac         hdr.MAC // the router's
	station     hdr.MAC
	addr, addr6 netip.Prefix
	linkLocal   netip.Prefix
	neighbors   []string
}

var ports = [numPorts]port{
	left: {"left", 1500, hdr.MAC{2, 0, 0, 0, 1, 1}, hdr.MAC{2, 0, 0, 0, 1, 2},
		netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8:1::1/64"), netip.MustParsePrefix("fe80::1:1/64"),
		[]string{"192.0.2.2", "2001:db8:1::2", "fe80::2", "fe80::9"}},
	right: {"right", 1400, hdr.MAC{2, 0, 0, 0, 2, 1}, hdr.MAC{2, 0, 0, 0, 2, 2},
		netip.MustParsePrefix("198.51.100.1/24"), netip.MustParsePrefix("2001:db8:2::1/64"), netip.MustParsePrefix("fe80::2:1/64"),
		[]string{"198.51.100.2", "2001:db8:2::2", "fe80::2", "fe80::9", "fe80::1:1"}},
}

// routes are what `ip route add` and Skein both are told.
var routes = []string{
	"10.1.0.0/16 via 192.0.2.2 dev left",
	"10.2.0.0/16 via 198.51.100.2 dev right",
	"blackhole 10.66.0.0/16",
	"unreachable 10.67.0.0/16",
	"prohibit 10.68.0.0/16",
	"2001:db8:a::/48 via fe80::2 dev left",
	"2001:db8:b::/48 via 2001:db8:2::2 dev right",
	"blackhole 2001:db8:66::/48",
	"unreachable 2001:db8:67::/48",
	"prohibit 2001:db8:68::/48",
}

// implied are the routes that Linux adds by itself, and Skein's control too.
func implied() (lines []string) {
	for _, p := range ports {
		lines = append(lines,
			"local "+p.addr.Addr().String(), p.addr.Masked().String()+" dev "+p.name,
			"blackhole "+broadcast(p.addr).String(), // never forwarded to (RFC 2644)
			"local "+p.addr6.Addr().String(), p.addr6.Masked().String()+" dev "+p.name,
			"fe80::/64 dev "+p.name, "local "+p.linkLocal.Addr().String()+" dev "+p.name)
	}
	return lines
}

func broadcast(p netip.Prefix) netip.Addr {
	return (hdr.Addr4From(p.Addr()) | hdr.Addr4(1<<(32-p.Bits())-1)).Addr()
}

// ipv6 reports whether a line is about IPv6.
func ipv6(line string) bool { return strings.Contains(line, ":") }

// own reports whether an address is one of the router's.
func own(a netip.Addr) bool {
	for _, p := range ports {
		if a == p.addr.Addr() || a == p.addr6.Addr() || a == p.linkLocal.Addr() {
			return true
		}
	}
	return false
}

func hardware(m hdr.MAC) net.HardwareAddr { return m[:] }

// A frame is on the link of a port: to the router, or from it.
type frame struct {
	port  int
	bytes []byte
}
