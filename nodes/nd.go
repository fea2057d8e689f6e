package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/hdr"
)

// An nd is a neighbor solicitation or advertisement (RFC 4861, sections 4.3 and
// 4.4), with the link address in it: the sender's in a solicitation, the
// target's in an advertisement.
type nd struct {
	solicit bool
	flags   uint8
	target  hdr.Addr6
	mac     hdr.MAC
	hasMAC  bool
}

// parseND reads a message, and reports false if it is not to be taken for one
// (RFC 4861, sections 7.1.1 and 7.1.2).
func parseND(p []byte, src, dst hdr.Addr6) (m nd, ok bool) {
	if len(p) < hdr.NeighborSolLen {
		return m, false
	}
	h := (*hdr.Neighbor)(p)
	opts, ok := hdr.ParseNDOptions(p[hdr.NeighborSolLen:])
	if !ok || h.Code() != 0 || h.Target().IsMulticast() {
		return m, false
	}
	m = nd{solicit: h.Type() == hdr.ICMP6NeighborSol, flags: h.Flags(), target: h.Target()}
	if m.solicit {
		m.mac, m.hasMAC = opts.SourceLink, opts.Has(hdr.NDSourceLink)
		return m, !src.IsUnspecified() || dst.IsSolicitedNode() && !m.hasMAC
	}
	m.mac, m.hasMAC = opts.TargetLink, opts.Has(hdr.NDTargetLink)
	return m, !dst.IsMulticast() || m.flags&hdr.NDSolicited == 0
}

// fill makes of b, which starts where an Ethernet header is to be, a frame
// with the message, whose link address is that of the sender.
func (m *nd) fill(b *buf.Buffer, to hdr.MAC, src, dst hdr.Addr6) {
	const size = hdr.NeighborSolLen + hdr.NDLinkLen
	at := b.Off() + hdr.EtherLen + hdr.IPv6Len
	b.SetSpan(at, at+size)
	typ, option := uint8(hdr.ICMP6NeighborAdv), uint8(hdr.NDTargetLink)
	if m.solicit {
		typ, option = hdr.ICMP6NeighborSol, hdr.NDSourceLink
	}
	p := b.Bytes()
	(*hdr.Neighbor)(p).Fill(typ, m.flags, m.target)
	hdr.FillNDLink((*[hdr.NDLinkLen]byte)(p[hdr.NeighborSolLen:]), option, m.mac)
	fillIP6(b, src, dst, hdr.NDHopLimit)
	fillChecksum6(b)
	b.Prepend(hdr.EtherLen)
	b.Ether().Fill(to, m.mac, hdr.TypeIPv6)
}

// isND reports whether a packet that starts at an IPv6 header is a neighbor
// solicitation or advertisement. Behind extension headers nobody looks for one:
// it is then like any other packet for the host or for nobody.
func isND(p []byte) bool {
	return len(p) > hdr.IPv6Len && p[6] == hdr.ProtoICMPv6 && p[4]|p[5] != 0 && // else it is padding that follows
		(p[hdr.IPv6Len] == hdr.ICMP6NeighborSol || p[hdr.IPv6Len] == hdr.ICMP6NeighborAdv)
}
