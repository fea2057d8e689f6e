package acl

import (
	"fmt"
	"slices"
)

// A Program is a RuleSet made ready for packets. It never changes, so any
// number of goroutines may use it.
//
// What can decide has a number from 0 up to NumRules: each rule in its order,
// behind those of a tier the tier's default, and at last the end of all.
type Program struct {
	engines  [2]engine // IPv4, IPv6
	verdicts []Verdict // by number; what a rule's Action is, Pass and Log included
	resume   []uint32  // by number: where to go on after Pass and Log
	rules    []Ref
	sets     map[string]setRef
	tiers    int
}

// A Ref says what a number of a Program stands for.
type Ref struct {
	Reason Reason // ByRule, ByTier or ByNobody
	Action Action
	Tier   string // "" for profiles and the end of all
	Policy string // policy or profile; "" for defaults
	Index  int    // of the rule in its policy
	Rule   *Rule  // nil for defaults; not to be written to
}

// MaxRules is the most rules that a RuleSet may have.
const MaxRules = 1 << 20

// Compile makes a Program of a RuleSet. The sets it names must be in st, which
// may be nil if it names none; it is the Commits of st that Match is to be given.
// The error wraps ErrInvalid or ErrUnknown and says which tier, policy and rule.
func Compile(rs *RuleSet, st *Store) (*Program, error) {
	p := &Program{tiers: len(rs.Tiers)}
	if err := p.flatten(rs); err != nil {
		return nil, err
	}
	conds := make([]*Rule, len(p.rules))
	for i, r := range p.rules {
		if conds[i] = r.Rule; r.Rule == nil {
			conds[i] = &Rule{} // a default matches everything
		}
	}
	c := compiler{rules: conds, store: st}
	if err := c.resolve(p.rules); err != nil {
		return nil, err
	}
	p.sets = c.sets
	for v6 := range 2 {
		e, err := c.engine(v6 == 1)
		if err != nil {
			return nil, err
		}
		p.engines[v6] = e
	}
	return p, nil
}

// NumRules returns how many numbers there are, and so the length of a slice of
// hits.
func (p *Program) NumRules() int { return len(p.rules) }

// Rule says what number i stands for, which is below NumRules.
func (p *Program) Rule(i uint32) Ref { return p.rules[i] }

// flatten numbers all that can decide.
func (p *Program) flatten(rs *RuleSet) error {
	if len(rs.Tiers) >= int(NoPolicy) {
		return fmt.Errorf("acl: %d tiers: at most %d: %w", len(rs.Tiers), NoPolicy-1, ErrInvalid)
	}
	for i, t := range rs.Tiers {
		if len(t.Policies) == 0 {
			continue
		}
		def := t.Default
		if def == Undecided {
			def = Deny
		}
		if def != Deny && def != Pass {
			return fmt.Errorf("acl: tier %q: default %v: neither deny nor pass: %w", t.Name, def, ErrInvalid)
		}
		first := len(p.rules)
		if err := p.policies(i, t.Name, t.Policies); err != nil {
			return err
		}
		p.end(i, Ref{Reason: ByTier, Action: def, Tier: t.Name})
		for j := first; j < len(p.rules); j++ {
			if p.rules[j].Action == Pass {
				p.resume[j] = uint32(len(p.rules))
			}
		}
	}
	if err := p.policies(len(rs.Tiers), "", rs.Profiles); err != nil {
		return err
	}
	p.end(len(rs.Tiers), Ref{Reason: ByNobody, Action: Deny})
	if len(p.rules) > MaxRules {
		return fmt.Errorf("acl: %d rules: at most %d: %w", len(p.rules), MaxRules, ErrInvalid)
	}
	return nil
}

func (p *Program) policies(tier int, name string, policies []Policy) error {
	if len(policies) >= int(NoPolicy) {
		return fmt.Errorf("acl: tier %q: %d policies: at most %d: %w", name, len(policies), NoPolicy-1, ErrInvalid)
	}
	for i, pol := range policies {
		for j := range pol.Rules {
			r := pol.Rules[j].clone()
			err := r.Check()
			if err == nil && tier == p.tiers && r.Action == Pass {
				err = fmt.Errorf("acl: pass leads nowhere from a profile: %w", ErrInvalid)
			}
			if err != nil {
				return fmt.Errorf("acl: tier %q: policy %q: rule %d: %w", name, pol.Name, j, err)
			}
			p.put(tier, uint16(i), Ref{Reason: ByRule, Action: r.Action, Tier: name, Policy: pol.Name, Index: j, Rule: r})
		}
	}
	return nil
}

func (p *Program) end(tier int, r Ref) { p.put(tier, NoPolicy, r) }

func (p *Program) put(tier int, policy uint16, r Ref) {
	n := uint32(len(p.rules))
	p.rules = append(p.rules, r)
	p.resume = append(p.resume, n+1)
	p.verdicts = append(p.verdicts, Verdict{Action: r.Action, Reason: r.Reason, Tier: uint16(tier), Policy: policy, Rule: n, Log: NoRule})
}

// clone returns a copy that shares nothing with r.
func (r *Rule) clone() *Rule {
	c := *r
	for _, p := range []**ICMP{&c.ICMP, &c.NotICMP} {
		if *p != nil {
			icmp := **p
			*p = &icmp
		}
	}
	for _, s := range []*Side{&c.Src, &c.Dst} {
		s.Nets, s.NotNets = slices.Clone(s.Nets), slices.Clone(s.NotNets)
		s.Sets, s.NotSets = slices.Clone(s.Sets), slices.Clone(s.NotSets)
		s.Ports, s.NotPorts = slices.Clone(s.Ports), slices.Clone(s.NotPorts)
		s.NamedPorts, s.NotNamedPorts = slices.Clone(s.NamedPorts), slices.Clone(s.NotNamedPorts)
	}
	return &c
}
