package takeover

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/drivers/afxdp"
)

// apply makes the interface of that name, in the calling thread's namespace,
// be as the snapshot says. What is so already is not touched, so it may be
// called again; and it does all that it can whatever fails.
func (s *Snapshot) apply() error {
	link, err := netlink.LinkByName(s.Name)
	if err != nil {
		return fmt.Errorf("takeover: find %s: %w", s.Name, err)
	}
	a := applying{s: s, link: link}
	a.attributes()
	a.addresses()
	if s.Up {
		a.routes()
	}
	a.neighbors()
	a.withoutGenerated()
	return errors.Join(a.failed...)
}

type applying struct {
	s      *Snapshot
	link   netlink.Link
	failed []error
}

func (a *applying) try(what string, err error) {
	if err != nil {
		a.failed = append(a.failed, fmt.Errorf("takeover: %s: %s: %w", a.s.Name, what, err))
	}
}

// attributes sets what is not an address or a route, and sets the link up.
func (a *applying) attributes() {
	s, link, has := a.s, a.link, a.link.Attrs()
	if s.MTU != has.MTU {
		a.try("set MTU", netlink.LinkSetMTU(link, s.MTU))
	}
	if s.TxQueueLen != has.TxQLen {
		a.try("set queue length", netlink.LinkSetTxQLen(link, s.TxQueueLen))
	}
	if s.Group != has.Group {
		a.try("set group", netlink.LinkSetGroup(link, int(s.Group)))
	}
	if mac, err := net.ParseMAC(s.MAC); err == nil && !slices.Equal(mac, has.HardwareAddr) {
		a.try("set MAC", netlink.LinkSetHardwareAddr(link, mac))
	}
	for _, name := range s.AltNames {
		if !slices.Contains(has.AltNames, name) {
			a.try("set other name "+name, netlink.LinkAddAltName(link, name))
		}
	}
	if s.RxVLAN { // which a driver that was killed has left switched off
		if on, err := afxdp.TakesTags(s.Name); err != nil || !on {
			a.try("have it take VLAN tags out of frames", errors.Join(err, afxdp.TakeTags(s.Name)))
		}
	}
	a.flags(has.RawFlags)
	if up := has.Flags&net.FlagUp != 0; up || !s.Up {
		a.try("set sysctls", writeSysctls(s.Name, s.Sysctls))
		return
	}
	a.try("set sysctls", writeSysctls(s.Name, s.whileAdding()))
	a.try("set up", netlink.LinkSetUp(link))
}

func (a *applying) flags(has uint32) {
	for _, f := range []struct {
		bit     uint32
		on, off func(netlink.Link) error
	}{
		{unix.IFF_PROMISC, netlink.SetPromiscOn, netlink.SetPromiscOff},
		{unix.IFF_ALLMULTI, netlink.LinkSetAllmulticastOn, netlink.LinkSetAllmulticastOff},
		{unix.IFF_NOARP, netlink.LinkSetARPOff, netlink.LinkSetARPOn},
		{unix.IFF_MULTICAST, netlink.LinkSetMulticastOn, netlink.LinkSetMulticastOff},
	} {
		set := f.off
		if a.s.Flags&f.bit != 0 {
			set = f.on
		}
		if (a.s.Flags^has)&f.bit != 0 {
			a.try("set flags", set(a.link))
		}
	}
}

// The sysctls that decide what becomes of an IPv6 address that is added.
const (
	genMode = "ipv6/conf/addr_gen_mode" // 1: the kernel makes no link-local address
	dadMode = "ipv6/conf/accept_dad"    // 0: addresses are usable at once
)

// whileAdding returns the sysctls for the time of adding addresses. They have
// been in use a moment ago, so nobody else has them: duplicate address
// detection (RFC 4862, section 5.4) would only make them useless for a second.
// And where the link-local address is among them, the kernel would make a
// second.
func (s *Snapshot) whileAdding() map[string]string {
	out := maps.Clone(s.Sysctls)
	if _, ok := out[dadMode]; ok {
		out[dadMode] = "0"
	}
	if _, ok := out[genMode]; ok && s.hasLinkLocal() {
		out[genMode] = "1"
	}
	return out
}

func (s *Snapshot) hasLinkLocal() bool {
	return slices.ContainsFunc(s.Addrs, func(a Addr) bool { return a.Prefix.Addr().Is6() && a.Prefix.Addr().IsLinkLocalUnicast() })
}

// addresses adds those that are missing, and returns when they can be used.
func (a *applying) addresses() {
	has, err := readAddrs(a.link)
	a.try("read addresses", err)
	missing := slices.DeleteFunc(slices.Clone(a.s.Addrs), func(want Addr) bool {
		return slices.ContainsFunc(has, func(h Addr) bool { return h.same(want) })
	})
	if len(missing) == 0 {
		a.try("set sysctls", writeSysctls(a.s.Name, a.s.Sysctls))
		return
	}
	a.try("set sysctls", writeSysctls(a.s.Name, a.s.whileAdding()))
	for _, addr := range inOrder(missing) {
		a.try("add "+addr.Prefix.String(), setAddr(a.link, addr))
	}
	if a.s.Up {
		awaitAddrs(a.link)
	}
	a.try("set sysctls", writeSysctls(a.s.Name, a.s.Sysctls))
}

// inOrder returns addresses such that they are listed afterwards as they were:
// the kernel puts IPv4 addresses behind those that are there, and IPv6
// addresses in front. Source addresses are chosen by that order.
func inOrder(all []Addr) (out []Addr) {
	for _, a := range all {
		if a.Prefix.Addr().Is4() {
			out = append(out, a)
		}
	}
	for _, a := range slices.Backward(all) {
		if a.Prefix.Addr().Is6() {
			out = append(out, a)
		}
	}
	return out
}

// same reports whether two addresses are equal but for the time that is left
// to them.
func (a Addr) same(b Addr) bool {
	if (a.Valid == 0) != (b.Valid == 0) || (a.Preferred == 0) != (b.Preferred == 0) {
		return false
	}
	a.Valid, a.Preferred, b.Valid, b.Preferred = 0, 0, 0, 0
	// A lifetime makes an address dynamic, and its end of preference comes
	// by itself.
	const forever = unix.IFA_F_PERMANENT
	a.Flags, b.Flags = a.Flags&^forever, b.Flags&^forever
	return a == b
}

// addrLimit is how long the kernel gets to make IPv6 addresses usable; it
// does so from a work queue, usually within 1 ms.
const addrLimit = 100 * time.Millisecond

// awaitAddrs waits until no address is tentative. One that stays so is found
// by duplicate address detection, which all.accept_dad asks for on all links.
func awaitAddrs(link netlink.Link) {
	for end := time.Now().Add(addrLimit); time.Now().Before(end); time.Sleep(200 * time.Microsecond) {
		all, err := netlink.AddrList(link, netlink.FAMILY_V6)
		if err != nil || !slices.ContainsFunc(all, func(a netlink.Addr) bool { return a.Flags&unix.IFA_F_TENTATIVE != 0 }) {
			return
		}
	}
}

// routes adds the routes that are missing, and deletes those that the kernel
// has made of the addresses though the host had them otherwise.
func (a *applying) routes() {
	index := a.link.Attrs().Index
	has, _, err := readRoutes(index, a.s.Addrs)
	a.try("read routes", err)
	for _, r := range ordered(a.s.Routes) {
		if !slices.Contains(has, r) {
			a.try("add route to "+r.Dst.String(), addRoute(r, index))
		}
	}
	for _, r := range has {
		if r.Protocol == unix.RTPROT_KERNEL && !slices.Contains(a.s.Routes, r) {
			err := netlink.RouteDel(r.netlink(index))
			if errors.Is(err, unix.ESRCH) {
				err = nil // it was replaced
			}
			a.try("delete route to "+r.Dst.String(), err)
		}
	}
}

// addRoute adds a route. If the host has deleted the address that had its
// gateway's network, the route has stayed, and the gateway is on the link.
func addRoute(r Route, index int) error {
	err := netlink.RouteReplace(r.netlink(index))
	if r.Via.IsValid() && (errors.Is(err, unix.EHOSTUNREACH) || errors.Is(err, unix.ENETUNREACH)) {
		r.Flags |= unix.RTNH_F_ONLINK
		err = netlink.RouteReplace(r.netlink(index))
	}
	return err
}

// keptFlags are the flags of an address that whoever has added it has chosen.
const keptFlags = unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_HOMEADDRESS | unix.IFA_F_MCAUTOJOIN

func (a Addr) netlink() *netlink.Addr {
	out := &netlink.Addr{IPNet: toIPNet(a.Prefix), Label: a.Label, Scope: a.Scope, Flags: a.Flags & keptFlags,
		ValidLft: a.Valid, PreferedLft: a.Preferred}
	if a.Peer.IsValid() {
		out.Peer = toIPNet(a.Peer)
	}
	if a.Broadcast.IsValid() {
		out.Broadcast = a.Broadcast.AsSlice()
	} else if a.Prefix.Addr().Is4() {
		out.Broadcast = net.IPv4zero.To4() // none; without this the library computes one
	}
	return out
}
