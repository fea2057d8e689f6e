// Package takeover answers one question: how does Skein get between the host
// and its uplink, and away again?
//
// The uplink moves into a network namespace of its own, and a TAP takes its
// place: same name, MAC, MTU, addresses and routes. What is needed to undo
// that stands in one file before the first change, and Restore undoes it from
// the file alone. Maturity: the steps are complete for static IPv4 and IPv6
// configuration; the confirming probe and following later changes are not
// begun.
package takeover

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/tuntap"
)

// A Snapshot is what the host has configured on an interface.
type Snapshot struct {
	Name       string  `json:"name"`
	MAC        string  `json:"mac"`
	MTU        int     `json:"mtu"`
	Up         bool    `json:"up"`
	TxQueueLen int     `json:"tx_queue_len"`
	Addrs      []Addr  `json:"addrs"`
	Routes     []Route `json:"routes"`
}

// An Addr is an address of an interface. Lifetimes are in seconds; 0 is for
// ever.
type Addr struct {
	Prefix    netip.Prefix `json:"prefix"`
	Peer      netip.Prefix `json:"peer,omitzero"`
	Broadcast netip.Addr   `json:"broadcast,omitzero"`
	Label     string       `json:"label,omitempty"`
	Scope     int          `json:"scope,omitempty"`
	Flags     int          `json:"flags,omitempty"`
	Valid     int          `json:"valid,omitempty"`
	Preferred int          `json:"preferred,omitempty"`
}

// A Route is a route over an interface.
type Route struct {
	Dst      netip.Prefix `json:"dst"`
	Via      netip.Addr   `json:"via,omitzero"`
	Src      netip.Addr   `json:"src,omitzero"`
	Table    int          `json:"table"`
	Protocol int          `json:"protocol"`
	Scope    int          `json:"scope"`
	Type     int          `json:"type"`
	Metric   int          `json:"metric,omitempty"`
	TOS      int          `json:"tos,omitempty"`
	Flags    int          `json:"flags,omitempty"` // RTNH_F_ONLINK
	MTU      int          `json:"mtu,omitempty"`
	AdvMSS   int          `json:"advmss,omitempty"`
}

// ErrRefused means that an interface can't be taken over. Nothing has changed.
var ErrRefused = errors.New("the interface can't be taken over")

// Read reads what the host has configured on an interface of the calling
// thread's namespace. The error wraps ErrRefused if it is something that a TAP
// can't stand in for.
func Read(name string) (*Snapshot, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("takeover: %w: there is no interface %q", ErrRefused, name)
	}
	if err := acceptable(link); err != nil {
		return nil, fmt.Errorf("takeover: %w: %s %w", ErrRefused, name, err)
	}
	a := link.Attrs()
	s := &Snapshot{Name: name, MAC: a.HardwareAddr.String(), MTU: a.MTU, Up: a.Flags&net.FlagUp != 0, TxQueueLen: a.TxQLen}
	if s.Addrs, err = readAddrs(link); err != nil {
		return nil, fmt.Errorf("takeover: read addresses of %s: %w", name, err)
	}
	var odd []error
	if s.Routes, odd, err = readRoutes(link); err != nil {
		return nil, fmt.Errorf("takeover: %s: %w", name, err)
	}
	if len(odd) > 0 {
		return nil, fmt.Errorf("takeover: %w: %s: %w", ErrRefused, name, errors.Join(odd...))
	}
	return s, nil
}

// acceptable says why an interface can't be taken over, if so.
func acceptable(link netlink.Link) error {
	a := link.Attrs()
	switch {
	case a.EncapType != "ether":
		return fmt.Errorf("is not an Ethernet interface but %s", a.EncapType)
	case a.Flags&net.FlagLoopback != 0:
		return errors.New("is the loopback")
	case link.Type() == "tuntap" || link.Type() == "tun":
		return errors.New("is itself a TUN or TAP")
	case a.MasterIndex != 0:
		return errors.New("belongs to a bridge or a bond: release it first (ip link set dev X nomaster)")
	}
	all, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("can't be checked: %w", err)
	}
	for _, l := range all {
		// A veth's parent is its peer, by an index of the peer's namespace.
		if l.Attrs().ParentIndex == a.Index && l.Type() != "veth" {
			return fmt.Errorf("carries the %s interface %s, which the kernel would delete with it", l.Type(), l.Attrs().Name)
		}
	}
	return nil
}

func readAddrs(link netlink.Link) (out []Addr, err error) {
	all, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if a.Flags&unix.IFA_F_TEMPORARY != 0 {
			continue // RFC 8981: the TAP makes its own
		}
		p, ok := fromIPNet(a.IPNet)
		if !ok {
			return nil, fmt.Errorf("%s is not an address with a prefix length", a.IPNet)
		}
		addr := Addr{Prefix: p, Scope: a.Scope, Flags: a.Flags, Valid: lifetime(a.ValidLft), Preferred: lifetime(a.PreferedLft)}
		if a.Peer != nil {
			if peer, ok := fromIPNet(a.Peer); ok && peer != p {
				addr.Peer = peer
			}
		}
		if b, ok := netip.AddrFromSlice(a.Broadcast.To4()); ok {
			addr.Broadcast = b
		}
		if p.Addr().Is4() {
			addr.Label = a.Label
		}
		out = append(out, addr)
	}
	return out, nil
}

// lifetime turns INFINITY_LIFE_TIME, as the kernel and netlink have it, into 0.
func lifetime(seconds int) int {
	if seconds < 0 || seconds >= 1<<32-1 {
		return 0
	}
	return seconds
}

func fromIPNet(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	ones, bits := n.Mask.Size()
	if !ok || bits == 0 {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a.Unmap(), ones), true
}

// readRoutes returns the routes that have to be added again, and says which
// can't be. Those that the kernel makes of addresses come back with them, and
// Skein's own are none of the host's.
func readRoutes(link netlink.Link) (out []Route, odd []error, err error) {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		// Not by RT_FILTER_OIF, which overlooks routes with several next hops.
		filter := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
		all, err := netlink.RouteListFiltered(family, filter, netlink.RT_FILTER_TABLE)
		if err != nil {
			return nil, nil, fmt.Errorf("read routes: %w", err)
		}
		for _, r := range all {
			if !over(r, link.Attrs().Index) || r.Table == unix.RT_TABLE_LOCAL {
				continue
			}
			switch r.Protocol {
			case unix.RTPROT_KERNEL, unix.RTPROT_RA, tuntap.Protocol:
				continue
			}
			route, err := fromRoute(r, family)
			if err != nil {
				odd = append(odd, fmt.Errorf("route %s %w", r, err))
				continue
			}
			out = append(out, route)
		}
	}
	return out, odd, nil
}

// over reports whether a route leads over an interface.
func over(r netlink.Route, index int) bool {
	return r.LinkIndex == index || slices.ContainsFunc(r.MultiPath, func(hop *netlink.NexthopInfo) bool { return hop.LinkIndex == index })
}

func fromRoute(r netlink.Route, family int) (Route, error) {
	out := Route{Table: r.Table, Protocol: int(r.Protocol), Scope: int(r.Scope), Type: r.Type, Metric: r.Priority,
		TOS: r.Tos, Flags: r.Flags & unix.RTNH_F_ONLINK, MTU: r.MTU, AdvMSS: r.AdvMSS}
	switch {
	case len(r.MultiPath) > 0:
		return out, errors.New("has several next hops, which can't be mirrored yet")
	case r.Via != nil:
		return out, errors.New("has a next hop of another address family, which can't be mirrored yet")
	case r.Encap != nil:
		return out, errors.New("encapsulates, which can't be mirrored")
	}
	if p, ok := fromIPNet(r.Dst); ok {
		out.Dst = p
	} else if family == netlink.FAMILY_V4 {
		out.Dst = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	} else {
		out.Dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	if a, ok := netip.AddrFromSlice(r.Gw); ok {
		out.Via = a.Unmap()
	}
	if a, ok := netip.AddrFromSlice(r.Src); ok {
		out.Src = a.Unmap()
	}
	return out, nil
}
