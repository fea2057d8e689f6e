package acl_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/skein-dataplane/skein/acl"
)

// A source makes random rules and packets that meet each other often: addresses
// come from a few places, and from the edges of prefixes and sets.
type source struct {
	*rand.Rand
	sets  map[string][]acl.Member
	edges []netip.Addr // first and last addresses of prefixes, and beyond
	ports []uint16     // edges of port ranges
}

var (
	protos   = []uint8{6, 6, 6, 17, 17, 1, 58, 132, 33, 136, 47, 4, 255}
	addrSets = []string{"a0", "a1", "a2", "a3", "a4", "a5"}
	portSets = []string{"p0", "p1", "p2"}
)

func newSource(seed uint64) *source {
	return &source{Rand: rand.New(rand.NewPCG(seed, 0)), sets: map[string][]acl.Member{},
		ports: []uint16{0, 80, 65535}}
}

func pick[T any](s *source, from []T) T { return from[s.IntN(len(from))] }

// oneIn is true once in n times.
func (s *source) oneIn(n int) bool { return s.IntN(n) == 0 }

func (s *source) addr(v6 bool) netip.Addr {
	if len(s.edges) > 0 && !s.oneIn(4) {
		if a := pick(s, s.edges); a.Is4() != v6 {
			return a
		}
	}
	if v6 {
		b := [16]byte{0x20, 1, 0xd, 0xb8, 7: byte(s.IntN(2)), 8: byte(s.IntN(2)) * 255, 15: byte(s.IntN(8)) * 37}
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte{10, byte(s.IntN(2)) * 255, byte(s.IntN(4)), byte(s.IntN(8)) * 37})
}

func (s *source) prefix() netip.Prefix {
	a := s.addr(s.oneIn(3))
	n := a.BitLen() - s.IntN(18)
	if s.oneIn(3) {
		n = s.IntN(a.BitLen() + 1)
	}
	p := netip.PrefixFrom(a, n)
	first := p.Masked().Addr()
	s.edges = append(s.edges, first, last(p))
	for _, beyond := range []netip.Addr{first.Prev(), last(p).Next()} {
		if beyond.IsValid() {
			s.edges = append(s.edges, beyond)
		}
	}
	return p
}

// last returns the last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (s *source) portRange() acl.PortRange {
	first := uint16(s.IntN(65536))
	if s.oneIn(2) {
		first = pick(s, s.ports)
	}
	p := acl.PortRange{First: first, Last: first}
	if s.oneIn(2) {
		p.Last += uint16(s.IntN(65536 - int(first)))
	}
	s.ports = append(s.ports, p.First, p.Last, p.First-1, p.Last+1)
	return p
}

// some returns a few of what next returns, or none most of the time.
func some[T any](s *source, next func() T) (out []T) {
	if !s.oneIn(6) {
		return nil
	}
	for range 1 + s.IntN(3) {
		out = append(out, next())
	}
	return out
}

func (s *source) side(ports bool) (side acl.Side) {
	anySet := func() string { return pick(s, addrSets) }
	if ports {
		anySet = func() string { return pick(s, append(portSets, addrSets...)) }
		port := func() string { return pick(s, portSets) }
		side.Ports, side.NotPorts = some(s, s.portRange), some(s, s.portRange)
		side.NamedPorts, side.NotNamedPorts = some(s, port), some(s, port)
	}
	side.Nets, side.NotNets = some(s, s.prefix), some(s, s.prefix)
	side.Sets, side.NotSets = some(s, anySet), some(s, anySet)
	return side
}

func (s *source) icmp() *acl.ICMP {
	return &acl.ICMP{Type: uint8(s.IntN(4)) * 85, Code: uint8(s.IntN(3)), HasCode: s.oneIn(2)}
}

func (s *source) rule(pass bool) (r acl.Rule) {
	for {
		r = acl.Rule{Action: pick(s, []acl.Action{acl.Allow, acl.Deny, acl.Log, acl.Pass})}
		if s.oneIn(6) {
			r.Family = pick(s, []uint8{4, 6})
		}
		if s.oneIn(2) {
			r.Proto = pick(s, protos)
		}
		if s.oneIn(8) {
			r.NotProto = pick(s, protos)
		}
		ports := s.oneIn(2)
		r.Src, r.Dst = s.side(ports), s.side(ports)
		if !ports && s.oneIn(4) {
			r.ICMP = s.icmp()
		}
		if !ports && s.oneIn(4) {
			r.NotICMP = s.icmp()
		}
		if (pass || r.Action != acl.Pass) && r.Check() == nil && !s.portsWithout(&r) {
			return r
		}
	}
}

// portsWithout reports whether a rule wants a set with ports of packets that
// have none, which Compile refuses.
func (s *source) portsWithout(r *acl.Rule) bool {
	t := twin{}
	return (t.wantsPorts(&r.Src) || t.wantsPorts(&r.Dst)) && (r.ICMP != nil || r.NotICMP != nil ||
		r.Proto != 0 && !slices.Contains([]uint8{6, 17, 33, 132, 136}, r.Proto))
}

func (s *source) policies(prefix string, rules int, pass bool) (out []acl.Policy) {
	for i := range s.IntN(3) {
		p := acl.Policy{Name: fmt.Sprint(prefix, i)}
		for range s.IntN(rules + 1) {
			p.Rules = append(p.Rules, s.rule(pass))
		}
		out = append(out, p)
	}
	return out
}

func (s *source) ruleSet(rules int) (rs acl.RuleSet) {
	for i := range s.IntN(4) {
		rs.Tiers = append(rs.Tiers, acl.Tier{Name: fmt.Sprint("tier", i), Default: pick(s, []acl.Action{acl.Deny, acl.Pass}),
			Policies: s.policies("policy", rules, true)})
	}
	rs.Profiles = s.policies("profile", rules, false)
	return rs
}

func (s *source) member(ports bool) acl.Member {
	if !ports {
		if s.oneIn(3) {
			return acl.Member{Prefix: s.prefix().Masked()}
		}
		return acl.MemberOf(s.addr(s.oneIn(2)))
	}
	m := acl.MemberOf(s.addr(s.oneIn(2)))
	m.Proto, m.Port = pick(s, []uint8{6, 17}), pick(s, s.ports)
	return m
}

func (s *source) packet() packet {
	v6 := s.oneIn(2)
	p := packet{src: s.addr(v6), dst: s.addr(v6), proto: pick(s, protos), noPorts: s.oneIn(8)}
	p.srcPort, p.dstPort = pick(s, s.ports), pick(s, s.ports)
	p.typ, p.code = uint8(s.IntN(4))*85, uint8(s.IntN(3))
	return p
}

// change changes the members of one set in the Store and in the twin's.
func (s *source) change(t *testing.T, st *acl.Store) {
	name := pick(s, append(portSets, addrSets...))
	var m []acl.Member
	for range 1 + s.IntN(4) {
		m = append(m, s.member(name[0] == 'p'))
	}
	was := s.sets[name]
	switch s.IntN(8) {
	case 0:
		must(t, st.Replace(name, m...))
		s.sets[name] = m
	case 1, 2, 3:
		if len(was) > 0 {
			m = append(m, pick(s, was))
		}
		must(t, st.Remove(name, m...))
		s.sets[name] = slices.DeleteFunc(slices.Clone(was), func(o acl.Member) bool { return slices.Contains(m, o) })
	default:
		must(t, st.Add(name, m...))
		s.sets[name] = append(slices.Clone(was), m...)
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func newStore(tb testing.TB) *acl.Store {
	st := acl.NewStore()
	for _, name := range addrSets {
		must(tb, st.Define(name, acl.Nets))
	}
	for _, name := range portSets {
		must(tb, st.Define(name, acl.NetPorts))
	}
	return st
}

func placeOf(p *acl.Program, i uint32) place {
	if i == acl.NoRule {
		return place{}
	}
	r := p.Rule(i)
	if r.Rule == nil {
		return place{tier: r.Tier, rule: -1}
	}
	return place{r.Tier, r.Policy, r.Index}
}

// compare matches packets in a vector and one by one, and asks the twin.
func compare(t *testing.T, p *acl.Program, sets *acl.Sets, tw *twin, packets []packet) {
	t.Helper()
	keys, out := make([]acl.Key, len(packets)), make([]acl.Verdict, len(packets))
	for i, pkt := range packets {
		keys[i] = pkt.key()
	}
	all, want := make([]uint64, p.NumRules()), map[place]uint64{}
	p.MatchVector(keys, sets, all, out)
	for i, pkt := range packets {
		k := pkt.key()
		if one := p.Match(&k, sets, nil); one != out[i] {
			t.Fatalf("%v: alone %+v, in a vector %+v", &k, one, out[i])
		}
		v := verdict{out[i].Action, out[i].Reason, placeOf(p, out[i].Rule), placeOf(p, out[i].Log)}
		w, hits := tw.match(pkt)
		if v != w {
			t.Fatalf("%v:\n got %+v\nwant %+v\n%s", &k, v, w, dump(p))
		}
		for _, at := range hits {
			want[at]++
		}
	}
	for i, n := range all {
		if at := placeOf(p, uint32(i)); n != want[at] {
			t.Fatalf("%+v: %d hits, want %d", at, n, want[at])
		}
	}
}

func dump(p *acl.Program) (text string) {
	for i := range p.NumRules() {
		if r := p.Rule(uint32(i)); r.Rule != nil {
			text += fmt.Sprintf("%d %s/%s/%d: %v\n", i, r.Tier, r.Policy, r.Index, r.Rule)
		}
	}
	return text
}

// TestRandom compares random Programs with the slow twin, while sets change
// under them.
func TestRandom(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	for seed := range uint64(rounds) {
		s, st := newSource(seed), newStore(t)
		rules := pick(s, []int{1, 5, 20, 80})
		rs := s.ruleSet(rules)
		p, err := acl.Compile(&rs, st)
		must(t, err)
		for range 4 {
			for range 20 {
				s.change(t, st)
			}
			var packets []packet
			for range 64 {
				packets = append(packets, s.packet())
			}
			compare(t, p, st.Commit(), &twin{rs, s.sets}, packets)
		}
	}
}

// TestRandomLarge does so with more rules than one word of a summary has.
func TestRandomLarge(t *testing.T) {
	s, st := newSource(1), newStore(t)
	rs := acl.RuleSet{Tiers: []acl.Tier{{Name: "large", Default: acl.Pass, Policies: []acl.Policy{{Name: "many"}}}}}
	for range 9000 {
		r := s.rule(true)
		r.Family = 0
		// Narrow, or the first rules decide everything.
		r.Src.Nets = append(r.Src.Nets, acl.MemberOf(s.addr(s.oneIn(2))).Prefix)
		r.Dst.Nets = append(r.Dst.Nets, s.prefix())
		rs.Tiers[0].Policies[0].Rules = append(rs.Tiers[0].Policies[0].Rules, r)
	}
	rs.Tiers = append(rs.Tiers, rs.Tiers[0])
	rs.Tiers[1].Name = "again"
	for range 50 {
		s.change(t, st)
	}
	p, err := acl.Compile(&rs, st)
	must(t, err)
	var packets []packet
	for range 256 {
		packets = append(packets, s.packet())
	}
	compare(t, p, st.Commit(), &twin{rs, s.sets}, packets)
}
