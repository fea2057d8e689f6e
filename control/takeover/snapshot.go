package takeover

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/drivers/afxdp"
)

// A Snapshot is what the host has configured on an interface.
type Snapshot struct {
	Name       string            `json:"name"`
	AltNames   []string          `json:"alt_names,omitempty"`
	MAC        string            `json:"mac"`
	MTU        int               `json:"mtu"`
	Up         bool              `json:"up"`
	Flags      uint32            `json:"flags"` // IFF_PROMISC and other flags that ip link sets
	Group      uint32            `json:"group,omitempty"`
	TxQueueLen int               `json:"tx_queue_len"`
	RxVLAN     bool              `json:"rx_vlan,omitempty"` // it takes VLAN tags out of frames (ethtool -k)
	Sysctls    map[string]string `json:"sysctls"`           // "ipv4/conf/rp_filter": "1"
	Addrs      []Addr            `json:"addrs"`
	Routes     []Route           `json:"routes"`
	Neighbors  []Neighbor        `json:"neighbors,omitempty"` // those set by hand
	Heard      []Neighbor        `json:"heard,omitempty"`     // others, that the kernel has found

	// Learnt are the routes of router advertisements. Nobody has to give them
	// back: the kernel asks for them again when a link comes up (RFC 4861,
	// section 6.3.7).
	Learnt []Route `json:"-"`
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
	Metric    int          `json:"metric,omitempty"` // of the route to its prefix; 0: the kernel's choice
	Valid     int          `json:"valid,omitempty"`
	Preferred int          `json:"preferred,omitempty"`
}

// A Neighbor is an entry of the neighbour table.
type Neighbor struct {
	IP    netip.Addr `json:"ip"`
	MAC   string     `json:"mac,omitempty"` // none: Proxy
	Flags int        `json:"flags,omitempty"`
	Proxy bool       `json:"proxy,omitempty"` // the host answers for IP
}

// ErrRefused means that an interface can't be taken over. Nothing has changed.
var ErrRefused = errors.New("the interface can't be taken over")

// linkFlags are the flags that an administrator sets, besides IFF_UP.
const linkFlags = unix.IFF_PROMISC | unix.IFF_ALLMULTI | unix.IFF_NOARP | unix.IFF_MULTICAST

// Read reads what the host has configured on an interface of the calling
// thread's namespace. The error wraps ErrRefused if it is something that can't
// be mirrored.
func Read(name string) (*Snapshot, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("takeover: %w: there is no interface %q", ErrRefused, name)
	}
	s, odd, err := read(link)
	if err != nil {
		return nil, err
	}
	if len(odd) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrRefused, errors.Join(odd...))
	}
	return s, nil
}

// read reads what the host has configured on a link, and returns what of it
// can't be mirrored.
func read(link netlink.Link) (s *Snapshot, odd []error, err error) {
	a := link.Attrs()
	s = &Snapshot{Name: a.Name, AltNames: slices.Sorted(slices.Values(a.AltNames)), MAC: a.HardwareAddr.String(), MTU: a.MTU,
		Up: a.Flags&net.FlagUp != 0, Flags: a.RawFlags & linkFlags, Group: a.Group, TxQueueLen: a.TxQLen}
	if s.RxVLAN, err = afxdp.TakesTags(a.Name); err != nil {
		return nil, nil, fmt.Errorf("takeover: offloads of %s: %w", a.Name, err)
	}
	if s.Sysctls, err = readSysctls(a.Name); err != nil {
		return nil, nil, fmt.Errorf("takeover: %w", err)
	}
	if s.Addrs, err = readAddrs(link); err != nil {
		return nil, nil, fmt.Errorf("takeover: read addresses of %s: %w", a.Name, err)
	}
	if s.Routes, odd, err = readRoutes(a.Index, s.Addrs); err != nil {
		return nil, nil, fmt.Errorf("takeover: %s: %w", a.Name, err)
	}
	if s.Learnt, err = readLearnt(a.Index); err != nil {
		return nil, nil, fmt.Errorf("takeover: %s: %w", a.Name, err)
	}
	if s.Neighbors, s.Heard, err = readNeighbors(a.Index); err != nil {
		return nil, nil, fmt.Errorf("takeover: read neighbours of %s: %w", a.Name, err)
	}
	return s, odd, nil
}

func readAddrs(link netlink.Link) (out []Addr, err error) {
	all, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	metrics, err := readMetrics(link.Attrs().Index)
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		p, ok := fromIPNet(a.IPNet)
		if ok && p.Addr().Is6() && a.Flags&unix.IFA_F_TEMPORARY != 0 {
			continue // RFC 8981: the TAP makes its own. For IPv4 the bit means secondary
		}
		if !ok {
			return nil, fmt.Errorf("%s is not an address with a prefix length", a.IPNet)
		}
		addr := Addr{Prefix: p, Scope: a.Scope, Flags: a.Flags &^ addrStates, Valid: lifetime(a.ValidLft), Preferred: lifetime(a.PreferedLft)}
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
		addr.Metric = metrics[addr.key()]
		out = append(out, addr)
	}
	return out, nil
}

// addrStates are flags of an address that the kernel alone sets.
const addrStates = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED | unix.IFA_F_DEPRECATED | unix.IFA_F_OPTIMISTIC | unix.IFA_F_STABLE_PRIVACY

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

func toIPNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
