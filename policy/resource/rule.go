package resource

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/policy/selector"
)

// A lowering turns rules as users write them into acl's, and collects the sets
// that these name.
type lowering struct {
	d         *decoder
	namespace string // "" for what belongs to the whole cluster
	sets      map[string]Set
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// set returns the name of the set of what s matches.
func (l *lowering) set(s *selector.Selector, words string) string {
	l.sets[s.String()] = Set{Kind: acl.Nets, Selector: s, Words: words}
	return s.String()
}

// namedPort returns the name of the set of what has a port of that name. Like
// those of services, it has a blank between words and so is no selector.
func (l *lowering) namedPort(port string) string {
	name := "port " + port
	l.sets[name] = Set{Kind: acl.NetPorts, Port: port, Words: port}
	return name
}

func (l *lowering) service(s Service, ports bool) string {
	words := "service " + s.Namespace + "/" + s.Name
	if ports {
		l.sets[words] = Set{Kind: acl.NetPorts, Service: s, Words: words}
		return words
	}
	name := "addresses of " + words
	l.sets[name] = Set{Kind: acl.Nets, Service: s, Words: words}
	return name
}

var actions = map[string]acl.Action{"allow": acl.Allow, "deny": acl.Deny, "log": acl.Log, "pass": acl.Pass}

// calicoRules reads the rules of one direction.
func (l *lowering) calicoRules(field string, rules []calicoRule, ingress bool) (out []Rule) {
	for i := range rules {
		where := indexed(field, i)
		r, ok := l.calicoRule(where, &rules[i], ingress)
		if err := r.Check(); err != nil && len(l.d.Wrong) == 0 {
			l.d.Fail(where, "%v", err)
		}
		if ok {
			out = append(out, Rule{i + 1, r})
		}
	}
	return out
}

// calicoRule reads one rule. It is not ok, and to be left out, if it allows what
// can't be told apart from other packets.
func (l *lowering) calicoRule(field string, in *calicoRule, ingress bool) (r acl.Rule, ok bool) {
	d := l.d
	if r.Action = actions[strings.ToLower(in.Action)]; r.Action == acl.Undecided {
		d.Fail(field+".action", "expected Allow, Deny, Log or Pass, found %q", in.Action)
	}
	if in.IPVersion != nil {
		if r.Family = uint8(*in.IPVersion); *in.IPVersion != 4 && *in.IPVersion != 6 {
			d.Fail(field+".ipVersion", "expected 4 or 6, found %d", *in.IPVersion)
		}
	}
	r.Proto, r.NotProto = d.protocol(field+".protocol", in.Protocol), d.protocol(field+".notProtocol", in.NotProtocol)
	r.ICMP, r.NotICMP = d.icmp(field+".icmp", in.ICMP), d.icmp(field+".notICMP", in.NotICMP)
	r.Src = l.entity(field+".source", &in.Source, &r, ingress)
	r.Dst = l.entity(field+".destination", &in.Destination, &r, !ingress)
	return r, l.known(field, in, r.Action)
}

// known raises alarms for what is not done. A rule that allows less than it
// would without that is left out; the others do more than they should, which
// no packet gets through by.
func (l *lowering) known(field string, in *calicoRule, action acl.Action) bool {
	what := map[string]unsupported{".http": in.HTTP, ".source.domains": in.Source.Domains, ".destination.domains": in.Destination.Domains}
	ok := true
	for _, name := range sortedKeys(what) {
		switch {
		case !bool(what[name]):
		case action == acl.Deny:
			l.d.alarm(field+name, "not supported: the rule denies without regard to it")
		default:
			l.d.alarm(field+name, "not supported: the rule is left out")
			ok = false
		}
	}
	return ok
}

// entity reads one side of a rule. far is whether it is the side that is not
// the endpoint's own.
func (l *lowering) entity(field string, in *entityFields, r *acl.Rule, far bool) (s acl.Side) {
	s.Nets, s.NotNets = l.d.prefixes(field+".nets", in.Nets), l.d.prefixes(field+".notNets", in.NotNets)
	s.Ports, s.NamedPorts = l.ports(field+".ports", in.Ports, r)
	s.NotPorts, s.NotNamedPorts = l.ports(field+".notPorts", in.NotPorts, r)
	if who, words := l.who(field, in); who != nil {
		s.Sets = append(s.Sets, l.set(who, words))
	}
	if in.NotSelector != "" {
		if not := l.d.selector(field+".notSelector", in.NotSelector); not != nil {
			s.NotSets = append(s.NotSets, l.set(not, not.String()))
		}
	}
	if in.Services != nil {
		s.Sets = append(s.Sets, l.services(field, in, r, far, strings.HasSuffix(field, ".destination"))...)
	}
	l.ofFamily(field+".nets", &s, r.Family)
	return s
}

func (l *lowering) ofFamily(field string, s *acl.Side, family uint8) {
	for _, p := range slices.Concat(s.Nets, s.NotNets) {
		if p.IsValid() && family != 0 && p.Addr().Is4() != (family == 4) {
			l.d.Fail(field, "expected prefixes of IPv%d, as ipVersion says, found %v", family, p)
		}
	}
}

func (l *lowering) ports(field string, texts []intOr, r *acl.Rule) (ports []acl.PortRange, named []string) {
	if len(texts) > 0 && !slices.Contains(withPorts, r.Proto) {
		l.d.Fail(field, "expected protocol TCP, UDP or SCTP with it")
	}
	for i, text := range texts {
		p, name := l.d.portSpec(indexed(field, i), string(text))
		if name != "" {
			named = append(named, l.namedPort(name))
		} else {
			ports = append(ports, p)
		}
	}
	if len(named) > acl.MaxSets {
		l.d.Fail(field, "expected at most %d named ports, found %d", acl.MaxSets, len(named))
	}
	return ports, named
}

// who returns what the selectors of one side match together, or nil if it has
// none. In a namespaced policy that is in the policy's namespace, unless a
// selector of namespaces says otherwise.
func (l *lowering) who(field string, in *entityFields) (*selector.Selector, string) {
	accounts := in.ServiceAccounts != nil && (in.ServiceAccounts.Selector != "" || len(in.ServiceAccounts.Names) > 0)
	if in.Selector == "" && in.NotSelector == "" && in.NamespaceSelector == "" && !accounts {
		return nil, ""
	}
	var all []*selector.Selector
	add := func(s *selector.Selector) {
		if s != nil {
			all = append(all, s)
		}
	}
	var words []string
	switch {
	case in.NamespaceSelector != "":
		if s := l.d.selector(field+".namespaceSelector", in.NamespaceSelector); s != nil {
			add(s.Inherited(NamespacePrefix, LabelNamespace))
			words = append(words, "namespace "+in.NamespaceSelector)
		}
	case l.namespace != "":
		add(selector.Equal(LabelNamespace, l.namespace))
	}
	if accounts {
		s := l.accounts(field+".serviceAccounts", in.ServiceAccounts)
		add(s)
		words = append(words, fmt.Sprint(s))
	}
	if in.Selector != "" {
		s := l.d.selector(field+".selector", in.Selector)
		add(s)
		words = append([]string{fmt.Sprint(s)}, words...)
	}
	who := selector.And(all...)
	if who.IsAll() && in.Selector == "" {
		return nil, "" // a policy of the cluster that has notSelector only
	}
	if len(words) == 0 {
		words = []string{who.String()}
	}
	return who, strings.Join(words, " and ")
}

func (l *lowering) accounts(field string, in *serviceAccount) *selector.Selector {
	all := []*selector.Selector{}
	if len(in.Names) > 0 {
		all = append(all, selector.In(LabelServiceAccount, in.Names...))
	}
	for i, name := range in.Names {
		l.d.label(indexed(field+".names", i), "name", name)
	}
	if in.Selector != "" {
		if by := l.d.selector(field+".selector", in.Selector); by != nil {
			all = append(all, by.Inherited(AccountPrefix, LabelServiceAccount))
		}
	}
	return selector.And(all...)
}

// services reads a service on the far side: who serves it, on its ports if it
// is the destination (Calico, NetworkPolicy v3, ServiceMatch).
func (l *lowering) services(field string, in *entityFields, r *acl.Rule, far, ports bool) []string {
	s := Service{in.Services.Namespace, in.Services.Name}
	if s.Namespace == "" {
		s.Namespace = l.namespace
	}
	switch {
	case !far:
		l.d.Fail(field+".services", "expected on the side that the endpoint talks to")
	case s.Name == "" || s.Namespace == "":
		l.d.Fail(field+".services", "expected name and namespace of a service")
	case in.Selector != "" || in.NotSelector != "" || in.NamespaceSelector != "" || in.ServiceAccounts != nil || len(in.Nets)+len(in.NotNets) > 0:
		l.d.Fail(field+".services", "expected no nets and no selector beside it")
	case ports && (r.ICMP != nil || r.NotICMP != nil || r.Proto != 0 && !slices.Contains(withPorts, r.Proto)):
		l.d.Fail(field+".services", "expected TCP, UDP or SCTP with it")
	case ports && len(in.Ports)+len(in.NotPorts) > 0:
		l.d.Fail(field+".services", "expected no ports beside it: the service has some")
	default:
		return []string{l.service(s, ports)}
	}
	return nil
}
