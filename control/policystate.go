package control

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/policy"
	"github.com/skein-dataplane/skein/state"
)

// What policy has worked out becomes what the data plane asks.

// statePolicy returns what the data plane is to know of policy: the same as
// last time if nothing has changed. c.mu is held.
func (c *Control) statePolicy() *state.Policy {
	ps := &c.policies
	if !ps.active && len(c.lists) == 0 {
		return nil
	}
	next := &state.Policy{Sets: ps.sets, Stateless: !ps.active && !c.nat.active, NodePasses: c.cfg.Policy.Node != "policy", Ends: make([]*state.Endpoint, len(c.ports))}
	ruled := map[place]*state.Ruled{}
	for i, p := range c.ports {
		if p != nil {
			next.Ends[i] = c.stateEnd(p, ruled)
		}
	}
	ps.ruled = ruled
	if was := ps.last; was != nil && was.Sets == next.Sets && was.Stateless == next.Stateless && slices.EqualFunc(was.Ends, next.Ends, sameEnd) {
		return was
	}
	ps.gen++
	next.Gen = max(ps.gen, 1)
	ps.gen, ps.last = next.Gen, next
	return next
}

func sameEnd(a, b *state.Endpoint) bool { return a == b || a != nil && b != nil && *a == *b }

// stateEnd returns what policy and access lists say at an interface, nil if
// nothing.
func (c *Control) stateEnd(p *port, ruled map[place]*state.Ruled) *state.Endpoint {
	at := c.ruledAt(p, ruled)
	end := c.policyEnd(p, at)
	list := c.lists[p.Name]
	if list == (lists{}) {
		return end
	}
	if end == nil {
		end = &state.Endpoint{Name: p.Name}
	}
	end.In, end.Out = at(state.GateIn, list.in), at(state.GateOut, list.out)
	return end
}

// ruledAt returns what makes a program of an interface's gate a Ruled: that
// which was there, if it has the same program, as its hits go on counting.
func (c *Control) ruledAt(p *port, ruled map[place]*state.Ruled) func(state.Gate, *acl.Program) *state.Ruled {
	return func(g state.Gate, program *acl.Program) *state.Ruled {
		if program == nil {
			return nil
		}
		where := place{p.index, g}
		r := c.policies.ruled[where]
		if r == nil || r.Program != program {
			r = state.NewRuled(program, c.cfg.Workers.Number())
		}
		ruled[where] = r
		return r
	}
}

// policyEnd returns what policy says at an interface, nil if nothing.
func (c *Control) policyEnd(p *port, at func(state.Gate, *acl.Program) *state.Ruled) *state.Endpoint {
	e := c.endAt(p)
	switch {
	case e == nil && p.Kind == iface.Tun && c.policies.active:
		return &state.Endpoint{Name: p.Name, Closed: true}
	case e == nil:
		return nil
	}
	end := &state.Endpoint{Name: e.Name, From: at(state.GateFrom, e.From), To: at(state.GateTo, e.To)}
	if p.Kind == iface.Uplink {
		end.ForwardFrom, end.ForwardTo = at(state.GateForwardFrom, e.ForwardFrom), at(state.GateForwardTo, e.ForwardTo)
		end.UntrackedFrom, end.UntrackedTo = at(state.GateUntrackedFrom, e.UntrackedFrom), at(state.GateUntrackedTo, e.UntrackedTo)
		end.PreDNAT = at(state.GatePreDNAT, e.PreDNAT)
	}
	return end
}

// endAt returns the endpoint at an interface. A HostEndpoint is at the uplink
// that it names, as the kernel does, or else that has one of its addresses; one
// of all interfaces is at those that have none of their own, the TAPs among them:
// pods reach the host by it.
func (c *Control) endAt(p *port) *policy.Endpoint {
	if p.Kind == iface.Tun {
		return c.policies.ends[p.Name]
	}
	var best *policy.Endpoint
	rank := 0
	for _, e := range c.policies.ends {
		if r := p.suits(e); r > rank || r > 0 && r == rank && e.ID < best.ID {
			best, rank = e, r
		}
	}
	return best
}

// suits says how well a HostEndpoint fits an interface: 0 if not at all.
func (p *port) suits(e *policy.Endpoint) int {
	up := p.Kind == iface.Uplink
	switch {
	case !e.Host:
	case up && e.Interface == strings.TrimPrefix(p.Name, uplinkPrefix):
		return 3
	case up && e.Interface == "" && p.hasAny(e.Addrs):
		return 2
	case e.Interface == "*":
		return 1
	}
	return 0
}

// hasAny reports whether an interface has one of the addresses.
func (p *port) hasAny(addrs []netip.Addr) bool {
	return slices.ContainsFunc(p.addrs, func(has netip.Prefix) bool { return slices.Contains(addrs, has.Addr()) })
}
