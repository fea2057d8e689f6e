package control

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/service"
	"github.com/skein-dataplane/skein/state"
)

// What services and NAT have come to becomes what the data plane looks up.

// stateFlows returns what the data plane is to know of policy and NAT. Where
// there is NAT there is a Policy, perhaps one that says nothing, and what bears
// on flows that exist comes with its next generation. c.mu is held.
func (c *Control) stateFlows() (*state.Policy, *state.NAT) {
	ps, was := &c.policies, c.nat.last
	now := c.stateNAT()
	if now != nil && (was == nil || was.Outgoing != now.Outgoing || was.Statics != now.Statics) {
		ps.last = nil // has all flows judged again
	}
	p := c.statePolicy()
	if p == nil && now != nil {
		if ps.last == nil {
			ps.gen = max(ps.gen+1, 1)
			ps.last = &state.Policy{Gen: ps.gen}
		}
		p = ps.last
	}
	return p, now
}

// stateNAT returns what the data plane is to know of services and NAT: the same
// as last time if nothing has changed. c.mu is held.
func (c *Control) stateNAT() *state.NAT {
	t := &c.nat
	if !t.active {
		return nil
	}
	c.tellWorld()
	c.tellPods()
	c.routeVIPs()
	services, changed, err := t.table.Commit()
	if err != nil {
		c.log.Error("services: what was there before stays in force", zap.Error(err))
	}
	if t.outgoing == nil {
		if t.outgoing, err = t.newOutgoing(); err != nil {
			c.log.Error("NAT: nothing leaves with the node's address", zap.Error(err))
			t.outgoing = new(nat.Outgoing)
		}
	}
	if t.statics == nil {
		t.statics = new(nat.Statics)
	}
	was, peers := t.last, t.table.Peers()
	if was != nil && !changed && was.Outgoing == t.outgoing && was.Statics == t.statics && was.Peers == peers {
		return was
	}
	c.routeStatics()
	t.last = &state.NAT{Services: services, Statics: t.statics, Outgoing: t.outgoing, Peers: peers}
	if was != nil && changed {
		t.gone.note(was.Services, services)
	}
	t.tell()
	return t.last
}

// tell wakes watchServices and watchRedirects.
func (t *translation) tell() {
	for _, news := range []chan struct{}{t.news, t.redirects.news} {
		select {
		case news <- struct{}{}:
		default: // it has not taken the last one up yet
		}
	}
}

// newOutgoing is made of pools and of what sees pods' own addresses: what the
// configuration says, the node, and the other nodes as far as they are known.
func (t *translation) newOutgoing() (*nat.Outgoing, error) {
	var pools []nat.Pool
	for _, prefix := range slices.SortedFunc(maps.Keys(t.pools), comparePrefixes) {
		pools = append(pools, nat.Pool{Prefix: prefix, NatOutgoing: t.pools[prefix].Outgoing})
	}
	exclude := slices.Clone(t.exclude)
	for _, a := range append(t.table.Nodes(), t.world.Own...) {
		exclude = append(exclude, netip.PrefixFrom(a, a.BitLen()))
	}
	return nat.NewOutgoing(pools, exclude)
}

// tellWorld tells of the node's addresses. c.mu is held.
func (c *Control) tellWorld() {
	t := &c.nat
	var own []netip.Addr
	for _, p := range c.ports {
		if p == nil || p.Kind != iface.Uplink {
			continue
		}
		for _, a := range p.addrs {
			if !a.Addr().IsLinkLocalUnicast() && !slices.Contains(own, a.Addr()) {
				own = append(own, a.Addr())
			}
		}
	}
	if !slices.Equal(own, t.world.Own) {
		t.world.Own, t.outgoing, t.vips.stale = own, nil, true
		t.table.SetWorld(t.world)
	}
}

// tellPods tells of pods' addresses and of their ports on the node. c.mu is
// held.
func (c *Control) tellPods() {
	t := &c.nat
	pods, ports := map[netip.Addr]bool{}, map[string]bool{}
	for _, p := range c.ports {
		if p == nil || p.Kind != iface.Tun {
			continue
		}
		for _, a := range p.peer.Addrs {
			pods[a.Addr()] = true
			if !t.pods[a.Addr()] {
				t.table.AddPod(a.Addr())
			}
		}
		if len(p.peer.Attachment.Ports) > 0 && len(p.peer.Addrs) > 0 {
			name := p.Name
			if w := p.peer.Workload.String(); w != "" {
				name = w + " at " + name // a pod that comes again may meet the one that goes
			}
			ports[name] = true
			if !t.hostPorts[name] {
				t.table.SetHostPorts(name, hostPorts(p))
			}
		}
	}
	for a := range t.pods {
		if !pods[a] {
			t.table.DropPod(a)
		}
	}
	for name := range t.hostPorts {
		if !ports[name] {
			t.table.SetHostPorts(name, nil)
		}
	}
	t.pods, t.hostPorts = pods, ports
}

// hostPorts returns the ports of the node that stand for a pod's.
func hostPorts(p *port) (out []service.HostPort) {
	for _, m := range p.peer.Attachment.Ports {
		host, err := netip.ParseAddr(cmp.Or(m.HostIP, "::"))
		any := err != nil || host.IsUnspecified()
		for _, a := range p.peer.Addrs {
			if !any && host.Is6() != a.Addr().Is6() {
				continue
			}
			h := service.HostPort{Proto: protoOf[strings.ToUpper(m.Protocol)], Host: uint16(m.HostPort), Addr: a.Addr(), Port: uint16(m.ContainerPort)}
			if !any {
				h.HostIP = host
			}
			out = append(out, h)
		}
	}
	return out
}

// routeStatics makes addresses that are mapped Skein's own, but for those of
// the node: it answers ARP and neighbour solicitations for them, and what is
// mapped nowhere ends here. c.mu is held.
func (c *Control) routeStatics() {
	t := &c.nat
	want := map[netip.Prefix]bool{}
	for m := range t.maps {
		a := m.External.Addr().Unmap()
		if !slices.Contains(t.world.Own, a) {
			want[netip.PrefixFrom(a, a.BitLen())] = true
		}
	}
	var steps []fib.Change
	local := func(p netip.Prefix) fib.Route {
		return fib.Route{Prefix: p, Type: fib.TypeLocal, Source: fib.SourceStatic, Metric: lastMetric}
	}
	for p := range want {
		if !t.routed[p] {
			steps = append(steps, fib.Change{Op: fib.OpAdd, Route: local(p)})
		}
	}
	for p := range t.routed {
		if !want[p] {
			steps = append(steps, fib.Change{Op: fib.OpDelete, Route: local(p)})
		}
	}
	if len(steps) == 0 {
		return
	}
	if err := c.rib.Apply(steps...); err != nil {
		c.log.Error("addresses that are mapped", zap.Error(err))
		return
	}
	t.routed = want
}

func compareStatics(a, b nat.Static) int {
	return cmp.Or(a.External.Compare(b.External), cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.ExternalPort, b.ExternalPort),
		a.Inside.Compare(b.Inside), cmp.Compare(a.InsidePort, b.InsidePort))
}
