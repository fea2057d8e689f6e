package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/policy"
	"github.com/skein-dataplane/skein/policy/resource"
	"github.com/skein-dataplane/skein/state"
)

// policies is what control knows of policy. The zero value but for its engine
// knows none, and then the data plane is not asked.
type policies struct {
	engine *policy.Engine
	// active is set by the first resource, and stays: who has had policy once
	// does not lose it by deleting the last of it.
	active bool
	sets   *acl.Sets
	ends   map[string]*policy.Endpoint // by ID
	gen    uint32
	ruled  map[place]*state.Ruled // what is in the data plane now
	last   *state.Policy
}

// A place is where a program is asked: at an interface, at a gate.
type place struct {
	iface uint32
	gate  state.Gate
}

func newPolicies(cfg configs.Policy) policies {
	node := cfg.NodeName
	if node == "" {
		node, _ = os.Hostname() // without a name no HostEndpoint is this node's
	}
	return policies{engine: policy.New(policy.Options{Node: node}), ends: map[string]*policy.Endpoint{}, ruled: map[place]*state.Ruled{}}
}

// loadPolicy reads the configured files, before anything is touched.
func (c *Control) loadPolicy(ctx context.Context) error {
	if len(c.cfg.Policy.Files) == 0 {
		return nil
	}
	if err := c.openSessions(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.policies.active = true
	for _, path := range c.cfg.Policy.Files {
		names, err := policyFiles(path)
		if err != nil {
			return err
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				return fmt.Errorf("control: policy: %w", err)
			}
			f, err := resource.Parse(name, text)
			if err != nil {
				return fmt.Errorf("control: policy: %w", err)
			}
			if err := c.policies.engine.Upsert(name, f.Resources...); err != nil {
				return fmt.Errorf("control: policy: %s: %w", name, err)
			}
		}
	}
	return c.commitPolicy()
}

// policyFiles returns a file's own name, or those of the YAML files in a
// directory.
func policyFiles(path string) (names []string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("control: policy: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("control: policy: %w", err)
	}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".yaml" || ext == ".yml" || ext == ".json") {
			names = append(names, filepath.Join(path, e.Name()))
		}
	}
	return names, nil
}

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
		return fmt.Errorf("control: pod %s: %w", p.Name, err)
	}
	return c.commitPolicy()
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

// commitPolicy takes over what the engine has worked out; publish makes it the
// data plane's. What could not be compiled is an error, and the rest is in force.
// c.mu is held.
func (c *Control) commitPolicy() error {
	change, err := c.policies.engine.Commit()
	if change != nil {
		c.policies.sets = change.Sets
		for _, id := range change.Removed {
			delete(c.policies.ends, id)
		}
		for _, e := range change.Updated {
			c.policies.ends[e.ID] = e
		}
		if change.Verdicts {
			c.policies.last = nil // the same programs may answer something else
		}
	}
	if err != nil {
		return fmt.Errorf("control: policy: %w", err)
	}
	return nil
}

// statePolicy returns what the data plane is to know of policy: the same as
// last time if nothing has changed. c.mu is held.
func (c *Control) statePolicy() *state.Policy {
	ps := &c.policies
	if !ps.active {
		return nil
	}
	next := &state.Policy{Sets: ps.sets, NodePasses: c.cfg.Policy.Node != "policy", Ends: make([]*state.Endpoint, len(c.ports))}
	ruled := map[place]*state.Ruled{}
	for i, p := range c.ports {
		if p != nil {
			next.Ends[i] = c.stateEnd(p, ruled)
		}
	}
	ps.ruled = ruled
	if was := ps.last; was != nil && was.Sets == next.Sets && slices.EqualFunc(was.Ends, next.Ends, sameEnd) {
		return was
	}
	ps.gen++
	next.Gen = max(ps.gen, 1)
	ps.gen, ps.last = next.Gen, next
	return next
}

func sameEnd(a, b *state.Endpoint) bool { return a == b || a != nil && b != nil && *a == *b }

// stateEnd returns what policy says at an interface, nil if nothing.
func (c *Control) stateEnd(p *port, ruled map[place]*state.Ruled) *state.Endpoint {
	e := c.endAt(p)
	switch {
	case e == nil && p.Kind == iface.Tun:
		return &state.Endpoint{Name: p.Name, Closed: true}
	case e == nil:
		return nil
	}
	at := func(g state.Gate, program *acl.Program) *state.Ruled {
		if program == nil {
			return nil
		}
		where := place{p.index, g}
		r := c.policies.ruled[where]
		if r == nil || r.Program != program {
			r = state.NewRuled(program)
		}
		ruled[where] = r
		return r
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
// that it names, or that has one of its addresses; one of all interfaces is at
// those that have none of their own, the TAPs among them: pods reach the host
// by it.
func (c *Control) endAt(p *port) *policy.Endpoint {
	if p.Kind == iface.Tun {
		return c.policies.ends[p.Name]
	}
	var all *policy.Endpoint
	for _, e := range c.policies.ends {
		switch {
		case !e.Host:
		case e.Interface == "*":
			all = e
		case p.Kind == iface.Uplink && (e.Interface == p.Name || e.Interface == p.peer.Name || e.Interface == "" && p.hasAny(e.Addrs)):
			return e
		}
	}
	return all
}

// hasAny reports whether an interface has one of the addresses.
func (p *port) hasAny(addrs []netip.Addr) bool {
	return slices.ContainsFunc(p.addrs, func(has netip.Prefix) bool { return slices.Contains(addrs, has.Addr()) })
}

// ApplyPolicy adds resources, or changes those of the same names: all that the
// YAML documents hold, or, if any of it can't be, nothing.
func (c *Control) ApplyPolicy(ctx context.Context, name string, text []byte) ([]resource.Resource, error) {
	f, err := resource.Parse(name, text)
	if err != nil {
		return nil, fmt.Errorf("control: %w: %w", ErrInvalid, err)
	}
	if err := c.openSessions(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.policies.engine.Upsert(apiSource, f.Resources...); err != nil {
		return nil, fmt.Errorf("control: policy: %w: %w", ErrExists, err)
	}
	c.policies.active = true
	return f.Resources, errors.Join(c.commitPolicy(), c.publish())
}

// apiSource is whose the resources are that the API was given.
const apiSource = "api"
