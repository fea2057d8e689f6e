package tuntap

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A Veth is a pair of Ethernet interfaces: one of the calling thread's
// namespace, and one of a pod's. A packet socket on the former is the pod's
// Ethernet device.
type Veth struct {
	Name  string // here
	NetNS string // path of the pod's
	Peer  string // there
	MTU   int    // bytes; 0: 1500
	MAC   net.HardwareAddr
}

// Create makes the pair, with both sides down. It wraps os.ErrExist if one of
// the names is taken.
func (v Veth) Create() error {
	if err := v.create(); err != nil {
		if errors.Is(err, unix.EEXIST) {
			err = os.ErrExist
		}
		return fmt.Errorf("tuntap: create veth %q: %w", v.Name, err)
	}
	return nil
}

func (v Veth) create() error {
	for _, c := range []Config{{Name: v.Name}, {Name: v.Peer}} {
		if err := c.check(); err != nil {
			return err
		}
	}
	ns, err := unix.Open(v.NetNS, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open namespace %s: %w", v.NetNS, err)
	}
	defer unix.Close(ns)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = v.Name, v.MTU
	link := netlink.NewVeth(attrs)
	link.PeerName, link.PeerHardwareAddr, link.PeerMTU, link.PeerNamespace = v.Peer, v.MAC, uint32(v.MTU), netlink.NsFd(ns)
	return netlink.LinkAdd(link)
}

// Quiet sets the host's side up, without a word of its own, and deaf: what comes
// in is dropped behind packet sockets of ETH_P_ALL, before the host's stack. The link
// address that it goes to, another than the interface's, keeps only unicast from
// it; broadcasts and multicast would reach the host's sockets, past all policy.
// It returns a *MissingError where the kernel can't do that.
func (v Veth) Quiet() error {
	link, err := OpenLink("", v.Name)
	if err != nil {
		return err
	}
	defer link.Close()
	err = link.SetSysctl("net/ipv6/conf/"+v.Name+"/disable_ipv6", "1")
	if errors.Is(err, os.ErrNotExist) {
		err = nil // a kernel without IPv6
	}
	if err == nil {
		err = link.wrap("switch ARP off", link.nl.LinkSetARPOff(link.handle()))
	}
	if err == nil {
		err = link.wrap("drop what comes in", link.deafen())
	}
	if err != nil {
		return err
	}
	return link.SetUp()
}

// AwaitRunning waits until frames pass between both sides, which are up.
func (v Veth) AwaitRunning() error {
	link, err := OpenLink("", v.Name)
	if err != nil {
		return err
	}
	defer link.Close()
	return link.AwaitRunning()
}

// Exists reports whether the host's side is there, and is one of a veth pair.
func (v Veth) Exists() (bool, error) {
	link, err := netlink.LinkByName(v.Name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("tuntap: veth %q: %w", v.Name, err)
	}
	if _, ok := link.(*netlink.Veth); !ok {
		return false, fmt.Errorf("tuntap: veth %q: the interface is a %s: %w", v.Name, link.Type(), os.ErrExist)
	}
	return true, nil
}

// Delete deletes the pair. One that is gone already is no error.
func (v Veth) Delete() error {
	there, err := v.Exists()
	if err != nil || !there {
		return err
	}
	err = netlink.LinkDel(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: v.Name}})
	if err != nil && !errors.As(err, &netlink.LinkNotFoundError{}) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("tuntap: delete veth %q: %w", v.Name, err)
	}
	return nil
}

// SetNeighbor sets a neighbour's link address for good, so that it is never
// asked for.
func (l *Link) SetNeighbor(ip netip.Addr, mac net.HardwareAddr) error {
	return l.wrap(fmt.Sprintf("set neighbour %s", ip), l.nl.NeighSet(&netlink.Neigh{LinkIndex: l.index, State: unix.NUD_PERMANENT,
		IP: ip.AsSlice(), HardwareAddr: mac}))
}
