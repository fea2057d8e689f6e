package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
)

// IP6Input lets only sound IPv6 headers pass (RFC 8200, section 3; RFC 4291,
// section 2). Packets with extension headers go on by way of ip6-extensions;
// the counts of both arcs there tell how many there are.
//
// In: the packet starts at L3, at bytes that claim to be IPv6.
// Out: the fixed header is whole and sound and the packet is as long as it
// says. On the ip6-unicast arc, L4 is set.
//
// The hop limit is not looked at: a packet for this node may arrive with its
// last hop spent. Link-local addresses are sound here; that they are not
// routed is the business of ip6-lookup and ip6-rewrite, which know where to.
var IP6Input = graph.Spec{
	Name: "ip6-input",
	Arcs: []graph.To{
		ip6Truncated:  {Reason: "ip6 truncated", Node: graph.Drop},
		ip6Version:    {Reason: "ip6 version is not 6", Node: graph.Drop},
		ip6PayloadLen: {Reason: "ip6 payload length exceeds the packet", Node: graph.Drop},
		ip6Jumbogram:  {Reason: "ip6 jumbogram refused", Node: graph.Drop},
		ip6BadSource:  {Reason: "ip6 martian source", Node: graph.Drop},
		ip6BadDest:    {Reason: "ip6 martian destination", Node: graph.Drop},
		ip6Multicast:  {Reason: "ip6 multicast is not routed", Node: graph.Drop},
		ip6GSO:        {Reason: "ip6 offload does not fit the packet", Node: graph.Drop},
		ip6HopByHop:   {Reason: "ip6 hop-by-hop options", Node: "ip6-extensions"},
		ip6Extended:   {Reason: "ip6 extension headers", Node: "ip6-extensions"},
	},
	On:  IP6UnicastArc,
	New: func() graph.Node { return ip6Input{} },
}

// The ways out of ip6-input, besides the ip6-unicast arc.
const (
	_             graph.Arc = iota
	ip6Truncated            // no whole header
	ip6Version              //
	ip6PayloadLen           //
	ip6Jumbogram            // RFC 2675: no link here carries one
	ip6BadSource            // RFC 4291, sections 2.5.2, 2.5.3, 2.5.5.2 and 2.7
	ip6BadDest              // RFC 4291, sections 2.5.2, 2.5.3 and 2.5.5.2
	ip6Multicast            // ff00::/8
	ip6GSO                  // a device has told nonsense about a superpacket
	ip6HopByHop             // RFC 9673
	ip6Extended             // RFC 8200, section 4
)

type ip6Input struct{}

func (ip6Input) Process(w *graph.Worker, v *graph.Vector) {
	ifaces := w.State.Ifaces
	in, first, rest := uint32(0), graph.Arc(0), uint64(0) // index 0 is nobody's
	for i, b := range v.Bufs() {
		// The usual packet in one look: no extension headers, no padding, no
		// superpacket, and nothing wrong. All others are looked at one by one.
		h := b.IPv6()
		src, dst, proto := h.Src(), h.Dst(), h.NextHeader()
		if n := b.Len(); n >= hdr.IPv6Len && b.GSOType == buf.GSONone && h.Version() == 6 && hdr.IPv6Len+h.PayloadLen() == n &&
			!stepOver[proto] && unicast6(src) && unicast6(dst) {
			b.L4 = b.L3 + hdr.IPv6Len
		} else if arc := ip6Check(b); arc != 0 && (arc != ip6GSO || !superInTunnel6(w, b)) {
			v.Arc[i] = arc
			continue
		}
		if b.RxIf != in {
			in = b.RxIf
			first, rest = graph.FirstFeature(ifaces[in].Feat[iface.IP6Unicast])
		}
		b.Feat = rest
		v.Arc[i] = first
	}
}

// stepOver says which numbers are those of extension headers.
var stepOver = func() (is [256]bool) {
	for proto := range is {
		is[proto] = hdr.IsExt(uint8(proto))
	}
	return is
}()

// unicast6 reports whether an address is a station's beyond doubt. Of those
// whose upper half is zero, some are.
func unicast6(a hdr.Addr6) bool { return a.Hi != 0 && !a.IsMulticast() }

// ip6Check returns the arc by which a packet leaves that is unsound or has
// extension headers, 0 for any other. It trims what is sound to its length.
func ip6Check(b *buf.Buffer) graph.Arc {
	n := b.Len()
	if n < hdr.IPv6Len {
		return ip6Truncated
	}
	h := b.IPv6()
	if h.Version() != 6 {
		return ip6Version
	}
	total := hdr.IPv6Len + h.PayloadLen()
	if total != n {
		if total > n {
			return ip6PayloadLen
		}
		if total == hdr.IPv6Len && h.NextHeader() == hdr.ProtoHopByHop {
			return ip6Jumbogram
		}
		b.Trim(total) // Ethernet has padded it to 60 bytes
	}
	if martianSource6(h.Src()) {
		return ip6BadSource
	}
	if arc := ip6Destination(h.Dst()); arc != 0 {
		return arc
	}
	b.L4 = b.L3 + hdr.IPv6Len
	proto := h.NextHeader()
	if hdr.IsExt(proto) {
		if proto == hdr.ProtoHopByHop {
			return ip6HopByHop
		}
		return ip6Extended
	}
	if b.GSOType != buf.GSONone && !gsoFits6(b, proto) {
		return ip6GSO
	}
	return 0
}

// martianSource6 reports whether no packet can come from src.
func martianSource6(src hdr.Addr6) bool {
	return src.IsMulticast() || src.IsUnspecified() || src.IsLoopback() || src.IsMapped4()
}

// ip6Destination says why there is no way to a destination outside unicast, 0
// if there is.
func ip6Destination(dst hdr.Addr6) graph.Arc {
	switch {
	case dst.IsMulticast():
		return ip6Multicast
	case dst.IsUnspecified() || dst.IsLoopback() || dst.IsMapped4():
		return ip6BadDest
	}
	return 0
}

// gsoFits6 reports whether a superpacket is of the protocol that its metadata
// say, and sets HdrEnd. Segmentation relies on it.
func gsoFits6(b *buf.Buffer, proto uint8) bool {
	end := int(b.L4)
	switch b.GSOType &^ buf.GSOECN {
	case buf.GSOTCPv6:
		if proto != hdr.ProtoTCP || b.End() < end+hdr.TCPLen {
			return false
		}
		if end += b.TCP().HeaderLen(); end < int(b.L4)+hdr.TCPLen {
			return false
		}
	case buf.GSOUDP:
		if proto != hdr.ProtoUDP {
			return false
		}
		end += hdr.UDPLen
	default:
		return false
	}
	b.HdrEnd = uint16(end)
	return end <= b.End() && b.GSOSize > 0
}
