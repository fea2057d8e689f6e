package policy

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/policy/resource"
)

// A program is compiled rules, and what they were made of.
type program struct {
	*acl.Program
	key      string
	sets     map[string]resource.Set
	tiers    []tierOf
	profiles []*profile
	uses     int
}

// A tierOf is the policies of one tier that apply to an endpoint.
type tierOf struct {
	name     string
	def      acl.Action
	policies []*policy
}

// policiesOf returns the policies that apply to an entity, in their order.
func (e *Engine) policiesOf(ent *entity) (out []*policy) {
	for w := range ent.matched {
		out = slices.AppendSeq(out, maps.Keys(w.policies))
	}
	slices.SortFunc(out, func(a, b *policy) int {
		return cmp.Or(e.compareTiers(a.Tier, b.Tier),
			cmp.Compare(a.Order, b.Order), cmp.Compare(a.SortingKey, b.SortingKey), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// says reports whether a policy has something to say for a direction.
func (p *policy) says(d Direction, host bool) bool {
	if host && !p.Host {
		return false
	}
	if d.egress() && !p.Types.Egress || !d.egress() && !p.Types.Ingress {
		return false
	}
	switch d {
	case UntrackedIngress, UntrackedEgress:
		return p.Untracked
	case PreDNAT:
		return p.PreDNAT
	case ForwardIngress, ForwardEgress:
		return p.Forward && !p.Untracked && !p.PreDNAT
	}
	return !p.Untracked && !p.PreDNAT
}

func (p *policy) rules(d Direction) []resource.Rule {
	if d.egress() {
		return p.Out
	}
	return p.In
}

func (p *profile) rules(d Direction) []resource.Rule {
	if d.egress() {
		return p.Out
	}
	return p.In
}

// program returns the program for an endpoint and a direction, for one more use:
// one that is there, if it is of the same policies. It is nil if all passes.
func (e *Engine) program(ent *entity, d Direction, policies []*policy) (*program, error) {
	p := &program{}
	for _, pol := range policies {
		if !pol.says(d, ent.host) {
			continue
		}
		if n := len(p.tiers); n == 0 || p.tiers[n-1].name != pol.Tier {
			p.tiers = append(p.tiers, tierOf{name: pol.Tier, def: e.tier(pol.Tier).Default})
		}
		at := &p.tiers[len(p.tiers)-1]
		at.policies = append(at.policies, pol)
	}
	open := e.addProfiles(p, ent, d)
	if len(p.tiers) == 0 && open {
		return nil, nil
	}
	p.key = p.makeKey(ent.host, d)
	if known := e.programs[p.key]; known != nil {
		known.uses++
		return known, nil
	}
	return p, e.compile(p, ent.host, d)
}

// addProfiles adds the profiles that have a say, and reports whether they let
// all pass. Before sessions and services there are none, and what nothing is said
// about goes on; nor are there for what is forwarded, which then passes.
func (e *Engine) addProfiles(p *program, ent *entity, d Direction) (open bool) {
	switch {
	case d > ForwardEgress:
		return true
	case d > Egress:
		p.profiles = []*profile{allowAll("forwarded")}
		return true
	}
	for _, name := range ent.profiles {
		known := e.profiles[name]
		switch {
		case known != nil:
			p.profiles = append(p.profiles, known)
		case implicit(name):
			p.profiles = append(p.profiles, allowAll(name))
			return len(p.profiles) == 1
		}
	}
	return false
}

// implicit reports whether a profile is there without a resource: that of each
// namespace, and the one that Calico gives host endpoints it makes itself.
func implicit(name string) bool {
	return strings.HasPrefix(name, "kns.") || name == "projectcalico-default-allow"
}

func allowAll(name string) *profile {
	rules := []resource.Rule{{Number: 1, Rule: acl.Rule{Action: acl.Allow}}}
	return &profile{name: name, Profile: &resource.Profile{In: rules, Out: rules}}
}

// makeKey returns what tells a program from others.
func (p *program) makeKey(host bool, d Direction) string {
	key := []byte{byte(d), 0}
	if host {
		key[1] = 1
	}
	for _, t := range p.tiers {
		key = append(key, 't', byte(t.def))
		for _, pol := range t.policies {
			key = binary.AppendUvarint(append(key, 'p'), pol.serial)
		}
	}
	for _, prof := range p.profiles {
		key = binary.AppendUvarint(append(key, 'f'), prof.serial)
		if prof.serial == 0 { // all that are implicit say the same, each under its name
			key = append(append(key, prof.name...), 0)
		}
	}
	return string(key)
}

// compile makes a program ready, with the sets that it names.
func (e *Engine) compile(p *program, host bool, d Direction) error {
	rs := &acl.RuleSet{Tiers: e.failsafeTier(host, d)}
	p.sets = map[string]resource.Set{}
	for _, t := range p.tiers {
		tier := acl.Tier{Name: t.name, Default: t.def, Policies: e.failsafePolicy(d)}
		if d > ForwardEgress {
			tier.Default = acl.Pass
		}
		for _, pol := range t.policies {
			tier.Policies = append(tier.Policies, aclPolicy(pol.Name, pol.rules(d)))
			maps.Copy(p.sets, pol.Sets)
		}
		rs.Tiers = append(rs.Tiers, tier)
	}
	for _, prof := range p.profiles {
		rs.Profiles = append(rs.Profiles, aclPolicy(prof.name, prof.rules(d)))
		maps.Copy(p.sets, prof.Sets)
	}
	p.keepNamed(rs)
	for name, spec := range p.sets {
		if err := e.use(name, spec); err != nil {
			return err
		}
	}
	compiled, err := acl.Compile(rs, e.sets.store)
	if err != nil {
		p.uses = 1
		e.release(p)
		return err
	}
	p.Program, p.uses = compiled, 1
	e.programs[p.key] = p
	return nil
}

func aclPolicy(name string, rules []resource.Rule) acl.Policy {
	p := acl.Policy{Name: name}
	for _, r := range rules {
		p.Rules = append(p.Rules, r.Rule)
	}
	return p
}

// keepNamed leaves those sets that the rules of this direction name.
func (p *program) keepNamed(rs *acl.RuleSet) {
	named := map[string]bool{}
	of := func(policies []acl.Policy) {
		for _, pol := range policies {
			for i := range pol.Rules {
				r := &pol.Rules[i]
				for _, name := range slices.Concat(r.Src.Sets, r.Src.NotSets, r.Src.NamedPorts, r.Src.NotNamedPorts,
					r.Dst.Sets, r.Dst.NotSets, r.Dst.NamedPorts, r.Dst.NotNamedPorts) {
					named[name] = true
				}
			}
		}
	}
	for _, t := range rs.Tiers {
		of(t.Policies)
	}
	of(rs.Profiles)
	maps.DeleteFunc(p.sets, func(name string, _ resource.Set) bool { return !named[name] })
}

// release ends one use of a program.
func (e *Engine) release(p *program) {
	if p == nil {
		return
	}
	if p.uses--; p.uses > 0 {
		return
	}
	delete(e.programs, p.key)
	for name := range p.sets {
		e.unuse(name)
	}
}
