package control

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control/store"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/policy"
	"github.com/skein-dataplane/skein/policy/resource"
)

// What runs behind a TUN, as policy knows it.

// setWorkload tells policy what runs behind a TUN, before the data plane knows
// the TUN. c.mu is held.
func (c *Control) setWorkload(p *port) error {
	w := p.peer.Workload
	if w.Name == "" {
		w.Name = p.Name
	}
	var addrs []netip.Addr
	for _, a := range p.peer.Addrs {
		addrs = append(addrs, a.Addr())
	}
	var ports []resource.Port
	for _, named := range w.Ports {
		ports = append(ports, resource.Port{Name: named.Name, Proto: protoOf[strings.ToUpper(named.Protocol)], Port: uint16(named.Port)})
	}
	err := c.policies.engine.SetWorkload(policy.Workload{ID: p.Name, Namespace: w.Namespace, Name: w.Name, Labels: w.Labels,
		ServiceAccount: w.ServiceAccount, Addrs: addrs, Ports: ports, Local: true, Interface: p.Name})
	if err != nil {
		return fmt.Errorf("control: pod %s: %w: %w", p.Name, ErrInvalid, err)
	}
	if err := c.commitPolicy(); err != nil { // it is closed, or goes on with what it has
		c.log.Error("the policy of a pod can't be worked out", zap.String("interface", p.Name), zap.Error(err))
	}
	return nil
}

// protoOf is the protocol of a named port.
var protoOf = map[string]uint8{"": 6, "TCP": 6, "UDP": 17, "SCTP": 132}

// dropWorkload forgets what ran behind a TUN. c.mu is held.
func (c *Control) dropWorkload(p *port) {
	c.policies.engine.RemoveWorkload(p.Name)
	if err := c.commitPolicy(); err != nil {
		c.log.Error("policy", zap.Error(err))
	}
}

// SetWorkload changes what policy knows a pod by, which holds from the next
// packet on. Pods of the configuration are the configuration's.
func (c *Control) SetWorkload(ctx context.Context, name string, w configs.Workload) error {
	if err := c.AwaitReady(ctx); err != nil {
		return err
	}
	unlock, err := c.lockTun(ctx, &name)
	if err != nil {
		return err
	}
	defer unlock()
	stored, err := c.storedTun(name)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.index(name)
	if !ok {
		return fmt.Errorf("control: interface %q: %w", name, ErrNotFound)
	}
	p := c.ports[i]
	was := p.peer.Workload
	p.peer.Workload = w
	if err := c.setWorkload(p); err != nil {
		p.peer.Workload = was
		return err
	}
	if err := c.publish(); err != nil {
		return err
	}
	stored.Pod.Workload = w
	return c.remembered(c.store.PutTun(stored))
}

// storedTun returns a TUN that the API has asked for.
func (c *Control) storedTun(name string) (store.Tun, error) {
	p, err := c.find(name)
	if err != nil {
		return store.Tun{}, err
	}
	if p.Kind != iface.Tun {
		return store.Tun{}, fmt.Errorf("control: %w: %s is no pod's", ErrInvalid, name)
	}
	all, err := c.store.Tuns()
	if err != nil {
		return store.Tun{}, fmt.Errorf("control: %w", err)
	}
	for _, t := range all {
		if t.Pod.Name == name && !t.Configured {
			return t, nil
		}
	}
	return store.Tun{}, fmt.Errorf("control: %w: the configuration names the pod of %s, and what runs there", ErrBusy, name)
}
