package session

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"strconv"

	"github.com/skein-dataplane/skein/hdr"
)

// A Key4 is what packets of one flow and direction over IPv4 have in common:
// addresses, protocol, two ports, and the zone that the addresses belong to.
// An ICMP echo request has its identifier as source port and 0 as destination,
// a reply the other way round, so that a reply is a request swapped. Protocols
// without ports have 0 for both.
//
// It is two words, so that a key fits into registers and compares as two:
//
//	addrs | source address, 32       | destination address, 32       |
//	rest  | source port, 16 | destination port, 16 | zone, 16 | protocol, 8 | 0 |
type Key4 struct{ addrs, rest uint64 }

// MakeKey4 returns the key of the given parts. Zones keep apart what has the
// same addresses; 0 is the zone of those who need none.
func MakeKey4(src, dst hdr.Addr4, sport, dport uint16, proto uint8, zone uint16) Key4 {
	return Key4{uint64(src)<<32 | uint64(dst), makeRest(sport, dport, proto, zone)}
}

// PlainKey4 is MakeKey4 of a header without options and the first four bytes
// behind it, in zone 0: two loads and no more.
func PlainKey4(h *hdr.IPv4, ports uint32) Key4 {
	return Key4{binary.BigEndian.Uint64(h[12:20]), uint64(ports)<<32 | uint64(h[9])<<8}
}

// SetPlain makes k what PlainKey4 is, of a header without extension headers. It
// sets the words where they are: to move 40 bytes that were just written by
// halves waits for the stores, for 4 ns (BenchmarkPolicy6, Zen 5).
func (k *Key6) SetPlain(h *hdr.IPv6, ports uint32) {
	k.src.Hi, k.src.Lo = binary.BigEndian.Uint64(h[8:16]), binary.BigEndian.Uint64(h[16:24])
	k.dst.Hi, k.dst.Lo = binary.BigEndian.Uint64(h[24:32]), binary.BigEndian.Uint64(h[32:40])
	k.rest = uint64(ports)<<32 | uint64(h[6])<<8
}

func makeRest(sport, dport uint16, proto uint8, zone uint16) uint64 {
	return uint64(sport)<<48 | uint64(dport)<<32 | uint64(zone)<<16 | uint64(proto)<<8
}

// swapPorts exchanges the two ports of a key's last word.
func swapPorts(rest uint64) uint64 {
	return uint64(bits.RotateLeft32(uint32(rest>>32), 16))<<32 | rest&0xffffffff
}

// Src and the other accessors return the parts of the key.
func (k Key4) Src() hdr.Addr4  { return hdr.Addr4(k.addrs >> 32) }
func (k Key4) Dst() hdr.Addr4  { return hdr.Addr4(k.addrs) }
func (k Key4) SrcPort() uint16 { return uint16(k.rest >> 48) }
func (k Key4) DstPort() uint16 { return uint16(k.rest >> 32) }
func (k Key4) Zone() uint16    { return uint16(k.rest >> 16) }
func (k Key4) Proto() uint8    { return uint8(k.rest >> 8) }

// Swap returns the key of a packet that goes back.
func (k Key4) Swap() Key4 {
	return Key4{bits.RotateLeft64(k.addrs, 32), swapPorts(k.rest)}
}

// WithPorts returns the key with other ports: those of a fragment's first one.
func (k Key4) WithPorts(src, dst uint16) Key4 {
	return Key4{k.addrs, uint64(src)<<48 | uint64(dst)<<32 | k.rest&0xffffffff}
}

func (k Key4) String() string {
	return keyText(k.Src().Addr(), k.Dst().Addr(), k.rest)
}

// A Key6 is a Key4 for IPv6. An ICMPv6 echo has its identifier as a port too.
type Key6 struct {
	src, dst hdr.Addr6
	rest     uint64 // as in Key4
}

// MakeKey6 returns the key of the given parts.
func MakeKey6(src, dst hdr.Addr6, sport, dport uint16, proto uint8, zone uint16) Key6 {
	return Key6{src, dst, makeRest(sport, dport, proto, zone)}
}

// Src and the other accessors return the parts of the key.
func (k *Key6) Src() hdr.Addr6  { return k.src }
func (k *Key6) Dst() hdr.Addr6  { return k.dst }
func (k *Key6) SrcPort() uint16 { return uint16(k.rest >> 48) }
func (k *Key6) DstPort() uint16 { return uint16(k.rest >> 32) }
func (k *Key6) Zone() uint16    { return uint16(k.rest >> 16) }
func (k *Key6) Proto() uint8    { return uint8(k.rest >> 8) }

// Swap returns the key of a packet that goes back.
func (k *Key6) Swap() Key6 { return Key6{k.dst, k.src, swapPorts(k.rest)} }

// WithPorts is Key4.WithPorts.
func (k *Key6) WithPorts(src, dst uint16) Key6 {
	return Key6{k.src, k.dst, uint64(src)<<48 | uint64(dst)<<32 | k.rest&0xffffffff}
}

func (k Key6) String() string { return keyText(k.src.Addr(), k.dst.Addr(), k.rest) }

func keyText(src, dst netip.Addr, rest uint64) string {
	text := strconv.Itoa(int(uint8(rest>>8))) + " " +
		netip.AddrPortFrom(src, uint16(rest>>48)).String() + " > " +
		netip.AddrPortFrom(dst, uint16(rest>>32)).String()
	if zone := uint16(rest >> 16); zone != 0 {
		text += " zone " + strconv.Itoa(int(zone))
	}
	return text
}

// A seed makes a table's hash one that no sender can foresee, so that nobody
// can send flows that all fall on one place (collision flooding). It is random
// and stays with the table's file.
type seed [4]uint64

// mum multiplies and folds the product to 64 bits: the step of wyhash, which
// Go's own maps use where the processor has no AES.
func mum(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func (s *seed) hash4(k Key4) uint64 {
	return mum(mum(k.addrs^s[0], k.rest^s[1])^s[2], s[3])
}

func (s *seed) hash6(k *Key6) uint64 {
	src := mum(k.src.Hi^s[0], k.src.Lo^s[1])
	dst := mum(k.dst.Hi^s[2], k.dst.Lo^s[3])
	return mum(mum(src^s[1], bits.RotateLeft64(dst, 32)^s[2])^k.rest, s[3]^s[0])
}
