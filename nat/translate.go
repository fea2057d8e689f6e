package nat

import (
	"encoding/binary"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/hdr"
)

// A Result says what became of a packet that was to be translated. Each but
// Done is a reason to drop it; the packet is then as it was.
type Result uint8

const (
	_ Result = iota
	Done
	// Short: it ends before what is to be changed.
	Short
	// Unfixable: its checksum can't be made to fit. It is the first fragment of
	// an SCTP packet that is to get other ports, whose checksum depends on how
	// long the whole is, or an IPv6 packet on its way along a routing header.
	Unfixable
	// Misquoted: an ICMP error that goes to another than who has sent what it
	// quotes.
	Misquoted
	// Redirect: an ICMP redirect about a translated flow. It names a neighbor of
	// an end that its receiver does not know.
	Redirect
	NumResults // 0 is no result
)

// String returns the result in words.
func (r Result) String() string {
	if r >= NumResults {
		return "unknown"
	}
	return resultNames[r]
}

var resultNames = [NumResults]string{
	0: "none", Done: "done", Short: "too short", Unfixable: "checksum can't be made to fit",
	Misquoted: "ICMP error to another than who sent what it quotes", Redirect: "ICMP redirect of a translated flow",
}

// Protocols with ports that hdr has no name for (IANA, Protocol Numbers).
const (
	protoDCCP    = 33
	protoUDPLite = 136
)

// Where transport headers have their checksum, in bytes.
const (
	tcpSumAt  = 16
	udpSumAt  = 6 // UDP-Lite and DCCP as well (RFC 3828, section 3.1; RFC 4340, section 5.1)
	sctpSumAt = 8
	icmpSumAt = 2
	echoIDAt  = 4
)

// A rewrite changes one transport header.
type rewrite struct {
	addrs uint64 // by how much the addresses change a sum that covers them
	ports uint32 // to be written, the source in the high half
	// made is by how much what has been written changes a sum that covers it.
	made uint64
	// partial is where the field is that holds the pseudo-header's sum only, from
	// the transport header on; -1 if none does (buf.CsumPartial).
	partial int
	// whole is how many bytes of transport header and payload the datagram has;
	// 0: that is not known, as it is a fragment.
	whole int
	// quoted: the packet stands in an ICMP error and may be cut short behind its
	// ports. Nobody verifies its checksum.
	quoted bool
}

// differ returns by how much a sum changes when a word that it covers changes
// from was to is (RFC 1624, eqn. 3). A word of 32 bits counts as two of 16.
func differ(was, is uint32) uint64 { return uint64(^was) + uint64(is) }

func differ16(was, is uint16) uint64 { return uint64(^was) + uint64(is) }

// patch returns the checksum c after what it covers has changed by d.
func patch(c uint16, d uint64) uint16 { return ^hdr.Fold(uint64(^c) + d) }

// partialAt returns which field from at on, a position in the packet, holds a
// partial checksum; -1 if none does.
func partialAt(b *buf.Buffer, at int) int {
	if b.Flags&buf.CsumPartial == 0 || int(b.CsumStart) != b.Off()+at {
		return -1
	}
	return int(b.CsumOffset)
}

// transport rewrites the header that p begins with. Of protocols that have
// neither ports nor a sum over addresses nothing is changed.
func (x *rewrite) transport(p []byte, proto uint8) Result {
	switch proto {
	case hdr.ProtoTCP:
		return x.summed(p, tcpSumAt, false)
	case hdr.ProtoUDP:
		return x.summed(p, udpSumAt, true)
	case protoUDPLite, protoDCCP:
		if x.ports == 0 && len(p) >= 4 { // whoever made the tuple did not look at them
			x.ports = binary.BigEndian.Uint32(p)
		}
		return x.summed(p, udpSumAt, proto == protoUDPLite)
	case hdr.ProtoSCTP:
		return x.sctp(p)
	}
	return Done
}

// summed rewrites a header with its ports in front and the Internet checksum
// at at. noZero: a checksum of 0 says that there is none, so 0 is written as
// 0xffff (RFC 768; RFC 3828, section 3.1).
func (x *rewrite) summed(p []byte, at int, noZero bool) Result {
	if len(p) < at+2 {
		if !x.quoted || len(p) < 4 {
			return Short
		}
		x.putPorts(p)
		return Done
	}
	d := x.putPorts(p)
	field := p[at : at+2]
	was := binary.BigEndian.Uint16(field)
	is := was
	switch {
	case x.partial == at: // a sum, not its complement, and of addresses only
		is = hdr.Fold(uint64(was) + x.addrs)
	case noZero && was == 0:
	default:
		if is = patch(was, x.addrs+d); is == 0 && noZero {
			is = 0xffff
		}
	}
	binary.BigEndian.PutUint16(field, is)
	x.made += differ16(was, is)
	return Done
}

// putPorts writes the ports and returns by how much that changes a sum.
func (x *rewrite) putPorts(p []byte) uint64 {
	was := binary.BigEndian.Uint32(p)
	binary.BigEndian.PutUint32(p, x.ports)
	d := differ(was, x.ports)
	x.made += d
	return d
}

// sctp rewrites an SCTP header. Its checksum is a CRC32c that covers no
// addresses (RFC 9260, section 6.8). Being linear, it is not computed anew but
// changed by what the changed ports contribute: what was damaged stays so.
func (x *rewrite) sctp(p []byte) Result {
	if len(p) < 4 || !x.quoted && len(p) < sctpSumAt+4 {
		return Short
	}
	was := binary.LittleEndian.Uint32(p)
	if binary.BigEndian.Uint32(p) == x.ports {
		return Done
	}
	if x.whole == 0 && !x.quoted && x.partial != sctpSumAt {
		return Unfixable
	}
	x.putPorts(p)
	if x.whole == 0 || x.partial == sctpSumAt || len(p) < sctpSumAt+4 {
		return Done
	}
	field := p[sctpSumAt : sctpSumAt+4]
	sum := binary.LittleEndian.Uint32(field) ^ crcShift(was^binary.LittleEndian.Uint32(p), x.whole)
	x.made += uint64(^binary.BigEndian.Uint32(field))
	binary.LittleEndian.PutUint32(field, sum)
	x.made += uint64(binary.BigEndian.Uint32(field))
	return Done
}

// echo rewrites the identifier of an echo message: the source port of a
// request, the destination port of a reply. covered is by how much addresses
// change the checksum: not at all for ICMP, which has no pseudo-header.
func (x *rewrite) echo(p []byte, reply bool, covered uint64) Result {
	if len(p) < echoIDAt+2 {
		return Short
	}
	id := uint16(x.ports >> 16)
	if reply {
		id = uint16(x.ports)
	}
	was := binary.BigEndian.Uint16(p[echoIDAt:])
	binary.BigEndian.PutUint16(p[echoIDAt:], id)
	d := differ16(was, id)
	x.made += d
	x.sumICMP(p, covered, d)
	return Done
}

// sumICMP changes the checksum of an ICMP message by what its pseudo-header
// and the message itself have changed by.
func (x *rewrite) sumICMP(p []byte, pseudo, message uint64) {
	was := binary.BigEndian.Uint16(p[icmpSumAt:])
	is := patch(was, pseudo+message)
	switch {
	case x.partial == icmpSumAt:
		is = hdr.Fold(uint64(was) + pseudo)
	case is == 0 && p[0]|p[echoIDAt]|p[echoIDAt+1] == 0:
		// Perhaps an echo reply with nothing but zeros: only 0xffff sums up with it
		// to 0xffff, with all others both do (RFC 1624, section 3).
		is = 0xffff
	}
	binary.BigEndian.PutUint16(p[icmpSumAt:], is)
	x.made += differ16(was, is)
}
