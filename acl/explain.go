package acl

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// An Explanation is a Verdict in words: what decided, what was passed by, and
// which rules came near.
type Explanation struct {
	Packet  string
	Verdict Verdict
	Rule    Ref    // what decided
	Way     []Ref  // the Log and Pass rules that matched before, and tiers passed
	Near    []Miss // asked before the decision; those that failed least, in order
	Others  int    // rules asked before the decision that failed by more
}

// A Miss is a rule that did not match.
type Miss struct {
	Ref
	Failed []string // conditions, as in "source in set web, the packet comes from 10.0.0.1"
}

// Names says what users call things. Each func may be nil, or return "" for
// what has no name.
type Names struct {
	Set  func(name string) string // such as the selector that a set stands for
	Addr func(netip.Addr) string  // such as the pod that has the address
}

// nearest is how many misses an Explanation shows.
const nearest = 5

// Explain says why Match answers for a packet as it does. The answer and the
// rules on the way are Match's own; the misses come from a walk of the rules up
// to there. It is for people: it allocates, and takes time in proportion to the
// number of rules.
func (p *Program) Explain(k *Key, s *Sets, names Names) Explanation {
	key, hits := *k, make([]uint64, len(p.rules))
	x := Explanation{Packet: k.String(), Verdict: p.Match(&key, s, hits)}
	if int(x.Verdict.Rule) >= len(p.rules) {
		return x
	}
	x.Rule = p.rules[x.Verdict.Rule]
	w := walk{k: k, known: p.sets, names: names}
	w.in[0], w.in[1] = s.of(k.family()).list(k.number(false)), s.of(k.family()).list(k.number(true))
	var misses []Miss
	for i := uint32(0); i < x.Verdict.Rule; {
		switch r := p.rules[i]; {
		case hits[i] != 0:
			x.Way = append(x.Way, r)
			i = p.resume[i]
			continue
		case r.Rule != nil:
			misses = append(misses, Miss{r, w.failed(r.Rule)})
		}
		i++
	}
	x.Near, x.Others = near(misses)
	return x
}

// near returns the misses with the fewest failed conditions, in order, and how
// many there are besides.
func near(misses []Miss) ([]Miss, int) {
	best := slices.Clone(misses)
	slices.SortStableFunc(best, func(a, b Miss) int { return len(a.Failed) - len(b.Failed) })
	if len(best) <= nearest {
		return misses, 0
	}
	limit := len(best[nearest-1].Failed)
	var out []Miss
	for _, m := range misses {
		if len(m.Failed) <= limit && len(out) < nearest {
			out = append(out, m)
		}
	}
	return out, len(misses) - len(out)
}

// String writes the explanation on a few lines.
func (x Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %v: %v\n", x.Packet, x.Verdict.Action, x.Rule)
	for _, r := range x.Way {
		fmt.Fprintf(&b, "  on the way: %v\n", r)
	}
	for _, m := range x.Near {
		fmt.Fprintf(&b, "  not: %v: it wants %s\n", m.Ref, strings.Join(m.Failed, "; and "))
	}
	if x.Others > 0 {
		fmt.Fprintf(&b, "  and %d more that fit less\n", x.Others)
	}
	return b.String()
}

// String names a rule or a default, as in "tier default, policy allow-web, rule
// 1 (allow tcp to ports 80)". Rules count from 1, as people do.
func (r Ref) String() string {
	tier := "tier " + r.Tier + ", "
	if r.Tier == "" {
		tier = ""
	}
	switch r.Reason {
	case ByRule:
		kind := "policy"
		if r.Tier == "" {
			kind = "profile"
		}
		return fmt.Sprintf("%s%s %s, rule %d (%v)", tier, kind, r.Policy, r.Index+1, r.Rule)
	case ByTier:
		return fmt.Sprintf("%sno rule matched, default %v", tier, r.Action)
	case ByNobody:
		return "no rule matched"
	}
	return "undecided"
}

// A walk finds out which conditions of rules a packet fails.
type walk struct {
	k     *Key
	in    [2][]membership // of source and destination
	known map[string]setRef
	names Names
	list  []string
}

func (w *walk) fail(format string, args ...any) {
	w.list = append(w.list, fmt.Sprintf(format, args...))
}

// failed returns the conditions of a rule that the packet does not fulfill.
func (w *walk) failed(r *Rule) []string {
	w.list = nil
	v6 := w.k.Flags&V6 != 0
	if !r.applies(v6) {
		w.fail("IPv%d", r.Family)
	}
	if r.Proto != 0 && r.Proto != w.k.Proto || r.NotProto != 0 && r.NotProto == w.k.Proto {
		want := protoName(r.Proto)
		if r.Proto == 0 || r.Proto == w.k.Proto {
			want = "not " + protoName(r.NotProto)
		}
		w.fail("%s, the packet is %s", want, protoName(w.k.Proto))
	}
	w.icmp(r)
	w.side(&r.Src, false)
	w.side(&r.Dst, true)
	return w.list
}

func (w *walk) icmp(r *Rule) {
	if r.ICMP == nil && r.NotICMP == nil {
		return
	}
	k := w.k
	if k.Flags&NoPorts != 0 || k.Proto != icmpProto(k.Flags&V6 != 0) {
		w.fail("an ICMP type, the packet shows none")
		return
	}
	if r.ICMP != nil && !r.ICMP.is(k) {
		w.fail("%v, the packet has type %d code %d", r.ICMP, k.Type, k.Code)
	}
	if r.NotICMP != nil && r.NotICMP.is(k) {
		w.fail("not %v", r.NotICMP)
	}
}

func (c *ICMP) is(k *Key) bool { return c.Type == k.Type && (!c.HasCode || c.Code == k.Code) }

// A view is one side of a packet.
type view struct {
	what, from string // "source", "the packet comes from 10.0.0.1 (pod client)"
	addr       netip.Addr
	port       uint16
	in         []membership
	l4         uint32
}

func (w *walk) view(dst bool) view {
	v := view{what: "source", from: "the packet comes from ", addr: w.k.addr(w.k.Src), port: w.k.SrcPort, in: w.in[0]}
	if dst {
		v = view{what: "destination", from: "the packet goes to ", addr: w.k.addr(w.k.Dst), port: w.k.DstPort, in: w.in[1]}
	}
	v.l4 = w.k.member(v.port)
	v.from += v.addr.String()
	if w.names.Addr != nil {
		if name := w.names.Addr(v.addr); name != "" {
			v.from += " (" + name + ")"
		}
	}
	return v
}

func (w *walk) side(s *Side, dst bool) {
	v := w.view(dst)
	holds := func(p netip.Prefix) bool { return p.Contains(v.addr) }
	if len(s.Nets) > 0 && !slices.ContainsFunc(s.Nets, holds) {
		w.fail("%s%s, %s", v.what, list(" in ", s.Nets), v.from)
	}
	if slices.ContainsFunc(s.NotNets, holds) {
		w.fail("%s%s, %s", v.what, list(" not in ", s.NotNets), v.from)
	}
	for _, name := range s.Sets {
		if !w.member(v, name) {
			w.fail("%s in %s, %s", v.what, w.set(name), v.from)
		}
	}
	for _, name := range s.NotSets {
		switch in := w.member(v, name); {
		case in:
			w.fail("%s not in %s, %s", v.what, w.set(name), v.from)
		case w.lacksPorts(name):
			w.fail("%s not in %s, the packet shows no ports", v.what, w.set(name))
		}
	}
	if s.hasPorts() {
		w.ports(s, v)
	}
}

func (w *walk) ports(s *Side, v view) {
	if w.k.member(0) == anyL4 {
		w.fail("%s ports, the packet shows none", v.what)
		return
	}
	holds := func(p PortRange) bool { return p.First <= v.port && v.port <= p.Last }
	in := func(name string) bool { return w.member(v, name) }
	if len(s.Ports)+len(s.NamedPorts) > 0 && !slices.ContainsFunc(s.Ports, holds) && !slices.ContainsFunc(s.NamedPorts, in) {
		w.fail("%s%s, the packet has %d", v.what, list(" ports ", s.Ports)+list(" named-ports ", w.sets(s.NamedPorts)), v.port)
	}
	if slices.ContainsFunc(s.NotPorts, holds) || slices.ContainsFunc(s.NotNamedPorts, in) {
		w.fail("%s%s, the packet has %d", v.what,
			list(" not ports ", s.NotPorts)+list(" not named-ports ", w.sets(s.NotNamedPorts)), v.port)
	}
}

// lacksPorts reports whether a set has ports and the packet has none.
func (w *walk) lacksPorts(name string) bool {
	return w.known[name].kind == NetPorts && w.k.member(0) == anyL4
}

func (w *walk) member(v view, name string) bool {
	return slices.ContainsFunc(v.in, func(m membership) bool {
		return m.set() == w.known[name].number && (m.l4() == anyL4 || m.l4() == v.l4)
	})
}

func (w *walk) set(name string) string {
	if w.names.Set != nil {
		if words := w.names.Set(name); words != "" {
			return words
		}
	}
	return "set " + name
}

func (w *walk) sets(names []string) (out []string) {
	for _, n := range names {
		out = append(out, strings.TrimPrefix(w.set(n), "set "))
	}
	return out
}
