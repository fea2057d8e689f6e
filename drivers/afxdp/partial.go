package afxdp

import (
	"encoding/binary"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/hdr"
)

// markPartial finds out whether the packet's checksum is still to be finished,
// and says so in its metadata.
//
// A sender on the same machine (a veth's other end, a bridge port) leaves that
// to its device, and XDP is called with only the pseudo-header's sum in the
// checksum field and no word about it. So a TCP or UDP packet of which the
// field is that sum is taken for unfinished. If it was a finished one whose
// checksum has that value by chance, finishing it computes the same value
// again.
func markPartial(b *buf.Buffer) {
	p := b.Bytes()
	at, kind := hdr.EtherLen, uint16(0)
	if len(p) < hdr.EtherLen {
		return
	}
	kind = binary.BigEndian.Uint16(p[12:])
	for (kind == hdr.TypeVLAN || kind == hdr.TypeQinQ) && len(p) >= at+4 && at < hdr.EtherLen+8 {
		kind = binary.BigEndian.Uint16(p[at+2:])
		at += 4
	}
	l4, proto, pseudo := 0, uint8(0), uint16(0)
	switch {
	case kind == hdr.TypeIPv4 && len(p) >= at+hdr.IPv4Len:
		ip := (*hdr.IPv4)(p[at:])
		n := ip.Len() - ip.HeaderLen()
		if ip.Frag()&(hdr.MoreFragments|hdr.FragOffset) != 0 || ip.HeaderLen() < hdr.IPv4Len ||
			n < 0 || at+ip.Len() > len(p) {
			return
		}
		l4, proto, pseudo = at+ip.HeaderLen(), ip.Protocol(), ip.PseudoSum(n)
	case kind == hdr.TypeIPv6 && len(p) >= at+hdr.IPv6Len:
		ip := (*hdr.IPv6)(p[at:])
		n := ip.PayloadLen()
		if at+hdr.IPv6Len+n > len(p) {
			return
		}
		l4, proto, pseudo = at+hdr.IPv6Len, ip.NextHeader(), ip.PseudoSum(ip.NextHeader(), n)
	}
	field := 0
	switch proto {
	case hdr.ProtoTCP:
		field = 16
	case hdr.ProtoUDP:
		field = 6
	default:
		return
	}
	if len(p) < l4+field+2 || binary.BigEndian.Uint16(p[l4+field:]) != pseudo {
		return
	}
	b.Flags |= buf.CsumPartial
	b.CsumStart, b.CsumOffset = uint16(b.Off()+l4), uint16(field)
}
