// Package nodes answers one question: what is done to a packet, and in which
// order?
//
// Each file holds one node; this one lists them all, and features.go lists the
// features of each arc. Maturity: stable for IPv4, new for IPv6.
package nodes

import (
	"slices"

	"github.com/skein-dataplane/skein/graph"
)

// All is every node, in the order in which packets visit them. An arc to a
// node further up is a backward one: it is taken in the next pass of a sweep.
func All() []graph.Spec { return slices.Concat(inputNodes(), ip4Nodes(), ip6Nodes(), outputNodes()) }

func inputNodes() []graph.Spec {
	return []graph.Spec{
		DenyList,
		RateLimitIn,
		DeviceInput,
		EthernetInput,
		ARPInput,
		NDInput,
		TunInput,
	}
}

func ip4Nodes() []graph.Spec {
	return []graph.Spec{
		IP4Input,
		IP4SourceCheck,
		IP4ACL,
		IP4Decap,   // what was in a tunnel goes back to ip4-input
		IP4Handoff, // fragments that have waited come in anew
		IP4Session, // likewise
		IP4Translate,
		IP4Service,
		IP4Encap, // the tunnel's packet has a way of its own
		IP4Lookup,
		IP4Policy, // for what ip4-session knows no verdict of
		IP4Masquerade,
		IP4Open,

		IP4Punt,
		IP4Local,
		ICMP4Input, // replies go back to ip4-lookup
		IP4ARP,     // parked packets go back to ip4-lookup
		IP4Rewrite,
		IP4Fragment,
		IP4ACLOutput,
		ICMP4Error, // errors go back to ip4-lookup
	}
}

func ip6Nodes() []graph.Spec {
	return []graph.Spec{
		IP6Input,
		IP6Extensions,
		IP6SourceCheck,
		IP6ACL,
		IP6Decap,   // what was in a tunnel goes back to ip6-input
		IP6Handoff, // fragments that have waited come in anew
		IP6Session, // likewise
		IP6Translate,
		IP6Service,
		IP6Encap, // the tunnel's packet has a way of its own
		IP6Lookup,
		IP6Policy,
		IP6Masquerade,
		IP6Open,

		IP6Punt,
		IP6Local,
		ICMP6Input, // replies go back to ip6-lookup
		IP6ND,      // parked packets go back to ip6-lookup
		IP6Rewrite,
		IP6ACLOutput,
		ICMP6Error, // errors go back to ip6-lookup
	}
}

func outputNodes() []graph.Spec {
	return []graph.Spec{
		InterfaceOutput,
		RateLimitOut,
		GRO,
		InterfaceTx,
		GSOSegment,
		UplinkOutput,
		TapOutput,
		TunOutput,
	}
}

// Entry points of the graph: the nodes that follow device-input for frames
// that start at an Ethernet header and at an IP header.
const (
	EtherEntry = "ethernet-input"
	IPEntry    = "tun-input"
)
