package acl_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/hdr"
)

var (
	client   = netip.MustParseAddr("10.244.1.7")
	frontend = netip.MustParseAddr("10.244.1.8")
	backend  = netip.MustParseAddr("10.244.2.9")
)

// frontendBackend is the ingress of pod backend and the egress of pod frontend
// in the reference scenario, as policies compile to rules:
//
//	allow-mysql: selector: app == 'backend'
//	  ingress: allow TCP, source app == 'frontend', destination port 3306
//	allow-web: selector: app == 'frontend'
//	  egress: allow TCP, destination app == 'backend', port 3306
func frontendBackend(t *testing.T) (ingress, egress *acl.Program, sets *acl.Sets) {
	st := acl.NewStore()
	for name, pod := range map[string]netip.Addr{"s:front": frontend, "s:back": backend} {
		must(t, st.Define(name, acl.Nets))
		must(t, st.Add(name, acl.MemberOf(pod)))
	}
	mysql := []acl.PortRange{{First: 3306, Last: 3306}}
	in := tier("default/allow-mysql", acl.Rule{Action: acl.Allow, Proto: hdr.ProtoTCP,
		Src: acl.Side{Sets: []string{"s:front"}}, Dst: acl.Side{Ports: mysql}})
	out := tier("default/allow-web", acl.Rule{Action: acl.Allow, Proto: hdr.ProtoTCP,
		Dst: acl.Side{Sets: []string{"s:back"}, Ports: mysql}})
	return compile(t, in, st), compile(t, out, st), st.Commit()
}

func tier(policy string, rules ...acl.Rule) *acl.RuleSet {
	return &acl.RuleSet{Tiers: []acl.Tier{{Name: "default", Default: acl.Deny, Policies: []acl.Policy{{Name: policy, Rules: rules}}}}}
}

func compile(tb testing.TB, rs *acl.RuleSet, st *acl.Store) *acl.Program {
	tb.Helper()
	p, err := acl.Compile(rs, st)
	must(tb, err)
	return p
}

var pods = acl.Names{
	Set: func(name string) string {
		return map[string]string{"s:front": "app == 'frontend'", "s:back": "app == 'backend'"}[name]
	},
	Addr: func(a netip.Addr) string {
		return map[netip.Addr]string{client: "pod client", frontend: "pod frontend", backend: "pod backend"}[a]
	},
}

func TestExplainScenario(t *testing.T) {
	ingress, egress, sets := frontendBackend(t)
	for _, c := range []struct {
		name string
		p    *acl.Program
		pkt  packet
		want string
	}{
		{"frontend to backend", ingress, packet{src: frontend, dst: backend, proto: 6, srcPort: 40000, dstPort: 3306},
			`tcp 10.244.1.8:40000 > 10.244.2.9:3306: allow: tier default, policy default/allow-mysql, rule 1 (allow tcp from set s:front to ports 3306)
`},
		{"client to backend", ingress, packet{src: client, dst: backend, proto: 6, srcPort: 40000, dstPort: 3306},
			`tcp 10.244.1.7:40000 > 10.244.2.9:3306: deny: tier default, no rule matched, default deny
  not: tier default, policy default/allow-mysql, rule 1 (allow tcp from set s:front to ports 3306): it wants source in app == 'frontend', the packet comes from 10.244.1.7 (pod client)
`},
		{"frontend asks for DNS", egress, packet{src: frontend, dst: netip.MustParseAddr("10.96.0.10"), proto: 17, srcPort: 40000, dstPort: 53},
			`udp 10.244.1.8:40000 > 10.96.0.10:53: deny: tier default, no rule matched, default deny
  not: tier default, policy default/allow-web, rule 1 (allow tcp to set s:back ports 3306): it wants tcp, the packet is udp; and destination in app == 'backend', the packet goes to 10.96.0.10; and destination ports 3306, the packet has 53
`},
		{"fragment", ingress, packet{src: frontend, dst: backend, proto: 6, noPorts: true},
			`tcp 10.244.1.8 > 10.244.2.9 without ports: deny: tier default, no rule matched, default deny
  not: tier default, policy default/allow-mysql, rule 1 (allow tcp from set s:front to ports 3306): it wants destination ports, the packet shows none
`},
	} {
		k := c.pkt.key()
		if got := c.p.Explain(&k, sets, pods).String(); got != c.want {
			t.Errorf("%s:\n%s\nwant:\n%s", c.name, got, c.want)
		}
	}
}

// TestExplainWay follows Log, Pass and tiers that pass on to a profile.
func TestExplainWay(t *testing.T) {
	rs := &acl.RuleSet{
		Tiers: []acl.Tier{
			{Name: "nobody's"},
			{Name: "security", Policies: []acl.Policy{{Name: "watch", Rules: []acl.Rule{{Action: acl.Log, Proto: hdr.ProtoTCP}, {Action: acl.Pass}, {Action: acl.Deny}}}}},
			{Name: "app", Default: acl.Pass, Policies: []acl.Policy{{Name: "none"}}},
		},
		Profiles: []acl.Policy{{Name: "kns.default", Rules: []acl.Rule{{Action: acl.Allow}}}},
	}
	k := packet{src: client, dst: backend, proto: 6, srcPort: 1, dstPort: 2}.key()
	got := compile(t, rs, nil).Explain(&k, nil, acl.Names{}).String()
	want := `tcp 10.244.1.7:1 > 10.244.2.9:2: allow: profile kns.default, rule 1 (allow)
  on the way: tier security, policy watch, rule 1 (log tcp)
  on the way: tier security, policy watch, rule 2 (pass)
  on the way: tier app, no rule matched, default pass
`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// TestExplainMany keeps to the nearest misses.
func TestExplainMany(t *testing.T) {
	var rules []acl.Rule
	for i := range 1000 {
		rules = append(rules, acl.Rule{Action: acl.Allow, Proto: 6 + 11*uint8(i%2),
			Dst: acl.Side{Ports: []acl.PortRange{{First: uint16(i), Last: uint16(i)}}}})
	}
	k := packet{src: client, dst: backend, proto: 17, srcPort: 1, dstPort: 5000}.key()
	x := compile(t, tier("many", rules...), nil).Explain(&k, nil, acl.Names{})
	if len(x.Near) != 5 || x.Others != 995 || x.Near[0].Index != 1 || len(x.Near[0].Failed) != 1 {
		t.Errorf("%v", x)
	}
	if !strings.Contains(x.String(), "and 995 more that fit less") {
		t.Errorf("%v", x)
	}
}

// TestExplainAgrees compares what Explain says about each rule with what the
// twin says.
func TestExplainAgrees(t *testing.T) {
	for seed := range uint64(40) {
		s, st := newSource(seed+1000), newStore(t)
		rs := s.ruleSet(20)
		p := compile(t, &rs, st)
		for range 60 {
			s.change(t, st)
		}
		sets, tw := st.Commit(), &twin{rs, s.sets}
		for range 50 {
			pkt := s.packet()
			k := pkt.key()
			x := p.Explain(&k, sets, acl.Names{})
			if v := p.Match(&k, sets, nil); v != x.Verdict || len(x.Near)+x.Others+len(x.Way) > int(v.Rule) {
				t.Fatalf("%v: match %+v, explain %+v", &k, v, x)
			}
			for i := range uint32(p.NumRules()) {
				r := p.Rule(i).Rule
				if failed := acl.Failed(p, &k, sets, i); r != nil && (len(failed) == 0) != tw.matches(r, pkt) {
					t.Fatalf("%v: %v: failed %q", &k, r, failed)
				}
			}
		}
	}
}
