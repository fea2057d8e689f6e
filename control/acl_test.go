package control

import (
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/policy"
	"github.com/skein-dataplane/skein/state"
)

// Access lists need no policy and close nothing, keep their hits over changes of
// what else there is, and ask for sessions only together with policy.
func TestAccessLists(t *testing.T) {
	all, err := newLists([]configs.ACL{{Interface: "tun0", In: []string{"log icmp", "allow ipv6 tcp to ports 80"}}, {Interface: "tun9", Out: []string{"allow"}}})
	lab.Need(t, err)
	tun := func(i uint32, name string) *port {
		return &port{Iface: iface.Iface{Name: name, Kind: iface.Tun}, index: i}
	}
	none, err := newPolicies(configs.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	c := &Control{lists: all, policies: none, ports: []*port{nil, tun(1, "tun0"), tun(2, "tun1")}}
	p := c.statePolicy()
	if p == nil || !p.Stateless || p.Gen == 0 || p.At(2) != nil || p.At(1) == nil || p.At(1).Closed || p.At(1).Out != nil || p.At(1).Name != "tun0" {
		t.Fatalf("lists alone: %+v", p)
	}
	if c.statePolicy() != p {
		t.Error("nothing has changed, and there is another Policy")
	}
	in := p.At(1).In
	c.policies.active = true
	next := c.statePolicy()
	if next == p || next.Stateless || next.Gen == p.Gen || next.At(1).In != in || !next.At(1).Closed || !next.At(2).Closed {
		t.Errorf("with policy: %+v", next)
	}
	gates, ruled := listGates(p.At(1))
	if len(gates) != 1 || ruled[0] != in || gates[0].Gate != state.GateIn {
		t.Fatalf("shown: %+v", gates)
	}
	tier := gates[0].Tiers[0]
	if rules := tier.Policies[0].Rules; tier.Default != acl.Deny || tier.Number != 2 || len(rules) != 2 || rules[1].Number != 2 || rules[1].Text != "allow ipv6 tcp to ports 80" {
		t.Errorf("shown: %+v", tier)
	}
}

// A list that can't be compiled is named.
func TestAccessListRefused(t *testing.T) {
	for _, a := range []configs.ACL{{In: []string{"pass"}}, {In: []string{"allow", "allow from set web"}}, {In: []string{"nonsense"}}} {
		if _, err := newLists([]configs.ACL{{Interface: "tun0"}, a}); err == nil || !strings.Contains(err.Error(), "acls[1].in") {
			t.Errorf("%q: %v", a.In, err)
		}
	}
}

// Failsafe ports are Calico's if none are configured, and can be none.
func TestFailsafeConfig(t *testing.T) {
	unset, _ := failsafe(nil)
	if none, err := failsafe([]string{}); unset != nil || none == nil || err != nil {
		t.Error("none and not said are the same")
	}
	if _, err := failsafe([]string{"tcp:22", "tcp"}); err == nil {
		t.Error("tcp without a port is taken")
	}
	if got, err := failsafe([]string{"tcp:22", "UDP:68"}); err != nil || len(got) != 2 || got[0] != (policy.Failsafe{Proto: 6, Port: 22}) || got[1] != (policy.Failsafe{Proto: 17, Port: 68}) {
		t.Errorf("%+v", got)
	}
}
