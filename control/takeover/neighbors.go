package takeover

import (
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// maxHeard bounds how many neighbours are taken along. It is enough for the
// gateways and whoever the host talks to at the moment.
const maxHeard = 256

// readNeighbors returns the neighbours that were set by hand, and those that
// the kernel has found by itself.
func readNeighbors(index int) (fixed, learnt []Neighbor, err error) {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		all, err := netlink.NeighList(index, family)
		if err != nil {
			return nil, nil, err
		}
		for _, n := range all {
			one, ok := fromNeigh(n)
			switch {
			case !ok:
			case n.State&netlink.NUD_PERMANENT != 0:
				fixed = append(fixed, one)
			case n.State&(netlink.NUD_REACHABLE|netlink.NUD_STALE|netlink.NUD_DELAY|netlink.NUD_PROBE) != 0 && len(learnt) < maxHeard:
				learnt = append(learnt, one)
			}
		}
		if all, err = netlink.NeighProxyList(index, family); err != nil {
			return nil, nil, err
		}
		for _, n := range all {
			if one, ok := fromNeigh(n); ok {
				one.Proxy, one.MAC = true, ""
				fixed = append(fixed, one)
			}
		}
	}
	return fixed, learnt, nil
}

func fromNeigh(n netlink.Neigh) (Neighbor, bool) {
	ip, ok := netip.AddrFromSlice(n.IP)
	return Neighbor{IP: ip.Unmap(), MAC: n.HardwareAddr.String(), Flags: n.Flags}, ok
}

func (n Neighbor) netlink(index, state int) *netlink.Neigh {
	out := &netlink.Neigh{LinkIndex: index, IP: n.IP.AsSlice(), Flags: n.Flags, State: state, Family: family(n.IP)}
	if n.Proxy {
		out.Flags |= netlink.NTF_PROXY
	} else {
		out.HardwareAddr, _ = net.ParseMAC(n.MAC) // as it was printed
	}
	return out
}

func family(a netip.Addr) int {
	if a.Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}

// neighbors adds those that are missing. Those that the kernel had found are
// used at once, and asked whether they are still there: if the question for
// the gateway were the first packet on a link that has just come up, and lost,
// the kernel would ask again only after a second (RFC 4861, section 10).
func (a *applying) neighbors() {
	index := a.link.Attrs().Index
	for _, n := range a.s.Neighbors {
		a.try("add neighbour "+n.IP.String(), netlink.NeighSet(n.netlink(index, netlink.NUD_PERMANENT)))
	}
	if !a.s.Up {
		return
	}
	_, has, err := readNeighbors(index)
	a.try("read neighbours", err)
	gateways := a.s.Gateways()
	for _, n := range a.s.Heard {
		if slices.ContainsFunc(has, func(h Neighbor) bool { return h.IP == n.IP }) {
			continue // found again meanwhile
		}
		state := netlink.NUD_STALE
		if slices.Contains(gateways, n.IP) {
			state = netlink.NUD_PROBE
		}
		// It is a help and no more: whoever is missing is asked for.
		_ = netlink.NeighSet(n.netlink(index, state))
	}
}
