package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/tuntap"
)

// defaultMTU is that of a pod where there is no uplink to take it from
// (RFC 894).
const defaultMTU = 1500

// podQueue is how many packets the kernel holds for a TUN that Skein has not
// read yet: its own default for a TUN (TUN_READQ_SIZE).
const podQueue = 500

// CreateTun creates a TUN in a pod's namespace, gives the pod its addresses
// and its default route, and routes the addresses to it. An empty name is
// chosen.
func (c *Control) CreateTun(ctx context.Context, pod configs.Pod) (*Interface, error) {
	if pod.Name == "" {
		pod.Name = c.freeName("tun")
	}
	if pod.Interface == "" {
		pod.Interface = "eth0"
	}
	addrs, err := prefixes(pod.Addresses)
	if err != nil {
		return nil, fmt.Errorf("control: pod %s: %w", pod.Name, err)
	}
	if err := c.free(pod.Name, addrs); err != nil {
		return nil, err
	}
	if pod.MTU == 0 {
		pod.MTU = c.podMTU()
	}
	pod.NetNS = netnsPath(pod.NetNS)
	dev, err := tuntap.Create(tuntap.Config{Name: pod.Interface, Mode: tuntap.TUN, NetNS: pod.NetNS, Queues: 1,
		Offload: pod.Offload.On(), MTU: pod.MTU, TxQueueLen: podQueue})
	if err != nil {
		return nil, fmt.Errorf("control: pod %s: %w", pod.Name, err)
	}
	p := &port{device: dev, peer: Peer{Name: pod.Interface, NetNS: pod.NetNS, Addrs: addrs},
		Iface: iface.Iface{Kind: iface.Tun, Name: pod.Name, Up: true, Offload: dev.Info().Offload, MTU: uint32(pod.MTU)}}
	if err := p.enable(iface.IP4Unicast, "ip4-source-check"); err != nil {
		return nil, errors.Join(err, c.closeDevice(ctx, dev))
	}
	if err := c.addPort(ctx, p); err != nil {
		return nil, err
	}
	if err := errors.Join(c.routePod(p), configurePod(pod, addrs)); err != nil {
		return nil, errors.Join(err, c.removePort(ctx, p))
	}
	c.log.Info("pod attached", zap.String("interface", pod.Name), zap.String("netns", pod.NetNS),
		zap.Strings("addresses", pod.Addresses), zap.String("detail", dev.Info().Detail))
	return c.interfaceOf(ctx, p)
}

func prefixes(texts []string) (out []netip.Prefix, err error) {
	for _, t := range texts {
		p, err := netip.ParsePrefix(t)
		if err != nil {
			return nil, fmt.Errorf("%w: %q is not an address with a prefix length, such as 10.244.0.2/32", ErrInvalid, t)
		}
		if !p.Addr().Is4() {
			return nil, fmt.Errorf("%w: %s: only IPv4 is supported yet", ErrInvalid, t)
		}
		out = append(out, p)
	}
	return out, nil
}

// netnsPath turns a name as for ip netns into a path.
func netnsPath(s string) string {
	if strings.ContainsRune(s, '/') {
		return s
	}
	return filepath.Join("/run/netns", s)
}

// free reports whether a pod may have a name and addresses.
func (c *Control) free(name string, addrs []netip.Prefix) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, taken := c.index(name); taken {
		return fmt.Errorf("control: interface %s: %w", name, ErrExists)
	}
	for _, p := range c.ports {
		if p == nil {
			continue
		}
		for _, has := range slices.Concat(p.addrs, p.peer.Addrs) {
			for _, wants := range addrs {
				if has.Addr() == wants.Addr() {
					return fmt.Errorf("control: address %s: %w at %s", wants.Addr(), ErrExists, p.Name)
				}
			}
		}
	}
	return nil
}

// podMTU returns the smallest MTU of the uplinks.
func (c *Control) podMTU() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	mtu := 0
	for _, p := range c.ports {
		if p != nil && p.Kind == iface.Uplink && (mtu == 0 || int(p.MTU) < mtu) {
			mtu = int(p.MTU)
		}
	}
	if mtu == 0 {
		return defaultMTU
	}
	return mtu
}

// routePod routes a pod's addresses to its TUN.
func (c *Control) routePod(p *port) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var routes []fib.Route
	for _, a := range p.peer.Addrs {
		routes = append(routes, fib.Route{Prefix: netip.PrefixFrom(a.Addr(), a.Addr().BitLen()), Type: fib.TypeUnicast,
			Source: fib.SourcePod, NextHops: []fib.NextHop{{Iface: p.index}}})
	}
	if err := c.rib.Add(routes...); err != nil {
		return fmt.Errorf("control: routes of %s: %w", p.Name, err)
	}
	return c.publish()
}

// configurePod sets the pod's side up.
func configurePod(pod configs.Pod, addrs []netip.Prefix) error {
	link, err := tuntap.OpenLink(pod.NetNS, pod.Interface)
	if err != nil {
		return fmt.Errorf("control: pod %s: %w", pod.Name, err)
	}
	defer link.Close()
	if err := link.SetUp(); err != nil {
		return fmt.Errorf("control: pod %s: %w", pod.Name, err)
	}
	for _, a := range addrs {
		if err := link.AddAddr(a); err != nil {
			return fmt.Errorf("control: pod %s: %w", pod.Name, err)
		}
	}
	if err := link.AddRoute(tuntap.Route{Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0)}); err != nil {
		return fmt.Errorf("control: pod %s: %w", pod.Name, err)
	}
	return nil
}
