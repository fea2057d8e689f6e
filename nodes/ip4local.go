package nodes

import (
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
)

// IP4Local takes what is addressed to Skein itself (RFC 1122, section 3.2.1).
// There is little that it listens to.
//
// In: the packet starts at a sound IPv4 header.
// Out: the same. Towards icmp4-error, Meta holds the error.
var IP4Local = graph.Spec{
	Name: "ip4-local",
	Arcs: []graph.To{
		localICMP:     {Reason: "icmp", Node: "icmp4-input"},
		localPort:     {Reason: "nobody listens on this port", Node: "icmp4-error", Dies: true},
		localProto:    {Reason: "nobody speaks this protocol", Node: "icmp4-error", Dies: true},
		localFragment: {Reason: "fragment for this node is not reassembled", Node: graph.Drop},
	},
	New: func() graph.Node { return ip4Local{} },
}

// The ways out of ip4-local.
const (
	_             graph.Arc = iota
	localICMP               //
	localPort               // RFC 1122, sections 4.1.3.1 and 3.2.2.1
	localProto              // RFC 1122, section 3.2.2.1
	localFragment           // RFC 1122, section 3.3.2 would have it; nothing needs it yet
)

type ip4Local struct{}

func (ip4Local) Process(w *graph.Worker, v *graph.Vector) {
	for i, b := range v.Bufs() {
		h := b.IPv4()
		switch {
		case h.Frag()&(hdr.MoreFragments|hdr.FragOffset) != 0:
			v.Arc[i] = localFragment
		case h.Protocol() == hdr.ProtoICMP:
			v.Arc[i] = localICMP
		case h.Protocol() == hdr.ProtoUDP || h.Protocol() == hdr.ProtoTCP:
			b.Meta = icmpError(hdr.ICMPUnreachable, hdr.ICMPPortUnreachable, 0)
			v.Arc[i] = localPort
		default:
			b.Meta = icmpError(hdr.ICMPUnreachable, hdr.ICMPProtoUnreachable, 0)
			v.Arc[i] = localProto
		}
	}
}
