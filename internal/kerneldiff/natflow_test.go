package kerneldiff

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/skein-dataplane/skein/hdr"
)

// A natFlow is one that somebody has begun.
type natFlow struct {
	proto uint8
	at    int // the link that its packets come in by
	src   end // as who has begun it sees the ends
	dst   end
	as    netip.Addr // the source as the other end sees it
	to    end        // the destination as it is there
	step  int        // of TCP's or SCTP's handshake
	// ports are what Linux and Skein have made of the source's port; 0 before the
	// first packet.
	ports [2]uint16
}

const (
	linux = iota
	ours
)

func (f *natFlow) String() string {
	return fmt.Sprintf("protocol %d, %v to %v, as %v to %v, ports %d", f.proto, f.src, f.dst, f.as, f.to, f.ports)
}

func (f *natFlow) icmp() bool { return f.proto == hdr.ProtoICMP || f.proto == hdr.ProtoICMPv6 }

// packet is one that has the direction and the ends given.
func (f *natFlow) packet(r *rand.Rand, back bool, src, dst end, step, size int) []byte {
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(r.Uint32())
	}
	var l4 []byte
	switch f.proto {
	case hdr.ProtoTCP:
		flags := byte(0x10)
		switch {
		case step == 0:
			flags, body = 0x02, nil
		case step == 1:
			flags, body = 0x12, nil
		case step == 2:
			body = nil
		}
		l4 = make([]byte, 20)
		binary.BigEndian.PutUint32(l4[4:], uint32(1000+min(step, 2)))
		if step > 0 {
			binary.BigEndian.PutUint32(l4[8:], uint32(1001))
		}
		l4[12], l4[13] = 5<<4, flags
		binary.BigEndian.PutUint16(l4[14:], 60000)
	case hdr.ProtoUDP:
		l4 = make([]byte, 8)
		binary.BigEndian.PutUint16(l4[4:], uint16(8+size))
	case hdr.ProtoSCTP:
		return natPacket(src.addr, dst.addr, f.proto, sctp(back, src.port, dst.port, step, body))
	default:
		return natPacket(src.addr, dst.addr, f.proto, append([]byte{f.echo(back), 0, 0, 0, byte(f.id(src, dst) >> 8), byte(f.id(src, dst)), 0, 1}, body...))
	}
	binary.BigEndian.PutUint16(l4, src.port)
	binary.BigEndian.PutUint16(l4[2:], dst.port)
	return natPacket(src.addr, dst.addr, f.proto, append(l4, body...))
}

func (f *natFlow) echo(back bool) byte {
	switch {
	case f.proto == hdr.ProtoICMP && back:
		return 0
	case f.proto == hdr.ProtoICMP:
		return 8
	case back:
		return 129
	}
	return 128
}

// id is the identifier, which is the port of whichever end has one.
func (f *natFlow) id(src, dst end) uint16 { return src.port | dst.port }

// sctp is a packet of an association's handshake, or DATA (RFC 9260, section 3).
// The initiate tags are 1111 and 2222.
func sctp(back bool, sport, dport uint16, step int, body []byte) []byte {
	tag := uint32(2222)
	if back {
		tag = 1111
	}
	chunk, rest := byte(0), make([]byte, 12) // DATA: TSN, stream, protocol
	binary.BigEndian.PutUint32(rest, 1)
	rest = append(rest, body[:len(body)&^3]...)
	switch step {
	case 0, 1:
		chunk, rest = byte(1+step), make([]byte, 16)
		own := []uint32{1111, 2222}[step]
		binary.BigEndian.PutUint32(rest, own)
		binary.BigEndian.PutUint32(rest[4:], 1<<16)
		rest[9], rest[11] = 1, 1 // streams
		if step == 0 {
			tag = 0
		} else {
			rest = append(rest, 0, 7, 0, 8, 1, 2, 3, 4) // a cookie
		}
	case 2:
		chunk, rest = 10, []byte{1, 2, 3, 4} // COOKIE ECHO
	case 3:
		chunk, rest = 11, nil // COOKIE ACK
	}
	p := make([]byte, 12, 64)
	binary.BigEndian.PutUint16(p, sport)
	binary.BigEndian.PutUint16(p[2:], dport)
	binary.BigEndian.PutUint32(p[4:], tag)
	flags := byte(0)
	if chunk == 0 {
		flags = 3 // a whole message
	}
	p = append(p, chunk, flags, 0, byte(4+len(rest)))
	binary.BigEndian.PutUint16(p[14:], uint16(4+len(rest)))
	return append(p, rest...)
}

// handshake is how many packets come in order, one from each end in turn.
func (f *natFlow) handshake() int {
	switch f.proto {
	case hdr.ProtoTCP:
		return 3
	case hdr.ProtoSCTP:
		return 4
	}
	return 1
}

// forward, back and outside are packets as they come in: from who has begun the
// flow, from the other end, and as that has seen them, for a side whose port for
// the flow is known.
func (f *natFlow) forward(r *rand.Rand, step, size int) []byte {
	return f.packet(r, false, f.src, f.dst, step, size)
}

func (f *natFlow) back(r *rand.Rand, side, step, size int) []byte {
	return f.packet(r, true, f.to, end{f.as, f.ports[side]}, step, size)
}

func (f *natFlow) outside(r *rand.Rand, side, size int) []byte {
	return f.packet(r, false, end{f.as, f.ports[side]}, f.to, 9, size)
}

func (f *natFlow) inside(r *rand.Rand, size int) []byte {
	return f.packet(r, true, f.dst, f.src, 9, size)
}

// A kind of flow: where it begins, where it goes, and how it looks there.
type natKind struct {
	at      int
	src     string // with %d for one of several
	dst, to string
	as      string // "": as itself
	service bool   // from port 80 to 8080; not for ICMP
}

var natKinds = map[bool][]natKind{
	false: {
		{left, "10.1.0.%d", "10.96.0.10", "10.2.0.7", "", true},
		{left, "10.1.0.%d", "10.96.0.12", "10.2.0.7", "", true}, // the same backend
		{left, "10.1.0.%d", "10.96.0.11", "10.2.1.7", "198.51.100.1", true},
		{left, "10.1.0.%d", "10.2.0.9", "10.2.0.9", "", false},
		{left, "10.1.0.%d", "10.2.1.9", "10.2.1.9", "198.51.100.1", false},
		{right, "10.2.3.%d", "10.1.0.7", "10.1.0.7", "", false}, // its answers are no flows of their own
	},
	true: {
		{left, "2001:db8:a::%d", "2001:db8:96::10", "2001:db8:b::7", "", true},
		{left, "2001:db8:a::%d", "2001:db8:96::12", "2001:db8:b::7", "", true},
		{left, "2001:db8:a::%d", "2001:db8:96::11", "2001:db8:b:1::7", "2001:db8:2::1", true},
		{left, "2001:db8:a::%d", "2001:db8:b::9", "2001:db8:b::9", "", false},
		{left, "2001:db8:a::%d", "2001:db8:b:1::9", "2001:db8:b:1::9", "2001:db8:2::1", false},
		{right, "2001:db8:b:3::%d", "2001:db8:a::7", "2001:db8:a::7", "", false},
	},
}

// natFlows are flows of each kind and protocol. Of some ports there are many, so
// that they are in one another's way: from several pods to one end with the
// router's address, and from one pod to two services with one backend.
func natFlows(r *rand.Rand, v6 bool) (all []*natFlow) {
	echo := uint8(hdr.ProtoICMP)
	if v6 {
		echo = hdr.ProtoICMPv6
	}
	had := map[natFlow]bool{}
	for n := range 480 {
		k := natKinds[v6][n%6]
		f := natFlow{proto: []uint8{hdr.ProtoTCP, hdr.ProtoUDP, echo, hdr.ProtoSCTP}[n/6%4], at: k.at}
		if k.service && f.icmp() {
			f.proto = hdr.ProtoUDP
		}
		f.src = end{netip.MustParseAddr(fmt.Sprintf(k.src, r.IntN(6)+1)), uint16(2000 + n)}
		if n%2 == 0 || k.service {
			f.src.port = uint16(5000 + r.IntN(12))
		}
		f.dst, f.to = end{netip.MustParseAddr(k.dst), 53}, end{netip.MustParseAddr(k.to), 53}
		switch {
		case k.service:
			f.dst.port, f.to.port = 80, 8080
		case f.icmp():
			f.dst.port, f.to.port = 0, 0
		}
		if f.as = f.src.addr; k.as != "" {
			f.as = netip.MustParseAddr(k.as)
		}
		if !had[f] {
			had[f] = true
			all = append(all, &f)
		}
	}
	return all
}
