package nodes

import (
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
)

// IP6Local takes what is addressed to Skein itself. There is little that it
// listens to.
//
// In: the packet starts at a sound IPv6 header; L4 is set.
// Out: the same. Towards icmp6-error, Meta holds the error.
var IP6Local = graph.Spec{
	Name: "ip6-local",
	Arcs: []graph.To{
		localICMP:     {Reason: "icmp6", Node: "icmp6-input"},
		localPort:     {Reason: "ip6 nobody listens on this port", Node: "icmp6-error", Dies: true},
		localProto:    {Reason: "ip6 nobody speaks this protocol", Node: "icmp6-error", Dies: true},
		localFragment: {Reason: "ip6 fragment for this node is not reassembled", Node: graph.Drop},
		localBad:      {Reason: "ip6 bad transport length or checksum", Node: graph.Drop},
		localNothing:  {Reason: "ip6 no next header", Node: graph.Drop},
		localOption:   {Reason: "ip6 unknown destination option", Node: "icmp6-error", Dies: true},
		localDiscard:  {Reason: "ip6 destination option says to discard", Node: graph.Drop},
		localRouting:  {Reason: "ip6 routing header with segments left", Node: "icmp6-error", Dies: true},
	},
	New: func() graph.Node { return ip6Local{} },
}

// The ways out of ip6-local are those of ip4-local, and these.
const (
	localNothing = localBad + 1 + iota // RFC 8200, section 4.7
	localOption                        // RFC 8200, section 4.2: the sender is told
	localDiscard                       // RFC 8200, section 4.2: he is not
	localRouting                       // RFC 8200, section 4.4
)

type ip6Local struct{}

func (ip6Local) Process(w *graph.Worker, v *graph.Vector) {
	for i, b := range v.Bufs() {
		u := upper6(b)
		if u.Off > hdr.IPv6Len {
			if arc := destination6(b); arc != 0 {
				v.Arc[i] = arc
				continue
			}
		}
		switch {
		case u.Proto == hdr.ProtoICMPv6:
			v.Arc[i] = localICMP
		case u.Proto == hdr.ProtoNone:
			v.Arc[i] = localNothing
		case u.Proto == hdr.ProtoUDP || u.Proto == hdr.ProtoTCP:
			p := b.Bytes()[u.Off:]
			if n := transportLen(b, u.Proto, p); n == 0 || !sumsUp(b, u.Proto, p[:n], b.IPv6().PseudoSum(u.Proto, n)) {
				v.Arc[i] = localBad
				continue
			}
			b.Meta = icmpError(hdr.ICMP6Unreachable, hdr.ICMP6PortUnreachable, 0) // RFC 4443, section 3.1
			v.Arc[i] = localPort
		default:
			b.Meta = icmpError(hdr.ICMP6ParamProblem, hdr.ICMP6UnknownNext, uint16(u.NextAt)) // RFC 4443, section 3.4
			v.Arc[i] = localProto
		}
	}
}
