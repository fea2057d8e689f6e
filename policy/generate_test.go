package policy_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
)

// A source makes random resources: as YAML, and beside it what they mean in the
// model, said by functions.
type source struct {
	*rand.Rand
	m *model
}

var (
	anyNamespace = []string{"a", "b", "c"}
	anyAccount   = []string{"default", "one", "two"}
	anyKey       = []string{"app", "tier", "x.io/v"}
	anyValue     = []string{"p", "q", "r"}
	anyTier      = []string{"default", "default", "sec", "late", "nowhere"}
	anyPort      = []uint16{22, 53, 80, 81, 3306, 8080}
	anyPortName  = []string{"http", "db"}
	anyNet       = []string{"10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/30", "10.1.0.5/32", "192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32", "2001:db8::8/125", "::/0"}
)

func pick[T any](s *source, from []T) T { return from[s.IntN(len(from))] }
func (s *source) oneIn(n int) bool      { return s.IntN(n) == 0 }

func (s *source) labels() map[string]string {
	l := map[string]string{}
	for _, k := range anyKey {
		if !s.oneIn(3) {
			l[k] = pick(s, anyValue)
		}
	}
	return l
}

// cond makes a condition on labels in Calico's language. all is whether it is
// all() and nothing else.
func (s *source) cond(depth int) (text string, f labelsCond) {
	k, v, v2 := pick(s, anyKey), pick(s, anyValue), pick(s, anyValue)
	if depth > 0 && s.oneIn(3) {
		t1, f1 := s.cond(depth - 1)
		t2, f2 := s.cond(depth - 1)
		if s.oneIn(2) {
			return "(" + t1 + ") && " + t2, func(l map[string]string) bool { return f1(l) && f2(l) }
		}
		return "(" + t1 + " || (" + t2 + "))", func(l map[string]string) bool { return f1(l) || f2(l) }
	}
	switch s.IntN(8) {
	case 0:
		return k + " != '" + v + "'", func(l map[string]string) bool { return l[k] != v }
	case 1:
		return "has(" + k + ")", func(l map[string]string) bool { return l[k] != "" }
	case 2:
		return "!has(" + k + ")", func(l map[string]string) bool { return l[k] == "" }
	case 3:
		return k + " in {'" + v + "', '" + v2 + "'}", func(l map[string]string) bool { return l[k] == v || l[k] == v2 }
	case 4:
		return k + " not in {'" + v + "'}", func(l map[string]string) bool { return l[k] != v }
	}
	return k + " == '" + v + "'", func(l map[string]string) bool { return l[k] == v }
}

// kubeCond makes a Kubernetes label selector.
func (s *source) kubeCond() (text string, f labelsCond) {
	k, v := pick(s, anyKey), pick(s, anyValue)
	switch s.IntN(6) {
	case 0:
		return "{}", func(map[string]string) bool { return true }
	case 1:
		return "{matchExpressions: [{key: " + k + ", operator: NotIn, values: [" + v + "]}]}", func(l map[string]string) bool { return l[k] != v }
	case 2:
		return "{matchExpressions: [{key: " + k + ", operator: DoesNotExist}]}", func(l map[string]string) bool { return l[k] == "" }
	case 3:
		return "{matchExpressions: [{key: " + k + ", operator: Exists}, {key: " + k + ", operator: In, values: [" + v + ", p]}]}",
			func(l map[string]string) bool { return l[k] == v || l[k] == "p" }
	}
	return "{matchLabels: {" + k + ": " + v + "}}", func(l map[string]string) bool { return l[k] == v }
}

// A rendering collects a rule's YAML and its meaning.
type rendering struct {
	fields []string
	conds  []modelCond
}

func (r *rendering) add(field string, cond modelCond) {
	r.fields = append(r.fields, field)
	if cond != nil {
		r.conds = append(r.conds, cond)
	}
}

func (r *rendering) yaml() string { return "{" + strings.Join(r.fields, ", ") + "}" }

func addrOf(p *modelPacket, dst bool) netip.Addr {
	if dst {
		return p.dst
	}
	return p.src
}

func portOf(p *modelPacket, dst bool) uint16 {
	if dst {
		return p.dstPort
	}
	return p.srcPort
}

// nets of some prefixes: in any of them, or none.
func (s *source) nets(r *rendering, dst bool) {
	var nets []netip.Prefix
	var texts []string
	for range 1 + s.IntN(3) {
		nets = append(nets, netip.MustParsePrefix(pick(s, anyNet)))
		texts = append(texts, fmt.Sprintf("%q", nets[len(nets)-1]))
	}
	in := func(m *model, p *modelPacket) bool {
		return slices.ContainsFunc(nets, func(n netip.Prefix) bool { return n.Contains(addrOf(p, dst)) })
	}
	if s.oneIn(3) {
		r.add("notNets: ["+strings.Join(texts, ", ")+"]", func(m *model, p *modelPacket) bool { return !in(m, p) })
		return
	}
	r.add("nets: ["+strings.Join(texts, ", ")+"]", in)
}

// ports of TCP: numbers, ranges, names.
func (s *source) ports(r *rendering, dst bool) {
	low, name := pick(s, anyPort), pick(s, anyPortName)
	high := low + uint16(s.IntN(3))
	in := func(m *model, p *modelPacket) bool {
		port := portOf(p, dst)
		return low <= port && port <= high || m.anyAt(addrOf(p, dst), func(e *modelEntity) bool { return e.ports[name] == port })
	}
	text := fmt.Sprintf("[\"%d:%d\", %s]", low, high, name)
	if s.oneIn(4) {
		r.add("notPorts: "+text, func(m *model, p *modelPacket) bool { return !in(m, p) })
		return
	}
	r.add("ports: "+text, in)
}

// who is the selectors of one side of a rule in a policy of a namespace ("" for
// the cluster's).
func (s *source) who(r *rendering, namespace string, dst bool) {
	nsOf := func(m *model, e *modelEntity) bool { return namespace == "" || e.namespace == namespace }
	has := func(*model, *modelEntity) bool { return true }
	account := has
	any := false
	switch s.IntN(5) {
	case 0:
		text, f := s.cond(0)
		r.add(fmt.Sprintf("namespaceSelector: %q", text), nil)
		nsOf, any = func(m *model, e *modelEntity) bool { return f(m.namespaces[e.namespace]) }, true
	case 1:
		r.add("namespaceSelector: all()", nil)
		nsOf, any = func(_ *model, e *modelEntity) bool { return e.namespace != "" }, true
	case 2:
		r.add("namespaceSelector: global()", nil)
		nsOf, any = func(_ *model, e *modelEntity) bool { return e.namespace == "" }, true
	}
	if s.oneIn(4) {
		name := pick(s, anyAccount)
		text, f := s.cond(0)
		r.add(fmt.Sprintf("serviceAccounts: {names: [%s], selector: %q}", name, text), nil)
		account, any = func(m *model, e *modelEntity) bool {
			return e.isPod() && e.account == name && f(m.accounts[e.namespace+"/"+name])
		}, true
	}
	if s.oneIn(2) {
		text, f := s.cond(1)
		r.add(fmt.Sprintf("selector: %q", text), nil)
		has, any = func(_ *model, e *modelEntity) bool { return f(e.labels) }, true
	}
	if s.oneIn(4) {
		text, f := s.cond(0)
		r.add(fmt.Sprintf("notSelector: %q", text), func(m *model, p *modelPacket) bool {
			return !m.anyAt(addrOf(p, dst), func(e *modelEntity) bool { return f(e.labels) })
		})
		any = any || namespace != ""
	}
	if any {
		r.conds = append(r.conds, func(m *model, p *modelPacket) bool {
			return m.anyAt(addrOf(p, dst), func(e *modelEntity) bool { return nsOf(m, e) && account(m, e) && has(m, e) })
		})
	}
}

func (s *source) side(namespace string, dst, tcp, far bool) (string, []modelCond) {
	r := &rendering{}
	if far && s.oneIn(8) {
		s.service(r, dst)
		return r.yaml(), r.conds
	}
	if s.oneIn(4) {
		s.nets(r, dst)
	}
	if tcp && s.oneIn(2) {
		s.ports(r, dst)
	}
	if s.oneIn(2) {
		s.who(r, namespace, dst)
	}
	return r.yaml(), r.conds
}

func (s *source) service(r *rendering, dst bool) {
	ns := pick(s, anyNamespace)
	r.add("services: {name: web, namespace: "+ns+"}", func(m *model, p *modelPacket) bool {
		return slices.ContainsFunc(m.services[ns+"/web"], func(a netip.AddrPort) bool {
			return a.Addr() == addrOf(p, dst) && (!dst || p.proto == 6 && a.Port() == p.dstPort)
		})
	})
}

func (s *source) calicoRule(namespace string, ingress, pass bool) (string, modelRule) {
	actions := []string{"Allow", "Allow", "Deny", "Log", "Pass"}
	if !pass {
		actions = actions[:4]
	}
	action := pick(s, actions)
	r := &rendering{}
	r.add("action: "+action, nil)
	if s.oneIn(8) {
		v := pick(s, []int{4, 6})
		r.add(fmt.Sprint("ipVersion: ", v), func(_ *model, p *modelPacket) bool { return p.src.Is4() == (v == 4) })
	}
	tcp, icmp := false, false
	switch s.IntN(6) {
	case 0, 1, 2:
		tcp = true
		r.add("protocol: "+pick(s, []string{"TCP", "6"}), func(_ *model, p *modelPacket) bool { return p.proto == 6 })
	case 3:
		r.add("notProtocol: UDP", func(_ *model, p *modelPacket) bool { return p.proto != 17 })
	case 4:
		icmp = true
		r.add("protocol: ICMP", func(_ *model, p *modelPacket) bool { return p.proto == 1 })
		r.add("icmp: {type: 8}", func(_ *model, p *modelPacket) bool { return p.src.Is4() && p.typ == 8 })
	}
	r.rest(s, namespace, ingress, tcp, icmp)
	return r.yaml(), modelRule{strings.ToLower(action), r.conds}
}

// rest adds source and destination, without prefixes that ipVersion excludes.
func (r *rendering) rest(s *source, namespace string, ingress, tcp, icmp bool) {
	for _, dst := range []bool{false, true} {
		text, conds := s.side(namespace, dst, tcp, dst != ingress && !icmp)
		if strings.HasPrefix(r.fields[min(1, len(r.fields)-1)], "ipVersion") && strings.Contains(strings.ToLower(text), "nets:") {
			continue
		}
		r.add([...]string{"source: ", "destination: "}[map[bool]int{true: 1}[dst]]+text, nil)
		r.conds = append(r.conds, conds...)
	}
}

func (s *source) calicoRules(namespace string, ingress, pass bool) (string, []modelRule) {
	var texts []string
	var rules []modelRule
	for range s.IntN(4) {
		text, r := s.calicoRule(namespace, ingress, pass)
		texts, rules = append(texts, text), append(rules, r)
	}
	return "[" + strings.Join(texts, ", ") + "]", rules
}

func orderText(order float64) string {
	if math.IsInf(order, 1) {
		return "null"
	}
	return fmt.Sprint(order)
}
