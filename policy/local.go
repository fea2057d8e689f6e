package policy

import (
	"slices"
	"strings"

	"github.com/skein-dataplane/skein/acl"
)

// A local is an endpoint of this node with where its Programs come from.
type local struct {
	*Endpoint
	programs [numDirections]*program
}

// hostName returns the name of the HostEndpoint whose endpoint has this ID.
func hostName(id string) (string, bool) { return strings.CutPrefix(id, "host ") }

// same reports whether two endpoints are the same to the data plane.
func (l *local) same(o *local) bool {
	a, b := *l.Endpoint, *o.Endpoint
	if !slices.Equal(a.Addrs, b.Addrs) {
		return false
	}
	for d := range numDirections {
		if *a.at(d) != *b.at(d) {
			return false
		}
	}
	return a.ID == b.ID && a.Name == b.Name && a.Interface == b.Interface && a.Host == b.Host
}

// local works out an endpoint. On error what could not be compiled is as it was
// before, or lets nothing pass.
func (e *Engine) local(ent *entity, before *local) (*local, error) {
	l := &local{Endpoint: &Endpoint{ID: ent.key.endpointID(), Name: ent.name, Interface: ent.iface, Host: ent.host}}
	if ent.namespace != "" {
		l.Name = ent.namespace + "/" + ent.name
	}
	for _, p := range ent.prefixes {
		l.Addrs = append(l.Addrs, p.Addr())
	}
	var wrong error
	policies := e.policiesOf(ent)
	for d := range numDirections {
		if d > Egress && !ent.host {
			break
		}
		p, err := e.program(ent, d, policies)
		if err != nil {
			wrong = err
			if p = e.closed(ent.host, d); before != nil {
				p = before.programs[d]
				p.use()
			}
		}
		if l.programs[d] = p; p != nil {
			*l.at(d) = p.Program
		}
	}
	return l, wrong
}

// closed returns a program that lets nothing pass but for failsafe ports.
func (e *Engine) closed(host bool, d Direction) *program {
	p, err := acl.Compile(&acl.RuleSet{Tiers: e.failsafeTier(host, d)}, nil)
	if err != nil { // a failsafe port that is none: nothing passes
		p, _ = acl.Compile(&acl.RuleSet{}, nil)
	}
	return &program{Program: p, uses: 1}
}

func (p *program) use() {
	if p != nil {
		p.uses++
	}
}
