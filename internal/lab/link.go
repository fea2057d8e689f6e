package lab

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// An End is one end of a veth pair.
type End struct {
	NS     *Namespace
	Link   string           // interface name, at most 15 bytes
	MAC    net.HardwareAddr // nil: the kernel chooses
	MTU    int              // bytes; 0: 1500
	Queues int              // to receive by, and to send by; 0: as many as the kernel gives
	Addrs  []string         // in CIDR notation
}

// Join makes a veth pair between two namespaces, gives each end its addresses
// and sets both up.
func Join(a, b End) error {
	veth := netlink.NewVeth(netlink.LinkAttrs{Name: a.Link, HardwareAddr: a.MAC, MTU: mtu(a)})
	veth.PeerName, veth.PeerHardwareAddr, veth.PeerMTU = b.Link, b.MAC, uint32(mtu(b))
	veth.NumRxQueues, veth.NumTxQueues = a.Queues, a.Queues
	veth.PeerNumRxQueues, veth.PeerNumTxQueues = uint32(b.Queues), uint32(b.Queues)
	veth.PeerNamespace = netlink.NsFd(b.NS.fd)
	if err := a.NS.nl.LinkAdd(veth); err != nil {
		return fmt.Errorf("lab: join %s in %s and %s in %s: %w", a.Link, a.NS, b.Link, b.NS, err)
	}
	for _, e := range []End{a, b} {
		if err := e.NS.Up(e.Link); err != nil {
			return err
		}
		if err := e.NS.Addr(e.Link, e.Addrs...); err != nil {
			return err
		}
	}
	return nil
}

func mtu(e End) int {
	if e.MTU == 0 {
		return 1500
	}
	return e.MTU
}

// Bridge makes a bridge in the namespace, with the links named as its ports,
// and sets it up.
func (n *Namespace) Bridge(name string, ports ...string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	if err := n.nl.LinkAdd(bridge); err != nil {
		return fmt.Errorf("lab: bridge %s in %s: %w", name, n, err)
	}
	for _, port := range ports {
		link, err := n.link(port)
		if err != nil {
			return err
		}
		if err := n.nl.LinkSetMaster(link, bridge); err != nil {
			return fmt.Errorf("lab: %s into bridge %s in %s: %w", port, name, n, err)
		}
	}
	return n.Up(name)
}

// Up sets links up.
func (n *Namespace) Up(names ...string) error {
	return n.eachLink(names, "up", n.nl.LinkSetUp)
}

// Down sets links down.
func (n *Namespace) Down(names ...string) error {
	return n.eachLink(names, "down", n.nl.LinkSetDown)
}

// Delete deletes links.
func (n *Namespace) Delete(names ...string) error {
	return n.eachLink(names, "delete", n.nl.LinkDel)
}

func (n *Namespace) eachLink(names []string, what string, f func(netlink.Link) error) error {
	for _, name := range names {
		link, err := n.link(name)
		if err != nil {
			return err
		}
		if err := f(link); err != nil {
			return fmt.Errorf("lab: %s %s in %s: %w", what, name, n, err)
		}
	}
	return nil
}

func (n *Namespace) link(name string) (netlink.Link, error) {
	link, err := n.nl.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("lab: link %s in %s: %w", name, n, err)
	}
	return link, nil
}

// Links returns the names of the namespace's links but lo.
func (n *Namespace) Links() ([]string, error) {
	links, err := n.nl.LinkList()
	if err != nil {
		return nil, fmt.Errorf("lab: links in %s: %w", n, err)
	}
	var names []string
	for _, l := range links {
		if l.Attrs().Name != "lo" {
			names = append(names, l.Attrs().Name)
		}
	}
	return names, nil
}

// Addr adds addresses in CIDR notation to a link.
func (n *Namespace) Addr(link string, cidrs ...string) error {
	l, err := n.link(link)
	if err != nil {
		return err
	}
	for _, cidr := range cidrs {
		addr, err := netlink.ParseAddr(cidr)
		if err != nil {
			return fmt.Errorf("lab: address %q: %w", cidr, err)
		}
		if addr.IP.To4() == nil {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := n.nl.AddrAdd(l, addr); err != nil {
			return fmt.Errorf("lab: address %s on %s in %s: %w", cidr, link, n, err)
		}
	}
	return nil
}

// AwaitAddrs waits until the namespace takes packets to all of its IPv6
// addresses: the kernel makes them local from a work queue, after the link has
// its carrier.
func (n *Namespace) AwaitAddrs(ctx context.Context) error {
	for {
		missing, err := n.notLocal()
		if err != nil || missing == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("lab: %s does not take packets to its %v: %w", n, missing, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}

// notLocal returns an IPv6 address that has no local route yet, or nil.
func (n *Namespace) notLocal() (net.IP, error) {
	addrs, err := n.nl.AddrList(nil, netlink.FAMILY_V6)
	if err != nil {
		return nil, fmt.Errorf("lab: addresses in %s: %w", n, err)
	}
	for _, a := range addrs {
		if a.Scope != int(netlink.SCOPE_UNIVERSE) {
			continue
		}
		routes, err := n.nl.RouteGet(a.IP)
		if err != nil || len(routes) == 0 || routes[0].Type != unix.RTN_LOCAL {
			return a.IP, nil
		}
	}
	return nil, nil
}

// Route adds a route: dst is a prefix in CIDR notation or "default", via a
// gateway or "", dev a link or "". With both, the gateway is taken to be
// on-link. A default route without a gateway is of the family named by dst:
// "default" or "default6".
func (n *Namespace) Route(dst, via, dev string) error {
	route := &netlink.Route{}
	var err error
	if route.Dst, err = prefix(dst, via); err != nil {
		return err
	}
	if via != "" {
		if route.Gw = net.ParseIP(via); route.Gw == nil {
			return fmt.Errorf("lab: gateway %q: not an address", via)
		}
	}
	if dev != "" {
		link, err := n.link(dev)
		if err != nil {
			return err
		}
		route.LinkIndex = link.Attrs().Index
		if via != "" {
			route.Flags = int(netlink.FLAG_ONLINK)
		} else {
			route.Scope = netlink.SCOPE_LINK
		}
	}
	if err := n.nl.RouteAdd(route); err != nil {
		return fmt.Errorf("lab: route %s via %q dev %q in %s: %w", dst, via, dev, n, err)
	}
	return nil
}

// prefix reads dst. The default route is spelled out, because netlink 1.3.1
// wants a destination.
func prefix(dst, via string) (*net.IPNet, error) {
	switch {
	case dst == "default6" || dst == "default" && strings.Contains(via, ":"):
		dst = "::/0"
	case dst == "default":
		dst = "0.0.0.0/0"
	}
	_, p, err := net.ParseCIDR(dst)
	if err != nil {
		return nil, fmt.Errorf("lab: route to %q: %w", dst, err)
	}
	return p, nil
}

// Offload switches offloads of a link on or off, named as ethtool(8) -K does:
// "tso", "gso", "gro", "tx".
func (n *Namespace) Offload(ctx context.Context, link string, on bool, features ...string) error {
	state := "off"
	if on {
		state = "on"
	}
	args := []string{"-K", link}
	for _, f := range features {
		args = append(args, f, state)
	}
	_, err := n.Exec(ctx, "ethtool", args...)
	return err
}
