package nat

import (
	"math/bits"

	"github.com/skein-dataplane/skein/hdr"
)

// Constants of wyhash, which Go's own maps use where the processor has no AES.
const (
	k0 = 0xa0761d6478bd642f
	k1 = 0xe7037ed1a0b428db
	k2 = 0x8ebc6af09c88c6e3
	k3 = 0x589965cc75374cc3
)

// mum multiplies and folds the product to 64 bits.
func mum(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// Addr4 returns an IPv4 address as this package has it beside those of IPv6:
// mapped (RFC 4291, section 2.5.5.2).
func Addr4(a hdr.Addr4) hdr.Addr6 { return hdr.Addr6{Lo: mapped | uint64(a)} }

const mapped = 0xffff << 32

// FlowHash returns the hash by which a flow chooses its backend. It has no
// seed, so that all nodes that a flow may reach choose the same one (Maglev,
// section 3.4). Who sends can so choose the backend, but nothing else.
func FlowHash(src, dst hdr.Addr6, sport, dport uint16, proto uint8) uint64 {
	ports := uint64(sport)<<32 | uint64(dport)<<16 | uint64(proto)
	a := mum(src.Hi^k0, src.Lo^k1)
	b := mum(dst.Hi^k2, dst.Lo^k3)
	return mum(mum(a^k1, bits.RotateLeft64(b, 32)^k2)^ports, k3)
}

// ClientHash returns the hash by which all flows of a client choose the same
// backend of a service, by the service's ID.
func ClientHash(service uint32, client hdr.Addr6) uint64 {
	return mum(mum(client.Hi^k0, client.Lo^k1)^uint64(service), k2)
}
