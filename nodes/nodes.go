// Package nodes answers one question: what is done to a packet, and in which
// order?
//
// Each file holds one node; this one lists them all, and features.go lists the
// features of each arc. Maturity: stable for IPv4, new for IPv6.
package nodes

import "github.com/skein-dataplane/skein/graph"

// All is every node, in the order in which packets visit them. An arc to a
// node further up is a backward one: it is taken in the next pass of a sweep.
func All() []graph.Spec {
	return []graph.Spec{
		DenyList,
		RateLimitIn,
		DeviceInput,
		EthernetInput,
		ARPInput,
		NDInput,
		TunInput,

		IP4Input,
		IP4SourceCheck,
		IP4Lookup,

		IP4Punt,
		IP4Local,
		ICMP4Input, // replies go back to ip4-lookup
		IP4ARP,     // parked packets go back to ip4-lookup
		IP4Rewrite,
		IP4Fragment,
		ICMP4Error, // errors go back to ip4-lookup

		IP6Input,
		IP6Extensions,
		IP6SourceCheck,
		IP6Lookup,

		IP6Punt,
		IP6Local,
		ICMP6Input, // replies go back to ip6-lookup
		IP6ND,      // parked packets go back to ip6-lookup
		IP6Rewrite,
		ICMP6Error, // errors go back to ip6-lookup

		InterfaceOutput,
		RateLimitOut,
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
