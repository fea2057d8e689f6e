package nodes

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
)

// GRO makes superpackets of what has come in small pieces, for a device that
// takes them: one write to a TUN costs as much for 64 KiB as for one segment.
// It is what gso-segment does, undone, and joins only what that node, or the
// kernel, cuts into the same packets again; Linux's rules are those of
// tcp_gro_receive and udp_gro_receive. Only packets of one vector are joined, so
// none waits for another.
//
// The one difference: the pieces of an IPv4 superpacket are numbered on, while
// those of a sender that gives all packets one identification have that. They
// are joined only if they must not be fragmented, and then the field means
// nothing (RFC 6864, section 4.1).
//
// In: as in interface-output.
// Out: the same. A superpacket is in a large buffer, in the place of its first
// piece; the other pieces end here.
var GRO = graph.Spec{
	Name:     "gro",
	Arcs:     []graph.To{groJoined: {Reason: "coalesced", Node: "interface-tx"}},
	On:       InterfaceOutputArc,
	New:      func() graph.Node { return new(gro) },
	Describe: describeGRO,
}

const (
	_         graph.Arc = iota
	groJoined           // a superpacket; gro is the last feature of its arc
)

const (
	groSlots = 256 // by flow hash; a power of two
	// groDatagrams is how many datagrams Linux joins (UDP_GRO_CNT_MAX).
	groDatagrams = 64
	// minDatagram is the payload from which on datagrams are joined, in bytes.
	// The receiver's kernel cuts them again, one by one for a socket that has not
	// asked otherwise, and for less it takes longer than what it has saved: from
	// pod to pod the worker spent 1.0 to 1.3 times the time on a datagram of 22
	// bytes that was joined, and 0.8 times on one of 1,200 (as BenchmarkGRO in
	// bench measures it, on two busy Zen 5 cores).
	minDatagram = 512
	maxIPLen    = 0xffff // bytes of an IP packet
)

// A gro holds what is known of a vector while the node runs. Between vectors
// none of it means anything.
type gro struct {
	slots [groSlots]uint16 // 1 + the run that a flow may continue; 0: none
	runs  [graph.MaxVector]run
	n     int // of runs
	one   [1]*buf.Buffer
	done  [2 * graph.MaxVector]*buf.Buffer // copied, to be freed
	free  int                              // of done
}

// A run is a packet of the vector, and those that have been joined to it.
type run struct {
	piece
	at    int    // its place in the vector
	count int    // of pieces
	size  int    // bytes of payload of each piece but the last
	next  uint32 // the sequence number that has to follow
	fixed bool   // all pieces have the same IPv4 identification
}

// A piece is what is known of a packet that may be joined to others. Offsets
// are from its first byte.
type piece struct {
	super
	payload int
	last    bool // nothing may follow it
}

func (g *gro) Process(w *graph.Worker, v *graph.Vector) {
	bufs := v.Bufs()
	if len(bufs) > 1 {
		clear(g.slots[:])
	}
	g.n, g.free = 0, 0
	for i, b := range bufs {
		v.Arc[i] = graph.NextFeature(b)
		if len(bufs) > 1 && g.take(w, bufs, i) {
			v.Arc[i] = graph.Kept
		}
	}
	for i := range g.runs[:g.n] {
		if r := &g.runs[i]; r.count > 1 {
			r.finish(bufs[r.at])
			v.Arc[r.at] = groJoined
		}
	}
	w.Pool.Put(g.done[:g.free])
}

// take joins a packet to the run of its flow, or makes it the first of a new
// one, and reports whether it has been joined. A packet of the flow that is not
// joined ends the run, so that none overtakes another.
func (g *gro) take(w *graph.Worker, bufs []*buf.Buffer, i int) bool {
	b := bufs[i]
	slot := &g.slots[hashOut(b)%groSlots]
	var p piece
	if !p.parse(b, &w.State.Ifaces[b.TxIf]) {
		*slot = 0
		return false
	}
	if *slot != 0 {
		r := &g.runs[*slot-1]
		if head := bufs[r.at]; r.continues(head, b, &p) && g.join(w, bufs, r, b, &p) {
			if p.last || p.payload < r.size || r.count == groDatagrams && !p.tcp {
				*slot = 0
			}
			return true
		}
	}
	if *slot = 0; !p.last && (p.tcp || p.payload >= minDatagram) {
		g.runs[g.n] = run{piece: p, at: i, count: 1, size: p.payload, next: p.seq(b) + uint32(p.payload)}
		g.n++
		*slot = uint16(g.n)
	}
	return false
}

// parse finds a packet's headers and reports whether it may be part of a
// superpacket that the device takes.
func (p *piece) parse(b *buf.Buffer, out *iface.Iface) bool {
	q := b.Bytes()
	if b.GSOType != buf.GSONone || b.Flags&buf.Bridged != 0 || out.Ethernet && !p.link(q) || len(q) < p.l3+hdr.IPv4Len {
		return false
	}
	need, proto := drivers.TSO4, uint8(0)
	switch rest := len(q) - p.l3; q[p.l3] >> 4 {
	case 4:
		h := (*hdr.IPv4)(q[p.l3:])
		if !h.IsPlain(rest) || h.Frag()&^hdr.DontFragment != 0 {
			return false
		}
		p.l4, proto = p.l3+hdr.IPv4Len, h.Protocol()
	case 6:
		if rest < hdr.IPv6Len || (*hdr.IPv6)(q[p.l3:]).PayloadLen() != rest-hdr.IPv6Len {
			return false
		}
		need, p.ip6 = drivers.TSO6, true
		p.l4, proto = p.l3+hdr.IPv6Len, (*hdr.IPv6)(q[p.l3:]).NextHeader()
	}
	switch {
	case proto == hdr.ProtoTCP && out.Offload&need != 0:
		return p.parseTCP(b, q)
	case proto == hdr.ProtoUDP && out.Offload&drivers.USO != 0:
		return p.parseUDP(b, q)
	}
	return false
}

// link skips an Ethernet header. A frame with a VLAN tag is not joined.
func (p *piece) link(q []byte) bool {
	p.l3 = hdr.EtherLen
	if len(q) <= hdr.EtherLen {
		return false
	}
	t, version := (*hdr.Ether)(q).Type(), q[hdr.EtherLen]>>4
	return t == hdr.TypeIPv4 && version == 4 || t == hdr.TypeIPv6 && version == 6
}

// parseTCP accepts segments of an established connection that carry data and
// tell nothing else. FIN and PSH may be on the last, as gso-segment leaves them
// there. CWR says something of one segment only, so that is not joined.
func (p *piece) parseTCP(b *buf.Buffer, q []byte) bool {
	if len(q) < p.l4+hdr.TCPLen {
		return false
	}
	t := (*hdr.TCP)(q[p.l4:])
	p.tcp, p.end = true, p.l4+t.HeaderLen()
	p.payload = len(q) - p.end
	p.last = t.Flags()&(hdr.TCPPsh|hdr.TCPFin) != 0
	return t.HeaderLen() >= hdr.TCPLen && p.payload > 0 && t.Flags()&^(hdr.TCPPsh|hdr.TCPFin|hdr.TCPEce) == hdr.TCPAck &&
		p.finishable(b, tcpChecksumAt)
}

// parseUDP accepts datagrams with a checksum; the segments of a superpacket all
// get one.
func (p *piece) parseUDP(b *buf.Buffer, q []byte) bool {
	if len(q) <= p.l4+hdr.UDPLen {
		return false
	}
	u := (*hdr.UDP)(q[p.l4:])
	p.end = p.l4 + hdr.UDPLen
	p.payload = len(q) - p.end
	return u.Len() == len(q)-p.l4 && u.Checksum() != 0 && p.finishable(b, udpChecksumAt)
}

// finishable reports whether what is left to do for the packet's checksum, if
// anything is, is its transport's.
func (p *piece) finishable(b *buf.Buffer, at uint16) bool {
	return b.Flags&buf.CsumPartial == 0 || int(b.CsumStart) == b.Off()+p.l4 && b.CsumOffset == at
}

// seq returns the sequence number of a segment, and 0 of a datagram.
func (p *piece) seq(b *buf.Buffer) uint32 {
	if !p.tcp {
		return 0
	}
	return (*hdr.TCP)(b.Bytes()[p.l4:]).Seq()
}

// continues reports whether b, of which p is known, is what follows in the run
// that begins with head: gso-segment, which copies head's headers, would make
// the same packet.
func (r *run) continues(head, b *buf.Buffer, p *piece) bool {
	if r.l3 != p.l3 || r.l4 != p.l4 || r.end != p.end || r.tcp != p.tcp || p.payload > r.size ||
		head.TxIf != b.TxIf || head.Len()-r.l3+p.payload > maxIPLen {
		return false
	}
	x, y := head.Bytes()[:r.end], b.Bytes()[:r.end]
	if !bytes.Equal(x[:r.l3], y[:r.l3]) || binary.BigEndian.Uint32(x[r.l4:]) != binary.BigEndian.Uint32(y[r.l4:]) {
		return false
	}
	if r.ip6 {
		if !sameIPv6((*hdr.IPv6)(x[r.l3:]), (*hdr.IPv6)(y[r.l3:])) {
			return false
		}
	} else if !r.sameIPv4((*hdr.IPv4)(x[r.l3:]), (*hdr.IPv4)(y[r.l3:])) {
		return false
	}
	return !r.tcp || r.next == p.seq(b) && sameTCP(x[r.l4:], y[r.l4:])
}

// sameIPv4 compares all but the length, the identification and the checksum,
// and whether the identification is the one that follows.
func (r *run) sameIPv4(x, y *hdr.IPv4) bool {
	id := x.ID()
	if r.count == 1 {
		r.fixed = y.ID() == id && x.Frag() == hdr.DontFragment
	}
	if !r.fixed {
		id += uint16(r.count)
	}
	return x.TOS() == y.TOS() && y.ID() == id && x.Frag() == y.Frag() && x.TTL() == y.TTL() &&
		x.Src() == y.Src() && x.Dst() == y.Dst()
}

// sameIPv6 compares all but the length.
func sameIPv6(x, y *hdr.IPv6) bool {
	return bytes.Equal(x[:4], y[:4]) && bytes.Equal(x[6:], y[6:])
}

// sameTCP compares all but the ports, the sequence number, the checksum, and
// FIN and PSH: acknowledgment, window, flags, options with their timestamps.
func sameTCP(x, y []byte) bool {
	return bytes.Equal(x[8:13], y[8:13]) && (x[13]^y[13])&^(hdr.TCPFin|hdr.TCPPsh) == 0 &&
		bytes.Equal(x[14:16], y[14:16]) && bytes.Equal(x[18:], y[18:])
}

// join appends b's payload to its run, unless a checksum is wrong or there is
// no buffer for a superpacket. Then b, which is sent as it is, may begin a run.
func (g *gro) join(w *graph.Worker, bufs []*buf.Buffer, r *run, b *buf.Buffer, p *piece) bool {
	if !p.sound(b) {
		return false
	}
	head := bufs[r.at]
	if r.count == 1 {
		if !r.sound(head) || w.Pool.GetLarge(g.one[:]) == 0 {
			return false
		}
		large := g.one[0]
		large.CopyMeta(head)
		large.Set(head.Bytes())
		w.Follow(head, large)
		bufs[r.at] = large
		g.finished(head)
		head = large
	}
	n := head.Len()
	head.SetLen(n + copy(head.Room()[n:], b.Bytes()[r.end:]))
	r.count++
	r.next += uint32(p.payload)
	if p.last {
		head.Bytes()[r.l4+13] |= b.Bytes()[r.l4+13]
	}
	g.finished(b)
	return true
}

func (g *gro) finished(b *buf.Buffer) {
	g.done[g.free] = b
	g.free++
}

// sound reports whether the packet's checksum is right, or its sender has left
// it to others, who will find it so.
func (p *piece) sound(b *buf.Buffer) bool {
	if b.Flags&(buf.CsumPartial|buf.CsumValid) != 0 {
		return true
	}
	q := b.Bytes()
	return hdr.Fold(hdr.Sum(q[p.l4:], uint64(p.pseudo(q)))) == 0xffff
}

// pseudo returns the sum of the packet's pseudo-header.
func (s *super) pseudo(q []byte) uint16 {
	n := len(q) - s.l4
	switch {
	case !s.ip6:
		return (*hdr.IPv4)(q[s.l3:]).PseudoSum(n)
	case s.tcp:
		return (*hdr.IPv6)(q[s.l3:]).PseudoSum(hdr.ProtoTCP, n)
	}
	return (*hdr.IPv6)(q[s.l3:]).PseudoSum(hdr.ProtoUDP, n)
}

// finish makes the packet that holds all pieces of the run a superpacket.
func (r *run) finish(b *buf.Buffer) {
	q, off := b.Bytes(), b.Off()
	b.L3, b.L4, b.HdrEnd = uint16(off+r.l3), uint16(off+r.l4), uint16(off+r.end)
	b.CsumStart, b.CsumOffset = b.L4, tcpChecksumAt
	b.GSOSize = uint16(r.size)
	b.Flags = b.Flags&^buf.CsumValid | buf.CsumPartial
	switch {
	case !r.tcp:
		b.GSOType, b.CsumOffset = buf.GSOUDP, udpChecksumAt
		binary.BigEndian.PutUint16(q[r.l4+4:], uint16(len(q)-r.l4))
	case r.ip6:
		b.GSOType = buf.GSOTCPv6
	default:
		b.GSOType = buf.GSOTCPv4
	}
	r.fixIP(q, 0)
	binary.BigEndian.PutUint16(q[r.l4+int(b.CsumOffset):], r.pseudo(q))
}

func describeGRO(r *graph.Record) string {
	if r.Reason == "coalesced" {
		return fmt.Sprintf("%s: %d bytes to be cut into pieces of %d", ifaceName(r.State)(r.Meta.TxIf), r.Len, r.Meta.GSOSize)
	}
	return ifaceName(r.State)(r.Meta.TxIf)
}
