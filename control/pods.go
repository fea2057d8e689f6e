package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control/store"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/tuntap"
)

// defaultMTU is that of a pod where there is no uplink to take it from
// (RFC 894).
const defaultMTU = 1500

// CreateTun creates a TUN in a pod's namespace, gives the pod its addresses
// and its default route, and routes the addresses to it. An empty name is
// chosen. The TUN outlives the daemon, which attaches to it at its next start.
func (c *Control) CreateTun(ctx context.Context, pod configs.Pod) (*Interface, error) {
	if err := c.AwaitReady(ctx); err != nil {
		return nil, err
	}
	if err := c.checkDHCP(pod); err != nil {
		return nil, err
	}
	return c.addTun(ctx, pod, tunNew)
}

// A tunOrigin says where a TUN comes from.
type tunOrigin uint8

const (
	tunNew        tunOrigin = iota // the API asks for it now
	tunAgain                       // the API has asked for it before a restart
	tunConfigured                  // the configuration asks for it
	tunKept                        // the same, and it was made before a restart
)

// addTun creates a TUN, or attaches to it if it was made before.
func (c *Control) addTun(ctx context.Context, pod configs.Pod, origin tunOrigin) (_ *Interface, err error) {
	unlock, err := c.lockTun(ctx, &pod.Name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	ctx, cancel := undisturbed(ctx)
	defer cancel()
	addrs, err := c.complete(ctx, &pod)
	if err != nil {
		return nil, err
	}
	// It is remembered first: whatever happens next, it will be found.
	asked := store.Tun{Pod: pod, Configured: origin == tunConfigured || origin == tunKept}
	if err := c.store.PutTun(asked); err != nil {
		return nil, fmt.Errorf("control: pod %s: %w", pod.Name, err)
	}
	defer func() {
		if err != nil && (origin == tunNew || origin == tunConfigured) {
			err = errors.Join(err, c.store.DelTun(pod.Name))
		}
	}()
	made := origin == tunAgain || origin == tunKept
	dev, err := c.openPod(pod, made)
	if err != nil {
		return nil, fmt.Errorf("control: pod %s: %w", pod.Name, err)
	}
	p, err := c.tunPort(pod, addrs, dev)
	discard := func() error {
		if made {
			return nil
		}
		return deletePodDevice(p)
	}
	if err != nil {
		return nil, errors.Join(err, c.closeDevice(ctx, dev), discard())
	}
	if err := c.addPort(ctx, p); err != nil {
		return nil, errors.Join(err, discard())
	}
	if err := errors.Join(c.routePod(p), c.configurePod(pod, addrs), c.relayFor(p, pod)); err != nil {
		return nil, errors.Join(err, c.removePort(ctx, p), discard())
	}
	c.log.Info("pod attached", zap.String("interface", pod.Name), zap.String("netns", pod.NetNS),
		zap.Strings("addresses", pod.Addresses), zap.String("detail", dev.Info().Detail))
	return c.interfaceOf(ctx, p)
}

// tunPort returns what a pod's TUN is to the data plane.
func (c *Control) tunPort(pod configs.Pod, addrs []netip.Prefix, dev drivers.Device) (*port, error) {
	p := &port{device: dev, Iface: iface.Iface{Kind: iface.Tun, Name: pod.Name, Up: true, Offload: dev.Info().Offload, MTU: uint32(pod.MTU)},
		peer: Peer{Name: pod.Interface, NetNS: pod.NetNS, Addrs: addrs, Workload: pod.Workload,
			Attachment: pod.Attachment, Routes: pod.Routes, Bandwidth: pod.Bandwidth}}
	if pod.Type == configs.TypeVeth {
		p.becomeEthernet(podMAC(pod))
	}
	if p.DHCPRelay = pod.DHCP && c.relay != nil; p.DHCPRelay {
		p.undo = func() error { c.relay.Remove(pod.Name); return nil }
	}
	var err error
	if p.space, err = tuntap.IdentifyNetNS(pod.NetNS); err != nil {
		return p, fmt.Errorf("control: pod %s: %w", pod.Name, err)
	}
	return p, errors.Join(p.checkSources(), p.limit(pod.Bandwidth))
}

// complete fills in what a pod leaves out, and returns its addresses if it may
// have them.
func (c *Control) complete(ctx context.Context, pod *configs.Pod) ([]netip.Prefix, error) {
	if len(pod.Attachment.Ports) > 0 {
		if err := c.useNAT(ctx); err != nil {
			return nil, err
		}
	}
	if pod.Interface == "" {
		pod.Interface = "eth0"
	}
	if pod.MTU == 0 {
		pod.MTU = c.podMTU()
	}
	pod.NetNS = netnsPath(pod.NetNS)
	addrs, err := prefixes(pod.Addresses)
	if err != nil {
		return nil, fmt.Errorf("control: pod %s: %w", pod.Name, err)
	}
	return addrs, c.free(pod.Name, addrs)
}

// openPod makes a pod's interface, or opens the one that was made before.
func (c *Control) openPod(pod configs.Pod, made bool) (drivers.Device, error) {
	if pod.Type == configs.TypeVeth {
		return openVeth(pod, made)
	}
	dev, err := c.openTun(pod, made)
	if err != nil {
		return nil, err // and not a device that is nil
	}
	return dev, nil
}

// tunQueues is how many queues a pod's TUN is asked for: one for each worker. It
// costs a pod's kernel memory 0.25 MiB instead of 0.04 to have more than one
// (tuntap, SetNoQueue), so with one worker there is one.
func (c *Control) tunQueues() int { return c.cfg.Workers.Number() }

// openTun makes a pod's TUN, or attaches to it.
func (c *Control) openTun(pod configs.Pod, made bool) (*tuntap.Device, error) {
	cfg := tuntap.Config{Name: pod.Interface, Mode: tuntap.TUN, NetNS: pod.NetNS, Queues: c.tunQueues(), Persist: true,
		NoQueue: true, Offload: pod.Offload.On(), MTU: pod.MTU, TxQueueLen: cmp.Or(c.cfg.Buffers.PodQueue, configs.Default().Buffers.PodQueue)}
	if fds, err := c.inherited(deviceKey(pod.NetNS, pod.Interface)); err != nil {
		return nil, err
	} else if len(fds) > 0 {
		dev, err := tuntap.Adopt(cfg, fds)
		if err == nil {
			return dev, nil
		}
		c.log.Warn("a pod's TUN is opened anew", zap.String("interface", pod.Name), zap.Error(err))
	}
	if made {
		dev, err := tuntap.Attach(cfg)
		if !errors.Is(err, os.ErrNotExist) {
			return dev, err
		}
	}
	return tuntap.Create(cfg)
}

// deleteTun removes a pod's TUN for good, with what was asked for of it.
func (c *Control) deleteTun(ctx context.Context, p *port) error {
	c.mu.Lock()
	var routes []fib.Route
	for _, ch := range c.withoutIface(p.index) {
		if ch.Op == fib.OpDelete && ch.Route.Source == fib.SourceAPI {
			routes = append(routes, ch.Route)
		}
	}
	var neighbors []netip.Addr
	for key, n := range c.neighbors {
		if key.iface == p.index && n.static {
			neighbors = append(neighbors, key.ip)
		}
	}
	c.mu.Unlock()
	// It is forgotten last: if anything fails, it can be deleted again.
	err := errors.Join(c.removePort(ctx, p), deletePodDevice(p))
	if err != nil {
		return err
	}
	return c.forgetInterface(p.Name, routes, neighbors)
}

// attachTuns brings up the TUNs that the configuration asks for, and those
// that the API has asked for, and deletes those that the configuration has
// asked for before.
func (c *Control) attachTuns(ctx context.Context) error {
	if err := c.endPending(); err != nil {
		return err
	}
	known, err := c.store.Tuns()
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	for _, t := range known {
		if t.Configured && !slices.ContainsFunc(c.cfg.Pods, func(p configs.Pod) bool { return sameTun(p, t.Pod) }) {
			c.log.Info("a pod is no longer in the configuration", zap.String("interface", t.Pod.Name))
			if err := errors.Join(deleteStored(t.Pod), c.store.DelTun(t.Pod.Name)); err != nil {
				return fmt.Errorf("control: pod %s: %w", t.Pod.Name, err)
			}
		}
	}
	for _, p := range c.cfg.Pods {
		origin := tunConfigured
		if slices.ContainsFunc(known, func(t store.Tun) bool { return sameTun(p, t.Pod) }) {
			origin = tunKept
		}
		if _, err := c.addTun(ctx, p, origin); err != nil {
			return err
		}
	}
	for _, t := range known {
		if !t.Configured {
			c.attachAgain(ctx, t.Pod)
		}
	}
	return nil
}

func sameTun(a, b configs.Pod) bool {
	return a.Name == b.Name && netnsPath(a.NetNS) == netnsPath(b.NetNS) && a.Interface == b.Interface
}

// attachAgain attaches to a TUN of the API. One whose namespace is gone is
// forgotten; any other that fails is tried again at the next start.
func (c *Control) attachAgain(ctx context.Context, pod configs.Pod) {
	_, err := c.addTun(ctx, pod, tunAgain)
	if err == nil {
		return
	}
	c.log.Warn("a pod could not be attached again", zap.String("interface", pod.Name), zap.Error(err))
	if _, gone := tuntap.IdentifyNetNS(pod.NetNS); errors.Is(gone, os.ErrNotExist) || errors.Is(gone, tuntap.ErrNoNetNS) {
		if err := c.store.DelTun(pod.Name); err != nil {
			c.log.Error("forget a pod", zap.String("interface", pod.Name), zap.Error(err))
		}
	}
}

func prefixes(texts []string) (out []netip.Prefix, err error) {
	for _, t := range texts {
		p, err := netip.ParsePrefix(t)
		if err != nil {
			return nil, fmt.Errorf("%w: %q is not an address with a prefix length, such as 10.244.0.2/32", ErrInvalid, t)
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

// free reports whether a pod may have a name and addresses, and keeps the
// addresses for it until its turn ends.
func (c *Control) free(name string, addrs []netip.Prefix) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, taken := c.index(name); taken {
		return fmt.Errorf("control: interface %s: %w", name, ErrExists)
	}
	return c.reserve(name, addrs)
}

// reserve reports whether a pod may have addresses, and keeps them for it until
// its turn ends. c.mu is held.
func (c *Control) reserve(name string, addrs []netip.Prefix) error {
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
	for _, wants := range addrs {
		if of, taken := c.turns.addrs[wants.Addr()]; taken {
			return fmt.Errorf("control: address %s: %w at %s", wants.Addr(), ErrExists, of)
		}
	}
	for _, wants := range addrs {
		c.turns.addrs[wants.Addr()] = name
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
	return c.wayTo(p)
}

// wayTo is routePod with c.mu held.
func (c *Control) wayTo(p *port) error {
	if p.Ethernet {
		if err := c.knowPod(p); err != nil {
			return err
		}
	}
	if err := c.rib.Add(p.waysTo()...); err != nil {
		return fmt.Errorf("control: routes of %s: %w", p.Name, err)
	}
	return c.publish()
}

// waysTo returns the routes to a pod's addresses.
func (p *port) waysTo() (routes []fib.Route) {
	for _, a := range p.peer.Addrs {
		hop := fib.NextHop{Iface: p.index}
		if p.Ethernet {
			hop.Via = a.Addr()
		}
		routes = append(routes, fib.Route{Prefix: netip.PrefixFrom(a.Addr(), a.Addr().BitLen()), Type: fib.TypeUnicast,
			Source: fib.SourcePod, NextHops: []fib.NextHop{hop}})
	}
	return routes
}
