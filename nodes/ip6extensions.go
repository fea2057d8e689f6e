package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
)

// IP6Extensions finds the transport header behind extension headers (RFC 8200,
// section 4), and refuses chains in which nobody should look for it.
//
// It acts on none of them. Options for each hop are passed on unread, which is
// what a forwarding plane may do (RFC 9673, section 5), so that a flood of them
// costs no more than this walk. Only a routing header of type 0 is
// refused (RFC 5095).
//
// In: the packet starts at a sound IPv6 header with an extension header.
// Out: L4 is set. Of a fragment but the first, L4 is where its data
// start.
var IP6Extensions = graph.Spec{
	Name: "ip6-extensions",
	Arcs: []graph.To{
		extTruncated: {Reason: "ip6 extension headers truncated", Node: graph.Drop},
		extTooMany:   {Reason: "ip6 extension headers too many or too long", Node: graph.Drop},
		extHopByHop:  {Reason: "ip6 hop-by-hop options not first", Node: graph.Drop},
		extRouting0:  {Reason: "ip6 routing header type 0 refused", Node: graph.Drop},
		extFirst:     {Reason: "ip6 first fragment lacks the transport header", Node: graph.Drop},
		extGSO:       {Reason: "ip6 offload does not fit the extension headers", Node: graph.Drop},
	},
	On:  IP6UnicastArc,
	New: func() graph.Node { return ip6Extensions{} },
}

// The ways out of ip6-extensions, besides the ip6-unicast arc.
const (
	_            graph.Arc = iota
	extTruncated           // the chain does not end within the packet
	extTooMany             // RFC 8504, section 5.3, lets us set limits
	extHopByHop            // RFC 8200, section 4.1
	extRouting0            // RFC 5095, section 3
	extFirst               // RFC 7112, section 5: it hides ports from policy
	extGSO                 // a device has told nonsense about a superpacket
)

// maxExtensionBytes is far more than senders have use for, and bounds together
// with hdr.MaxExts what a chain may cost (RFC 8883, section 2, knows such
// limits).
const maxExtensionBytes = 512

type ip6Extensions struct{}

func (ip6Extensions) Process(w *graph.Worker, v *graph.Vector) {
	ifaces := w.State.Ifaces
	for i, b := range v.Bufs() {
		if arc := extensions(b); arc != 0 {
			v.Arc[i] = arc
			continue
		}
		b.Feat = ifaces[b.RxIf].Feat[IP6UnicastArc.ID]
		v.Arc[i] = graph.NextFeature(b)
	}
}

func extensions(b *buf.Buffer) graph.Arc {
	u, arc := walkUpper(b.Bytes())
	if arc != 0 {
		return arc
	}
	b.L4 = b.L3 + uint16(u.Off)
	if b.GSOType != buf.GSONone && (u.fragment || !gsoFits6(b, u.Proto)) {
		return extGSO
	}
	return 0
}

// An upper is what the headers before the transport header say.
type upper struct {
	hdr.Chain6
	fragment bool // it is not the whole packet (RFC 6946: an atomic fragment is)
}

// walkUpper goes through the extension headers of a packet that starts at a
// sound IPv6 header. The arc is 0 if they are sound, else one of
// ip6-extensions.
func walkUpper(p []byte) (u upper, _ graph.Arc) {
	u.Chain6 = hdr.Walk6(p)
	switch {
	case u.Fault == hdr.ChainMisplaced:
		return u, extHopByHop
	case u.Fault == hdr.ChainShort:
		return u, extTruncated
	case u.Fault != hdr.ChainOK || u.Off > hdr.IPv6Len+maxExtensionBytes:
		return u, extTooMany
	case u.Routing0:
		return u, extRouting0
	}
	if u.Frag != 0 {
		f := (*hdr.Fragment)(p[u.Frag:])
		u.fragment = u.NotFirst || f.More()
	}
	if u.fragment && !u.NotFirst && len(p)-u.Off < leastTransport(u.Proto) {
		return u, extFirst
	}
	return u, 0
}

// leastTransport returns the bytes that a transport header has at least, as
// far as somebody may want to look at it.
func leastTransport(proto uint8) int {
	switch proto {
	case hdr.ProtoTCP:
		return hdr.TCPLen
	case hdr.ProtoUDP:
		return hdr.UDPLen
	case hdr.ProtoSCTP:
		return 12 // RFC 9260, section 3.1
	case hdr.ProtoICMPv6:
		return hdr.ICMPLen
	}
	return 0
}

// upper6 returns what the headers of a packet say that ip6-input has let pass,
// and that starts there.
func upper6(b *buf.Buffer) (u upper) {
	if proto := b.IPv6().NextHeader(); !hdr.IsExt(proto) { // nearly always
		u.Proto, u.Off, u.NextAt = proto, hdr.IPv6Len, 6
		return u
	}
	u, _ = walkUpper(b.Bytes())
	return u
}
