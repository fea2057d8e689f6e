package resource

import (
	"slices"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/policy/selector"
)

// readCalicoPolicy reads a NetworkPolicy or a GlobalNetworkPolicy.
func readCalicoPolicy(d *decoder, r *Resource) {
	in := spec[calicoPolicy](d)
	p := &Policy{
		Name: r.Name, Words: r.Name, Tier: in.Tier, Order: d.order("spec.order", in.Order),
		Types:     d.types("spec.types", in.Types, Directions{len(in.Ingress) > 0 || len(in.Egress) == 0, len(in.Egress) > 0}),
		Untracked: in.DoNotTrack, PreDNAT: in.PreDNAT, Forward: in.ApplyOnForward,
		Host: r.Namespace == "", Sets: map[string]Set{},
	}
	if p.Tier == "" {
		p.Tier = DefaultTier
	}
	if r.Namespace != "" {
		p.Name, p.Words = r.Namespace+"/"+r.Name, r.Namespace+"/"+r.Name
	}
	p.SortingKey = sortingKey(r, p.Tier)
	d.hostOnly(r, &in)
	p.Applies = d.applies(r, &in)
	l := lowering{d: d, namespace: r.Namespace, sets: p.Sets}
	p.In = l.calicoRules("spec.ingress", in.Ingress, true)
	p.Out = l.calicoRules("spec.egress", in.Egress, false)
	if bool(in.PerformanceHints) {
		d.alarm("spec.performanceHints", "not supported: the policy does the same without")
	}
	r.Spec = p
}

// sortingKey is the name that Calico sorts by where orders are equal. In the
// tier default it begins with the tier, said or not.
func sortingKey(r *Resource, tier string) string {
	key := r.Name
	if tier == DefaultTier {
		key = DefaultTier + "." + key
	}
	if r.Namespace != "" {
		key = r.Namespace + "/" + key
	}
	return key
}

// hostOnly checks what bears on host endpoints (Calico, GlobalNetworkPolicy v3).
func (d *decoder) hostOnly(r *Resource, in *calicoPolicy) {
	special := in.DoNotTrack || in.PreDNAT || in.ApplyOnForward
	switch {
	case special && r.Namespace != "":
		d.Fail("spec", "expected doNotTrack, preDNAT and applyOnForward in a GlobalNetworkPolicy only")
	case in.DoNotTrack && in.PreDNAT:
		d.Fail("spec.preDNAT", "expected either doNotTrack or preDNAT, found both")
	case (in.DoNotTrack || in.PreDNAT) && !in.ApplyOnForward:
		d.Fail("spec.applyOnForward", "expected true with doNotTrack and preDNAT")
	case in.PreDNAT && (len(in.Egress) > 0 || d.types("spec.types", in.Types, Directions{}).Egress):
		d.Fail("spec.preDNAT", "expected a policy for ingress only with it")
	}
	if r.Namespace != "" && in.NamespaceSelector != "" {
		d.Fail("spec.namespaceSelector", "expected in a GlobalNetworkPolicy only")
	}
}

// applies returns what the policy applies to.
func (d *decoder) applies(r *Resource, in *calicoPolicy) *selector.Selector {
	all := []*selector.Selector{selector.All()}
	if r.Namespace != "" {
		all = append(all, selector.Equal(LabelNamespace, r.Namespace))
	}
	if s := d.selector("spec.selector", in.Selector); s != nil {
		all = append(all, s)
	}
	if in.NamespaceSelector != "" {
		if s := d.selector("spec.namespaceSelector", in.NamespaceSelector); s != nil {
			all = append(all, s.Inherited(NamespacePrefix, LabelNamespace))
		}
	}
	if in.ServiceAccountSelector != "" {
		if s := d.selector("spec.serviceAccountSelector", in.ServiceAccountSelector); s != nil {
			all = append(all, s.Inherited(AccountPrefix, LabelServiceAccount))
		}
	}
	return selector.And(all...)
}

func readTier(d *decoder, r *Resource) {
	in := spec[calicoTier](d)
	t := &Tier{Order: d.order("spec.order", in.Order), Default: acl.Deny}
	switch in.DefaultAction {
	case "", "Deny":
	case "Pass":
		t.Default = acl.Pass
	default:
		d.Fail("spec.defaultAction", "expected Deny or Pass, found %q", in.DefaultAction)
	}
	r.Spec = t
}

func readProfile(d *decoder, r *Resource) {
	in := spec[calicoProfile](d)
	p := &Profile{Labels: in.LabelsToApply, Sets: map[string]Set{}}
	l := lowering{d: d, sets: p.Sets}
	p.In = l.calicoRules("spec.ingress", in.Ingress, true)
	p.Out = l.calicoRules("spec.egress", in.Egress, false)
	for i, rules := range [][]calicoRule{in.Ingress, in.Egress} {
		for j := range rules {
			if actions[rules[j].Action] == acl.Pass || rules[j].Action == "Pass" {
				d.Fail(indexed([]string{"spec.ingress", "spec.egress"}[i], j)+".action", "expected Allow, Deny or Log in a profile, found %q", rules[j].Action)
			}
		}
	}
	r.Spec = p
}

func readNets(d *decoder, r *Resource) {
	in := spec[calicoNets](d)
	if bool(in.AllowedEgressDomains) {
		d.alarm("spec.allowedEgressDomains", "not supported: left out")
	}
	r.Spec = &NetworkSet{Nets: d.prefixes("spec.nets", in.Nets)}
}

func readHost(d *decoder, r *Resource) {
	in := spec[calicoHost](d)
	h := &HostEndpoint{Node: in.Node, Interface: in.InterfaceName, Profiles: in.Profiles}
	if in.Node == "" {
		d.Fail("spec.node", "expected the name of a node, found none")
	}
	if in.InterfaceName == "" && len(in.ExpectedIPs) == 0 {
		d.Fail("spec", "expected interfaceName or expectedIPs, found none")
	}
	for i, text := range in.ExpectedIPs {
		h.IPs = append(h.IPs, d.addr(indexed("spec.expectedIPs", i), text))
	}
	for i, p := range in.Ports {
		where := indexed("spec.ports", i)
		proto := d.protocol(where+".protocol", p.Protocol)
		if !slices.Contains(withPorts, proto) {
			d.Fail(where+".protocol", "expected TCP, UDP or SCTP, found %q", string(p.Protocol))
		}
		h.Ports = append(h.Ports, Port{p.Name, proto, d.port(where+".port", p.Port)})
		if !portName.MatchString(p.Name) {
			d.Fail(where+".name", "expected the name of a port, found %q", p.Name)
		}
	}
	r.Spec = h
}
