package acl

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/skein-dataplane/skein/hdr"
)

// ErrInvalid is the error of a RuleSet, a rule or a member that makes no sense.
var ErrInvalid = errors.New("invalid")

// A RuleSet is all that policy says about packets at one place: one endpoint or
// interface, in one direction. It is read as Calico's Felix reads it:
//
// Tiers are asked in order, those without policies left out. In a tier the
// policies' rules are asked in order. The first that matches decides; Log goes
// on with the next rule, Pass with the next tier. If no rule of the tier decides,
// its default does. Packets that no tier decides about are the profiles'. What
// they do not decide about either is denied.
type RuleSet struct {
	Tiers    []Tier
	Profiles []Policy // Pass is not allowed in their rules
}

// A Tier is a list of policies that stand together before the next tier's.
type Tier struct {
	Name     string
	Default  Action // Deny, which the zero Action stands for, or Pass
	Policies []Policy
}

// A Policy is a named list of rules.
type Policy struct {
	Name  string
	Rules []Rule
}

// A Rule matches a packet that fulfills all its conditions. Zero values are
// no conditions.
type Rule struct {
	Action Action
	Family uint8 // 4 or 6

	// IP protocols (IANA); 0 for none. A condition on ports stands for the
	// protocols that have some, one on ICMP types for ICMP in IPv4 and ICMPv6 in
	// IPv6.
	Proto, NotProto uint8
	ICMP, NotICMP   *ICMP
	Src, Dst        Side
}

// A Side is the conditions on the source or the destination of a packet.
//
// Prefixes bear on packets of their own family. A rule that has Nets, and none
// of a packet's family, does not match it; NotNets of the other family say
// nothing.
type Side struct {
	Nets, NotNets []netip.Prefix // in any of, in none of
	Sets, NotSets []string       // in all of, in none of
	Ports         []PortRange    // in any of these or of NamedPorts
	NotPorts      []PortRange    // in none of
	NamedPorts    []string       // sets with ports: in any of these or of Ports
	NotNamedPorts []string       // in none of
}

// A PortRange is the ports from First to Last, both included.
type PortRange struct{ First, Last uint16 }

// ICMP is a type of ICMP messages, or one code of it.
type ICMP struct {
	Type, Code uint8
	HasCode    bool
}

// MaxSets is the most sets that a list of a Side may have.
const MaxSets = 8

// Check returns an error that wraps ErrInvalid and says what is wrong with the
// rule, if anything. It does not know which sets there are.
func (r *Rule) Check() error {
	if err := r.check(); err != nil {
		return fmt.Errorf("acl: rule %q: %w: %w", r.String(), err, ErrInvalid)
	}
	return nil
}

func (r *Rule) check() error {
	if r.Action == Undecided || r.Action >= numActions {
		return fmt.Errorf("it has no action")
	}
	if r.Family != 0 && r.Family != 4 && r.Family != 6 {
		return fmt.Errorf("family %d is neither 4 nor 6", r.Family)
	}
	if r.ICMP != nil || r.NotICMP != nil {
		if r.Proto != 0 && r.Proto != hdr.ProtoICMP && r.Proto != hdr.ProtoICMPv6 {
			return fmt.Errorf("%s has no ICMP types", protoName(r.Proto))
		}
		if r.Src.hasPorts() || r.Dst.hasPorts() {
			return fmt.Errorf("no packet has both ports and an ICMP type")
		}
	}
	if (r.Src.hasPorts() || r.Dst.hasPorts()) && r.Proto != 0 && !hasPorts(r.Proto) {
		return fmt.Errorf("%s has no ports", protoName(r.Proto))
	}
	if err := r.Src.check(r.Family); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if err := r.Dst.check(r.Family); err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	return nil
}

func (s *Side) hasPorts() bool {
	return len(s.Ports)+len(s.NotPorts)+len(s.NamedPorts)+len(s.NotNamedPorts) > 0
}

func (s *Side) check(family uint8) error {
	for _, nets := range [][]netip.Prefix{s.Nets, s.NotNets} {
		for _, p := range nets {
			if err := checkPrefix(p, family); err != nil {
				return err
			}
		}
	}
	for _, ports := range [][]PortRange{s.Ports, s.NotPorts} {
		for _, p := range ports {
			if p.First > p.Last {
				return fmt.Errorf("ports %d:%d: the last is below the first", p.First, p.Last)
			}
		}
	}
	for _, sets := range [][]string{s.Sets, s.NotSets, s.NamedPorts, s.NotNamedPorts} {
		if len(sets) > MaxSets {
			return fmt.Errorf("%d sets in one list: at most %d", len(sets), MaxSets)
		}
	}
	return nil
}

func checkPrefix(p netip.Prefix, family uint8) error {
	switch {
	case !p.IsValid():
		return fmt.Errorf("prefix %v is none", p)
	case p.Addr().Is4In6():
		return fmt.Errorf("prefix %v: write it as IPv4", p)
	case family == 4 && !p.Addr().Is4(), family == 6 && p.Addr().Is4():
		return fmt.Errorf("prefix %v in a rule for IPv%d", p, family)
	}
	return nil
}
