// Package fibtest answers one question: how does a test write down a routing
// table? As text, the way ip route prints it.
//
// Maturity: stable; for tests only.
package fibtest

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/hdr"
)

// A Net is the routing tables of both families, with the interfaces and
// neighbors that its text speaks of.
type Net struct {
	RIB    *fib.RIB4
	Table  *fib.Table4 // as of the text; RIB.Commit makes the next
	RIB6   *fib.RIB6
	Table6 *fib.Table6

	names []string // by interface index; 0 is nobody's
}

// MustParse4 returns the table of what New makes of text.
func MustParse4(text string) *fib.Table4 { return New(text).Table }

// MustParse6 returns the IPv6 table of what New makes of text.
func MustParse6(text string) *fib.Table6 { return New(text).Table6 }

// New makes RIBs of lines of text, and panics if it cannot. A line is a route
// for fib.ParseRoute, or one of
//
//	link eth1 [mtu 9000] [down] [p2p]
//	neigh 192.0.2.9 dev eth0 lladdr 02:00:00:00:00:09
//	neigh fe80::9 dev eth0 incomplete
//
// Interfaces have the indices 1, 2, 3 in order of appearance, an MTU of 1500
// bytes and the MAC address that MAC returns. Those with names that begin with
// tun or pod are point-to-point. A next hop on an Ethernet link has the MAC
// address that NeighborMAC or NeighborMAC6 returns, unless a neigh line says
// otherwise. What
// follows a # is a comment.
func New(text string) *Net {
	n := &Net{RIB: fib.NewRIB4(), RIB6: fib.NewRIB6(), names: []string{""}}
	p := parser{net: n, links: map[uint32]fib.Iface{}, neighbors: map[neighbor]hdr.MAC{}}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if err := p.line(strings.Fields(line)); err != nil {
			panic(fmt.Sprintf("fibtest: %q: %v", strings.TrimSpace(line), err))
		}
	}
	if err := p.build(); err != nil {
		panic(fmt.Sprintf("fibtest: %v", err))
	}
	n.Table, n.Table6 = n.RIB.Commit(), n.RIB6.Commit()
	return n
}

// Index returns the index of a named interface, 0 if the text has none.
func (n *Net) Index(name string) uint32 {
	for i, known := range n.names {
		if known == name && i > 0 {
			return uint32(i)
		}
	}
	return 0
}

// Name returns the name of an interface.
func (n *Net) Name(index uint32) string {
	if int(index) >= len(n.names) {
		return "if" + strconv.Itoa(int(index))
	}
	return n.names[index]
}

// Describe puts adjacency i of Table in words.
func (n *Net) Describe(i uint32) string { return n.Table.Describe(i, n.Name) }

// Describe6 puts adjacency i of Table6 in words.
func (n *Net) Describe6(i uint32) string { return n.Table6.Describe(i, n.Name) }

// MAC returns the address of the interface with that index.
func MAC(index uint32) hdr.MAC {
	return hdr.MAC{0x02, 0xaa, byte(index >> 24), byte(index >> 16), byte(index >> 8), byte(index)}
}

// NeighborMAC returns the address of a neighbor: 02:bb and its IP address.
func NeighborMAC(a hdr.Addr4) hdr.MAC {
	return hdr.MAC{0x02, 0xbb, byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)}
}

// NeighborMAC6 returns the address of an IPv6 neighbor: 02:bd and the low 32
// bits of its IP address.
func NeighborMAC6(a hdr.Addr6) hdr.MAC {
	return hdr.MAC{0x02, 0xbd, byte(a.Lo >> 24), byte(a.Lo >> 16), byte(a.Lo >> 8), byte(a.Lo)}
}

func neighborMAC(a netip.Addr) hdr.MAC {
	if a.Is4() {
		return NeighborMAC(hdr.Addr4From(a))
	}
	return NeighborMAC6(hdr.Addr6From(a))
}

type neighbor struct {
	iface uint32
	addr  netip.Addr
}

type parser struct {
	net       *Net
	links     map[uint32]fib.Iface
	neighbors map[neighbor]hdr.MAC // the zero MAC: not to be known
	routes    []fib.Route
}

// iface returns the index of a named interface, a new one if need be.
func (p *parser) iface(name string) (uint32, bool) {
	if name == "" {
		return 0, false
	}
	if i := p.net.Index(name); i != 0 {
		return i, true
	}
	i := uint32(len(p.net.names))
	p.net.names = append(p.net.names, name)
	p.links[i] = fib.Iface{
		Index: i, MTU: 1500, MAC: MAC(i), Up: true,
		PointToPoint: strings.HasPrefix(name, "tun") || strings.HasPrefix(name, "pod"),
	}
	return i, true
}

func (p *parser) line(words []string) error {
	switch {
	case len(words) == 0:
		return nil
	case words[0] == "link":
		return p.link(words[1:])
	case words[0] == "neigh":
		return p.neigh(words[1:])
	}
	route, err := fib.ParseRoute(strings.Join(words, " "), p.iface)
	p.routes = append(p.routes, route)
	return err
}

func (p *parser) link(words []string) error {
	if len(words) == 0 {
		return fmt.Errorf("no name")
	}
	i, _ := p.iface(words[0])
	link := p.links[i]
	for words = words[1:]; len(words) > 0; words = words[1:] {
		switch {
		case words[0] == "down":
			link.Up = false
		case words[0] == "p2p":
			link.PointToPoint = true
		case words[0] == "mtu" && len(words) > 1:
			mtu, err := strconv.ParseUint(words[1], 10, 32)
			if err != nil {
				return err
			}
			link.MTU = uint32(mtu)
			words = words[1:]
		default:
			return fmt.Errorf("unknown word %q", words[0])
		}
	}
	p.links[i] = link
	return nil
}

func (p *parser) neigh(w []string) error {
	if len(w) < 4 || w[1] != "dev" {
		return fmt.Errorf("not an address and dev")
	}
	addr, err := netip.ParseAddr(w[0])
	if err != nil {
		return err
	}
	i, _ := p.iface(w[2])
	k := neighbor{i, addr}
	switch {
	case len(w) == 4 && w[3] == "incomplete":
		p.neighbors[k] = hdr.MAC{}
		return nil
	case len(w) == 5 && w[3] == "lladdr":
		p.neighbors[k], err = parseMAC(w[4])
		return err
	}
	return fmt.Errorf("neither lladdr nor incomplete")
}

func parseMAC(s string) (m hdr.MAC, err error) {
	n, err := fmt.Sscanf(s, "%02x:%02x:%02x:%02x:%02x:%02x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5])
	if err != nil {
		return m, fmt.Errorf("%q: %d of 6 bytes: %w", s, n, err)
	}
	return m, nil
}

// build gives the RIBs what has been read.
func (p *parser) build() error {
	for _, route := range p.routes {
		p.impliedNeighbors(route)
	}
	if err := build(p, p.net.RIB, netip.Addr.Is4); err != nil {
		return err
	}
	return build(p, p.net.RIB6, netip.Addr.Is6)
}

// build gives a RIB what there is of its family.
func build[A fib.Address, T fib.Table4 | fib.Table6](p *parser, rib *fib.RIB[A, T], has func(netip.Addr) bool) error {
	for _, link := range p.links {
		if has(netip.IPv6Unspecified()) && link.MTU < 1280 {
			continue // too small for IPv6 (RFC 8200, section 5), which then is not there
		}
		if err := rib.SetIface(link); err != nil {
			return err
		}
	}
	for k, mac := range p.neighbors {
		if mac == (hdr.MAC{}) || !has(k.addr) {
			continue
		}
		if err := rib.SetNeighbor(k.iface, k.addr, mac); err != nil {
			return err
		}
	}
	var routes []fib.Route
	for _, r := range p.routes {
		if has(r.Prefix.Addr()) {
			routes = append(routes, r)
		}
	}
	return rib.Add(routes...)
}

// impliedNeighbors makes known the next hops that no line has spoken of.
func (p *parser) impliedNeighbors(route fib.Route) {
	for _, hop := range route.NextHops {
		if !hop.Via.IsValid() || hop.Iface == fib.NoIface || p.links[hop.Iface].PointToPoint {
			continue
		}
		k := neighbor{hop.Iface, hop.Via}
		if _, known := p.neighbors[k]; !known {
			p.neighbors[k] = neighborMAC(hop.Via)
		}
	}
}
