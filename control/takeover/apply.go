package takeover

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// apply makes the interface of that name be as the snapshot says. It may be
// called again, and it does all that it can whatever fails.
func (s *Snapshot) apply(h *netlink.Handle) error {
	link, err := h.LinkByName(s.Name)
	if err != nil {
		return fmt.Errorf("takeover: find %s: %w", s.Name, err)
	}
	var failed []error
	try := func(what string, err error) {
		if err != nil {
			failed = append(failed, fmt.Errorf("takeover: %s: %s: %w", s.Name, what, err))
		}
	}
	a := link.Attrs()
	if s.MTU != a.MTU {
		try("set MTU", h.LinkSetMTU(link, s.MTU))
	}
	if s.TxQueueLen != a.TxQLen {
		try("set queue length", h.LinkSetTxQLen(link, s.TxQueueLen))
	}
	if mac, err := net.ParseMAC(s.MAC); err == nil && !slices.Equal(mac, a.HardwareAddr) {
		try("set MAC", h.LinkSetHardwareAddr(link, mac))
	}
	if s.hasLinkLocal() {
		// It is in the list; a generated one would be a second.
		try("keep the kernel from making a link-local address", setAddrGenMode(s.Name, "1"))
	}
	if s.Up {
		try("set up", h.LinkSetUp(link))
	}
	for _, addr := range s.Addrs {
		try("add "+addr.Prefix.String(), h.AddrReplace(link, addr.netlink()))
	}
	if s.hasLinkLocal() {
		try("let the kernel make link-local addresses again", setAddrGenMode(s.Name, "0"))
	}
	if s.Up {
		for _, r := range s.ordered() {
			try("add route to "+r.Dst.String(), h.RouteReplace(r.netlink(a.Index)))
		}
	}
	return errors.Join(failed...)
}

func (s *Snapshot) hasLinkLocal() bool {
	return slices.ContainsFunc(s.Addrs, func(a Addr) bool { return a.Prefix.Addr().Is6() && a.Prefix.Addr().IsLinkLocalUnicast() })
}

// setAddrGenMode says how the kernel makes an interface's link-local address:
// 0 is EUI-64, 1 is not at all. Without IPv6 there is nothing to say.
func setAddrGenMode(name, mode string) error {
	path := "/proc/sys/net/ipv6/conf/" + name + "/addr_gen_mode"
	err := os.WriteFile(path, []byte(mode), 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// ordered returns the routes such that each gateway is reachable when its
// route is added: those without one first, the more specific ones before the
// default.
func (s *Snapshot) ordered() []Route {
	routes := slices.Clone(s.Routes)
	slices.SortStableFunc(routes, func(a, b Route) int {
		if a.Via.IsValid() != b.Via.IsValid() {
			if a.Via.IsValid() {
				return 1
			}
			return -1
		}
		return b.Dst.Bits() - a.Dst.Bits()
	})
	return routes
}

// netlink returns the address for netlink. It has been in use a moment ago, so
// nobody else has it: duplicate address detection (RFC 4862, section 5.4)
// would only make it useless for a second.
func (a Addr) netlink() *netlink.Addr {
	const keep = unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_HOMEADDRESS | unix.IFA_F_MCAUTOJOIN
	out := &netlink.Addr{IPNet: toIPNet(a.Prefix), Label: a.Label, Scope: a.Scope, Flags: a.Flags & keep,
		ValidLft: a.Valid, PreferedLft: a.Preferred}
	if a.Prefix.Addr().Is6() {
		out.Flags |= unix.IFA_F_NODAD
	}
	if a.Peer.IsValid() {
		out.Peer = toIPNet(a.Peer)
	}
	if a.Broadcast.IsValid() {
		out.Broadcast = a.Broadcast.AsSlice()
	}
	return out
}

func (r Route) netlink(index int) *netlink.Route {
	out := &netlink.Route{LinkIndex: index, Dst: toIPNet(r.Dst), Table: r.Table, Protocol: netlink.RouteProtocol(r.Protocol),
		Scope: netlink.Scope(r.Scope), Type: r.Type, Priority: r.Metric, Tos: r.TOS, Flags: r.Flags, MTU: r.MTU, AdvMSS: r.AdvMSS}
	if r.Via.IsValid() {
		out.Gw = r.Via.AsSlice()
	}
	if r.Src.IsValid() {
		out.Src = r.Src.AsSlice()
	}
	return out
}

func toIPNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
