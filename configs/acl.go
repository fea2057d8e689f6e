package configs

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/hdr"
)

// An ACL is what an interface's access lists say, rules as acl.ParseRule reads
// them. They look at each packet on its own, whatever flow it is of. A list that
// is there denies what none of its rules allows; one without rules is none.
type ACL struct {
	Interface string   `yaml:"interface"` // as Skein names it: host-eth0, tap0, tun0
	In        []string `yaml:"in"`        // of what is received by it and routed
	Out       []string `yaml:"out"`       // of what is routed out of it
}

// ParseACLRule reads a rule of an access list. There are no sets that it could
// name, and no list behind it to pass to.
func ParseACLRule(text string) (acl.Rule, error) {
	r, err := acl.ParseRule(text)
	if err != nil {
		return r, fmt.Errorf("configs: %w", err)
	}
	if r.Action == acl.Pass {
		return r, fmt.Errorf("configs: %q: an access list allows, denies or logs", text)
	}
	for _, s := range []*acl.Side{&r.Src, &r.Dst} {
		if len(s.Sets)+len(s.NotSets)+len(s.NamedPorts)+len(s.NotNamedPorts) > 0 {
			return r, fmt.Errorf("configs: %q: an access list knows no sets", text)
		}
	}
	return r, nil
}

// acls checks that all rules can be read, and that no interface has two entries.
// The interfaces need not be there yet: pods come and go.
func (c *checker) acls(all []ACL) {
	seen := map[string]bool{}
	for i, a := range all {
		at := fmt.Sprintf("acls[%d]", i)
		c.ifName(at+".interface", a.Interface)
		if seen[a.Interface] {
			c.add(at+".interface", "%q has access lists already", a.Interface)
		}
		seen[a.Interface] = true
		c.aclRules(at+".in", a.In)
		c.aclRules(at+".out", a.Out)
	}
}

func (c *checker) aclRules(at string, rules []string) {
	for i, text := range rules {
		if _, err := ParseACLRule(text); err != nil {
			c.add(fmt.Sprintf("%s[%d]", at, i), "%s; a rule such as allow tcp to ports 22 was expected", strings.TrimPrefix(err.Error(), "configs: "))
		}
	}
}

// ParseFailsafe reads a port that stays open at host endpoints: tcp:22, udp:68
// or sctp:5000.
func ParseFailsafe(text string) (proto uint8, port uint16, err error) {
	name, number, _ := strings.Cut(text, ":")
	proto = map[string]uint8{"tcp": hdr.ProtoTCP, "udp": hdr.ProtoUDP, "sctp": hdr.ProtoSCTP}[strings.ToLower(name)]
	n, err := strconv.ParseUint(number, 10, 16)
	if proto == 0 || err != nil || n == 0 {
		return 0, 0, fmt.Errorf("configs: %q where a protocol and a port were expected, such as tcp:22", text)
	}
	return proto, uint16(n), nil
}

func (c *checker) failsafe(field string, ports []string) {
	for i, text := range ports {
		if _, _, err := ParseFailsafe(text); err != nil {
			c.add(fmt.Sprintf("%s[%d]", field, i), "%s", strings.TrimPrefix(err.Error(), "configs: "))
		}
	}
}
