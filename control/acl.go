package control

import (
	"fmt"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/policy"
	"github.com/skein-dataplane/skein/state"
)

// accessList is what the tier and the policy of an access list are called.
const accessList = "access list"

// lists are the access lists of an interface; nil is none.
type lists struct{ in, out *acl.Program }

// newLists compiles the configured access lists, by the interface's name. They
// never change, so that their hits go on counting.
func newLists(all []configs.ACL) (map[string]lists, error) {
	out := map[string]lists{}
	for i, a := range all {
		in, err := newList(a.In)
		if err != nil {
			return nil, fmt.Errorf("control: acls[%d].in: %w", i, err)
		}
		o, err := newList(a.Out)
		if err != nil {
			return nil, fmt.Errorf("control: acls[%d].out: %w", i, err)
		}
		out[a.Interface] = lists{in, o}
	}
	return out, nil
}

// newList compiles rules. What none of them allows is denied.
func newList(lines []string) (*acl.Program, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	rules := make([]acl.Rule, len(lines))
	for i, line := range lines {
		r, err := configs.ParseACLRule(line)
		if err != nil {
			return nil, err
		}
		rules[i] = r
	}
	return acl.Compile(&acl.RuleSet{Tiers: []acl.Tier{{Name: accessList, Default: acl.Deny,
		Policies: []acl.Policy{{Name: accessList, Rules: rules}}}}}, nil)
}

// listStatus reads the rules of an access list back.
func listStatus(p *acl.Program) (st policy.Status) {
	st.Program = p
	tier := policy.TierStatus{Name: accessList}
	list := policy.PolicyStatus{Name: accessList}
	for i := range uint32(p.NumRules()) {
		switch ref := p.Rule(i); ref.Reason {
		case acl.ByRule:
			list.Rules = append(list.Rules, policy.RuleStatus{Number: ref.Index + 1, Program: i, Text: ref.Rule.String()})
		case acl.ByTier:
			tier.Default, tier.Number = ref.Action, i
		}
	}
	tier.Policies = []policy.PolicyStatus{list}
	st.Tiers = []policy.TierStatus{tier}
	return st
}

// listGates returns what is shown of an endpoint's access lists.
func listGates(at *state.Endpoint) (out []PolicyGate, ruled []*state.Ruled) {
	for _, g := range []state.Gate{state.GateIn, state.GateOut} {
		if r := at.At(g); r != nil {
			out, ruled = append(out, PolicyGate{Gate: g, Status: listStatus(r.Program)}), append(ruled, r)
		}
	}
	return out, ruled
}

// addList says what an access list makes of a packet. c.mu is held.
func addList(x *Explanation, what string, r *state.Ruled, k *acl.Key) {
	if r == nil {
		return
	}
	v := r.Program.Match(k, nil, nil)
	verb := "denied"
	if v.Action == acl.Allow {
		verb = "allowed"
	}
	if ref := r.Program.Rule(v.Rule); ref.Rule != nil {
		x.add(what, "%s: rule %d: %s", verb, ref.Index+1, ref.Rule)
		return
	}
	x.add(what, "%s: no rule matched", verb)
}
