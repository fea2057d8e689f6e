package policy_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/policy"
	"github.com/skein-dataplane/skein/policy/resource"
	"github.com/skein-dataplane/skein/policy/selector"
)

func ids(c *policy.Change) (out []string) {
	for _, end := range c.Updated {
		out = append(out, end.ID)
	}
	return out
}

// TestChange: a Commit says what it has changed, and no more.
func TestChange(t *testing.T) {
	e := policy.New(policy.Options{})
	load(t, e, scenario(t, "frontend-backend.yaml"))
	set(t, e, "default/client 10.0.0.1 app=client", "default/front 10.0.0.2 app=frontend", "default/front2 10.0.0.3 app=frontend",
		"default/back 10.0.0.4 app=backend", "remote default/far 10.0.0.5 app=frontend")
	programs := func(id string) [2]*acl.Program {
		for _, end := range e.Endpoints() {
			if end.ID == id {
				return [2]*acl.Program{end.From, end.To}
			}
		}
		return [2]*acl.Program{}
	}
	for _, tt := range []struct {
		what     string
		do       func()
		updated  string
		removed  string
		verdicts bool
	}{
		{"all is new", func() {}, "default/back default/client default/front default/front2", "", true},
		{"nothing happens", func() {}, "", "", false},
		{"the same again", func() {
			load(t, e, scenario(t, "frontend-backend.yaml"))
			set(t, e, "default/client 10.0.0.1 app=client", "remote default/far 10.0.0.5 app=frontend")
		}, "", "", false},
		{"a label that nobody asks for", func() { set(t, e, "default/client 10.0.0.1 app=client x=y") }, "", "", false},
		{"a remote pod leaves a set", func() { set(t, e, "remote default/far 10.0.0.5 app=other") }, "", "", true},
		{"a remote pod goes that is in no set", func() { e.RemoveWorkload("default/far") }, "", "", false},
		{"a pod is selected by a policy", func() { set(t, e, "default/client 10.0.0.1 app=frontend") }, "default/client", "", true},
		{"and no longer", func() { set(t, e, "default/client 10.0.0.1 app=client") }, "default/client", "", true},
		{"a pod gets another address", func() { set(t, e, "default/front2 10.0.0.6 app=frontend") }, "default/front2", "", true},
		{"a pod goes", func() { e.RemoveWorkload("default/front2") }, "", "default/front2", true},
		{"a policy that applies to nobody", func() {
			load(t, e, scenario(t, "frontend-backend.yaml")+"\n---\n"+scenario(t, "access-nginx.yaml"))
		}, "", "", false},
		{"a policy goes", func() {
			e.Delete("test", resource.Ref{Group: resource.Calico, Kind: "NetworkPolicy", Namespace: "default", Name: "allow-web"})
		}, "default/front", "", true},
		{"all policies go", func() { load(t, e, "") }, "default/back", "", true},
	} {
		tt.do()
		c := commit(t, e)
		if got := strings.Join(ids(c), " "); got != tt.updated || strings.Join(c.Removed, " ") != tt.removed || c.Verdicts != tt.verdicts || c.Sets == nil {
			t.Errorf("%s: updated %s, removed %s, verdicts %v; want %s, %s, %v", tt.what, got, c.Removed, c.Verdicts, tt.updated, tt.removed, tt.verdicts)
		}
		if tt.what == "all is new" && programs("default/front") != programs("default/front2") {
			t.Error("pods with the same rules do not share programs")
		}
	}
	if programs("default/back") != [2]*acl.Program{} {
		t.Error("without policies there is a program")
	}
}

// TestConflicts: what contradicts what is there is refused and named, and changes
// nothing.
func TestConflicts(t *testing.T) {
	host := func(name, iface string) string {
		return fmt.Sprintf("apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {name: %s}\nspec: {node: n, interfaceName: %s}\n---\n", name, iface)
	}
	parse := func(text string) []resource.Resource {
		f, err := resource.Parse("x", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return f.Resources
	}
	e := policy.New(policy.Options{Node: "n"})
	load(t, e, host("one", "eth0"))
	set(t, e, "a/x 10.0.0.1")
	commit(t, e)
	other := pod(t, "a/y 10.0.0.2")
	other.Interface = "tun-a/x"
	for what, err := range map[string]error{
		"HostEndpoint one: from file2: test has one already":                        e.Upsert("file2", parse(host("one", "eth1"))...),
		"HostEndpoint two: interface eth0 of node n has HostEndpoint one already":   e.Upsert("test", parse(host("two", "eth0"))...),
		"HostEndpoint three: interface eth1 of node n has HostEndpoint two already": e.Replace("test", parse(host("two", "eth1")+host("three", "eth1"))...),
		"workload a/y: interface tun-a/x has workload a/x already":                  e.SetWorkload(other),
		`workload "" (a/z): it needs an ID`:                                         e.SetWorkload(policy.Workload{Namespace: "a", Name: "z"}),
		"address ::ffff:10.0.0.1":                                                   e.SetWorkload(policy.Workload{ID: "z", Name: "z", Addrs: []netip.Addr{netip.MustParseAddr("::ffff:10.0.0.1")}}),
		"it needs a name, and a protocol with ports":                                e.SetWorkload(policy.Workload{ID: "z", Name: "z", Ports: []resource.Port{{Name: "x", Proto: 1}}}),
		"HostEndpoint one is there already":                                         e.Replace("test", append(parse(host("one", "eth0")), parse(host("one", "eth0"))...)...),
	} {
		if err == nil || !strings.Contains(err.Error(), what) || !errors.Is(err, policy.ErrConflict) && !errors.Is(err, resource.ErrInvalid) {
			t.Errorf("%v, want %s", err, what)
		}
	}
	if c := commit(t, e); len(c.Updated)+len(c.Removed) > 0 || c.Verdicts {
		t.Errorf("what was refused has changed %v, %v", ids(c), c.Removed)
	}
	if err := e.Replace("test", parse(host("two", "eth0"))...); err != nil {
		t.Error("one in place of the other:", err)
	}
}

// TestHost: a host endpoint is closed but for the failsafe ports and what policy
// allows; what it forwards is open without a policy.
func TestHost(t *testing.T) {
	e := policy.New(policy.Options{Node: "n"})
	load(t, e, `
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: up, labels: {role: uplink}}
spec: {node: n, interfaceName: eth0, expectedIPs: [10.0.0.21, "fd00::21"]}
---
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: other}
spec: {node: m, interfaceName: eth0}
---
apiVersion: crd.projectcalico.org/v1
kind: GlobalNetworkPolicy
metadata: {name: web}
spec:
  selector: role == 'uplink'
  ingress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: flood}
spec:
  selector: role == 'uplink'
  doNotTrack: true
  applyOnForward: true
  ingress: [{action: Deny, source: {nets: [192.0.2.0/24, "2001:db8::/32"]}}]
`)
	c := commit(t, e)
	if len(c.Updated) != 1 || c.Updated[0].ID != "host up" || c.Updated[0].Interface != "eth0" || len(c.Updated[0].Addrs) != 2 {
		t.Fatalf("endpoints %+v", c.Updated)
	}
	up := c.Updated[0]
	if up.ForwardTo != nil || up.ForwardFrom != nil || up.PreDNAT != nil || up.UntrackedFrom != nil {
		t.Errorf("programs where no policy is: %+v", up)
	}
	for _, tt := range []struct {
		p       *acl.Program
		port    uint16
		far     [2]string
		decided acl.Reason
		want    acl.Action
	}{
		{up.To, 22, [2]string{"10.0.0.9", "fd00::9"}, acl.ByRule, acl.Allow},
		{up.To, 80, [2]string{"10.0.0.9", "fd00::9"}, acl.ByRule, acl.Allow},
		{up.To, 81, [2]string{"10.0.0.9", "fd00::9"}, acl.ByTier, acl.Deny},
		{up.From, 6443, [2]string{"10.0.0.9", "fd00::9"}, acl.ByRule, acl.Allow},
		{up.From, 81, [2]string{"10.0.0.9", "fd00::9"}, acl.ByNobody, acl.Deny},
		{up.UntrackedTo, 81, [2]string{"192.0.2.1", "2001:db8::1"}, acl.ByRule, acl.Deny},
		{up.UntrackedTo, 22, [2]string{"192.0.2.1", "2001:db8::1"}, acl.ByNobody, acl.Deny},
		{up.UntrackedTo, 81, [2]string{"10.0.0.9", "fd00::9"}, acl.ByNobody, acl.Deny},
	} {
		for family, far := range tt.far {
			k := keyOf(netip.MustParseAddr(far), up.Addrs[family], 6, tt.port)
			if v := tt.p.Match(&k, c.Sets, nil); v.Action != tt.want || v.Reason != tt.decided {
				t.Errorf("%v: %v by %v, want %v by %v", &k, v.Action, v.Reason, tt.want, tt.decided)
			}
		}
	}
	k := keyOf(netip.MustParseAddr("10.0.0.9"), up.Addrs[0], 6, 22)
	if x, err := e.Explain("host up", policy.Ingress, &k); err != nil || x.Text != "rule 1 of failsafe ports allows it for ingress of host endpoint up: allow tcp to ports 22" {
		t.Error(x.Text, err)
	}
	closed := policy.New(policy.Options{Node: "n", FailsafeIn: []policy.Failsafe{}, FailsafeOut: []policy.Failsafe{}})
	load(t, closed, "apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {name: up}\nspec: {node: n, interfaceName: '*'}")
	c = commit(t, closed)
	if v := c.Updated[0].To.Match(&k, c.Sets, nil); v.Action != acl.Deny {
		t.Error("without failsafe ports, port 22 is", v.Action)
	}
}

// TestInherited: labels come from profiles, namespaces and service accounts, and
// a Pod's from the Pod.
func TestInherited(t *testing.T) {
	gnp := func(name, selector string) string {
		return "---\napiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: " + name + "}\nspec: " + selector + "\n"
	}
	e := policy.New(policy.Options{Node: "n"})
	load(t, e, gnp("by-namespace", `{namespaceSelector: team == 'x'}`)+gnp("by-account", `{serviceAccountSelector: role == 'server'}`)+
		gnp("by-profile", `{selector: level == 'high'}`)+gnp("by-name", `{namespaceSelector: kubernetes.io/metadata.name == 'b'}`)+
		gnp("by-pod", `{selector: from == 'pod'}`)+`---
{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {team: x}}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: a, labels: {role: server}}}
---
{apiVersion: projectcalico.org/v3, kind: Profile, metadata: {name: kns.b}, spec: {labelsToApply: {level: high}, egress: [{action: Allow}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: two, namespace: c, labels: {from: pod}}, spec: {containers: [{name: x, image: y}]}, status: {podIP: 10.0.0.9}}
`)
	set(t, e, "a/one 10.0.0.1 @web", "b/one 10.0.0.2", "c/one 10.0.0.3", "c/two 10.0.0.4 from=cni")
	commit(t, e)
	for id, want := range map[string]string{"a/one": "by-account by-namespace", "b/one": "by-name by-profile", "c/one": "", "c/two": "by-pod"} {
		if got := strings.Join(policiesAt(t, e, id, policy.Ingress), " "); got != want {
			t.Errorf("%s has policies %s, want %s", id, got, want)
		}
	}
	e.Delete("test", resource.Ref{Kind: "Namespace", Name: "a"})
	e.Delete("test", resource.Ref{Kind: "Pod", Namespace: "c", Name: "two"})
	e.Delete("test", resource.Ref{Group: resource.Calico, Kind: "Profile", Name: "kns.b"})
	commit(t, e)
	for id, want := range map[string]string{"a/one": "by-account", "b/one": "by-name", "c/two": ""} {
		if got := strings.Join(policiesAt(t, e, id, policy.Ingress), " "); got != want {
			t.Errorf("%s has policies %s after, want %s", id, got, want)
		}
	}
}

// policiesAt returns the policies of tiers at an endpoint, in their order.
func policiesAt(t *testing.T, e *policy.Engine, id string, d policy.Direction) (names []string) {
	t.Helper()
	all, err := e.Show(id)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		for _, tier := range s.Tiers {
			if s.Direction == d && tier.Name != "" {
				for _, p := range tier.Policies {
					names = append(names, p.Name)
				}
			}
		}
	}
	return names
}

// TestShow: policies come by tier, order and name, with their rules in words.
func TestShow(t *testing.T) {
	e := policy.New(policy.Options{})
	one := "---\napiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: %s}\nspec: {%s, ingress: [{action: %s, protocol: TCP, source: {selector: \"app == 'x'\"}, destination: {ports: [web, 81]}}]}\n"
	load(t, e, fmt.Sprintf(one, "last", "order: null", "Deny")+fmt.Sprintf(one, "b", "order: 5", "Allow")+fmt.Sprintf(one, "a", "order: 5", "Log")+
		fmt.Sprintf(one, "early", "tier: sec", "Pass")+fmt.Sprintf(one, "nowhere", "tier: none", "Pass")+
		"---\n{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: sec}, spec: {order: 1, defaultAction: Pass}}\n---\n"+
		scenario(t, "access-nginx.yaml"))
	set(t, e, "policy-demo/p 10.0.0.1 app=nginx")
	commit(t, e)
	want := []string{"early", "a", "b", "policy-demo/access-nginx", "last", "nowhere"}
	if got := policiesAt(t, e, "policy-demo/p", policy.Ingress); !slices.Equal(got, want) {
		t.Errorf("policies are asked in the order %v, want %v", got, want)
	}
	all, err := e.Show("policy-demo/p")
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	s := all[0]
	if r := s.Tiers[0].Policies[0].Rules[0]; r.Text != "pass tcp from app == 'x' to ports 81 named-ports web" || r.Number != 1 || r.Program != 0 {
		t.Errorf("%+v", r)
	}
	if s.Tiers[0].Default != acl.Pass || s.Tiers[1].Name != "default" || s.Tiers[1].Default != acl.Deny || s.Tiers[3].Policies[0].Name != "kns.policy-demo" {
		t.Errorf("%+v", s.Tiers)
	}
	for _, tier := range s.Tiers {
		for _, p := range tier.Policies {
			for _, r := range p.Rules {
				if s.Program.Rule(r.Program).Index+1 != r.Number {
					t.Errorf("%s: rule %d of the program is another", p.Name, r.Program)
				}
			}
		}
	}
}

// TestAlarms: what is asked for and cannot be had is said.
func TestAlarms(t *testing.T) {
	e := policy.New(policy.Options{Node: "n"})
	load(t, e, `
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: x}
spec:
  tier: none
  performanceHints: [AssumeNeededOnEveryNode]
  egress: [{action: Allow, destination: {services: {name: dns, namespace: kube-system}}}]
---
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: up}
spec: {node: n, interfaceName: eth0, profiles: [mine]}
`)
	commit(t, e)
	var got []string
	for _, a := range e.Alarms() {
		got = append(got, a.String())
	}
	want := []string{
		"GlobalNetworkPolicy x: spec.performanceHints: not supported: the policy does the same without",
		"GlobalNetworkPolicy x: spec.tier: there is no Tier none: it is asked after all others",
		"GlobalNetworkPolicy x: spec: no EndpointSlice says who serves kube-system/dns: rules that name it match nothing",
		"HostEndpoint up: spec.profiles: there is no Profile mine",
	}
	if !slices.Equal(got, want) {
		t.Errorf("alarms\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	load(t, e, "")
	commit(t, e)
	if a := e.Alarms(); len(a) > 0 {
		t.Error("alarms stay:", a)
	}
}

// TestLastGood: what cannot be compiled leaves endpoints as they are, and closes
// new ones.
func TestLastGood(t *testing.T) {
	e := policy.New(policy.Options{})
	load(t, e, scenario(t, "frontend-backend.yaml"))
	set(t, e, "default/front 10.0.0.2 app=frontend", "default/client 10.0.0.3 app=client")
	before := commit(t, e).Updated
	bad := resource.Resource{Ref: resource.Ref{Group: resource.Calico, Kind: "GlobalNetworkPolicy", Name: "bad"}, Spec: &resource.Policy{
		Name: "bad", Words: "bad", Tier: "default", Applies: selector.All(), Types: resource.Directions{Ingress: true},
		In: []resource.Rule{{Number: 1}}}} // a rule without an action
	if err := e.Upsert("other", bad); err != nil {
		t.Fatal(err)
	}
	set(t, e, "default/new 10.0.0.4 app=new")
	for range 2 { // it stays wrong
		c, err := e.Commit()
		if !errors.Is(err, acl.ErrInvalid) || !strings.Contains(err.Error(), `policy "bad"`) || !strings.Contains(err.Error(), "default/new") {
			t.Fatal(err)
		}
		for _, end := range c.Updated {
			k := keyOf(netip.MustParseAddr("10.0.0.2"), end.Addrs[0], 6, 80)
			if end.ID != "default/new" || end.To == nil || end.To.Match(&k, c.Sets, nil).Action != acl.Deny {
				t.Errorf("%s has changed, or is open", end.ID)
			}
		}
	}
	if now := e.Endpoints(); now[0] != before[0] || now[1] != before[1] {
		t.Error("endpoints that were good have changed")
	}
	e.Delete("other", bad.Ref)
	if c := commit(t, e); !slices.Equal(ids(c), []string{"default/new"}) || c.Updated[0].To != nil {
		t.Errorf("updated %v", ids(c))
	}
}
