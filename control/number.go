package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control/dhcprelay"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/hdr"
)

// Pods whose addresses are known only once they have an interface: who assigns
// them may ask for them there.

// SetTunAddresses gives a pod that was created without addresses what it lacks,
// with its routes. One that has addresses is ErrExists. If it fails the pod has
// none, as before.
func (c *Control) SetTunAddresses(ctx context.Context, name string, addresses, routes []string) (*Interface, error) {
	if err := c.AwaitReady(ctx); err != nil {
		return nil, err
	}
	unlock, err := c.lockTun(ctx, &name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	ctx, cancel := undisturbed(ctx)
	defer cancel()
	was, err := c.storedTun(name)
	if err != nil {
		return nil, err
	}
	p, addrs, err := c.unnumbered(name, addresses)
	if err != nil {
		return nil, err
	}
	now := was
	now.Pod.Addresses, now.Pod.Routes = addresses, routes
	if err := c.store.PutTun(now); err != nil { // first, as in addTun
		return nil, fmt.Errorf("control: pod %s: %w", name, err)
	}
	if err := errors.Join(c.number(p, addrs, routes), c.configurePod(now.Pod, addrs)); err != nil {
		return nil, errors.Join(err, c.number(p, nil, was.Pod.Routes), c.configurePod(was.Pod, nil), c.store.PutTun(was))
	}
	c.log.Info("pod has addresses", zap.String("interface", name), zap.Strings("addresses", addresses))
	return c.interfaceOf(ctx, p)
}

// unnumbered returns a pod that has no addresses, and those that it is to have
// if it may.
func (c *Control) unnumbered(name string, addresses []string) (*port, []netip.Prefix, error) {
	addrs, err := prefixes(addresses)
	if err != nil {
		return nil, nil, fmt.Errorf("control: pod %s: %w", name, err)
	}
	p, err := c.find(name)
	if err != nil {
		return nil, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(p.peer.Addrs) > 0 {
		return nil, nil, fmt.Errorf("control: addresses of pod %s: %w", name, ErrExists)
	}
	return p, addrs, c.reserve(name, addrs)
}

// number has the data plane and policy know a pod by its addresses, or, without
// any, by those that it has no more.
func (c *Control) number(p *port, addrs []netip.Prefix, routes []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.forgetWays(p); err != nil {
		return err
	}
	p.peer.Addrs, p.peer.Routes = addrs, routes
	if err := c.setWorkload(p); err != nil {
		return err
	}
	return c.wayTo(p)
}

// forgetWays takes away what leads to a pod's addresses. c.mu is held.
func (c *Control) forgetWays(p *port) error {
	var routes []fib.Route
	for _, r := range p.waysTo() {
		if _, there := c.rib.route(r); there {
			routes = append(routes, r)
		}
	}
	for _, a := range p.peer.Addrs {
		if key := (neighborKey{p.index, a.Addr()}); c.neighbors[key] != nil {
			c.forget(key, c.neighbors[key])
		}
	}
	if err := c.rib.Delete(routes...); err != nil {
		return fmt.Errorf("control: routes of %s: %w", p.Name, err)
	}
	return nil
}

// newRelay returns what relays pods' DHCP, or nil where that is not asked for.
func newRelay(cfg configs.CNI, log *zap.Logger) *dhcprelay.Relay {
	server, err := netip.ParseAddr(cfg.DHCPServer)
	if err != nil {
		return nil // there is none: configs has checked it
	}
	to := dhcprelay.Config{Server: server, MAC: gatewayMAC}
	if subnet, err := netip.ParseAddr(cfg.DHCPSubnet); err == nil {
		to.Subnet = subnet
	}
	return dhcprelay.New(to, log)
}

// DHCPRelay returns what the relay of pods' DHCP has done; not ok without one.
func (c *Control) DHCPRelay() (s dhcprelay.Stats, ok bool) {
	if c.relay == nil {
		return s, false
	}
	return c.relay.Stats(), true
}

// checkDHCP refuses a pod that would ask for its addresses in vain.
func (c *Control) checkDHCP(pod configs.Pod) error {
	switch {
	case !pod.DHCP:
		return nil
	case pod.Type != configs.TypeVeth:
		return fmt.Errorf("control: pod %s: %w: DHCP needs an Ethernet device (veth)", pod.Name, ErrInvalid)
	case c.relay == nil:
		return fmt.Errorf("control: pod %s: %w: DHCP: the daemon knows no server: cni.dhcp_server is not set", pod.Name, ErrInvalid)
	}
	return nil
}

// relayFor has a pod reach its DHCP server, if it needs one. After a restart
// without a server it keeps what it has.
func (c *Control) relayFor(p *port, pod configs.Pod) error {
	if !pod.DHCP || c.relay == nil {
		return nil
	}
	if err := c.relay.Add(pod.Name, hdr.MAC(p.peer.MAC)); err != nil {
		return fmt.Errorf("control: pod %s: %w", pod.Name, err)
	}
	return nil
}
