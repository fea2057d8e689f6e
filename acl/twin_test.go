package acl_test

import (
	"net/netip"
	"slices"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/hdr"
)

// A twin is the slow twin of a Program and its Sets: it walks the rules, as
// facts of policy are written down, and knows nothing of numbers, vectors and
// ranges.
type twin struct {
	rs   acl.RuleSet
	sets map[string][]acl.Member
}

// A packet is what a Key says, in the standard library's types.
type packet struct {
	src, dst         netip.Addr
	proto            uint8
	srcPort, dstPort uint16
	typ, code        uint8
	noPorts          bool
}

func (p packet) key() (k acl.Key) {
	if p.src.Is4() {
		k.Set4(hdr.Addr4From(p.src), hdr.Addr4From(p.dst), p.proto, p.srcPort, p.dstPort)
	} else {
		k.Set6(hdr.Addr6From(p.src), hdr.Addr6From(p.dst), p.proto, p.srcPort, p.dstPort)
	}
	k.Type, k.Code = p.typ, p.code
	if p.noPorts {
		k.Flags |= acl.NoPorts
	}
	return k
}

func (p packet) hasPorts() bool {
	return !p.noPorts && slices.Contains([]uint8{6, 17, 33, 132, 136}, p.proto)
}

func (p packet) hasICMP() bool {
	return !p.noPorts && (p.src.Is4() && p.proto == 1 || p.src.Is6() && p.proto == 58)
}

// verdict is what Program.Match is to answer, but for rules' numbers; hits are
// the rules it passes by.
type verdict struct {
	action acl.Action
	reason acl.Reason
	at     place
	log    place
}

// A place is a rule. The zero place is none; rule -1 is a tier's default.
type place struct {
	tier, policy string
	rule         int
}

func (t *twin) match(p packet) (v verdict, hits []place) {
	v.reason = acl.ByNobody
	judge := func(tier string, policies []acl.Policy) (acl.Action, place) {
		for _, pol := range policies {
			for i := range pol.Rules {
				r, at := &pol.Rules[i], place{tier, pol.Name, i}
				if !t.matches(r, p) {
					continue
				}
				hits = append(hits, at)
				if r.Action != acl.Log {
					return r.Action, at
				}
				if v.log == (place{}) {
					v.log = at
				}
			}
		}
		return acl.Undecided, place{}
	}
	for _, tier := range t.rs.Tiers {
		if len(tier.Policies) == 0 {
			continue
		}
		action, at := judge(tier.Name, tier.Policies)
		v.reason = acl.ByRule
		if action == acl.Undecided {
			action, at, v.reason = tier.Default, place{tier: tier.Name, rule: -1}, acl.ByTier
			hits = append(hits, at)
		}
		if action != acl.Pass {
			v.action, v.at = action, at
			return v, hits
		}
	}
	v.reason = acl.ByRule
	if v.action, v.at = judge("", t.rs.Profiles); v.action == acl.Undecided {
		v.action, v.reason, v.at = acl.Deny, acl.ByNobody, place{rule: -1}
		hits = append(hits, v.at)
	}
	return v, hits
}

func (t *twin) matches(r *acl.Rule, p packet) bool {
	if r.Family == 4 && !p.src.Is4() || r.Family == 6 && p.src.Is4() {
		return false
	}
	if r.Proto != 0 && r.Proto != p.proto || r.NotProto != 0 && r.NotProto == p.proto {
		return false
	}
	if r.ICMP != nil && !(p.hasICMP() && isICMP(r.ICMP, p)) {
		return false
	}
	if r.NotICMP != nil && !(p.hasICMP() && !isICMP(r.NotICMP, p)) {
		return false
	}
	if (t.wantsPorts(&r.Src) || t.wantsPorts(&r.Dst)) && !p.hasPorts() {
		return false
	}
	return t.side(&r.Src, p, p.src, p.srcPort) && t.side(&r.Dst, p, p.dst, p.dstPort)
}

func isICMP(c *acl.ICMP, p packet) bool {
	return c.Type == p.typ && (!c.HasCode || c.Code == p.code)
}

// wantsPorts reports whether a side says anything about ports.
func (t *twin) wantsPorts(s *acl.Side) bool {
	for _, name := range slices.Concat(s.Sets, s.NotSets) {
		if name[0] == 'p' { // as the tests name sets with ports
			return true
		}
	}
	return len(s.Ports)+len(s.NotPorts)+len(s.NamedPorts)+len(s.NotNamedPorts) > 0
}

func (t *twin) side(s *acl.Side, p packet, a netip.Addr, port uint16) bool {
	inNet := func(n netip.Prefix) bool { return n.Contains(a) }
	inPorts := func(r acl.PortRange) bool { return r.First <= port && port <= r.Last }
	inSet := func(name string) bool {
		return slices.ContainsFunc(t.sets[name], func(m acl.Member) bool {
			return m.Prefix.Contains(a) && (m.Proto == 0 || p.hasPorts() && m.Proto == p.proto && m.Port == port)
		})
	}
	switch {
	case len(s.Nets) > 0 && !slices.ContainsFunc(s.Nets, inNet), slices.ContainsFunc(s.NotNets, inNet):
		return false
	case slices.ContainsFunc(s.Sets, func(n string) bool { return !inSet(n) }), slices.ContainsFunc(s.NotSets, inSet):
		return false
	case slices.ContainsFunc(s.NotPorts, inPorts), slices.ContainsFunc(s.NotNamedPorts, inSet):
		return false
	}
	return len(s.Ports)+len(s.NamedPorts) == 0 || slices.ContainsFunc(s.Ports, inPorts) || slices.ContainsFunc(s.NamedPorts, inSet)
}
