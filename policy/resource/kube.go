package resource

import (
	"regexp"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/policy/selector"
)

// Labels that all endpoints have besides their own, as Calico names them.
const (
	LabelOrchestrator   = "projectcalico.org/orchestrator" // "k8s" for pods
	LabelNamespace      = selector.NamespaceLabel
	LabelServiceAccount = "projectcalico.org/serviceaccount"
	NamespacePrefix     = "pcns." // before labels of the namespace
	AccountPrefix       = "pcsa." // before labels of the service account
	Orchestrator        = "k8s"   // value of LabelOrchestrator
	DefaultTier         = "default"
)

// kubeOrder is where Calico puts Kubernetes' policies in the tier default.
const kubeOrder = 1000

func readKubePolicy(d *decoder, r *Resource) {
	in := spec[kubePolicy](d)
	pods, words := d.labelSelector("spec.podSelector", &in.PodSelector)
	p := &Policy{
		Name: r.Namespace + "/knp.default." + r.Name, Words: r.Namespace + "/" + r.Name,
		Tier: DefaultTier, Order: kubeOrder, Sets: map[string]Set{},
		Applies: selector.And(kubePods, selector.Equal(LabelNamespace, r.Namespace), pods),
		Types:   d.types("spec.policyTypes", in.PolicyTypes, Directions{true, len(in.Egress) > 0}),
	}
	_, p.SortingKey = words, p.Name
	l := lowering{d: d, namespace: r.Namespace, sets: p.Sets}
	for i, rule := range in.Ingress {
		p.In = append(p.In, l.kubeRule(indexed("spec.ingress", i), "from", i+1, rule.From, rule.Ports)...)
	}
	for i, rule := range in.Egress {
		p.Out = append(p.Out, l.kubeRule(indexed("spec.egress", i), "to", i+1, rule.To, rule.Ports)...)
	}
	r.Spec = p
}

// kubePods are what Kubernetes' selectors can select: neither host endpoints
// nor network sets.
var kubePods = selector.Equal(LabelOrchestrator, Orchestrator)

// kubeRule makes a rule for each peer and protocol.
func (l *lowering) kubeRule(field, side string, number int, peers []kubePeer, ports []kubePort) (out []Rule) {
	sides := []acl.Side{{}}
	if len(peers) > 0 {
		sides = nil
	}
	for i := range peers {
		sides = append(sides, l.kubePeer(indexed(field+"."+side, i), &peers[i]))
	}
	for _, peer := range sides {
		for _, r := range l.kubePorts(field+".ports", ports) {
			r.Action = acl.Allow
			if side == "from" {
				r.Src = peer
			} else {
				r.Dst.Nets, r.Dst.NotNets, r.Dst.Sets = peer.Nets, peer.NotNets, peer.Sets
			}
			if err := r.Check(); err != nil && len(l.d.Wrong) == 0 {
				l.d.Fail(field, "%v", err)
			}
			out = append(out, Rule{number, r})
		}
	}
	return out
}

// kubePorts returns a rule for each protocol, and for each one that all ports
// are allowed of.
func (l *lowering) kubePorts(field string, ports []kubePort) (out []acl.Rule) {
	if len(ports) == 0 {
		return []acl.Rule{{}}
	}
	at, all := map[uint8]int{}, map[uint8]bool{}
	for i, p := range ports {
		where := indexed(field, i)
		proto := l.d.kubeProtocol(where+".protocol", p.Protocol)
		all[proto] = all[proto] || p.Port == ""
		if _, has := at[proto]; !has {
			at[proto] = len(out)
			out = append(out, acl.Rule{Proto: proto})
		}
		l.kubePort(where, p, &out[at[proto]].Dst)
	}
	for i := range out {
		if all[out[i].Proto] {
			out[i].Dst = acl.Side{}
		}
	}
	return out
}

func (l *lowering) kubePort(field string, p kubePort, to *acl.Side) {
	if p.Port == "" {
		if p.EndPort != nil {
			l.d.Fail(field+".endPort", "expected a port with it, found none")
		}
		return
	}
	ports, name := l.d.portSpec(field+".port", string(p.Port))
	if ports.First != ports.Last {
		l.d.Fail(field+".port", "expected a port or its name, found a range: say endPort")
	}
	switch {
	case name != "" && p.EndPort != nil:
		l.d.Fail(field+".endPort", "expected a number as port with it, found a name")
	case name != "":
		to.NamedPorts = append(to.NamedPorts, l.namedPort(name))
	default:
		l.d.port(field+".port", int(ports.First))
		if p.EndPort != nil {
			ports.Last = l.d.port(field+".endPort", *p.EndPort)
			if ports.Last < ports.First {
				l.d.Fail(field+".endPort", "expected a port from %d on, found %d", ports.First, ports.Last)
			}
		}
		to.Ports = append(to.Ports, ports)
	}
}

func (l *lowering) kubePeer(field string, p *kubePeer) (s acl.Side) {
	if p.IPBlock == nil {
		if p.PodSelector == nil && p.NamespaceSelector == nil {
			l.d.Fail(field, "expected podSelector, namespaceSelector or ipBlock, found none")
			return s
		}
		s.Sets = []string{l.kubeSet(field, p)}
		return s
	}
	if p.PodSelector != nil || p.NamespaceSelector != nil {
		l.d.Fail(field+".ipBlock", "expected no selector beside it")
	}
	block := l.d.prefix(field+".ipBlock.cidr", p.IPBlock.CIDR)
	s.Nets = append(s.Nets, block)
	s.NotNets = l.d.prefixes(field+".ipBlock.except", p.IPBlock.Except)
	for i, e := range s.NotNets {
		if e.IsValid() && block.IsValid() && (!block.Contains(e.Addr()) || e.Bits() <= block.Bits()) {
			l.d.Fail(indexed(field+".ipBlock.except", i), "expected a part of %v, found %v", block, e)
		}
	}
	return s
}

func (l *lowering) kubeSet(field string, p *kubePeer) string {
	scope, words := selector.Equal(LabelNamespace, l.namespace), ""
	if p.NamespaceSelector != nil {
		ns, text := l.d.labelSelector(field+".namespaceSelector", p.NamespaceSelector)
		scope, words = ns.Inherited(NamespacePrefix, LabelNamespace), " in namespaces with "+text
		if ns.IsAll() {
			words = " in all namespaces"
		}
	}
	pods, text := selector.All(), "all()"
	if p.PodSelector != nil {
		pods, text = l.d.labelSelector(field+".podSelector", p.PodSelector)
	}
	return l.set(selector.And(kubePods, scope, pods), text+words)
}

// Kubernetes' labels: an optional DNS prefix and a name; values are like names.
var (
	labelKey   = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`)
	labelValue = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$`)
)

func (d *decoder) label(field, key string, values ...string) bool {
	if !labelKey.MatchString(key) {
		d.Fail(field, "expected the name of a label, found %q", key)
		return false
	}
	for _, v := range values {
		if !labelValue.MatchString(v) {
			d.Fail(field, "expected the value of a label, found %q", v)
			return false
		}
	}
	return true
}

// labelSelector returns the selector and its text.
func (d *decoder) labelSelector(field string, in *labelSelector) (*selector.Selector, string) {
	var all []*selector.Selector
	for _, key := range sortedKeys(in.MatchLabels) {
		if d.label(field+".matchLabels."+key, key, in.MatchLabels[key]) {
			all = append(all, selector.Equal(key, in.MatchLabels[key]))
		}
	}
	for i, r := range in.MatchExpressions {
		if s := d.requirement(indexed(field+".matchExpressions", i), r); s != nil {
			all = append(all, s)
		}
	}
	s := selector.And(all...)
	return s, s.String()
}

func (d *decoder) requirement(field string, r requirement) *selector.Selector {
	if !d.label(field+".key", r.Key, r.Values...) {
		return nil
	}
	wantsValues := r.Operator == "In" || r.Operator == "NotIn"
	if wantsValues != (len(r.Values) > 0) {
		d.Fail(field+".values", "expected values with In and NotIn, and none with Exists and DoesNotExist")
	}
	switch r.Operator {
	case "In":
		return selector.In(r.Key, r.Values...)
	case "NotIn":
		return selector.NotIn(r.Key, r.Values...)
	case "Exists":
		return selector.Has(r.Key)
	case "DoesNotExist":
		return selector.Not(selector.Has(r.Key))
	}
	d.Fail(field+".operator", "expected In, NotIn, Exists or DoesNotExist, found %q", r.Operator)
	return nil
}
