package acl

import (
	"fmt"
	"net/netip"

	"github.com/skein-dataplane/skein/hdr"
)

// Protocols with ports that hdr has no name for (IANA, Protocol Numbers).
const (
	protoDCCP    = 33
	protoUDPLite = 136
)

// Flags of a Key.
const (
	// V6 marks a packet of IPv6; the others are of IPv4.
	V6 = 1 << iota
	// NoPorts marks a packet without a transport header to look at: a later
	// fragment of which nobody knows the first, or one cut short. A rule with a
	// condition on ports, ICMP types or sets with ports, negated or not, does not
	// match it. So does the Linux kernel (xt_tcpudp, xt_multiport, ip_tables'
	// icmp match, nft_payload). Where a later fragment's ports are known from the
	// first, put them into the Key instead: Linux looks at reassembled packets.
	NoPorts
)

// A Key is what rules look at in a packet. It fits in one cache line. Matching
// writes to it, so it belongs to one worker at a time.
type Key struct {
	Src, Dst         hdr.Addr6 // IPv4 addresses are mapped (Addr4)
	SrcPort, DstPort uint16    // of TCP, UDP, SCTP, DCCP and UDP-Lite
	Proto            uint8     // of the last header, behind IPv6's extensions
	Type, Code       uint8     // of ICMP in IPv4, ICMPv6 in IPv6
	Flags            uint8

	// While a packet is matched: where its range lookups have got to, then the bit
	// vectors they lead to.
	src, dst, l4 uint32
	at, logged   uint32 // where the search is; the first Log rule on the way
}

const mapped4 = 0xffff << 32

// Addr4 returns an IPv4 address in the form that a Key has it: mapped (RFC
// 4291, section 2.5.5.2).
func Addr4(a hdr.Addr4) hdr.Addr6 { return hdr.Addr6{Lo: mapped4 | uint64(a)} }

// Set4 makes k the key of an IPv4 packet with ports.
func (k *Key) Set4(src, dst hdr.Addr4, proto uint8, srcPort, dstPort uint16) {
	k.Src, k.Dst = Addr4(src), Addr4(dst)
	k.set(proto, srcPort, dstPort, 0)
}

// Set6 makes k the key of an IPv6 packet with ports.
func (k *Key) Set6(src, dst hdr.Addr6, proto uint8, srcPort, dstPort uint16) {
	k.Src, k.Dst = src, dst
	k.set(proto, srcPort, dstPort, V6)
}

// set sets all but the addresses, where it is: a Key that is made elsewhere and
// moved here waits for its parts to be written.
func (k *Key) set(proto uint8, srcPort, dstPort uint16, flags uint8) {
	k.SrcPort, k.DstPort, k.Proto, k.Type, k.Code, k.Flags = srcPort, dstPort, proto, 0, 0, flags
	k.src, k.dst, k.l4 = 0, 0, 0
}

// SetICMP makes k, which has its addresses, that of an ICMP or ICMPv6 message.
func (k *Key) SetICMP(typ, code uint8) {
	k.Proto, k.Type, k.Code = icmpProto(k.Flags&V6 != 0), typ, code
}

func icmpProto(v6 bool) uint8 {
	if v6 {
		return hdr.ProtoICMPv6
	}
	return hdr.ProtoICMP
}

func hasPorts(proto uint8) bool {
	const low = 1<<hdr.ProtoTCP | 1<<hdr.ProtoUDP | 1<<protoDCCP
	return low>>proto&1 != 0 || proto == hdr.ProtoSCTP || proto == protoUDPLite
}

// protoShift is where the protocol is in an l4Key.
const protoShift = 17

// noL4 is the bit of an l4Key for packets without ports, types or codes.
const noL4 = 1 << 16

// l4Key returns protocol and destination port as one number of 25 bits:
//
//	| protocol: 8 | noL4: 1 | destination port, or type and code: 16 |
func (k *Key) l4Key() uint64 {
	l4 := uint64(k.Proto) << protoShift
	switch {
	case k.Flags&NoPorts != 0:
	case hasPorts(k.Proto):
		return l4 | uint64(k.DstPort)
	case k.Proto == icmpProto(k.Flags&V6 != 0):
		return l4 | uint64(k.Type)<<8 | uint64(k.Code)
	}
	return l4 | noL4
}

func (k *Key) family() int { return int(k.Flags & V6) }

// String writes the key as in "tcp 10.0.0.1:1024 > 10.0.0.2:80".
func (k *Key) String() string {
	src, dst := k.addr(k.Src), k.addr(k.Dst)
	switch {
	case k.Flags&NoPorts != 0:
		return fmt.Sprintf("%s %s > %s without ports", protoName(k.Proto), src, dst)
	case hasPorts(k.Proto):
		return fmt.Sprintf("%s %s > %s", protoName(k.Proto), netip.AddrPortFrom(src, k.SrcPort), netip.AddrPortFrom(dst, k.DstPort))
	case k.Proto == icmpProto(k.Flags&V6 != 0):
		return fmt.Sprintf("%s %s > %s type %d code %d", protoName(k.Proto), src, dst, k.Type, k.Code)
	}
	return fmt.Sprintf("%s %s > %s", protoName(k.Proto), src, dst)
}

func (k *Key) addr(a hdr.Addr6) netip.Addr {
	if k.Flags&V6 == 0 {
		return hdr.Addr4(a.Lo).Addr()
	}
	return a.Addr()
}
