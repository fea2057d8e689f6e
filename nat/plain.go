package nat

import (
	"encoding/binary"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/hdr"
)

// SumAt is where the transport headers that Plain4 and Plain6 rewrite have
// their checksum, in bytes, by protocol; 0 for all others.
var SumAt = [256]uint8{hdr.ProtoTCP: tcpSumAt, hdr.ProtoUDP: udpSumAt}

// Plain4 is Translate4 for what nearly all packets are: a whole one of TCP or
// UDP, behind a header without options that b starts at. sumAt is SumAt of its
// protocol, and the caller has seen that there is that much of it. addrs and
// ports are what it is to have, as the headers do: the source in the high half.
//
// It reports false, and has changed nothing, if the packet has a partial
// checksum that is not its protocol's.
func Plain4(b *buf.Buffer, sumAt uint8, addrs uint64, ports uint32) bool {
	h := b.IPv4()
	was := binary.BigEndian.Uint64(h[12:20])
	d := differ(uint32(was>>32), uint32(addrs>>32)) + differ(uint32(was), uint32(addrs))
	if !plainTransport(b, sumAt, d, ports) {
		return false
	}
	binary.BigEndian.PutUint64(h[12:20], addrs)
	h.SetChecksum(patch(h.Checksum(), d))
	return true
}

// Plain6 is Plain4 for IPv6, and for a header without extension headers.
func Plain6(b *buf.Buffer, sumAt uint8, src, dst hdr.Addr6, ports uint32) bool {
	h := b.IPv6()
	if !plainTransport(b, sumAt, differ6(h.Src(), src)+differ6(h.Dst(), dst), ports) {
		return false
	}
	h.SetSrc(src)
	h.SetDst(dst)
	return true
}

// plainTransport rewrites the transport header, of which of UDP no more than its
// 8 bytes are looked at. addrs is by how much the addresses change a sum that
// covers them.
func plainTransport(b *buf.Buffer, sumAt uint8, addrs uint64, ports uint32) bool {
	t := b.TCP()
	at := int(sumAt) % (hdr.TCPLen - 1)
	was := binary.BigEndian.Uint16(t[at:])
	is := was
	switch {
	case b.Flags&buf.CsumPartial != 0: // a sum, not its complement, and of addresses only
		if b.CsumStart != b.L4 || int(b.CsumOffset) != at {
			return false
		}
		is = hdr.Fold(uint64(was) + addrs)
	case was != 0 || sumAt != udpSumAt: // 0: it has none
		is = patch(was, addrs+differ(binary.BigEndian.Uint32(t[0:4]), ports))
		if is == 0 && sumAt == udpSumAt {
			is = 0xffff
		}
	}
	binary.BigEndian.PutUint32(t[0:4], ports)
	binary.BigEndian.PutUint16(t[at:], is)
	return true
}
