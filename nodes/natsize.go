package nodes

import (
	"fmt"

	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/nat"
)

// A NATSize says how much the nodes that translate have to give.
type NATSize struct {
	// AffinityClients is how many clients of services with session affinity a
	// worker remembers in each family; 0: 16,384.
	AffinityClients int
	Ports           []nat.PortRange // for source NAT; none: nat.DefaultPorts
	// Mappings is for how many inside ends of each family source NAT is
	// endpoint-independent (RFC 4787, REQ-1); 0: it is not. There is one worker then.
	Mappings int
}

// A sizedNode is one that a NATSize is about.
type sizedNode interface{ size(s *NATSize) }

// Sized returns All, with nodes of that size.
func Sized(s NATSize) ([]graph.Spec, error) {
	if s.AffinityClients == 0 {
		s.AffinityClients = affinityRoom
	}
	if len(s.Ports) == 0 {
		s.Ports = nat.DefaultPorts[:]
	}
	if _, err := nat.NewPorts(s.Ports...); err != nil {
		return nil, fmt.Errorf("nodes: %w", err)
	}
	specs := All()
	for i := range specs {
		usual := specs[i].New
		specs[i].New = func() graph.Node {
			n := usual()
			if x, ok := n.(sizedNode); ok {
				x.size(&s)
			}
			return n
		}
	}
	return specs, nil
}

func (n *ip4Service) size(s *NATSize) { n.affinity = newAffinity(s.AffinityClients) }
func (n *ip6Service) size(s *NATSize) { n.affinity = newAffinity(s.AffinityClients) }
func (n *ip4Open) size(s *NATSize) {
	n.ports, n.mapper = newPorts(s.Ports), newMapper(false, s.Mappings)
	n.start()
}
func (n *ip6Open) size(s *NATSize) {
	n.ports, n.mapper = newPorts(s.Ports), newMapper(true, s.Mappings)
	n.start()
}
