package nodes

import (
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/iface"
)

// The feature arcs. Each interface chooses which features its packets visit;
// the order is the one that stands here, for all of them.
var (
	// DeviceInputArc begins where a device hands packets over. Nothing is
	// known of them yet but the interface.
	DeviceInputArc = &graph.FeatureArc{
		Name: "device-input",
		ID:   iface.DeviceInput,
		Features: []string{
			"deny-list",     // first: what is denied uses up no rate
			"rate-limit-in", // before anything that costs
		},
		End: "device-input-end",
	}
	// IP4UnicastArc follows ip4-input: the header is sound.
	IP4UnicastArc = &graph.FeatureArc{
		Name: "ip4-unicast",
		ID:   iface.IP4Unicast,
		Features: []string{
			"ip4-source-check", // first: what a forged packet says decides nothing
			"ip4-acl",          // before sessions: what it takes care of needs none
			"ip4-decap",        // before sessions: a tunnel has none, what is in it has
			"ip4-handoff",      // where there are several workers, sessions are with one of them
			"ip4-session",      // last: all else that decides about flows is asked behind ip4-lookup
		},
		End: "ip4-lookup",
	}
	// IP4OutputArc follows ip4-rewrite: the interface, the next hop and the
	// size are settled. The packet starts at its link header, if it has one.
	IP4OutputArc = &graph.FeatureArc{
		Name:     "ip4-output",
		ID:       iface.IP4Output,
		Features: []string{"ip4-acl-output"},
		End:      "interface-output",
	}
	// InterfaceOutputArc is the last before the device, for routed and
	// bridged packets alike.
	InterfaceOutputArc = &graph.FeatureArc{
		Name: "interface-output",
		ID:   iface.InterfaceOutput,
		Features: []string{
			"rate-limit-out", // only what would go out is counted
			"gro",            // last: all others see packets as they came
		},
		End: "interface-tx",
	}
	// IP6UnicastArc and IP6OutputArc are the same for IPv6, and have the same
	// features in the same order.
	IP6UnicastArc = &graph.FeatureArc{
		Name:     "ip6-unicast",
		ID:       iface.IP6Unicast,
		Features: []string{"ip6-source-check", "ip6-acl", "ip6-decap", "ip6-handoff", "ip6-session"},
		End:      "ip6-lookup",
	}
	IP6OutputArc = &graph.FeatureArc{
		Name:     "ip6-output",
		ID:       iface.IP6Output,
		Features: []string{"ip6-acl-output"},
		End:      "interface-output",
	}
)

// FeatureArcs returns all feature arcs, in the order in which packets meet them.
func FeatureArcs() []*graph.FeatureArc {
	return []*graph.FeatureArc{DeviceInputArc, IP4UnicastArc, IP6UnicastArc, IP4OutputArc, IP6OutputArc, InterfaceOutputArc}
}
