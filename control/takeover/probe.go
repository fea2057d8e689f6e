package takeover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A Probe is what the host has to reach over its uplink for a takeover to be
// good.
type Probe struct {
	Gateways []netip.Addr // each has to answer ARP or neighbour discovery
	TCP      string       // host:port that has to accept a connection; empty: none
}

// Gateways returns the gateways of the default routes.
func (s *Snapshot) Gateways() (out []netip.Addr) {
	for _, r := range s.Routes {
		if r.Dst.Bits() == 0 && r.Via.IsValid() && r.Type == unix.RTN_UNICAST && !slices.Contains(out, r.Via) {
			out = append(out, r.Via)
		}
	}
	return out
}

// Reachable returns those of the gateways that answer on the named interface
// before ctx ends.
func Reachable(ctx context.Context, link string, gateways []netip.Addr) (out []netip.Addr) {
	for _, g := range gateways {
		if resolve(ctx, link, g) == nil {
			out = append(out, g)
		}
	}
	return out
}

// Run returns nil as soon as everything is reached over the named interface,
// and an error when ctx ends before.
func (p Probe) Run(ctx context.Context, link string) error {
	for _, g := range p.Gateways {
		if err := resolve(ctx, link, g); err != nil {
			return err
		}
	}
	if p.TCP == "" {
		return nil
	}
	return connect(ctx, p.TCP)
}

const (
	// retry is the time between two looks of a probe.
	retry = 5 * time.Millisecond
	// reask is the time after which a question is asked again. The kernel
	// itself waits for a second (RFC 4861, section 10: RETRANS_TIMER), which is
	// long for a host whose link has just come up again.
	reask = 100 * time.Millisecond
)

// resolve has the kernel ask for the gateway's link address, until it answers.
func resolve(ctx context.Context, name string, gateway netip.Addr) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("takeover: probe: %w", err)
	}
	for asked := time.Now(); ; {
		state, err := neighborState(link.Attrs().Index, gateway)
		if err != nil {
			return fmt.Errorf("takeover: probe: %w", err)
		}
		if state&(netlink.NUD_REACHABLE|netlink.NUD_PERMANENT|netlink.NUD_NOARP) != 0 {
			return nil
		}
		if time.Since(asked) >= reask {
			state, asked = begin(link.Attrs().Index, gateway, state), time.Now()
		}
		touch(name, gateway, link.Attrs().Index, state)
		select {
		case <-ctx.Done():
			return fmt.Errorf("takeover: probe: the gateway %s does not answer on %s: %w", gateway, name, ctx.Err())
		case <-time.After(retry):
		}
	}
}

// neighborState returns the state of a neighbour, or 0.
func neighborState(index int, ip netip.Addr) (int, error) {
	all, err := netlink.NeighList(index, family(ip))
	if err != nil {
		return 0, err
	}
	for _, n := range all {
		if a, ok := netip.AddrFromSlice(n.IP); ok && a.Unmap() == ip {
			return n.State, nil
		}
	}
	return 0, nil
}

// begin has resolution begin anew if it is under way, and returns the state to
// go on from. A failure shows in the neighbour table.
func begin(index int, ip netip.Addr, state int) int {
	n := &netlink.Neigh{LinkIndex: index, IP: ip.AsSlice(), Family: family(ip), State: netlink.NUD_STALE}
	switch state {
	case netlink.NUD_PROBE: // the address is known from before
		_ = netlink.NeighSet(n)
		return netlink.NUD_STALE
	case netlink.NUD_INCOMPLETE:
		_ = netlink.NeighDel(n)
		return 0
	}
	return state
}

// touch starts resolution, if it is not under way: what an earlier answer has
// left is to be confirmed, and for what is not known a datagram to the discard
// port has the kernel ask. Whether it succeeds shows in the neighbour table.
func touch(name string, ip netip.Addr, index, state int) {
	if state&(netlink.NUD_INCOMPLETE|netlink.NUD_PROBE) != 0 {
		return
	}
	if state&(netlink.NUD_STALE|netlink.NUD_DELAY|netlink.NUD_FAILED) != 0 {
		_ = netlink.NeighSet(&netlink.Neigh{LinkIndex: index, IP: ip.AsSlice(), Family: family(ip), State: netlink.NUD_PROBE})
	}
	const discard = 9 // RFC 863
	if ip.IsLinkLocalUnicast() {
		ip = ip.WithZone(name)
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, discard)))
	if err != nil {
		return // no route yet
	}
	_, _ = conn.Write([]byte{0})
	_ = conn.Close()
}

func connect(ctx context.Context, addr string) error {
	var last error
	for {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		last = err
		select {
		case <-ctx.Done():
			return fmt.Errorf("takeover: probe: no connection to %s: %w", addr, errors.Join(last, ctx.Err()))
		case <-time.After(retry):
		}
	}
}
