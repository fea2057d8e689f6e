package nodes_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
)

// A rules is the policy of a world. Its lines begin with "policy", and the
// first switches it on:
//
//	policy                                       nothing but to switch it on
//	policy node-passes                           pods and host reach each other
//	policy set web 10.1.0.7 10.2.0.0/16          the members of a set
//	policy set dns 10.1.0.7,udp:53               likewise, with ports
//	policy pod1 ingress                          a gate with no rule: all is denied
//	policy pod1 ingress allow tcp to ports 80    one more rule there, as acl.ParseRule has it
//	policy pod1 ingress tier admin pass          the rules that follow are of this tier, with this default
//	policy pod1 closed                           its policy is not known
//	policy pod1 quota 100 10                     sessions, and of them half-open ones
//	no policy pod1 ingress                       the gate without its rules
//	no policy pod1 closed
//	no policy node-passes
//	no policy                                    none at all
//
// Gates are ingress, egress, forward-ingress, forward-egress, pre-dnat,
// untracked-ingress, untracked-egress, in and out. Each change is a new
// generation.
type rules struct {
	gen     uint32
	on      bool
	passes  bool
	changed bool
	store   *acl.Store
	ends    map[uint32]*ruledEnd
	quotas  map[uint32]session.Quota
}

type ruledEnd struct {
	name   string
	closed bool
	gates  map[state.Gate]*ruledGate
}

type ruledGate struct {
	set   acl.RuleSet
	ruled *state.Ruled
}

var gateWords = map[string]state.Gate{"egress": state.GateFrom, "ingress": state.GateTo, "forward-egress": state.GateForwardFrom,
	"forward-ingress": state.GateForwardTo, "pre-dnat": state.GatePreDNAT, "untracked-egress": state.GateUntrackedFrom,
	"untracked-ingress": state.GateUntrackedTo, "in": state.GateIn, "out": state.GateOut}

func newRules() rules {
	return rules{store: acl.NewStore(), ends: map[uint32]*ruledEnd{}, quotas: map[uint32]session.Quota{}}
}

// policy reads a line behind the word "policy".
func (w *world) policy(words []string, no bool) error {
	r := &w.rules
	r.on, r.changed = true, true
	switch {
	case len(words) == 0:
		r.on = !no
		return nil
	case words[0] == "node-passes":
		r.passes = !no
		return nil
	case words[0] == "set" && len(words) > 1:
		return r.members(words[1], words[2:])
	case len(words) == 1:
		return fmt.Errorf("nothing after %q", words[0])
	}
	i, ok := w.index[words[0]]
	if !ok {
		return fmt.Errorf("no interface %q", words[0])
	}
	e := r.ends[i]
	if e == nil {
		e = &ruledEnd{name: words[0], gates: map[state.Gate]*ruledGate{}}
		r.ends[i] = e
	}
	switch words[1] {
	case "closed":
		e.closed = !no
		return nil
	case "quota":
		return r.quota(i, words[2:])
	}
	return e.gate(words[1], words[2:], no)
}

func (r *rules) quota(i uint32, words []string) error {
	if len(words) != 2 {
		return fmt.Errorf("not two numbers")
	}
	all, err := strconv.Atoi(words[0])
	if err != nil {
		return err
	}
	half, err := strconv.Atoi(words[1])
	r.quotas[i] = session.Quota{Sessions: uint32(all), HalfOpen: uint32(half)}
	return err
}

func (e *ruledEnd) gate(name string, words []string, no bool) error {
	gate := gateWords[name]
	if gate == state.NoGate {
		return fmt.Errorf("no gate %q", name)
	}
	if no {
		delete(e.gates, gate)
		return nil
	}
	g := e.gates[gate]
	if g == nil {
		g = &ruledGate{}
		e.gates[gate] = g
	}
	g.ruled = nil
	tiers := &g.set.Tiers
	if len(words) > 1 && words[0] == "tier" {
		t := acl.Tier{Name: words[1], Policies: []acl.Policy{{Name: "p"}}}
		if len(words) > 2 && words[2] == "pass" {
			t.Default = acl.Pass
		}
		*tiers = append(*tiers, t)
		return nil
	}
	if len(*tiers) == 0 {
		*tiers = append(*tiers, acl.Tier{Name: "default", Policies: []acl.Policy{{Name: "p"}}})
	}
	if len(words) == 0 {
		return nil
	}
	rule, err := acl.ParseRule(strings.Join(words, " "))
	last := &(*tiers)[len(*tiers)-1].Policies[0]
	last.Rules = append(slices.Clip(last.Rules), rule)
	return err
}

func (r *rules) members(name string, words []string) error {
	kind, members := acl.Nets, []acl.Member(nil)
	for _, word := range words {
		addr, port, hasPort := strings.Cut(word, ",")
		p, err := netip.ParsePrefix(addr)
		if err != nil {
			a, err := netip.ParseAddr(addr)
			if err != nil {
				return err
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		m := acl.Member{Prefix: p}
		if hasPort {
			kind = acl.NetPorts
			proto, n, _ := strings.Cut(port, ":")
			m.Proto = map[string]uint8{"tcp": 6, "udp": 17, "sctp": 132}[proto]
			number, err := strconv.ParseUint(n, 10, 16)
			if err != nil {
				return err
			}
			m.Port = uint16(number)
		}
		members = append(members, m)
	}
	if err := r.store.Define(name, kind); err != nil {
		return err
	}
	return r.store.Replace(name, members...)
}

// publish makes the policy that of st.
func (r *rules) publish(st *state.State) error {
	if !r.on {
		nodes.SetPolicy(st, nil)
		return nil
	}
	if !r.changed {
		nodes.SetPolicy(st, st.Policy)
		return nil
	}
	r.changed = false
	r.gen++
	p := &state.Policy{Gen: r.gen, NodePasses: r.passes, Sets: r.store.Commit(), Ends: make([]*state.Endpoint, len(st.Ifaces))}
	for i, e := range r.ends {
		end, err := e.endpoint(r.store, max(1, st.Workers))
		if err != nil {
			return err
		}
		p.Ends[i] = end
	}
	nodes.SetPolicy(st, p)
	return nil
}

func (e *ruledEnd) endpoint(store *acl.Store, workers int) (*state.Endpoint, error) {
	end := &state.Endpoint{Name: e.name, Closed: e.closed}
	at := map[state.Gate]**state.Ruled{state.GateFrom: &end.From, state.GateTo: &end.To, state.GateForwardFrom: &end.ForwardFrom,
		state.GateForwardTo: &end.ForwardTo, state.GatePreDNAT: &end.PreDNAT, state.GateUntrackedFrom: &end.UntrackedFrom,
		state.GateUntrackedTo: &end.UntrackedTo, state.GateIn: &end.In, state.GateOut: &end.Out}
	for gate, g := range e.gates {
		if g.ruled == nil {
			p, err := acl.Compile(&g.set, store)
			if err != nil {
				return nil, err
			}
			g.ruled = state.NewRuled(p, workers)
		}
		*at[gate] = g.ruled
	}
	return end, nil
}
