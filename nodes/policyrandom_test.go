package nodes_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/state"
)

// A slowPolicy is the slow twin of sessions and policy in the graph: it walks
// rules one after the other, and keeps flows in a map. Which gates are asked is
// a table here.
type slowPolicy struct {
	rules *rules
	index map[string]uint32
	sets  map[string][]netip.Addr
	flows map[slowKey]*slowFlow
}

// A slowKey is a packet's flow in the packet's direction.
type slowKey struct {
	src, dst string // names of stations
	v6       bool
	proto    string
	from, to int // ports; of echo its identifier and 0
}

func (k slowKey) swap() slowKey { return slowKey{k.dst, k.src, k.v6, k.proto, k.to, k.from} }

type slowFlow struct {
	first slowKey
	gen   uint32
}

// stations are who speaks, and the interface that each is behind; Skein itself is
// behind none.
var stations = map[string]struct {
	iface, kind string
	addr        [2]netip.Addr
}{
	"a":     {"pod1", "pod", [2]netip.Addr{netip.MustParseAddr("10.1.0.7"), netip.MustParseAddr("fd00:1::7")}},
	"b":     {"pod2", "pod", [2]netip.Addr{netip.MustParseAddr("10.1.0.8"), netip.MustParseAddr("fd00:1::8")}},
	"x":     {"eth0", "wire", [2]netip.Addr{netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("2001:db8:99::2")}},
	"host":  {"tap0", "host", [2]netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")}},
	"skein": {"", "skein", [2]netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("fd00:1::1")}},
}

// asked are the gates that a flow passes, by the kinds of its ends: "from" is a
// gate of where it comes from, "to" of where it goes.
var asked = map[string]string{
	"pod pod":    "from egress, to ingress",
	"pod wire":   "from egress, to forward-egress",
	"pod host":   "from egress, to ingress",
	"pod skein":  "from egress",
	"wire pod":   "from pre-dnat, from forward-ingress, to ingress",
	"wire host":  "from pre-dnat, from ingress",
	"wire skein": "from pre-dnat, from ingress",
	"host pod":   "from egress, to ingress",
	"host wire":  "to egress",
	"host skein": "",
}

// passes says what becomes of a packet, and remembers it.
func (m *slowPolicy) passes(k slowKey) bool {
	f := m.flows[k]
	if f == nil {
		f = m.flows[k.swap()]
	}
	if f != nil && f.gen == m.rules.gen {
		return true
	}
	first := k
	if f != nil {
		first = f.first
	}
	pass, remember := m.judge(first)
	if !pass && f != nil {
		f.gen = 0 // of no policy: it is asked about again and again
		return false
	}
	delete(m.flows, first)
	if pass && remember {
		m.flows[first] = &slowFlow{first, m.rules.gen}
	}
	return pass
}

func (m *slowPolicy) judge(k slowKey) (pass, remember bool) {
	src, dst := stations[k.src], stations[k.dst]
	from, to := m.rules.ends[m.index[src.iface]], m.rules.ends[m.index[dst.iface]]
	if k.dst == "skein" {
		to = nil
	}
	if from == nil && to == nil {
		return true, false
	}
	if from != nil && from.closed || to != nil && to.closed {
		return false, false
	}
	kinds := src.kind + " " + dst.kind
	if m.rules.passes && slices.Contains([]string{"pod host", "pod skein", "host pod"}, kinds) {
		return true, true
	}
	preDNAT := false
	for at := range strings.SplitSeq(asked[kinds], ", ") {
		side, name, _ := strings.Cut(at, " ")
		e := from
		if side == "to" {
			e = to
		}
		if e == nil || e.gates[gateWords[name]] == nil {
			continue
		}
		action, byRule := m.walk(&e.gates[gateWords[name]].set, k)
		switch {
		case gateWords[name] == state.GatePreDNAT:
			if byRule && action == acl.Deny {
				return false, false
			}
			preDNAT = byRule
		case preDNAT && kinds != "wire pod":
		case action != acl.Allow:
			return false, false
		}
	}
	return true, true
}

// walk asks the rules, of tiers only.
func (m *slowPolicy) walk(set *acl.RuleSet, k slowKey) (a acl.Action, byRule bool) {
	for _, tier := range set.Tiers {
		a, byRule = acl.Undecided, false
		for _, r := range tier.Policies[0].Rules {
			if m.matches(&r, k) && r.Action != acl.Log {
				a, byRule = r.Action, true
				break
			}
		}
		if a == acl.Undecided {
			a = tier.Default
		}
		if a != acl.Pass {
			return a, byRule
		}
	}
	return acl.Deny, false
}

func (m *slowPolicy) matches(r *acl.Rule, k slowKey) bool {
	v := 0
	if k.v6 {
		v = 1
	}
	proto := map[string]uint8{"tcp": 6, "udp": 17, "echo": []uint8{1, 58}[v]}[k.proto]
	src, dst := stations[k.src].addr[v], stations[k.dst].addr[v]
	if r.Family != 0 && (r.Family == 6) != k.v6 || r.Proto != 0 && r.Proto != proto {
		return false
	}
	if r.ICMP != nil {
		typ := [][2]uint8{{8, 0}, {128, 129}}[v]
		want := typ[0]
		if k.from == 0 {
			want = typ[1]
		}
		if k.proto != "echo" || r.ICMP.Type != want {
			return false
		}
	}
	in := func(nets []netip.Prefix, a netip.Addr) bool {
		return len(nets) == 0 || slices.ContainsFunc(nets, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	for _, name := range r.Src.Sets {
		if !slices.Contains(m.sets[name], src) {
			return false
		}
	}
	if len(r.Dst.Ports) > 0 && (k.proto == "echo" || k.to < int(r.Dst.Ports[0].First) || k.to > int(r.Dst.Ports[0].Last)) {
		return false
	}
	return in(r.Src.Nets, src) && in(r.Dst.Nets, dst)
}

// randomRule writes a rule that matters in the test's little world.
func randomRule(rnd *rand.Rand) string {
	for {
		s := drawRule(rnd)
		if _, err := acl.ParseRule(s); err == nil { // a prefix of the other family, say
			return s
		}
	}
}

func drawRule(rnd *rand.Rand) string {
	one := func(words ...string) string { return words[rnd.IntN(len(words))] }
	return one("allow", "allow", "allow", "deny", "pass", "log") + one("", "", " ipv4", " ipv6") +
		one("", one(" udp", " tcp")+one("", one("", " from net 10.0.0.0/8,fd00::/16", " from set s")+" to ports "+one("1", "2", "2:3")),
			" icmp", " icmpv6", " icmp icmp-type "+one("0", "8"), " icmpv6 icmp-type "+one("128", "129"),
			" from net "+one("10.1.0.7/32,fd00:1::7/128", "8.0.0.0/8,2001:db8::/32", "192.0.2.10/32"),
			" from set s to net "+one("10.1.0.0/24,fd00:1::/64", "8.8.8.8/32"))
}

// randomChange changes one thing about a policy.
func randomChange(rnd *rand.Rand) string {
	where := []string{"pod1", "pod2", "eth0", "tap0"}[rnd.IntN(4)]
	gates := map[string][]string{"eth0": {"ingress", "egress", "forward-ingress", "forward-egress", "pre-dnat"}}[where]
	if gates == nil {
		gates = []string{"ingress", "egress"}
	}
	gate := gates[rnd.IntN(len(gates))]
	switch rnd.IntN(12) {
	case 0:
		return "policy " + where + " closed"
	case 1, 2, 3, 4:
		return "no policy " + where + " closed"
	case 5:
		return "policy node-passes"
	case 6:
		return "no policy node-passes"
	case 7:
		return "no policy " + where + " " + gate
	}
	text := fmt.Sprintf("no policy %s %s\n", where, gate)
	for tier := range 1 + rnd.IntN(2) {
		text += fmt.Sprintf("policy %s %s tier t%d %s\n", where, gate, tier, []string{"deny", "pass"}[rnd.IntN(2)])
		for range rnd.IntN(5) {
			text += fmt.Sprintf("policy %s %s %s\n", where, gate, randomRule(rnd))
		}
	}
	return text
}

// randomPacket returns a packet between two stations, and its key.
func randomPacket(rnd *rand.Rand) slowKey {
	names := []string{"a", "b", "x", "host", "skein"}
	k := slowKey{v6: rnd.IntN(2) == 0, proto: []string{"udp", "tcp", "echo"}[rnd.IntN(3)], from: 1 + rnd.IntN(3), to: 1 + rnd.IntN(3)}
	for k.src == k.dst {
		k.src, k.dst = names[rnd.IntN(4)], names[rnd.IntN(5)]
	}
	if k.proto == "echo" {
		k.to = 0
		if rnd.IntN(2) == 0 {
			k = slowKey{k.src, k.dst, k.v6, k.proto, 0, k.from}
		}
	}
	return k
}

// line writes the packet as interface in receives it.
func (k slowKey) line() (in, line string) {
	v, icmp := 0, "icmp"
	if k.v6 {
		v, icmp = 1, "icmp6"
	}
	line = fmt.Sprintf("%v > %v: ", stations[k.src].addr[v], stations[k.dst].addr[v])
	switch {
	case k.proto != "echo":
		line += fmt.Sprintf("%s %d > %d", k.proto, k.from, k.to)
	case k.from != 0:
		line += fmt.Sprintf("%s echo-request id %d seq 1", icmp, k.from)
	default:
		line += fmt.Sprintf("%s echo-reply id %d seq 1", icmp, k.to)
	}
	if k.proto == "tcp" {
		line += " flags A"
	}
	in = stations[k.src].iface
	return in, map[string]string{"eth0": "02:00:00:00:00:01 > 02:00:00:00:00:10: ", "tap0": "02:00:00:00:00:10 > 02:fe:00:00:00:01: "}[in] + line
}

// policyDrops returns how many packets policy has dropped.
func (w *whole) policyDrops() (n uint64) {
	for _, st := range w.Stats() {
		if strings.HasSuffix(st.Name, "-policy") || strings.HasSuffix(st.Name, "-open") || strings.HasSuffix(st.Name, "-session") {
			for _, a := range st.Arcs {
				if a.Drop {
					n += a.Count
				}
			}
		}
	}
	return n
}

// Random policies, which change all the time, and random packets through the
// whole graph: all outcomes are those of the slow twin.
func TestPolicyRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(21, 22))
	rounds := 300
	if raceEnabled {
		rounds = 30
	}
	w := newWhole(t, aNode+aNode6+"policy set s 10.1.0.7 2001:db8:99::2 192.0.2.10")
	for _, q := range w.queues[1:] {
		q.quiet = true
	}
	m := &slowPolicy{&w.world.rules, w.world.index, map[string][]netip.Addr{
		"s": {netip.MustParseAddr("10.1.0.7"), netip.MustParseAddr("2001:db8:99::2"), netip.MustParseAddr("192.0.2.10")}}, map[slowKey]*slowFlow{}}
	outcomes := map[bool]int{}
	var history []string
	for range rounds {
		change := randomChange(rnd)
		w.change(t, change)
		history = append(history, change)
		for range 50 {
			k := randomPacket(rnd)
			in, text := k.line()
			packet, err := receive(text, w.queues[w.world.index[in]].ethernet)
			if err != nil {
				t.Fatal(err)
			}
			known := m.flows[k] != nil || m.flows[k.swap()] != nil
			asked, before, want := w.ask(k), w.policyDrops(), m.passes(k)
			if said := asked.Drop == ""; !known && said != want {
				t.Fatalf("%s: AskPolicy says %+v, the twin passes: %v, after\n%s", text, asked, want, strings.Join(history, "\n"))
			}
			q := w.queues[w.world.index[in]]
			q.rx = append(q.rx, packet)
			w.advance(t, 1000)
			got := w.policyDrops() == before
			outcomes[got]++
			if got != want {
				t.Fatalf("%s: passes: %v, the twin says %v, after\n%s", text, got, want, strings.Join(history, "\n"))
			}
			if n := w.Flows.Stats().Sessions; n != len(m.flows) {
				t.Fatalf("%s: %d sessions, the twin has %d", text, n, len(m.flows))
			}
		}
	}
	if outcomes[true] < rounds*10 || outcomes[false] < rounds*10 {
		t.Errorf("passed and dropped: %v: this tests little", outcomes)
	}
}
