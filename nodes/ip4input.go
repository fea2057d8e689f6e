package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
)

// IP4Input lets only sound IPv4 headers pass (RFC 1812, sections 5.2.2 and
// 5.3.7; RFC 1122, section 3.2.1).
//
// In: the packet starts at L3, at bytes that claim to be IPv4.
// Out: the header is whole and sound and the packet is as long as it says; L4
// is set. Towards icmp4-error, Meta holds the error.
//
// The TTL is not looked at: a packet for this node may arrive with its last
// hop spent (RFC 1812, section 5.3.1).
var IP4Input = graph.Spec{
	Name: "ip4-input",
	Arcs: []graph.To{
		ip4Truncated:   {Reason: "ip4 truncated", Node: graph.Drop},
		ip4Version:     {Reason: "ip4 version is not 4", Node: graph.Drop},
		ip4HeaderLen:   {Reason: "ip4 bad header length", Node: graph.Drop},
		ip4TotalLen:    {Reason: "ip4 total length exceeds the packet", Node: graph.Drop},
		ip4Checksum:    {Reason: "ip4 bad header checksum", Node: graph.Drop},
		ip4BadSource:   {Reason: "ip4 martian source", Node: graph.Drop},
		ip4BadDest:     {Reason: "ip4 martian destination", Node: graph.Drop},
		ip4Multicast:   {Reason: "ip4 multicast is not routed", Node: graph.Drop},
		ip4SourceRoute: {Reason: "ip4 source route option refused", Node: graph.Drop},
		ip4BadOption:   {Reason: "ip4 bad option length", Node: "icmp4-error", Dies: true},
		ip4GSO:         {Reason: "ip4 offload does not fit the packet", Node: graph.Drop},
	},
	On:  IP4UnicastArc,
	New: func() graph.Node { return ip4Input{} },
}

// The ways out of ip4-input, besides the ip4-unicast arc.
const (
	_              graph.Arc = iota
	ip4Truncated             // no whole header
	ip4Version               // RFC 1812, section 5.2.2 (3)
	ip4HeaderLen             // less than 20, or more than there is
	ip4TotalLen              // RFC 1812, section 5.2.2 (5)
	ip4Checksum              // RFC 1812, section 5.2.2 (2)
	ip4BadSource             // RFC 1812, section 5.3.7
	ip4BadDest               // RFC 1812, section 5.3.7
	ip4Multicast             // 224.0.0.0/4 and 255.255.255.255
	ip4SourceRoute           // RFC 791 LSRR and SSRR; RFC 6274, section 3.12.2.3 says why not
	ip4BadOption             // RFC 1812, section 4.3.3.5: the sender is told
	ip4GSO                   // a device has told nonsense about a superpacket
)

type ip4Input struct{}

func (ip4Input) Process(w *graph.Worker, v *graph.Vector) {
	ifaces := w.State.Ifaces
	in, first, rest := uint32(0), graph.Arc(0), uint64(0) // index 0 is nobody's
	for i, b := range v.Bufs() {
		// The usual packet in one look: no options, no padding, no fragment, no
		// superpacket, and nothing wrong. All others are looked at one by one.
		h := b.IPv4()
		if n := b.Len(); n >= hdr.IPv4Len && b.GSOType == buf.GSONone && h.IsPlain(n) && notUnicast[h[12]]|notUnicast[h[16]] == 0 {
			b.L4 = b.L3 + hdr.IPv4Len
		} else if arc := ip4Check(b); arc != 0 && (arc != ip4GSO || !superInTunnel4(w, b)) {
			v.Arc[i] = arc
			continue
		}
		if b.RxIf != in {
			in = b.RxIf
			first, rest = graph.FirstFeature(ifaces[in].Feat[iface.IP4Unicast])
		}
		b.Feat = rest
		v.Arc[i] = first
	}
}

// ip4Check returns the arc by which an unsound packet leaves, 0 for a sound
// one, which it trims to its length.
func ip4Check(b *buf.Buffer) graph.Arc {
	n := b.Len()
	if n < hdr.IPv4Len {
		return ip4Truncated
	}
	h := b.IPv4()
	if h[0] != 0x45 {
		if arc := ip4Options(b, h); arc != 0 {
			return arc
		}
	} else if !h.SumsUp() {
		return ip4Checksum
	}
	total := h.Len()
	if total < h.HeaderLen() || total > n {
		return ip4TotalLen
	}
	if total < n {
		b.Trim(total) // Ethernet has padded it to 60 bytes
	}
	if martianSource(h.Src()) {
		return ip4BadSource
	}
	if dst := h.Dst(); dst>>28 >= 0xe || dst>>24 == 0 || dst.IsLoopback() {
		return ip4Destination(dst)
	}
	b.L4 = b.L3 + uint16(h.HeaderLen())
	if h[0] != 0x45 {
		if arc := sourceRouted(b, b.Bytes()[hdr.IPv4Len:h.HeaderLen()]); arc != 0 {
			return arc
		}
	}
	if b.GSOType != buf.GSONone && !gsoFits(b) {
		return ip4GSO
	}
	return 0
}

// notUnicast is 1 for the first byte of an address that can't be a station's:
// of the networks 0, 127 and 224 and up.
var notUnicast = [256]uint8{
	0: 1, 127: 1,
	224: 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
	240: 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
}

// martianSource reports whether no packet can come from src (RFC 1812, section
// 5.3.7): multicast, reserved and broadcast (224.0.0.0/3), "this network" and
// loopback.
func martianSource(src hdr.Addr4) bool {
	return src>>29 == 7 || src>>24 == 0 || src.IsLoopback()
}

// ip4Destination says why there is no way to a destination outside unicast.
func ip4Destination(dst hdr.Addr4) graph.Arc {
	if dst.IsMulticast() || dst == hdr.Broadcast4 {
		return ip4Multicast
	}
	return ip4BadDest
}

// ip4Options checks a header that is not the usual 20 bytes of version 4, but
// for what its options say.
func ip4Options(b *buf.Buffer, h *hdr.IPv4) graph.Arc {
	if h.Version() != 4 {
		return ip4Version
	}
	n := h.HeaderLen()
	if n < hdr.IPv4Len || n > b.Len() {
		return ip4HeaderLen
	}
	if hdr.Checksum(b.Bytes()[:n]) != 0 {
		return ip4Checksum
	}
	return 0
}

// sourceRouted refuses a packet that wants to choose its own way, or whose
// options do not add up. All others travel on as they are.
func sourceRouted(b *buf.Buffer, opts []byte) graph.Arc {
	const end, nop, lsrr, ssrr = 0, 1, 131, 137 // RFC 791, section 3.1
	for len(opts) > 0 {
		switch opts[0] {
		case end:
			return 0
		case nop:
			opts = opts[1:]
			continue
		case lsrr, ssrr:
			return ip4SourceRoute
		}
		if len(opts) < 2 || opts[1] < 2 || int(opts[1]) > len(opts) {
			at := int(b.L4) - int(b.L3) - len(opts)
			b.Meta = icmpError(hdr.ICMPParamProblem, 0, uint16(at))
			return ip4BadOption
		}
		opts = opts[opts[1]:]
	}
	return 0
}

// gsoFits reports whether a superpacket's headers lie where its metadata say,
// and are of the protocol that they say. Segmentation relies on it.
func gsoFits(b *buf.Buffer) bool {
	h := b.IPv4AtL3()
	end := int(b.L4)
	switch b.GSOType &^ buf.GSOECN {
	case buf.GSOTCPv4:
		if h.Protocol() != hdr.ProtoTCP || b.End() < end+hdr.TCPLen {
			return false
		}
		if end += b.TCP().HeaderLen(); end < int(b.L4)+hdr.TCPLen {
			return false
		}
	case buf.GSOUDP:
		if h.Protocol() != hdr.ProtoUDP {
			return false
		}
		end += hdr.UDPLen
	default:
		return false
	}
	b.HdrEnd = uint16(end)
	return end <= b.End() && b.GSOSize > 0 && h.Frag()&(hdr.MoreFragments|hdr.FragOffset) == 0
}
