package kerneldiff

import (
	"bytes"
	"slices"

	"github.com/skein-dataplane/skein/hdr"
)

// Where Skein and Linux route IPv4 differently, and why.
var exceptions4 = []exception{
	{name: "identification and DF of own messages",
		why: "Skein sends its own with DF and an identification of 0 (RFC 6864, section 4.1), or, in a reply, what the request had; Linux counts",
		levels: func(x *trial, out []frame) []frame {
			return ownHeaders(x, out, func(h *hdr.IPv4) { h.SetID(0); h.SetFrag(h.Frag() &^ hdr.DontFragment) })
		}},
	{name: "type of service of ICMP errors",
		why: "RFC 1812, section 4.3.2.5, wants a precedence of 6 or 7: Skein keeps a 7 and clears the rest, where the ECN field is (RFC 3168); Linux keeps four bits of the packet's",
		levels: func(x *trial, out []frame) []frame {
			if t, _ := errorOf(out); t < 0 {
				return out
			}
			return ownHeaders(x, out, func(h *hdr.IPv4) { h[1] = 0xc0 })
		}},
	{name: "source in network 0",
		why:      "RFC 1812, section 5.3.7, has no packet forwarded from there; Linux knows 0.0.0.0 only",
		explains: func(x *trial) bool { return x.skeinDrops() && x.h4 != nil && x.h4.Src()>>24 == 0 && x.h4.Src() != 0 }},
	{name: "class E source",
		why: "no unicast address, so a martian by RFC 1812, section 5.3.7; Linux takes 240.0.0.0/4 for addresses like others",
		explains: func(x *trial) bool {
			return x.skeinDrops() && x.h4 != nil && x.h4.Src()>>28 == 0xf && x.h4.Src() != hdr.Broadcast4
		}},
	{name: "class E and network 0 destination",
		why: "illegal, so a martian by RFC 1812, section 5.3.7; Linux answers that there is no route",
		explains: func(x *trial) bool {
			t, _ := errorOf(x.kernel)
			return x.skeinDrops() && x.h4 != nil && (x.h4.Dst()>>28 == 0xf || x.h4.Dst()>>24 == 0) && t >= 0
		}},
	{name: "answer to a directed broadcast",
		why: "RFC 1812, section 4.3.2.7, and RFC 1122, section 3.2.2.6: none is sent to what does not name a single host; Linux tells all on the link",
		explains: func(x *trial) bool {
			return x.skeinDrops() && len(x.kernel) == 1 && slices.ContainsFunc(ports[:], func(p port) bool { return x.src() == broadcast(p.addr) && own(newTrial(x.kernel[0], nil, nil).src()) })
		}},
	{name: "own source",
		why: "no RFC says that a router is to compare sources with its own addresses (RFC 2827 has it filtered where it comes from, as Skein does at the pods), and Skein does so only with policy, which there is none of here; Linux does always",
		explains: func(x *trial) bool {
			return x.kernelDrops() && own(x.src()) && !x.skeinDrops()
		}},
	{name: "source route",
		why:      "refused without a word, whatever else is wrong with it (RFC 7126, sections 4.3 and 4.4); Linux answers if it does not add up",
		explains: func(x *trial) bool { return x.skeinDrops() && x.has(optLSRR, optSSRR) }},
	{name: "contents of record route and timestamp",
		why:      "passed on unread, as RFC 7126, sections 4.5 and 4.7, allows; Linux answers what does not add up or has no room",
		explains: func(x *trial) bool { return x.refused(x.kernel, optRecordRoute, optTimestamp) }},
	{name: "timestamp that Linux can't repeat",
		why: "Linux sends neither error nor reply where it can't put the timestamps with addresses so far into it; Skein repeats none",
		explains: func(x *trial) bool {
			return x.kernelDrops() && len(x.skein) == 1 && answer(x.skein[0]) != nil && slices.ContainsFunc(options(x.packet), func(o option) bool {
				return o.kind == optTimestamp && len(o.bytes) > 4 && o.bytes[3]&15 == 1
			})
		}},
	{name: "UDP datagram shorter than its packet",
		why: "an error quotes as much of the original packet as it can (RFC 1812, section 4.3.2.3); Linux has cut it to the datagram by then",
		explains: func(x *trial) bool {
			return x.toOwn() && x.shortUDP(x.h4.Protocol(), x.h4.HeaderLen()) &&
				isError(x.kernel, hdr.ICMPUnreachable, hdr.ICMPPortUnreachable) && isError(x.skein, hdr.ICMPUnreachable, hdr.ICMPPortUnreachable)
		}},
	{name: "fragment that ends beyond 64 KiB",
		why: "there is no such packet (RFC 791, section 3.1); where it has to be cut further, Linux lets the offset wrap",
		explains: func(x *trial) bool {
			return x.skeinDrops() && len(x.kernel) > 1 && int(x.h4.Frag()&hdr.FragOffset)*8+len(x.packet)-x.h4.HeaderLen() > 0xffff
		}},
	{name: "options in echo replies",
		why: "Skein sends a request's options back as they are, Linux without padding, so that other lengths fit (RFC 1122, section 3.2.2.6, has no word on it)",
		explains: func(x *trial) bool {
			return x.toOwn() && x.icmpType() == hdr.ICMPEcho && x.h4.HeaderLen() > hdr.IPv4Len && len(x.skein) > 0 && bytes.Equal(payload(x.kernel), payload(x.skein))
		}},
	{name: "short router alert",
		why:      "passed on unread (RFC 6398, section 4.2); Linux answers one without a value",
		explains: func(x *trial) bool { return x.refused(x.kernel, optAlert) }},
	{name: "commercial security",
		why:      "CIPSO is passed on unread, as RFC 7126, section 4.13, allows; Linux looks into it",
		explains: func(x *trial) bool { return x.has(optCIPSO) && (x.kernelDrops() || x.pointsInto(x.kernel, optCIPSO)) }},
	{name: "options written by routers",
		why: "Skein does not write into record route and timestamp, does not repeat options in errors, leaves what is behind their end, and leaves those out of fragments that need not be copied, where Linux puts no operation (RFC 791, section 3.1)",
		levels: func(x *trial, out []frame) []frame {
			if x.h4 == nil || x.h4.HeaderLen() <= hdr.IPv4Len {
				return out
			}
			return plainOptions(out)
		}},
	{name: "bad option to a blackhole",
		why: "a blackhole says nothing; Linux looks at the options first",
		explains: func(x *trial) bool {
			return x.skeinDrops() && x.h4 != nil && x.h4.Dst()>>16 == 10<<8|66 && isError(x.kernel, hdr.ICMPParamProblem, 0)
		}},
	{name: "ICMP of unknown type",
		why: "only what is known to be an error is not answered by one (RFC 1812, section 4.3.2.7); Linux takes all types that it does not know for errors",
		explains: func(x *trial) bool {
			t, _ := errorOf(x.skein)
			typ := x.icmpType()
			return x.kernelDrops() && t >= 0 && (typ > 18 || slices.Contains([]int{1, 2, 6, 7, 9, 10}, typ))
		}},
	{name: "IGMP to the router",
		why: "Skein routes no multicast, and to it IGMP is a protocol that nobody speaks; Linux has it",
		explains: func(x *trial) bool {
			return x.kernelDrops() && isError(x.skein, hdr.ICMPUnreachable, hdr.ICMPProtoUnreachable) && x.toOwn() && x.h4.Protocol() == hdr.ProtoIGMP
		}},
	{name: "protocols that Linux has, or has a module for", optional: true,
		why: "to Skein they are unknown (RFC 1122, section 3.2.2.1)",
		explains: func(x *trial) bool {
			return x.kernelDrops() && x.toOwn() && isError(x.skein, hdr.ICMPUnreachable, hdr.ICMPProtoUnreachable) && slices.Contains(linux6, x.h4.Protocol())
		}},
	{name: "timestamp request",
		why: "a router need not answer (RFC 1812, section 4.3.3.8), and RFC 6918 has the others gone",
		explains: func(x *trial) bool {
			return x.skeinDrops() && x.toOwn() && x.icmpType() == 13 && len(x.kernel) == 1
		}},
	{name: "TCP to the router",
		why: "Skein has no TCP, so that to it the protocol has no port (RFC 1122, section 3.2.2.1); Linux has, and resets",
		explains: func(x *trial) bool {
			return isError(x.skein, hdr.ICMPUnreachable, hdr.ICMPPortUnreachable) && x.toOwn() && x.h4.Protocol() == hdr.ProtoTCP && x.reset(x.h4.HeaderLen())
		}},
	{name: "echo to a group address of the link",
		why:      "RFC 1122, section 3.3.6: a datagram that was sent to all stations of a link, but to one address, is discarded; Linux can, by drop_unicast_in_l2_multicast",
		explains: func(x *trial) bool { return x.skeinDrops() && x.toGroup() && x.toOwn() }},
}

// payload is what an outcome carries behind its IPv4 headers, fragments in
// their order.
func payload(out []frame) (all []byte) {
	for _, f := range out {
		p := f.bytes[hdr.EtherLen:]
		all = append(all, p[(*hdr.IPv4)(p).HeaderLen():]...)
	}
	return all
}

// ownHeaders changes the headers of the router's own packets, if they are
// sound, and mends their checksums.
func ownHeaders(x *trial, out []frame, change func(h *hdr.IPv4)) []frame {
	for _, f := range out {
		p := f.bytes[hdr.EtherLen:]
		h := (*hdr.IPv4)(p)
		if h.Version() != 4 || !own(h.Src().Addr()) || own(x.src()) || hdr.Checksum(p[:h.HeaderLen()]) != 0 {
			continue
		}
		change(h)
		h.SetChecksum(0)
		h.SetChecksum(hdr.Checksum(p[:h.HeaderLen()]))
	}
	return out
}
