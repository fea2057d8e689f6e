package tuntap

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Protocol is the rtproto of Skein's routes, by which they are told from the
// host's own. It is none of those in linux/rtnetlink.h and iproute2's
// rt_protos; Calico has 80.
const Protocol = 115

// A Link is the namespace's side of a device: the interface that is seen
// there. It is for control, and may block.
type Link struct {
	nl    *netlink.Handle
	netNS string
	name  string // when it was opened
	index int
}

// OpenLink finds an interface, of whatever kind, in a namespace ("" for the
// calling thread's). It wraps os.ErrNotExist if there is none.
func OpenLink(netNS, name string) (l *Link, err error) {
	err = inNetNS(netNS, func() (err error) { l, err = openLink(name); return err })
	if err != nil {
		return nil, fmt.Errorf("tuntap: link %q: %w", name, err)
	}
	l.netNS = netNS
	return l, nil
}

// Link returns the device's interface.
func (d *Device) Link() (*Link, error) { return OpenLink(d.netNS, d.name) }

// openLink opens a link in the calling thread's namespace.
func openLink(name string) (*Link, error) {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	link, err := nl.LinkByName(name)
	if err != nil {
		nl.Close()
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			err = os.ErrNotExist
		}
		return nil, err
	}
	return &Link{nl: nl, name: name, index: link.Attrs().Index}, nil
}

// Close closes the handle; the interface stays.
func (l *Link) Close() { l.nl.Close() }

// Index returns the interface's number in its namespace.
func (l *Link) Index() int { return l.index }

// A LinkState is what the namespace sees of an interface.
type LinkState struct {
	Name       string
	Up         bool
	Running    bool // up, and packets can pass: there is a carrier, or a reader
	MTU        int  // bytes, without the Ethernet header
	TxQueueLen int  // packets
	MAC        net.HardwareAddr
	Dropped    uint64 // packets that a full queue has cost (tx_dropped)
}

// State reads the interface's state.
func (l *Link) State() (LinkState, error) {
	a, err := l.attrs()
	if err != nil {
		return LinkState{}, l.wrap("read", err)
	}
	s := LinkState{Name: a.Name, Up: a.Flags&net.FlagUp != 0, Running: a.RawFlags&unix.IFF_RUNNING != 0,
		MTU: a.MTU, TxQueueLen: a.TxQLen, MAC: a.HardwareAddr}
	if a.Statistics != nil {
		s.Dropped = a.Statistics.TxDropped
	}
	return s, nil
}

func (l *Link) attrs() (*netlink.LinkAttrs, error) {
	link, err := l.nl.LinkByIndex(l.index)
	if err != nil {
		return nil, err
	}
	return link.Attrs(), nil
}

// handle is what netlink's setters want to see: only the index counts.
func (l *Link) handle() netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: l.name, Index: l.index}}
}

func (l *Link) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("tuntap: link %q: %s: %w", l.name, what, err)
}

// SetUp sets the interface up.
func (l *Link) SetUp() error { return l.wrap("set up", l.nl.LinkSetUp(l.handle())) }

// SetDown sets the interface down. Its routes, and IPv6 addresses, go.
func (l *Link) SetDown() error { return l.wrap("set down", l.nl.LinkSetDown(l.handle())) }

// SetMTU sets the MTU in bytes, without the Ethernet header. The kernel takes
// 68 to 65535 on a TUN.
func (l *Link) SetMTU(mtu int) error {
	return l.wrap(fmt.Sprintf("set MTU %d", mtu), l.nl.LinkSetMTU(l.handle(), mtu))
}

// SetTxQueueLen sets how many packets the kernel holds for a slow reader. It
// drops what is more.
func (l *Link) SetTxQueueLen(packets int) error {
	return l.wrap(fmt.Sprintf("set txqueuelen %d", packets), l.nl.LinkSetTxQLen(l.handle(), packets))
}

// SetNoQueue takes the interface's queueing discipline away. A device that can
// have several queues has room for MaxQueues of them in the kernel, and would
// get a discipline with rings of TxQueueLen for each when it is first set up:
// 3.5 MiB instead of 0.25, and 0.06 instead of 0.04 for one queue (60 TUNs that
// are up, pfifo_fast, 500 packets, Linux 6.18). A kernel without disciplines
// (CONFIG_NET_SCHED) is no error.
func (l *Link) SetNoQueue() error {
	err := l.nl.QdiscReplace(&netlink.GenericQdisc{QdiscType: "noqueue",
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.index, Parent: netlink.HANDLE_ROOT}})
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return l.wrap("set qdisc noqueue", err)
}

// SetMAC sets a TAP's address.
func (l *Link) SetMAC(mac net.HardwareAddr) error {
	return l.wrap(fmt.Sprintf("set MAC %v", mac), l.nl.LinkSetHardwareAddr(l.handle(), mac))
}

func (l *Link) rename(name string) error {
	return l.wrap("rename to "+name, l.nl.LinkSetName(l.handle(), name))
}

// EnableIPv6 lets the interface have IPv6 addresses. A kernel without IPv6 is
// an error that wraps os.ErrNotExist.
func (l *Link) EnableIPv6() error {
	path := "/proc/sys/net/ipv6/conf/" + l.name + "/disable_ipv6"
	err := inNetNS(l.netNS, func() error { return os.WriteFile(path, []byte("0"), 0) })
	return l.wrap("enable IPv6", err)
}

// AddAddr gives the interface an address, usually a /32 or a /128. One that it
// has already is no error. If the interface is up, packets to the address are
// accepted when AddAddr returns.
func (l *Link) AddAddr(addr netip.Prefix) error {
	a := toAddr(addr)
	if addr.Addr().Is4() {
		return l.wrap(fmt.Sprintf("add %v", addr), l.nl.AddrReplace(l.handle(), a))
	}
	a.Flags = unix.IFA_F_NODAD // nobody else is on this link
	err := l.nl.AddrReplace(l.handle(), a)
	if err == nil {
		err = l.awaitLocal(a.IP)
	}
	return l.wrap(fmt.Sprintf("add %v", addr), err)
}

// localLimit is how long the kernel gets to make an IPv6 address its own.
const localLimit = time.Second

// awaitLocal waits for the local route of an IPv6 address. The kernel's
// addrconf adds it from a work queue, usually within 0.5 ms; before, packets to
// the address are dropped as somebody else's.
func (l *Link) awaitLocal(ip net.IP) error {
	attrs, err := l.attrs()
	if err != nil || attrs.Flags&net.FlagUp == 0 {
		return err
	}
	for end := time.Now().Add(localLimit); ; time.Sleep(100 * time.Microsecond) {
		routes, err := l.nl.RouteGet(ip)
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return nil
		}
		if time.Now().After(end) {
			return errors.Join(errors.New("the kernel does not take packets to it"), err)
		}
	}
}

// DelAddr takes an address away. One that it does not have is no error.
func (l *Link) DelAddr(addr netip.Prefix) error {
	err := l.nl.AddrDel(l.handle(), toAddr(addr))
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		err = nil
	}
	return l.wrap(fmt.Sprintf("delete %v", addr), err)
}

// Addrs returns the interface's addresses, but for those of link scope.
func (l *Link) Addrs() ([]netip.Prefix, error) {
	list, err := l.nl.AddrList(l.handle(), netlink.FAMILY_ALL)
	if err != nil {
		return nil, l.wrap("list addresses", err)
	}
	var addrs []netip.Prefix
	for _, a := range list {
		if p, ok := fromIPNet(a.IPNet); ok && a.Scope != int(netlink.SCOPE_LINK) {
			addrs = append(addrs, p)
		}
	}
	return addrs, nil
}

func toAddr(p netip.Prefix) *netlink.Addr { return &netlink.Addr{IPNet: toIPNet(p)} }

func toIPNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func fromIPNet(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), bits), ok
}
