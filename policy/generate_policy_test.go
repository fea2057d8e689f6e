package policy_test

import (
	"fmt"
	"math"
	"net/netip"
	"strings"

	"github.com/skein-dataplane/skein/policy/resource"
)

// kubePolicy adds, changes or removes a Kubernetes NetworkPolicy.
func (l *lab) kubePolicy() {
	ns := pick(l.source, anyNamespace)
	name := ns + "/" + fmt.Sprint("k", l.IntN(3))
	key := "kube " + name
	if l.oneIn(3) {
		delete(l.m.policies, key)
		l.remove(resource.Kube, "NetworkPolicy", name)
		return
	}
	podText, pods := l.kubeCond()
	p := &modelPolicy{tier: "default", order: 1000, key: strings.Replace(name, "/", "/knp.default.", 1), ingress: true,
		selects: func(_ *model, e *modelEntity) bool { return e.isPod() && e.namespace == ns && pods(e.labels) }}
	in, out := "", ""
	in, p.in = l.kubeRules(ns, false)
	out, p.out = l.kubeRules(ns, true)
	spec := "podSelector: " + podText + ", ingress: " + in
	switch l.IntN(3) {
	case 0: // the default of policyTypes: egress if there are rules
		p.egress = len(p.out) > 0
		spec += ", egress: " + out
	case 1:
		p.egress = true
		spec += ", policyTypes: [Ingress, Egress], egress: " + out
	default:
		p.ingress, p.egress = false, true
		spec += ", policyTypes: [Egress], egress: " + out
	}
	l.m.policies[key] = p
	l.say("networking.k8s.io/v1", "NetworkPolicy", name, "spec: {"+spec+"}")
	l.texts["kube "+name] = l.texts["NetworkPolicy "+name]
	delete(l.texts, "NetworkPolicy "+name)
}

func (l *lab) kubeRules(ns string, egress bool) (string, []modelRule) {
	var texts []string
	var rules []modelRule
	for range l.IntN(3) {
		peerText, peers := l.kubePeers(ns, egress)
		portText, ports := l.kubePorts()
		side := "from"
		if egress {
			side = "to"
		}
		texts = append(texts, fmt.Sprintf("{%s: [%s], ports: [%s]}", side, peerText, portText))
		rules = append(rules, modelRule{"allow", []modelCond{peers, ports}})
	}
	return "[" + strings.Join(texts, ", ") + "]", rules
}

// anyOf is true if one of the conditions is, or if there are none.
func anyOf(conds []modelCond) modelCond {
	return func(m *model, p *modelPacket) bool {
		for _, c := range conds {
			if c(m, p) {
				return true
			}
		}
		return len(conds) == 0
	}
}

func (l *lab) kubePeers(ns string, dst bool) (string, modelCond) {
	var texts []string
	var conds []modelCond
	for range l.IntN(3) {
		if l.oneIn(3) {
			texts = append(texts, `{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/30]}}`)
			conds = append(conds, func(_ *model, p *modelPacket) bool {
				a := addrOf(p, dst)
				return netip.MustParsePrefix("10.0.0.0/8").Contains(a) && !netip.MustParsePrefix("10.1.0.0/30").Contains(a)
			})
			continue
		}
		podText, pods := l.kubeCond()
		nsText, namespaces := l.kubeCond()
		which := l.IntN(3)
		texts = append(texts, []string{"{podSelector: " + podText + "}", "{namespaceSelector: " + nsText + "}",
			"{podSelector: " + podText + ", namespaceSelector: " + nsText + "}"}[which])
		conds = append(conds, func(m *model, p *modelPacket) bool {
			return m.anyAt(addrOf(p, dst), func(e *modelEntity) bool {
				if !e.isPod() {
					return false
				}
				switch which {
				case 0:
					return e.namespace == ns && pods(e.labels)
				case 1:
					return namespaces(m.namespaces[e.namespace])
				}
				return namespaces(m.namespaces[e.namespace]) && pods(e.labels)
			})
		})
	}
	return strings.Join(texts, ", "), anyOf(conds)
}

func (l *lab) kubePorts() (string, modelCond) {
	var texts []string
	var conds []modelCond
	for range l.IntN(3) {
		port := pick(l.source, anyPort)
		switch l.IntN(4) {
		case 0:
			texts = append(texts, "{protocol: UDP}")
			conds = append(conds, func(_ *model, p *modelPacket) bool { return p.proto == 17 })
		case 1:
			texts = append(texts, "{port: http}")
			conds = append(conds, func(m *model, p *modelPacket) bool {
				return p.proto == 6 && m.anyAt(p.dst, func(e *modelEntity) bool { return e.ports["http"] == p.dstPort })
			})
		case 2:
			texts = append(texts, fmt.Sprintf("{port: %d, endPort: %d, protocol: TCP}", port, port+5))
			conds = append(conds, func(_ *model, p *modelPacket) bool { return p.proto == 6 && port <= p.dstPort && p.dstPort <= port+5 })
		default:
			texts = append(texts, fmt.Sprintf("{port: %d, protocol: SCTP}", port))
			conds = append(conds, func(_ *model, p *modelPacket) bool { return p.proto == 132 && p.dstPort == port })
		}
	}
	return strings.Join(texts, ", "), anyOf(conds)
}

// calicoPolicy adds, changes or removes one of Calico's policies.
func (l *lab) calicoPolicy() {
	ns, kind, name := "", "GlobalNetworkPolicy", fmt.Sprint("c", l.IntN(5))
	if l.oneIn(2) {
		ns, kind = pick(l.source, anyNamespace), "NetworkPolicy"
		name = ns + "/" + name
	}
	key := "calico " + name
	if l.oneIn(4) {
		delete(l.m.policies, key)
		l.remove(resource.Calico, kind, name)
		return
	}
	p := &modelPolicy{tier: pick(l.source, anyTier), order: float64(l.IntN(3)) * 1000, key: name}
	if l.oneIn(4) {
		p.order = math.Inf(1)
	}
	if p.tier == "default" {
		p.key = strings.Replace("/"+name, "/c", "/default.c", 1)
		if p.key = strings.TrimPrefix(p.key, "/"); ns != "" {
			p.key = strings.Replace(name, "/", "/default.", 1)
		}
	}
	spec := fmt.Sprintf("tier: %s, order: %s", p.tier, orderText(p.order))
	spec += l.applies(p, ns)
	pass := true
	if ns == "" && l.oneIn(2) {
		p.forward = true
		spec += ", applyOnForward: true"
		switch l.IntN(3) {
		case 0:
			p.untracked = true
			spec += ", doNotTrack: true"
		case 1:
			p.preDNAT = true
			spec += ", preDNAT: true"
		}
	}
	in, out := "", ""
	in, p.in = l.calicoRules(ns, true, pass)
	spec += ", ingress: " + in
	if !p.preDNAT {
		out, p.out = l.calicoRules(ns, false, pass)
		spec += ", egress: " + out
	}
	p.ingress, p.egress = len(p.in) > 0 || len(p.out) == 0, len(p.out) > 0
	if l.oneIn(3) && !p.preDNAT {
		p.ingress, p.egress = true, true
		spec += ", types: [Ingress, Egress]"
	}
	l.m.policies[key] = p
	l.say(v3, kind, name, "spec: {"+spec+"}")
}

// applies says what a policy selects.
func (l *lab) applies(p *modelPolicy, ns string) (spec string) {
	has, inNs, account := func(*modelEntity) bool { return true }, func(*model, *modelEntity) bool { return true }, func(*model, *modelEntity) bool { return true }
	if !l.oneIn(3) {
		text, f := l.cond(1)
		spec += fmt.Sprintf(", selector: %q", text)
		has = func(e *modelEntity) bool { return f(e.labels) }
	}
	if ns == "" && l.oneIn(3) {
		text, f := l.cond(0)
		spec += fmt.Sprintf(", namespaceSelector: %q", text)
		inNs = func(m *model, e *modelEntity) bool { return f(m.namespaces[e.namespace]) }
	}
	if l.oneIn(4) {
		text, f := l.cond(0)
		spec += fmt.Sprintf(", serviceAccountSelector: %q", text)
		account = func(m *model, e *modelEntity) bool {
			if !e.isPod() {
				return f(nil)
			}
			return f(m.accounts[e.namespace+"/"+e.account])
		}
	}
	p.selects = func(m *model, e *modelEntity) bool {
		return (ns == "" || e.namespace == ns) && has(e) && inNs(m, e) && account(m, e)
	}
	return spec
}
