package kerneldiff

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"github.com/skein-dataplane/skein/hdr"
)

// A source makes frames. The same seed and number always make the same one.
type source struct{ *rand.Rand }

func newSource(seed, number uint64) source { return source{rand.New(rand.NewPCG(seed, number))} }

// one is true once in n times.
func (s source) one(n int) bool { return s.IntN(n) == 0 }

func pick[T any](s source, from []T) T { return from[s.IntN(len(from))] }

func (s source) bytes(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(s.Uint32())
	}
	return p
}

func addr(a string) netip.Addr { return netip.MustParseAddr(a) }

// addrs parses addresses, those that are wanted more often several times.
func addrs(all ...string) (out []netip.Addr) {
	for _, a := range all {
		out = append(out, addr(a))
	}
	return out
}

// size is the length of a payload: mostly short, sometimes about as long as
// the right link takes, or the left.
func (s source) size() int {
	switch s.IntN(10) {
	case 0:
		return 1400 - 80 + s.IntN(90)
	case 1:
		return 1100 + s.IntN(400)
	case 2:
		return s.IntN(9)
	}
	return s.IntN(120)
}

// ether puts a link header before a packet, mostly a right one, and sometimes
// padding behind it.
func (s source) ether(p []byte, in int, etherType uint16) frame {
	to := ports[in].mac
	switch s.IntN(40) {
	case 0:
		to = hdr.BroadcastMAC
	case 1:
		to = hdr.MAC{1, 0, 0x5e, 0, 0, 5}
	case 2:
		to = hdr.MAC{0x33, 0x33, 0, 0, 0, 1}
	case 3:
		to = hdr.MAC{2, 0, 0, 0, 9, 9}
	}
	if s.one(60) {
		etherType ^= hdr.TypeIPv4 ^ hdr.TypeIPv6
	}
	out := make([]byte, hdr.EtherLen, hdr.EtherLen+len(p)+32)
	(*hdr.Ether)(out).Fill(to, ports[in].station, etherType)
	out = append(out, p...)
	if s.one(5) {
		out = append(out, s.bytes(s.IntN(30))...)
	}
	return frame{in, out[:min(len(out), hdr.EtherLen+ports[in].mtu)]}
}

// An upper is a transport header with its payload, and its protocol.
type upper struct {
	proto   uint8
	bytes   []byte
	csumAt  int  // of the checksum; 0: it has none
	pseudo  bool // the checksum takes in the addresses
	spoiled bool // leave it wrong
}

// Protocols that neither side speaks: two for experiments (RFC 3692) and two
// that nobody uses.
var unknownProtos = []uint8{253, 254, 61, 114}

// transport makes an upper. ping are the types of an echo request and its
// reply; types are those of other ICMP messages.
func (s source) transport(icmp uint8, types []uint8, echo uint8) upper {
	body := s.bytes(s.size())
	u := upper{spoiled: s.one(10)}
	switch s.IntN(12) {
	case 0, 1, 2, 3:
		u.proto, u.csumAt, u.pseudo = icmp, 2, icmp == hdr.ProtoICMPv6
		u.bytes = append([]byte{echo, 0, 0, 0, 1, 2, 3, 4}, body...)
		if s.one(3) {
			u.bytes[0] = pick(s, types)
		}
		if s.one(10) {
			u.bytes[1] = byte(s.Uint32())
		}
	case 4, 5, 6, 7:
		u.proto, u.csumAt, u.pseudo = hdr.ProtoUDP, 6, true
		u.bytes = append(s.bytes(hdr.UDPLen), body...)
		n := len(u.bytes)
		if s.one(12) {
			n = s.IntN(2 * n)
		}
		(*hdr.UDP)(u.bytes).SetLen(n)
	case 8, 9:
		u.proto, u.csumAt, u.pseudo = hdr.ProtoTCP, 16, true
		u.bytes = append(s.bytes(hdr.TCPLen), body...)
		u.bytes[12] = byte(5+s.IntN(2)*s.IntN(11)) << 4
		for i := hdr.TCPLen; i < min(int(u.bytes[12]>>4)*4, len(u.bytes)); i++ {
			u.bytes[i] = 1 // no operation
		}
	default:
		u.proto, u.bytes = pick(s, unknownProtos), body
	}
	if s.one(25) {
		u.bytes = u.bytes[:s.IntN(len(u.bytes)+1)]
	}
	return u
}

// sum sets the checksum, given that of the pseudo-header, right but for some.
func (s source) sum(u *upper, pseudo uint16) {
	if u.csumAt == 0 || len(u.bytes) < u.csumAt+2 {
		return
	}
	at := u.bytes[u.csumAt:]
	binary.BigEndian.PutUint16(at, 0)
	var from uint64
	if u.pseudo {
		from = uint64(pseudo)
	}
	p := u.bytes
	if u.proto == hdr.ProtoUDP {
		if n := (*hdr.UDP)(p).Len(); n >= hdr.UDPLen && n < len(p) { // of the datagram alone
			from += uint64(^uint16(len(p))) + uint64(n)
			p = p[:n]
		}
	}
	sum := ^hdr.Fold(hdr.Sum(p, from))
	if sum == 0 && u.proto == hdr.ProtoUDP {
		sum = 0xffff
	}
	switch {
	case u.spoiled && s.one(2):
		sum = 0
	case u.spoiled:
		sum ^= 0x0101
	}
	binary.BigEndian.PutUint16(at, sum)
}

// hops is a time to live or a hop limit.
func (s source) hops() uint8 { return pick(s, []uint8{0, 1, 1, 2, 3, 64, 64, 64, 128, 254, 255}) }
