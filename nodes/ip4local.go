package nodes

import (
	"github.com/skein-dataplane/skein/buf"
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
		localBad:      {Reason: "bad transport length or checksum", Node: graph.Drop},
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
	localBad                // RFC 1122, sections 4.1.3.4 and 4.2.2.7: discarded silently
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
			p := b.Bytes()[h.HeaderLen():]
			if n := transportLen(b, h.Protocol(), p); n == 0 || !sumsUp(b, h.Protocol(), p[:n], h.PseudoSum(n)) {
				v.Arc[i] = localBad
				continue
			}
			b.Meta = icmpError(hdr.ICMPUnreachable, hdr.ICMPPortUnreachable, 0)
			v.Arc[i] = localPort
		default:
			b.Meta = icmpError(hdr.ICMPUnreachable, hdr.ICMPProtoUnreachable, 0)
			v.Arc[i] = localProto
		}
	}
}

// transportLen returns the length of a UDP datagram or TCP segment whose
// header is at p, which ends with its packet; 0 if it can't be right.
func transportLen(b *buf.Buffer, proto uint8, p []byte) int {
	if b.GSOType != buf.GSONone {
		return len(p) // the nodes that let it pass have looked
	}
	switch {
	case proto == hdr.ProtoUDP && len(p) >= hdr.UDPLen:
		if n := (*hdr.UDP)(p).Len(); n >= hdr.UDPLen && n <= len(p) {
			return n
		}
	case proto == hdr.ProtoTCP && len(p) >= hdr.TCPLen:
		if n := (*hdr.TCP)(p).HeaderLen(); n >= hdr.TCPLen && n <= len(p) {
			return len(p)
		}
	}
	return 0
}

// sumsUp reports whether the checksum of a UDP datagram or TCP segment is right,
// given the sum of its pseudo-header. A device may have said so, or that it is
// still to be made; and a datagram of IPv4 may have none (RFC 768), but not
// one of IPv6 (RFC 8200, section 8.1).
func sumsUp(b *buf.Buffer, proto uint8, p []byte, pseudo uint16) bool {
	if b.Flags&(buf.CsumPartial|buf.CsumValid) != 0 {
		return true
	}
	if proto == hdr.ProtoUDP && (*hdr.UDP)(p).Checksum() == 0 {
		return b.IPv4().Version() == 4
	}
	return hdr.Fold(hdr.Sum(p, uint64(pseudo))) == 0xffff
}
