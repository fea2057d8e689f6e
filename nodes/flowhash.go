package nodes

import (
	"encoding/binary"
	"math/bits"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/session"
)

// A flow's hash decides which of equal paths it takes, so that it keeps to one
// (RFC 2991). Nearly all packets have one path only, so no node hashes them all:
// who asks first has the hash made, and Buffer.Hash keeps it.

// hash4 returns the hash of the flow of a packet that starts at a sound IPv4
// header. All fragments of a packet have one, as only the first has ports.
func hash4(b *buf.Buffer) uint32 {
	if b.Hash == 0 {
		b.Hash = hashOf4(b, b.IPv4(), b.IPv4().HeaderLen())
	}
	return b.Hash
}

// hash6 is hash4 for a packet that starts at a sound IPv6 header. It leaves out
// for all fragments what only the first one says: the ports, and for sure the
// protocol (RFC 8200, section 4.5).
func hash6(b *buf.Buffer) uint32 {
	if b.Hash == 0 {
		u := upper6(b)
		proto := u.Proto
		if u.fragment {
			proto = hdr.ProtoNone
		}
		b.Hash = flowHash6(b.IPv6().Src(), b.IPv6().Dst(), proto, portsAt(b, u.Off, proto))
	}
	return b.Hash
}

// hashOut is either for a packet that is about to leave: L3 and L4 say where its
// headers are. Of extension headers it looks at the number of the first.
func hashOut(b *buf.Buffer) uint32 {
	if b.Hash != 0 {
		return b.Hash
	}
	l4 := int(b.L4) - b.Off()
	switch h := b.IPv4AtL3(); h.Version() {
	case 4:
		b.Hash = hashOf4(b, h, l4)
	case 6:
		h := b.IPv6AtL3()
		proto := h.NextHeader()
		b.Hash = flowHash6(h.Src(), h.Dst(), proto, portsAt(b, l4, proto))
	}
	return b.Hash
}

// hashOf4 hashes a packet whose transport header is at l4, from its start on.
func hashOf4(b *buf.Buffer, h *hdr.IPv4, l4 int) uint32 {
	ports := uint32(0)
	if h.Frag()&(hdr.MoreFragments|hdr.FragOffset) == 0 {
		ports = portsAt(b, l4, h.Protocol())
	}
	return flowHash(h.Src(), h.Dst(), h.Protocol(), ports)
}

// portsAt returns the ports of a transport header; 0 if it has none, or not
// whole.
func portsAt(b *buf.Buffer, l4 int, proto uint8) uint32 {
	p := b.Bytes()
	if l4 < 0 || l4+4 > len(p) {
		return 0
	}
	return binary.BigEndian.Uint32(p[l4:l4+4]) & portMask[proto]
}

// keyHash4 and keyHash6 return the hash of packets with such a key, as they came
// in: by now they may be translated.
func keyHash4(k session.Key4) uint32 {
	return flowHash(k.Src(), k.Dst(), k.Proto(), keyPorts(k.SrcPort(), k.DstPort(), k.Proto()))
}

func keyHash6(k *session.Key6) uint32 {
	return flowHash6(k.Src(), k.Dst(), k.Proto(), keyPorts(k.SrcPort(), k.DstPort(), k.Proto()))
}

func keyPorts(src, dst uint16, proto uint8) uint32 {
	return (uint32(src)<<16 | uint32(dst)) & portMask[proto]
}

// portMask has all bits set for the protocols whose header begins with two
// ports.
var portMask = [256]uint32{hdr.ProtoTCP: ^uint32(0), hdr.ProtoUDP: ^uint32(0), hdr.ProtoSCTP: ^uint32(0)}

// flowHash returns a hash of a flow that is the same in both directions. ports
// is 0 for what has none, and for all fragments of a packet, as only the first
// carries them.
func flowHash(src, dst hdr.Addr4, proto uint8, ports uint32) uint32 {
	key := uint64(src^dst)<<32 | uint64(uint32(src+dst))
	return hashOf(key, proto, ports)
}

// flowHash6 is flowHash for IPv6. The flow label is left out: each direction has
// its own.
func flowHash6(src, dst hdr.Addr6, proto uint8, ports uint32) uint32 {
	key := (src.Lo + dst.Lo) ^ bits.RotateLeft64(src.Lo^dst.Lo, 32)
	key += (src.Hi + dst.Hi) ^ bits.RotateLeft64(src.Hi^dst.Hi, 24)
	return hashOf(key, proto, ports)
}

func hashOf(key uint64, proto uint8, ports uint32) uint32 {
	sport, dport := uint64(ports>>16), uint64(ports&0xffff)
	key += (sport^dport)<<16 + (sport + dport)
	key = (key ^ uint64(proto)) * 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
	return uint32(key>>32) ^ uint32(key>>57)
}
