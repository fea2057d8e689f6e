package policy_test

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"strings"
)

// A model is a cluster as the documentation of Kubernetes and Calico tells it: no
// index, no sets, nothing compiled. What it says about a packet is looked up in
// the resources themselves.
type model struct {
	namespaces map[string]map[string]string // labels by name
	accounts   map[string]map[string]string // by namespace/name
	entities   map[string]*modelEntity
	services   map[string][]netip.AddrPort // by namespace/name, TCP
	tiers      map[string]*modelTier
	policies   map[string]*modelPolicy
	profiles   map[string]*modelPolicy
}

type modelEntity struct {
	namespace, name, account string
	labels                   map[string]string
	nets                     []netip.Prefix
	ports                    map[string]uint16 // TCP
	host, set                bool
	profiles                 []string
}

type modelTier struct {
	order float64
	pass  bool
}

type modelPolicy struct {
	tier, key       string
	order           float64
	selects         func(*model, *modelEntity) bool
	ingress, egress bool
	in, out         []modelRule
	untracked       bool
	preDNAT         bool
	forward         bool
}

// A modelRule matches when all its conditions hold.
type modelRule struct {
	action string
	conds  []modelCond
}

type (
	modelCond  func(*model, *modelPacket) bool
	labelsCond func(labels map[string]string) bool
)

type modelPacket struct {
	src, dst         netip.Addr
	proto            uint8
	srcPort, dstPort uint16
	typ, code        uint8
}

func newModel() *model {
	return &model{namespaces: map[string]map[string]string{}, accounts: map[string]map[string]string{},
		entities: map[string]*modelEntity{}, services: map[string][]netip.AddrPort{}, tiers: map[string]*modelTier{},
		policies: map[string]*modelPolicy{}, profiles: map[string]*modelPolicy{}}
}

// at returns the entities that have an address or list it.
func (m *model) at(a netip.Addr) (out []*modelEntity) {
	for _, e := range m.entities {
		if slices.ContainsFunc(e.nets, func(p netip.Prefix) bool { return p.Contains(a) }) {
			out = append(out, e)
		}
	}
	return out
}

// anyAt reports whether one of those who have an address is wanted.
func (m *model) anyAt(a netip.Addr, wanted func(*modelEntity) bool) bool {
	return slices.ContainsFunc(m.at(a), wanted)
}

func (e *modelEntity) isPod() bool { return !e.host && !e.set }

func (m *model) tier(name string) modelTier {
	if t := m.tiers[name]; t != nil {
		return *t
	}
	if name == "default" {
		return modelTier{order: 1e6}
	}
	return modelTier{order: math.NaN()} // behind all others: see judgeTiers
}

// judge returns "allow" or "deny", or "" for what untracked policies and those
// before services do not decide. kind is "", "forward", "untracked" or
// "preDNAT".
func (m *model) judge(e *modelEntity, egress bool, kind string, p *modelPacket) string {
	if e.host && kind != "forward" && failsafeTwin(egress, kind, p) {
		return map[string]string{"": "allow"}[kind]
	}
	verdict := m.judgeTiers(e, egress, kind, p)
	switch {
	case verdict != "" || kind == "untracked" || kind == "preDNAT":
		return verdict
	case kind == "forward":
		return "allow"
	}
	return m.judgeProfiles(e, egress, p)
}

func (m *model) judgeTiers(e *modelEntity, egress bool, kind string, p *modelPacket) string {
	byTier := map[string][]*modelPolicy{}
	for _, pol := range m.policies {
		applies := pol.ingress && !egress || pol.egress && egress
		switch kind {
		case "":
			applies = applies && !pol.untracked && !pol.preDNAT
		case "forward":
			applies = applies && pol.forward && !pol.untracked && !pol.preDNAT
		case "untracked":
			applies = applies && pol.untracked
		case "preDNAT":
			applies = applies && pol.preDNAT
		}
		if applies && pol.selects(m, e) {
			byTier[pol.tier] = append(byTier[pol.tier], pol)
		}
	}
	var tiers []string
	for name := range byTier {
		tiers = append(tiers, name)
	}
	slices.SortFunc(tiers, func(a, b string) int {
		x, y := m.tier(a).order, m.tier(b).order
		switch {
		case math.IsNaN(x) != math.IsNaN(y):
			return map[bool]int{true: 1, false: -1}[math.IsNaN(x)]
		case x == y || math.IsNaN(x):
			return strings.Compare(a, b)
		}
		return cmp.Compare(x, y)
	})
	for _, name := range tiers {
		switch v := m.walk(byTier[name], egress, p); {
		case v == "allow" || v == "deny":
			return v
		case v == "" && !m.tier(name).pass && kind != "untracked" && kind != "preDNAT":
			return "deny"
		}
	}
	return ""
}

// walk returns what the first rule that decides says; "" if none does.
func (m *model) walk(policies []*modelPolicy, egress bool, p *modelPacket) string {
	slices.SortFunc(policies, func(a, b *modelPolicy) int {
		return cmp.Or(cmp.Compare(a.order, b.order), strings.Compare(a.key, b.key))
	})
	for _, pol := range policies {
		rules := pol.in
		if egress {
			rules = pol.out
		}
		for _, r := range rules {
			hit := true
			for _, c := range r.conds {
				hit = hit && c(m, p)
			}
			if hit && r.action != "log" {
				return r.action
			}
		}
	}
	return ""
}

func (m *model) judgeProfiles(e *modelEntity, egress bool, p *modelPacket) string {
	names := e.profiles
	if e.isPod() {
		names = []string{"kns." + e.namespace, "ksa." + e.namespace + "." + e.account}
	}
	for _, name := range names {
		prof := m.profiles[name]
		if prof == nil && strings.HasPrefix(name, "kns.") {
			return "allow"
		}
		if prof != nil {
			if v := m.walk([]*modelPolicy{prof}, egress, p); v != "" {
				return v
			}
		}
	}
	return "deny"
}

// failsafeTwin says what Calico's documentation lists, and of untracked traffic
// the answers.
func failsafeTwin(egress bool, kind string, p *modelPacket) bool {
	both := []uint16{179, 2379, 2380, 5473, 6443, 6666, 6667}
	in := func(port uint16) bool {
		return p.proto == 6 && (port == 22 || slices.Contains(both, port)) || p.proto == 17 && port == 68
	}
	out := func(port uint16) bool {
		return p.proto == 6 && slices.Contains(both, port) || p.proto == 17 && (port == 53 || port == 67)
	}
	if egress {
		return out(p.dstPort) || kind == "untracked" && in(p.srcPort)
	}
	return in(p.dstPort) || kind == "untracked" && out(p.srcPort)
}
