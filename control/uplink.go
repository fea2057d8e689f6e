package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control/takeover"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
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
	probe, err := c.probeBefore(ctx, u)
	if err != nil {
		return err
	}
	t, err := c.take(u)
	if err != nil {
		return fmt.Errorf("control: uplink %s: %w", u.Interface, err)
	}
	c.progress(u.Interface, "open the driver")
	dev, candidates, err := c.openUplink(u, t.NetNS)
	if err != nil {
		return errors.Join(err, c.closeDevice(ctx, t.Tap), t.GiveBack())
	}
	c.progress(u.Interface, "begin to move packets")
	up, tap := c.uplinkPorts(u, t, dev, candidates)
	if err := c.join(up, tap, t.Host); err != nil {
		return errors.Join(err, c.part(up, tap), c.closeDevice(ctx, dev), c.closeDevice(ctx, t.Tap), t.GiveBack())
	}
	if err := c.serveAtOnce(ctx, up, tap); err != nil {
		return errors.Join(err, c.part(up, tap), c.closeDevice(ctx, dev), c.closeDevice(ctx, t.Tap), t.GiveBack())
	}
	up.undo = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), configs.StopTimeout)
		defer cancel()
		return errors.Join(c.removePort(ctx, tap), t.GiveBack())
	}
	c.progress(u.Interface, "follow the host")
	own, err := ownHostRoutes(slices.Concat(u.HostRoutes, c.cfg.Services.CIDRs), int(up.rank))
	if err == nil {
		err = c.follow(up, tap, t, own)
	}
	if err == nil {
		err = c.confirm(ctx, u, probe)
	}
	if err == nil {
		err = t.Commit()
	}
	if err != nil {
		return errors.Join(err, c.removePort(ctx, up))
	}
	c.log.Info("uplink taken over", zap.String("uplink", u.Interface), zap.String("driver", dev.Info().Driver),
		zap.String("detail", dev.Info().Detail))
	return nil
}

// uplinkPorts returns the two interfaces that an uplink becomes.
func (c *Control) uplinkPorts(u configs.Uplink, t *takeover.Takeover, dev drivers.Device, why []Candidate) (up, tap *port) {
	info := dev.Info()
	up = &port{device: dev, candidates: why, netNS: t.NetNS, rxLimit: u.RateLimit, Iface: iface.Iface{Kind: iface.Uplink, Name: uplinkPrefix + u.Interface,
		Up: true, Ethernet: true, Offload: info.Offload, MTU: uint32(t.Host.MTU), MAC: mac(info.MAC)}}
	tap = &port{device: t.Tap, Iface: iface.Iface{Kind: iface.Tap, Name: c.tapName(), Up: true, Ethernet: true,
		Offload: t.Tap.Info().Offload, MTU: uint32(t.Host.MTU), MAC: tapMAC(up.MAC), Addr4: tapAddr},
		peer: Peer{Name: u.Interface, Mirrors: u.Interface}}
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

// join gives the data plane both interfaces, as each other's peers, and the
// host's addresses and routes. All of that is there before the queues are
// served: the first packets from the host are its questions for the gateway's
// link address, which it repeats only after a second. What an error leaves part
// takes away.
func (c *Control) join(up, tap *port, host *takeover.Snapshot) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.register(up); err != nil {
		return err
	}
	if err := c.register(tap); err != nil {
		return err
	}
	up.Peer, tap.Peer = tap.index, up.index
	up.rank = c.rank(up)
	up.setHost(host, tap.index)
	tap.standFor(up)
	_, err := c.mirrorRoutes()
	return errors.Join(err, c.publish())
}

// part takes away what join has given, and is still there.
func (c *Control) part(up, tap *port) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	up.ways = nil
	_, err := c.mirrorRoutes()
	for _, p := range []*port{tap, up} {
		if int(p.index) < len(c.ports) && c.ports[p.index] == p {
			err = errors.Join(err, c.unregister(p))
		}
	}
	return err
}
