// Package iface answers one question: what is an interface to the data plane?
//
// Maturity: stable.
package iface

import (
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/hdr"
)

// A Kind says what is at the other end of an interface. The zero Kind is an
// index that nobody has.
type Kind uint8

const (
	None   Kind = iota
	Uplink      // a NIC that Skein has taken over
	Tap         // the host
	Tun         // a pod
)

// String returns the kind as the CLI and the API have it.
func (k Kind) String() string { return [...]string{"none", "uplink", "tap", "tun"}[k&3] }

// An Arc is one of the stretches of the graph along which an interface chooses
// the features that its packets visit.
type Arc uint8

const (
	DeviceInput     Arc = iota // before ethernet-input or tun-input, by receiving interface
	IP4Unicast                 // before ip4-lookup, by receiving interface
	IP6Unicast                 // before ip6-lookup, by receiving interface
	IP4Output                  // after ip4-rewrite, by sending interface
	IP6Output                  // after ip6-rewrite, by sending interface
	InterfaceOutput            // before the device, by sending interface
	NumArcs
)

// FeatEnd is the mask of an interface that has no feature on an arc.
const FeatEnd uint64 = 1 << 63

// An Iface is one interface. Index 0 is nobody's, and an index is not given
// to another interface until nothing can remember its first owner.
type Iface struct {
	Kind      Kind
	Up        bool
	Ethernet  bool // frames start at an Ethernet header, else at an IP header
	DHCPRelay bool // what it asks DHCP servers by broadcast is relayed, beside the graph
	Offload   drivers.Offload
	MTU       uint32    // largest IP packet, in bytes
	Addr4     hdr.Addr4 // source of what Skein itself sends here; 0: the node's
	Addr6     hdr.Addr6 // likewise, never link-local
	LinkLocal hdr.Addr6 // its address on its link; 0: an Ethernet interface has no IPv6 (see ethernet-input)
	Peer      uint32    // uplink: its host tap; tap: its uplink; 0: none
	MAC       hdr.MAC   // uplink: the NIC's; tap: Skein's side
	RxLimit   Limit     // of rate-limit-in, where that is enabled
	TxLimit   Limit     // of rate-limit-out
	Feat      [NumArcs]uint64
	Name      string
}
