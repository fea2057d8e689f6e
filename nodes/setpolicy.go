package nodes

import (
	"slices"

	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/state"
)

// SetPolicy makes p the policy of a State in the making, and has the packets of
// each interface visit the nodes that ask it: with a policy all of them have
// sessions, as a flow has two ends, and without one, or with access lists alone,
// none has. Uplinks take packets out of tunnels where next.NAT says that other
// nodes have some. Whoever changes
// Ifaces calls it again, with next.Policy. It replaces Ifaces, if need be, and
// does not write into what next shares with other States.
func SetPolicy(next *state.State, p *state.Policy) {
	next.Policy = p
	copied := false
	for i := range next.Ifaces {
		if next.Ifaces[i].Kind == iface.None {
			continue
		}
		for _, f := range policyFeatures(next, uint32(i)) {
			bit := uint64(1) << slices.Index(f.arc.Features, f.node)
			if has := next.Ifaces[i].Feat[f.arc.ID]&bit != 0; has == f.on {
				continue
			}
			if !copied {
				next.Ifaces, copied = slices.Clone(next.Ifaces), true
			}
			next.Ifaces[i].Feat[f.arc.ID] ^= bit
		}
	}
}

// A policyFeature is a node that asks policy, and whether an interface's packets
// are to visit it.
type policyFeature struct {
	arc  *graph.FeatureArc
	node string
	on   bool
}

func policyFeatures(st *state.State, i uint32) []policyFeature {
	sessions := st.Policy != nil && !st.Policy.Stateless
	in := asks(st, i)
	out := st.Policy != nil && st.Policy.At(i) != nil && st.Policy.At(i).Out != nil
	crossing := sessions && st.Workers > 1
	tunnels := sessions && st.NAT != nil && st.NAT.Peers != nil && st.Ifaces[i].Kind == iface.Uplink
	return []policyFeature{
		{IP4UnicastArc, "ip4-decap", tunnels}, {IP6UnicastArc, "ip6-decap", tunnels},
		{IP4UnicastArc, "ip4-handoff", crossing}, {IP6UnicastArc, "ip6-handoff", crossing},
		{IP4UnicastArc, "ip4-session", sessions}, {IP6UnicastArc, "ip6-session", sessions},
		{IP4UnicastArc, "ip4-acl", in}, {IP6UnicastArc, "ip6-acl", in},
		{IP4OutputArc, "ip4-acl-output", out}, {IP6OutputArc, "ip6-acl-output", out},
	}
}
