package policy

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/policy/resource"
)

// A Status is what holds at an endpoint in one direction.
type Status struct {
	Direction Direction
	Program   *acl.Program // nil: everything passes
	Tiers     []TierStatus // in the order in which they are asked; the last has no name: the profiles
}

// A TierStatus is the policies of a tier that apply.
type TierStatus struct {
	Name     string
	Default  acl.Action
	Number   uint32 // of the default in the Program
	Policies []PolicyStatus
}

// A PolicyStatus is a policy or profile that applies.
type PolicyStatus struct {
	Ref   resource.Ref // the zero Ref for what no resource says
	Name  string
	Order float64 // infinite if there is none
	Rules []RuleStatus
}

// A RuleStatus is a rule as the Program has it.
type RuleStatus struct {
	Number  int    // in the resource, from 1
	Program uint32 // in the Program, by which hits are counted
	Text    string
}

// Show says which policies hold at an endpoint of this node, as of the last
// Commit, in each direction in which there are any. The error wraps ErrUnknown.
func (e *Engine) Show(id string) ([]Status, error) {
	l := e.endpoints[id]
	if l == nil {
		return nil, fmt.Errorf("policy: endpoint %q: %w", id, ErrUnknown)
	}
	var out []Status
	for d, p := range l.programs {
		if p != nil {
			out = append(out, p.status(Direction(d)))
		}
	}
	return out, nil
}

// status reads the program's rules back, in their order.
func (p *program) status(d Direction) Status {
	s := Status{Direction: d, Program: p.Program}
	t := teller{p: p, d: d}
	at := TierStatus{}
	for i := range uint32(p.NumRules()) {
		ref := p.Rule(i)
		if ref.Reason != acl.ByRule {
			at.Name, at.Default, at.Number = ref.Tier, ref.Action, i
			s.Tiers = append(s.Tiers, at)
			at = TierStatus{}
			continue
		}
		if n := len(at.Policies); n == 0 || at.Policies[n-1].Name != ref.Policy {
			at.Policies = append(at.Policies, t.policyStatus(ref))
		}
		pol := &at.Policies[len(at.Policies)-1]
		pol.Rules = append(pol.Rules, RuleStatus{t.number(ref), i, p.ruleText(ref.Rule)})
	}
	s.addSilent(p)
	return s
}

// addSilent adds policies without rules, which are none of the program's.
func (s *Status) addSilent(p *program) {
	for i := range s.Tiers {
		for _, tier := range p.tiers {
			if tier.name != s.Tiers[i].Name {
				continue
			}
			all := slices.DeleteFunc(slices.Clone(s.Tiers[i].Policies), func(x PolicyStatus) bool { return x.Name != failsafeName })
			for _, pol := range tier.policies {
				one := pol.status()
				if j := slices.IndexFunc(s.Tiers[i].Policies, func(x PolicyStatus) bool { return x.Name == pol.Name }); j >= 0 {
					one.Rules = s.Tiers[i].Policies[j].Rules
				}
				all = append(all, one)
			}
			s.Tiers[i].Policies = all
		}
	}
}

func (p *policy) status() PolicyStatus {
	return PolicyStatus{Ref: p.ref, Name: p.Words, Order: p.Order}
}

func (t *teller) policyStatus(ref acl.Ref) PolicyStatus {
	return PolicyStatus{Name: ref.Policy, Order: math.Inf(1)}
}

// Alarms says what was asked for that is not done: by resources, and by what
// they name that is not there. They are sorted.
func (e *Engine) Alarms() (out []resource.Alarm) {
	for ref, o := range e.resources {
		out = append(out, o.Alarms...)
		add := func(field, format string, args ...any) {
			out = append(out, resource.Alarm{Place: o.At, Ref: ref, Field: field, What: fmt.Sprintf(format, args...)})
		}
		switch spec := o.Spec.(type) {
		case *resource.Policy:
			if _, has := e.tiers[spec.Tier]; !has && spec.Tier != resource.DefaultTier {
				add("spec.tier", "there is no Tier %s: it is asked after all others", spec.Tier)
			}
			e.servicesMissing(spec.Sets, add)
		case *resource.Profile:
			e.servicesMissing(spec.Sets, add)
		case *resource.HostEndpoint:
			e.profilesMissing(spec.Profiles, add)
		}
	}
	for id, w := range e.workloads {
		e.profilesMissing(w.Profiles, func(_, format string, args ...any) {
			ref := resource.Ref{Kind: "Workload", Namespace: w.Namespace, Name: w.Name}
			out = append(out, resource.Alarm{Ref: ref, Field: id, What: fmt.Sprintf(format, args...)})
		})
	}
	slices.SortFunc(out, func(a, b resource.Alarm) int { return cmp.Compare(a.String(), b.String()) })
	return out
}

func (e *Engine) servicesMissing(sets map[string]resource.Set, add func(field, format string, args ...any)) {
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		s := sets[name].Service
		if s.Name != "" && len(e.sets.services[s]) == 0 {
			add("spec", "no EndpointSlice says who serves %s/%s: rules that name it match nothing", s.Namespace, s.Name)
		}
	}
}

func (e *Engine) profilesMissing(names []string, add func(field, format string, args ...any)) {
	for _, name := range names {
		if e.profiles[name] == nil && !implicit(name) {
			add("spec.profiles", "there is no Profile %s", name)
		}
	}
}
