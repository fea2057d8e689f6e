package kerneldiff

import (
	"slices"

	"github.com/skein-dataplane/skein/hdr"
)

// Where Skein and Linux route IPv6 differently, and why.
var exceptions6 = slices.Concat(addresses6, extensions6, []exception{
	{name: "redirect",
		why:     "a router should send them (RFC 4861, section 8.2); the stations on Skein's links have no other router there that they could be sent to",
		ignores: func(f frame) bool { m := answer(f); return m != nil && m.h6 != nil && m.body[0] == hdr.ICMP6Redirect }},
	{name: "unreachable route",
		why: "a route that says unreachable is answered by code 3, as RFC 4443, section 3.1, has it, and as IPv4's is; Linux says that there is none",
		levels: func(_ *trial, out []frame) []frame {
			return own6(out, func(m *icmp) {
				if m.body[0] == hdr.ICMP6Unreachable && m.body[1] == hdr.ICMP6AddrUnreachable {
					m.body[1] = hdr.ICMP6NoRoute
				}
			})
		}},
	{name: "traffic class and flow label of own messages",
		why:    "RFC 4443 has no word on them: Skein's are 0 (RFC 8200, sections 6 and 7)",
		levels: func(_ *trial, out []frame) []frame { return own6(out, func(m *icmp) { m.h6.SetFirst(0, 0) }) }},
	{name: "echo to a group",
		why: "groups of a link are the host's, to whom Skein bridges them, and there is none here (RFC 4443, section 4.2, lets a node answer)",
		explains: func(x *trial) bool {
			return x.skeinDrops() && x.dst().IsMulticast() && len(x.kernel) == 1 && answer(x.kernel[0]) != nil
		}},
	{name: "echo to a group address of the link",
		why:      "a packet that was sent to all stations of a link, but to one address, is no station's (RFC 1122, section 3.3.6, has it for IPv4); Linux answers",
		explains: func(x *trial) bool { return x.skeinDrops() && x.toGroup() && x.toOwn() }},
	{name: "neighbour discovery to others",
		why: "solicitations and advertisements never leave a link (RFC 4861, section 3.1), so whoever sends one to a router's link address means the router; Linux passes them on like others",
		explains: func(x *trial) bool {
			return x.skeinDrops() && x.h6 != nil && x.h6.NextHeader() == hdr.ProtoICMPv6 && len(x.packet) > hdr.IPv6Len &&
				(x.packet[hdr.IPv6Len] == hdr.ICMP6NeighborSol || x.packet[hdr.IPv6Len] == hdr.ICMP6NeighborAdv)
		}},
	{name: "echo reply beyond the MTU",
		why: "to fragment is the sender's business (RFC 8200, section 5), and Skein, which sends nothing else so long, does not; Linux does",
		explains: func(x *trial) bool {
			return x.skeinDrops() && x.toOwn() && len(x.kernel) > 1 && x.kernel[0].bytes[hdr.EtherLen+6] == hdr.ProtoFragment && len(x.packet) > ports[right].mtu
		}},
	{name: "UDP length of 0",
		why: "RFC 2675, section 4, has it in jumbograms, which no link here carries; Linux takes it for the whole packet's elsewhere too",
		explains: func(x *trial) bool {
			return x.skeinDrops() && x.toOwn() && x.chain.Proto == hdr.ProtoUDP && len(x.packet)-x.chain.Off >= hdr.UDPLen &&
				(*hdr.UDP)(x.packet[x.chain.Off:]).Len() == 0 && isError(x.kernel, hdr.ICMP6Unreachable, hdr.ICMP6PortUnreachable)
		}},
	{name: "UDP datagram shorter than its packet",
		why: "an error quotes as much of the packet as fits (RFC 4443, section 2.4 (c)); Linux has cut it to the datagram by then",
		explains: func(x *trial) bool {
			return x.toOwn() && x.shortUDP(x.chain.Proto, x.chain.Off) &&
				isError(x.kernel, hdr.ICMP6Unreachable, hdr.ICMP6PortUnreachable) && isError(x.skein, hdr.ICMP6Unreachable, hdr.ICMP6PortUnreachable)
		}},
	{name: "TCP to the router",
		why: "Skein has no TCP, so that to it the protocol has no port (RFC 4443, section 3.1); Linux has, and resets",
		explains: func(x *trial) bool {
			return isError(x.skein, hdr.ICMP6Unreachable, hdr.ICMP6PortUnreachable) && x.toOwn() && x.chain.Proto == hdr.ProtoTCP && x.reset(x.chain.Off)
		}},
})

// addresses6 are about who may be written to, and who may write.
var addresses6 = []exception{
	{name: "martian destination",
		why: ":: is never a destination, and of ::1 and ::ffff:0:0/96 none is on a wire (RFC 4291, sections 2.5.2, 2.5.3 and 2.5.5.2): dropped without a word; Linux answers that there is no route",
		explains: func(x *trial) bool {
			d := x.dst()
			return x.skeinDrops() && (d.IsUnspecified() || d.IsLoopback() || d.Is4In6())
		}},
	{name: "mapped source",
		why:      "RFC 4291, section 2.5.5.2: an address within a node; Linux takes it for one like others",
		explains: func(x *trial) bool { return x.skeinDrops() && x.src().Is4In6() }},
	{name: "unspecified source",
		why:      "RFC 4291, section 2.5.2: never forwarded; Linux does, back to the link that the packet has come from",
		explains: func(x *trial) bool { return x.skeinDrops() && x.src().IsUnspecified() && x.back() }},
	{name: "link-local destination beyond the router",
		why:      "stations of a link reach each other without a router; Linux sends the packet back to the link",
		explains: func(x *trial) bool { return x.skeinDrops() && x.dst().IsLinkLocalUnicast() && !x.ownLink() }},
	{name: "link-local source back to its link",
		why: "RFC 4291, section 2.5.6: such a packet is the link's; Linux forwards it if it leaves by the link that it has come from",
		explains: func(x *trial) bool {
			return x.src().IsLinkLocalUnicast() && (x.skeinDrops() || isError(x.skein, hdr.ICMP6Unreachable, hdr.ICMP6BeyondScope)) && x.back()
		}},
}

// linux6 are IPIP, IPv6 in IPv6, GRE, ESP, AH, L2TP, SCTP, mobility and
// UDP-Lite.
var linux6 = []uint8{4, 41, 47, 50, 51, 115, 132, 135, 136}

// extensions6 are about extension headers.
var extensions6 = []exception{
	{name: "hop-by-hop options",
		why:      "a forwarding plane may pass them on unread (RFC 9673, section 5), and Skein does so with its own, too; Linux reads them",
		explains: func(x *trial) bool { return x.chain.HopByHop && x.refusesHopByHop() }},
	{name: "routing header type 0",
		why:      "refused, though it is for others (RFC 5095, section 4.2, has firewalls do so); Linux looks at its own only",
		explains: func(x *trial) bool { return x.skeinDrops() && x.chain.Routing0 }},
	{name: "hop-by-hop options not first",
		why:      "RFC 8200, section 4.1: there they are nobody's; Linux finds them only where it is the destination",
		explains: func(x *trial) bool { return x.skeinDrops() && x.chain.Fault == hdr.ChainMisplaced }},
	{name: "extension headers truncated",
		why:      "the chain does not end within the packet, and hides what it carries from policy (RFC 7112, section 1); Linux passes on what it does not read",
		explains: func(x *trial) bool { return x.skeinDrops() && x.chain.Fault == hdr.ChainShort }},
	{name: "extension headers too many or too long",
		why:      "RFC 8504, section 5.3, and RFC 8883, section 2, know such limits; Linux has none for what it passes on",
		explains: func(x *trial) bool { return x.skeinDrops() && (x.chain.Fault == hdr.ChainLong || x.chain.Off > 40+512) }},
	{name: "first fragment without the transport header",
		why: "RFC 7112, section 5: it may be discarded, as it hides ports from policy; Linux does not look",
		explains: func(x *trial) bool {
			return x.skeinDrops() && x.chain.Frag != 0 && !x.chain.NotFirst && len(x.packet)-x.chain.Off < 20
		}},
	{name: "errors behind mobility, HIP and shim6",
		why: "Skein steps over these headers, finds an ICMPv6 error there, and does not answer it (RFC 4443, section 2.4 (e)); Linux does not know them",
		explains: func(x *trial) bool {
			t, _ := errorOf(x.kernel)
			return x.skeinDrops() && t >= 0 && x.chain.Proto == hdr.ProtoICMPv6 && x.chain.Off > hdr.IPv6Len &&
				x.extension(func(kind uint8, _ []byte) bool {
					return slices.Contains([]uint8{hdr.ProtoMobility, hdr.ProtoHIP, hdr.ProtoShim6}, kind)
				})
		}},
	{name: "malformed fragment for the router",
		why: "Skein does not reassemble; Linux answers those of a length or an end that no fragment has (RFC 8200, section 4.5)",
		explains: func(x *trial) bool {
			return x.skeinDrops() && x.toOwn() && x.chain.Frag != 0 && isError(x.kernel, hdr.ICMP6ParamProblem, hdr.ICMP6ErroneousHeader)
		}},
	{name: "several fragment headers",
		why:      "RFC 8200, section 4.1, has one at most; what a destination makes of more is its own business",
		explains: func(x *trial) bool { return x.toOwn() && x.fragments() > 1 }},
	{name: "destination options that are many, or odd padding",
		why: "Linux drops more than 8 of them, and padding that is more than padding (RFC 8504, section 5.3, lets it); Skein has no need, as it does nothing but step over them",
		explains: func(x *trial) bool {
			return x.kernelDrops() && x.toOwn() && x.extension(func(kind uint8, h []byte) bool { return kind == hdr.ProtoDstOpts && !plainOptions6(h[2:]) })
		}},
	{name: "segment routing and RPL",
		why: "Linux knows these routing headers, and drops them where they are not enabled; to Skein they are unknown, so skipped or answered (RFC 8200, section 4.4)",
		explains: func(x *trial) bool {
			return x.kernelDrops() && x.toOwn() && x.extension(func(kind uint8, h []byte) bool { return kind == hdr.ProtoRouting && (h[2] == 3 || h[2] == 4) })
		}},
	{name: "protocols that Linux has, or has a module for", optional: true,
		why: "to Skein they are unknown (RFC 4443, section 3.4)",
		explains: func(x *trial) bool {
			return x.kernelDrops() && x.toOwn() && isError(x.skein, hdr.ICMP6ParamProblem, hdr.ICMP6UnknownNext) && slices.Contains(linux6, x.chain.Proto)
		}},
	{name: "later fragments of ICMPv6",
		why: "nobody can tell whether they are of an error, so they are not answered (RFC 4443, section 2.4 (e)); Linux takes them for none",
		explains: func(x *trial) bool {
			t, _ := errorOf(x.kernel)
			return x.skeinDrops() && t >= 0 && x.chain.NotFirst && x.chain.Proto == hdr.ProtoICMPv6
		}},
}

// extension reports whether one of the extension headers, of which the last may
// be cut short, is as wanted.
func (x *trial) extension(wanted func(kind uint8, h []byte) bool) bool {
	next, at := x.packet[6], hdr.IPv6Len
	for hdr.IsExt(next) && at+hdr.ExtLen <= len(x.packet) {
		h := (*hdr.Ext)(x.packet[at:])
		end := at + h.Len(next)
		if wanted(next, x.packet[at:min(end, len(x.packet))]) {
			return true
		}
		next, at = h.NextHeader(), end
	}
	return false
}

// fragments returns how many fragment headers there are.
func (x *trial) fragments() (n int) {
	x.extension(func(kind uint8, _ []byte) bool {
		if kind == hdr.ProtoFragment {
			n++
		}
		return false
	})
	return n
}

// refusesHopByHop reports whether Linux has refused the packet for its hop-by-
// hop options: by an error that points there, or without a word.
func (x *trial) refusesHopByHop() bool {
	end := hdr.IPv6Len + (*hdr.Ext)(x.packet[hdr.IPv6Len:]).Len(hdr.ProtoHopByHop)
	if typ, _ := errorOf(x.kernel); typ == hdr.ICMP6ParamProblem {
		b := answer(x.kernel[0]).body
		at := int(b[6])<<8 | int(b[7])
		return at >= hdr.IPv6Len && at < end
	}
	if !x.kernelDrops() || end > len(x.packet) {
		return false
	}
	return !plainOptions6(x.packet[hdr.IPv6Len+2 : end])
}

// plainOptions6 reports whether Linux passes on a packet with these options:
// padding that is none to speak of, router alerts, and few others, which want
// to be skipped. CALIPSO (RFC 5570) and IOAM (RFC 9486) it reads.
func plainOptions6(o []byte) bool {
	const pad1, padN, alert, calipso, ioam, most = 0, 1, 5, 7, 49, 8
	pad, others := 0, 0
	for len(o) > 0 {
		if o[0] == pad1 {
			o = o[1:]
			pad++
			continue
		}
		if len(o) < 2 || int(o[1])+2 > len(o) {
			return false
		}
		n := int(o[1]) + 2
		switch {
		case o[0] == padN:
			pad += n
			if slices.ContainsFunc(o[2:n], func(b byte) bool { return b != 0 }) {
				return false
			}
		case o[0] == alert && n != 4, o[0] == calipso, o[0] == ioam, o[0]>>6 != 0:
			return false
		default:
			pad = 0
			others++
		}
		if pad > 7 {
			return false
		}
		o = o[n:]
	}
	return others <= most
}

// ownLink reports whether the packet is to the router's link-local address of
// the link that it has come by.
func (x *trial) ownLink() bool { return x.dst() == ports[x.in.port].linkLocal.Addr() }

// back reports whether Linux has sent the packet back to the link that it has
// come from, as it is to be forwarded.
func (x *trial) back() bool {
	return x.forwarded(x.kernel) && x.kernel[0].port == x.in.port
}

// own6 changes the router's own messages, and mends their checksums.
func own6(out []frame, change func(m *icmp)) []frame {
	for _, f := range out {
		if m := answer(f); m != nil && m.h6 != nil {
			change(m)
			m.body[2], m.body[3] = 0, 0
			sum := m.h6.Checksum(hdr.ProtoICMPv6, m.body)
			m.body[2], m.body[3] = byte(sum>>8), byte(sum)
		}
	}
	return out
}
