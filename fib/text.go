package fib

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ParseRoute reads a route of either family as ip route prints it, or takes it:
//
//	default via 192.0.2.1 dev eth0 proto static metric 100
//	10.1.0.0/16 dev eth1
//	10.2.0.0/16 via 198.51.100.1
//	10.3.0.0/16 nexthop via 192.0.2.1 dev eth0 weight 2 nexthop dev tun1
//	blackhole 10.9.0.0/16
//	10.9.0.0/16 blackhole
//	2001:db8:1::/48 via fe80::1 dev eth0 proto ra metric 1024 expires 1799sec hoplimit 64 pref medium
//	fe80::/64 dev eth0 proto kernel metric 256 pref medium
//	punt fe80::1%eth0 dev tap0
//
// ifindex returns the index of an interface, false if there is none of that
// name. default is that of the family of its next hop, of IPv4 if it has none.
// The link of a link-local prefix is the interface after % (RFC 4007, section
// 11), or that of the first next hop. proto is a Source, or kernel (connected),
// boot, dhcp or ra (host); left out it is static. What does not bear on where
// packets go is passed over: scope, src, onlink, linkdown, expires, hoplimit,
// pref, error, nhid, and the dev lo of a route that leads nowhere. The error is
// ErrInvalid.
func ParseRoute(line string, ifindex func(name string) (uint32, bool)) (Route, error) {
	return parseRoute(line, ifindex, func(a netip.Addr) bool { return a.IsValid() }, "")
}

// ParseRoute4 is ParseRoute for IPv4 alone.
func ParseRoute4(line string, ifindex func(name string) (uint32, bool)) (Route, error) {
	return parseRoute(line, ifindex, family4.has, family4.name)
}

// ParseRoute6 is ParseRoute for IPv6 alone.
func ParseRoute6(line string, ifindex func(name string) (uint32, bool)) (Route, error) {
	return parseRoute(line, ifindex, family6.has, family6.name)
}

func parseRoute(line string, ifindex func(string) (uint32, bool), has func(netip.Addr) bool, family string) (Route, error) {
	p := routeParser{words: strings.Fields(line), ifindex: ifindex}
	r, err := p.route()
	if err != nil {
		return Route{}, fmt.Errorf("fib: route %q: %w: %w", line, err, ErrInvalid)
	}
	if !r.Prefix.IsValid() {
		r.Prefix = defaultPrefix(&r, has)
	}
	if !has(r.Prefix.Addr()) {
		return Route{}, fmt.Errorf("fib: route %q: not an %s prefix: %w", line, family, ErrInvalid)
	}
	if err := r.Check(); err != nil {
		return Route{}, fmt.Errorf("fib: route %q: %w", line, err)
	}
	return r, nil
}

// defaultPrefix returns the prefix that the word default stands for.
func defaultPrefix(r *Route, has func(netip.Addr) bool) netip.Prefix {
	all := netip.IPv4Unspecified()
	is6 := func(n NextHop) bool { return n.Via.Is6() }
	if !has(all) || has(netip.IPv6Unspecified()) && slices.ContainsFunc(r.NextHops, is6) {
		all = netip.IPv6Unspecified()
	}
	return netip.PrefixFrom(all, 0)
}

type routeParser struct {
	words   []string
	ifindex func(string) (uint32, bool)
	nowhere bool // the route's type is such that it leads nowhere
}

// next takes the next word; "" at the end.
func (p *routeParser) next() string {
	if len(p.words) == 0 {
		return ""
	}
	w := p.words[0]
	p.words = p.words[1:]
	return w
}

func (p *routeParser) route() (Route, error) {
	r := Route{Type: TypeUnicast, Source: SourceStatic}
	typed := p.typ(&r)
	if err := p.prefix(&r); err != nil {
		return r, err
	}
	if !typed {
		p.typ(&r)
	}
	p.nowhere = typeLeadsNowhere(r.Type)
	var single NextHop
	for len(p.words) > 0 {
		if err := p.attribute(&r, &single); err != nil {
			return r, err
		}
	}
	if single == (NextHop{}) {
		return r, nil
	}
	if len(r.NextHops) > 0 {
		return r, fmt.Errorf("next hops both with and without the word nexthop")
	}
	r.NextHops = []NextHop{single}
	return r, nil
}

// typ takes the next word if it is that of a route's type.
func (p *routeParser) typ(r *Route) bool {
	for t := TypeUnicast; t < numTypes; t++ {
		if len(p.words) > 0 && p.words[0] == typeNames[t] {
			r.Type = t
			p.next()
			return true
		}
	}
	return false
}

// prefix takes the next word as that of a prefix, which it leaves invalid if it
// is default.
func (p *routeParser) prefix(r *Route) (err error) {
	word := p.next()
	if word == "default" {
		return nil
	}
	if before, zone, scoped := strings.Cut(word, "%"); scoped {
		name, length, cut := strings.Cut(zone, "/")
		if cut {
			length = "/" + length
		}
		if word = before + length; !p.iface(name, &r.Link) {
			return fmt.Errorf("no such interface: %q", name)
		}
	}
	if strings.Contains(word, "/") {
		r.Prefix, err = netip.ParsePrefix(word)
		return err
	}
	a, err := netip.ParseAddr(word)
	if err == nil {
		r.Prefix = netip.PrefixFrom(a, a.BitLen())
	}
	return err
}

func (p *routeParser) iface(name string, into *uint32) (ok bool) {
	*into, ok = p.ifindex(name)
	return ok
}

func (p *routeParser) attribute(r *Route, single *NextHop) error {
	switch word := p.next(); word {
	case "metric":
		return p.number(&r.Metric)
	case "proto":
		return p.source(&r.Source)
	case "nexthop":
		return p.nextHops(r)
	case "onlink", "linkdown":
		return nil
	case "scope", "src", "expires", "hoplimit", "pref", "error", "nhid":
		if p.next() == "" {
			return fmt.Errorf("nothing after %s", word)
		}
		return nil
	default:
		return p.hopAttribute(word, single)
	}
}

func (p *routeParser) number(into *uint32) error {
	n, err := strconv.ParseUint(p.next(), 10, 32)
	*into = uint32(n)
	return err
}

func (p *routeParser) source(into *Source) error {
	word := p.next()
	switch word {
	case "kernel":
		*into = SourceConnected
		return nil
	case "boot", "dhcp", "ra":
		*into = SourceHost
		return nil
	}
	for s := SourceConnected; s < numSources; s++ {
		if sourceNames[s] == word {
			*into = s
			return nil
		}
	}
	return fmt.Errorf("no such proto: %q", word)
}

// nextHops takes what follows the word nexthop, up to the next one.
func (p *routeParser) nextHops(r *Route) error {
	var n NextHop
	for len(p.words) > 0 && isHopWord(p.words[0]) {
		word := p.next()
		if word == "onlink" || word == "linkdown" {
			continue
		}
		if err := p.hopAttribute(word, &n); err != nil {
			return err
		}
	}
	r.NextHops = append(r.NextHops, n)
	return nil
}

func isHopWord(w string) bool {
	switch w {
	case "via", "dev", "weight", "onlink", "linkdown":
		return true
	}
	return false
}

func (p *routeParser) hopAttribute(word string, n *NextHop) (err error) {
	switch word {
	case "via":
		n.Via, err = netip.ParseAddr(p.next())
	case "dev":
		name := p.next()
		if lo := p.nowhere && name == "lo"; !lo && !p.iface(name, &n.Iface) {
			err = fmt.Errorf("no such interface: %q", name)
		}
	case "weight":
		var w uint64
		if w, err = strconv.ParseUint(p.next(), 10, 8); err == nil && w == 0 {
			err = fmt.Errorf("a weight of 0")
		}
		n.Weight = uint8(w)
	default:
		err = fmt.Errorf("unknown word %q", word)
	}
	return err
}

// Text returns the route as ParseRoute reads it. ifname names an interface;
// nil stands for "if" and the index.
func (r *Route) Text(ifname func(uint32) string) string {
	b := make([]byte, 0, 80)
	if r.Type != TypeUnicast {
		b = append(append(b, r.Type.String()...), ' ')
	}
	b = r.appendPrefix(b, ifname)
	several := len(r.NextHops) > 1 || len(r.NextHops) == 1 && r.NextHops[0].Weight > 1
	if len(r.NextHops) == 1 && !several {
		b = r.NextHops[0].appendTo(b, ifname)
	}
	b = append(append(b, " proto "...), r.Source.String()...)
	if r.Metric != 0 {
		b = strconv.AppendUint(append(b, " metric "...), uint64(r.Metric), 10)
	}
	if several {
		for _, n := range r.NextHops {
			b = n.appendTo(append(b, " nexthop"...), ifname)
			b = strconv.AppendUint(append(b, " weight "...), uint64(max(1, n.Weight)), 10)
		}
	}
	return string(b)
}

func (r *Route) appendPrefix(b []byte, ifname func(uint32) string) []byte {
	via := len(r.NextHops) > 0 && r.NextHops[0].Via.IsValid()
	switch {
	case r.Prefix.Bits() == 0 && (via || r.Prefix.Addr().Is4()):
		return append(b, "default"...)
	case r.Link != NoIface && (len(r.NextHops) == 0 || r.NextHops[0].Iface != r.Link):
		b = append(append(r.Prefix.Addr().AppendTo(b), '%'), nameOf(r.Link, ifname)...)
	default:
		b = r.Prefix.Addr().AppendTo(b)
	}
	if !r.Prefix.IsSingleIP() {
		b = strconv.AppendInt(append(b, '/'), int64(r.Prefix.Bits()), 10)
	}
	return b
}

func (n NextHop) appendTo(b []byte, ifname func(uint32) string) []byte {
	if n.Via.IsValid() {
		b = n.Via.AppendTo(append(b, " via "...))
	}
	if n.Iface != NoIface {
		b = append(append(b, " dev "...), nameOf(n.Iface, ifname)...)
	}
	return b
}
