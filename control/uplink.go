package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control/takeover"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/tuntap"
)

// tapAddr is the source of what Skein itself has to tell the host. It cannot
// be the host's own address, which the host takes for forged when it comes
// from outside; this one is of the link (RFC 3927) and never leaves it.
var tapAddr = hdr.Addr4From(netip.AddrFrom4([4]byte{169, 254, 1, 1}))

// uplinkPrefix is what the name of an uplink begins with in Skein, as VPP has
// it: the TAP of the host bears the NIC's own.
const uplinkPrefix = "host-"

// addUplink takes an uplink over and puts a TAP in its place.
func (c *Control) addUplink(ctx context.Context, u configs.Uplink) error {
	t, err := takeover.Take(c.cfg.RunDir, u.Interface, 1)
	if err != nil {
		return fmt.Errorf("control: uplink %s: %w", u.Interface, err)
	}
	dev, candidates, err := c.openUplink(u, t.NetNS)
	if err != nil {
		return errors.Join(err, c.closeDevice(ctx, t.Tap), t.GiveBack())
	}
	up, tap := c.uplinkPorts(u, t, dev, candidates)
	if err := c.addPort(ctx, up); err != nil {
		return errors.Join(err, c.closeDevice(ctx, t.Tap), t.GiveBack())
	}
	if err := c.addPort(ctx, tap); err != nil {
		return errors.Join(err, c.removePort(ctx, up), t.GiveBack())
	}
	up.undo = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), configs.StopTimeout)
		defer cancel()
		return errors.Join(c.removePort(ctx, tap), t.GiveBack())
	}
	if err := c.join(up, tap, t.Host); err != nil {
		return errors.Join(err, c.removePort(ctx, up))
	}
	if err := hostRoutes(u); err != nil {
		return errors.Join(err, c.removePort(ctx, up))
	}
	c.log.Info("uplink taken over", zap.String("uplink", u.Interface), zap.String("driver", dev.Info().Driver),
		zap.String("detail", dev.Info().Detail))
	return nil
}

// uplinkPorts returns the two interfaces that an uplink becomes.
func (c *Control) uplinkPorts(u configs.Uplink, t *takeover.Takeover, dev drivers.Device, why []Candidate) (up, tap *port) {
	info := dev.Info()
	up = &port{device: dev, candidates: why, netNS: t.NetNS, Iface: iface.Iface{Kind: iface.Uplink, Name: uplinkPrefix + u.Interface,
		Up: true, Ethernet: true, Offload: info.Offload, MTU: uint32(t.Host.MTU), MAC: mac(info.MAC)}}
	for _, a := range t.Host.Addrs {
		up.addrs = append(up.addrs, a.Prefix)
	}
	if own := addrs4(up.addrs); len(own) > 0 {
		up.Addr4 = own[0]
	}
	tap = &port{device: t.Tap, Iface: iface.Iface{Kind: iface.Tap, Name: c.tapName(), Up: true, Ethernet: true,
		Offload: t.Tap.Info().Offload, MTU: uint32(t.Host.MTU), MAC: tapMAC(up.MAC), Addr4: tapAddr},
		peer: Peer{Name: u.Interface, Mirrors: u.Interface, Addrs: up.addrs}}
	return up, tap
}

func mac(a net.HardwareAddr) (m hdr.MAC) {
	copy(m[:], a)
	return m
}

// tapMAC returns Skein's own address on the TAP of an uplink: the uplink's,
// turned into another that nobody has sold (IEEE 802, the U/L bit).
func tapMAC(uplink hdr.MAC) hdr.MAC {
	m := uplink
	m[0] = m[0]&^1 | 2
	m[1] ^= 0x5c
	return m
}

// tapName returns the first free of tap0, tap1 …
func (c *Control) tapName() string { return c.freeName("tap") }

func (c *Control) freeName(prefix string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := 0; ; n++ {
		name := prefix + strconv.Itoa(n)
		if _, taken := c.index(name); !taken {
			return name
		}
	}
}

// join makes the two each other's peers and gives the data plane the host's
// addresses and routes.
func (c *Control) join(up, tap *port, host *takeover.Snapshot) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	up.Peer, tap.Peer = tap.index, up.index
	var routes []fib.Route
	for _, a := range host.Addrs {
		if a.Prefix.Addr().Is4() {
			routes = append(routes, addrRoutes(a, up.index, tap.index)...)
		}
	}
	for _, r := range host.Routes {
		if mirrored, ok := mirror(r, up.index); ok {
			routes = append(routes, mirrored)
		}
	}
	if err := c.rib.Add(routes...); err != nil {
		return fmt.Errorf("control: routes of the host: %w", err)
	}
	return c.publish()
}

// addrRoutes returns what an address of the host means: its packets are the
// host's, its prefix is on the link.
func addrRoutes(a takeover.Addr, up, tap uint32) []fib.Route {
	own := netip.PrefixFrom(a.Prefix.Addr(), 32)
	out := []fib.Route{{Prefix: own, Type: fib.TypePunt, Source: fib.SourceConnected, NextHops: []fib.NextHop{{Iface: tap}}}}
	link := a.Prefix.Masked()
	if a.Peer.IsValid() {
		link = a.Peer.Masked()
	}
	if link.Bits() < 32 || a.Peer.IsValid() {
		out = append(out, fib.Route{Prefix: link, Type: fib.TypeUnicast, Source: fib.SourceConnected, NextHops: []fib.NextHop{{Iface: up}}})
	}
	if link.Bits() < 31 { // RFC 3021: a /31 has no broadcast
		out = append(out, fib.Route{Prefix: netip.PrefixFrom(broadcast(link), 32), Type: fib.TypeBlackhole, Source: fib.SourceConnected})
	}
	return out
}

// broadcast returns the directed broadcast address of an IPv4 prefix, which is
// not forwarded to (RFC 2644).
func broadcast(p netip.Prefix) netip.Addr {
	a := hdr.Addr4From(p.Addr()) | hdr.Addr4(1<<(32-p.Bits())-1)
	return a.Addr()
}

// mirror returns the route that Skein needs for one of the host's, if it needs
// one: IPv4 unicast of the main table, and not what Skein has put there itself.
func mirror(r takeover.Route, up uint32) (fib.Route, bool) {
	if !r.Dst.Addr().Is4() || r.Table != unix.RT_TABLE_MAIN || r.Type != unix.RTN_UNICAST || r.Protocol == tuntap.Protocol {
		return fib.Route{}, false
	}
	return fib.Route{Prefix: r.Dst.Masked(), Type: fib.TypeUnicast, Source: fib.SourceHost, Metric: uint32(r.Metric),
		NextHops: []fib.NextHop{{Iface: up, Via: r.Via}}}, true
}

// hostRoutes lets the host reach pods and services by the TAP.
func hostRoutes(u configs.Uplink) error {
	link, err := tuntap.OpenLink("", u.Interface)
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	defer link.Close()
	for _, text := range u.HostRoutes {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("control: host route %q: %w", text, err)
		}
		if err := link.AddRoute(tuntap.Route{Dst: p}); err != nil {
			return fmt.Errorf("control: host route %s: %w", text, err)
		}
	}
	return nil
}
