package nodes_test

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/state"
)

// A world is a State in the making, from lines of text:
//
//	interface eth0 uplink mac 02:00:00:00:00:10 addr 192.0.2.10 peer tap0
//	interface tap0 tap mac 02:fe:00:00:00:01 peer eth0
//	interface pod1 tun mtu 1400 feature ip4-source-check
//	node 10.1.0.1
//	neigh 192.0.2.1 dev eth0 lladdr 02:00:00:00:00:01
//	no neigh 192.0.2.1 dev eth0
//	default via 192.0.2.1 dev eth0
//	no default via 192.0.2.1 dev eth0
//
// The kinds are uplink, tap and tun. An interface is up unless "down" follows,
// has an MTU of 1500 unless "mtu N", an IPv4, an IPv6 and a link-local address
// if "addr" says so once for each, and takes the offloads that follow
// "offload": csum, tso4, tso6, uso or all. "node" is the address that Skein
// itself uses where an interface has none. Lines of policy are those of rules, and of nat those of natWorld. Every other line is a route as ip
// route has it, of IPv6 if there is an IPv6 address in it, and what follows a #
// is a comment. Interfaces have the indices
// 1, 2, 3 in order of appearance.
type world struct {
	state        state.State
	rib          *fib.RIB4
	rib6         *fib.RIB6
	index        map[string]uint32
	rules        rules
	translations natWorld
}

func newWorld(t testing.TB, text string) *world {
	t.Helper()
	w := &world{rib: fib.NewRIB4(), rib6: fib.NewRIB6(), index: map[string]uint32{}, rules: newRules(), translations: newNATWorld()}
	w.state.Ifaces = make([]iface.Iface, 1)
	w.edit(t, text)
	return w
}

// edit applies further lines and makes the next State.
func (w *world) edit(t testing.TB, text string) state.State {
	t.Helper()
	w.state.Ifaces = append([]iface.Iface(nil), w.state.Ifaces...)
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if err := w.line(words); err != nil {
			t.Fatalf("%q: %v", strings.TrimSpace(line), err)
		}
	}
	w.state.FIB4, w.state.FIB6 = w.rib.Commit(), w.rib6.Commit()
	if err := w.translations.publish(&w.state); err != nil {
		t.Fatal(err)
	}
	if err := w.rules.publish(&w.state); err != nil {
		t.Fatal(err)
	}
	return w.state
}

func (w *world) line(words []string) error {
	no := words[0] == "no"
	if no {
		words = words[1:]
	}
	switch words[0] {
	case "interface":
		return w.iface(words[1:])
	case "node":
		a, err := netip.ParseAddr(words[1])
		switch {
		case err != nil:
		case a.Is4():
			w.state.Addr4 = hdr.Addr4From(a)
		default:
			w.state.Addr6 = hdr.Addr6From(a)
		}
		return err
	case "neigh":
		return w.neigh(words[1:], no)
	case "nat":
		return w.nat(words[1:], no)
	case "policy":
		return w.policy(words[1:], no)
	}
	r, err := fib.ParseRoute(strings.Join(words, " "), func(name string) (uint32, bool) {
		i, ok := w.index[name]
		return i, ok
	})
	switch {
	case err != nil:
		return err
	case r.Prefix.Addr().Is6():
		return change(w.rib6, r, no)
	}
	return change(w.rib, r, no)
}

func change[A fib.Address, T fib.Table4 | fib.Table6](rib *fib.RIB[A, T], r fib.Route, no bool) error {
	if no {
		return rib.Delete(r)
	}
	return rib.Add(r)
}

// place returns the index of an interface, of a new one if need be.
func (w *world) place(name string) uint32 {
	i, known := w.index[name]
	if !known {
		i = uint32(len(w.state.Ifaces))
		w.index[name] = i
		in := iface.Iface{Name: name, MTU: 1500}
		for arc := range in.Feat {
			in.Feat[arc] = iface.FeatEnd
		}
		w.state.Ifaces = append(w.state.Ifaces, in)
	}
	return i
}

func (w *world) iface(words []string) error {
	if len(words) < 2 {
		return fmt.Errorf("no name and kind")
	}
	i := w.place(words[0])
	kinds := map[string]iface.Kind{"uplink": iface.Uplink, "tap": iface.Tap, "tun": iface.Tun}
	kind, ok := kinds[words[1]]
	if !ok {
		return fmt.Errorf("no kind %q", words[1])
	}
	in := &w.state.Ifaces[i]
	in.Kind, in.Ethernet, in.Up, in.Offload = kind, kind != iface.Tun, true, 0
	for words = words[2:]; len(words) > 0; {
		n, err := w.attribute(i, words)
		if err != nil {
			return err
		}
		words = words[n:]
	}
	in = &w.state.Ifaces[i] // a peer may have moved it
	link := fib.Iface{Index: i, MTU: in.MTU, MAC: in.MAC, Up: in.Up, PointToPoint: kind == iface.Tun}
	if err := w.rib.SetIface(link); err != nil || in.MTU < 1280 {
		return err
	}
	return w.rib6.SetIface(link)
}

// attribute reads one attribute of an interface, and says how many words it has.
func (w *world) attribute(i uint32, words []string) (int, error) {
	in := &w.state.Ifaces[i]
	if words[0] == "down" {
		in.Up = false
		return 1, nil
	}
	if len(words) < 2 {
		return 0, fmt.Errorf("nothing after %q", words[0])
	}
	var err error
	switch value := words[1]; words[0] {
	case "mac":
		in.MAC, err = parseMAC(value)
	case "addr":
		var a netip.Addr
		switch a, err = netip.ParseAddr(value); {
		case err != nil:
		case a.Is4():
			in.Addr4 = hdr.Addr4From(a)
		case a.IsLinkLocalUnicast():
			in.LinkLocal = hdr.Addr6From(a)
		default:
			in.Addr6 = hdr.Addr6From(a)
		}
	case "mtu":
		var n int
		n, err = strconv.Atoi(value)
		in.MTU = uint32(n)
	case "peer":
		peer := w.place(value)
		w.state.Ifaces[i].Peer = peer
	case "offload":
		in.Offload |= map[string]drivers.Offload{"csum": drivers.Checksum, "tso4": drivers.TSO4, "tso6": drivers.TSO6,
			"uso": drivers.USO, "tcpcsum": drivers.ChecksumTCP, "all": drivers.AllOffloads}[value]
	case "feature":
		err = enable(in, value)
	default:
		err = fmt.Errorf("no attribute %q", words[0])
	}
	return 2, err
}

// enable sets a feature on the arc that has it.
func enable(in *iface.Iface, name string) error {
	for _, arc := range nodes.FeatureArcs() {
		if mask, err := arc.Mask(name); err == nil {
			in.Feat[arc.ID] |= mask
			return nil
		}
	}
	return fmt.Errorf("no feature %q", name)
}

func parseMAC(s string) (m hdr.MAC, err error) {
	a, err := net.ParseMAC(s)
	copy(m[:], a)
	return m, err
}

func (w *world) neigh(words []string, no bool) error {
	if len(words) < 3 || words[1] != "dev" {
		return fmt.Errorf("not an address and dev")
	}
	ip, err := netip.ParseAddr(words[0])
	if err != nil {
		return err
	}
	i, ok := w.index[words[2]]
	switch {
	case !ok:
		return fmt.Errorf("no interface %q", words[2])
	case no && ip.Is6():
		return w.rib6.DelNeighbor(i, ip)
	case no:
		return w.rib.DelNeighbor(i, ip)
	case len(words) != 5 || words[3] != "lladdr":
		return fmt.Errorf("no lladdr")
	}
	mac, err := parseMAC(words[4])
	if err != nil {
		return err
	}
	if ip.Is6() {
		return w.rib6.SetNeighbor(i, ip, mac)
	}
	return w.rib.SetNeighbor(i, ip, mac)
}

// aNode is the world of most tests: a node with an uplink and the host behind
// its tap, a second uplink with jumbo frames, and two pods.
const aNode = `
	interface eth0 uplink mac 02:00:00:00:00:10 addr 192.0.2.10 peer tap0
	interface tap0 tap    mac 02:fe:00:00:00:01 peer eth0
	interface pod1 tun feature ip4-source-check
	interface pod2 tun mtu 1400
	interface eth1 uplink mac 02:00:00:00:00:11 addr 198.18.0.10 mtu 9000
	node 10.1.0.1
	punt 192.0.2.10 dev tap0
	local 10.1.0.1
	local 198.18.0.10
	10.1.0.7 dev pod1
	10.1.0.8 dev pod2
	192.0.2.0/24 dev eth0
	198.18.0.0/24 dev eth1
	default via 192.0.2.1 dev eth0
	203.0.113.0/24 via 198.18.0.1 dev eth1
	blackhole   10.66.0.0/16
	unreachable 10.67.0.0/16
	prohibit    10.68.0.0/16
	10.80.0.0/16 nexthop via 192.0.2.1 dev eth0 nexthop via 198.18.0.1 dev eth1
	neigh 192.0.2.1  dev eth0 lladdr 02:00:00:00:00:01
	neigh 198.18.0.1 dev eth1 lladdr 02:00:00:00:01:01
`

// The indices of its interfaces.
const (
	eth0 = iota + 1
	tap0
	pod1
	pod2
	eth1
)

// aPolicy is added to aNode and aNode6: some of everything that can be asked.
const aPolicy = `
	policy set web 10.1.0.7 fd00:1::7
	policy pod1 egress
	policy pod1 egress allow udp
	policy pod1 egress allow tcp to ports 1:100
	policy pod1 egress allow icmp
	policy pod1 egress allow icmpv6
	policy pod2 ingress log from net 10.0.0.0/8
	policy pod2 ingress allow from set web
	policy pod2 ingress allow from net 2001:db8::/32
	policy eth0 ingress allow to ports 22,53
	policy eth0 forward-ingress deny to ports 4001
	policy eth0 forward-ingress allow
	policy eth0 forward-egress deny tcp to ports 25
	policy eth0 forward-egress allow
	policy eth0 egress allow
	policy eth0 pre-dnat deny tcp to ports 23
	policy eth0 untracked-ingress allow udp to ports 123
	policy eth0 untracked-egress deny udp to ports 124
	policy eth1 in deny udp to ports 7
	policy eth1 in allow
	policy eth1 out deny udp to ports 7
	policy eth1 out allow
	policy tap0 ingress allow icmp
`

// aTunnel is added to aNode and aNode6: another node, and a service that has
// backends on both and answers directly.
const aTunnel = `
	neigh 192.0.2.20 dev eth0 lladdr 02:00:00:00:00:20
	neigh 2001:db8::20 dev eth0 lladdr 02:00:00:00:00:20
	nat own 192.0.2.10 2001:db8::10
	nat peers 192.0.2.20 2001:db8::20
	nat service web NodePort udp 0.0.0.0:30080 dsr to 10.1.0.7:80,local 10.2.0.7:80@192.0.2.20
	nat service web NodePort tcp 0.0.0.0:30080 dsr to 10.1.0.7:80,local 10.2.0.7:80@192.0.2.20
	nat service web6 NodePort udp [::]:30080 dsr to [fd00:1::7]:80,local [fd00:2::7]:80@2001:db8::20
	nat service web6 NodePort tcp [::]:30080 dsr to [fd00:1::7]:80,local [fd00:2::7]:80@2001:db8::20
`

// aNode6 is added to aNode: the same in IPv6. The uplinks have link-local
// addresses, as has the tap; the default router is known by its own.
const aNode6 = `
	interface eth0 uplink mac 02:00:00:00:00:10 addr 2001:db8::10 addr fe80::10 peer tap0
	interface tap0 tap    mac 02:fe:00:00:00:01 addr fe80::1:1 peer eth0
	interface pod1 tun feature ip4-source-check feature ip6-source-check
	interface pod2 tun mtu 1400
	interface eth1 uplink mac 02:00:00:00:00:11 addr 2001:db8:18::10 addr fe80::11 mtu 9000
	node fd00:1::1
	punt 2001:db8::10 dev tap0
	local fd00:1::1
	local 2001:db8:18::10
	local fe80::1:1 dev tap0
	local fe80::11 dev eth1
	fd00:1::7 dev pod1
	fd00:1::8 dev pod2
	2001:db8::/64 dev eth0
	2001:db8:18::/64 dev eth1
	fe80::/64 dev eth0
	fe80::/64 dev tap0
	fe80::/64 dev eth1
	::/0 via fe80::1 dev eth0
	2001:db8:113::/48 via 2001:db8:18::1 dev eth1
	blackhole   fd00:66::/32
	unreachable fd00:67::/32
	prohibit    fd00:68::/32
	fd00:80::/32 nexthop via fe80::1 dev eth0 nexthop via 2001:db8:18::1 dev eth1
	neigh fe80::1        dev eth0 lladdr 02:00:00:00:00:01
	neigh 2001:db8:18::1 dev eth1 lladdr 02:00:00:00:01:01
`
