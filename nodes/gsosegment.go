package nodes

import (
	"encoding/binary"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
)

// GSOSegment cuts superpackets into segments for a device that can't: TCP as
// the sender itself would have (RFC 9293, section 3.7.1), UDP into datagrams
// of the size that the sender has asked for.
//
// In: the packet starts at its link header, or at its IP header if the
// interface has none; TxIf is set. What is bridged comes here without having
// passed ip4-input, so nothing else is taken for granted.
// Out: each segment as an ordinary packet with finished checksums.
var GSOSegment = graph.Spec{
	Name: "gso-segment",
	Arcs: []graph.To{
		segmentUplink: {Reason: "to uplink", Node: "uplink-output"},
		segmentTap:    {Reason: "to tap", Node: "tap-output"},
		segmentTun:    {Reason: "to tun", Node: "tun-output"},
		segmentBad:    {Reason: "offload does not fit the packet", Node: graph.Drop},
		segmentBufs:   {Reason: "no buffers for segments", Node: graph.Drop},
	},
	New: func() graph.Node { return new(gsoSegment) },
}

// The ways out of gso-segment. The first three are those of interface-output.
const (
	_             = iota
	segmentUplink = outUplink
	segmentTap    = outTap
	segmentTun    = outTun
	segmentBad    = outTun + 1
	segmentBufs   = outTun + 2
)

// maxSegments is how many segments a superpacket may become: 64 KiB of
// datagrams of 512 bytes, twice what Linux allows for UDP (UDP_MAX_SEGMENTS).
const maxSegments = 256

type gsoSegment struct{ pieces [maxSegments]*buf.Buffer }

func (g *gsoSegment) Process(w *graph.Worker, v *graph.Vector) {
	for i, b := range v.Bufs() {
		v.Arc[i] = g.segment(w, b)
	}
}

// A super is what is known of a superpacket's headers. Offsets are from the
// first byte of the packet.
type super struct {
	l3, l4, end int
	ip6, tcp    bool
}

func (g *gsoSegment) segment(w *graph.Worker, b *buf.Buffer) graph.Arc {
	out := &w.State.Ifaces[b.TxIf]
	s, ok := parseSuper(b, out.Ethernet)
	if !ok {
		return segmentBad
	}
	size, payload := int(b.GSOSize), b.Len()-s.end
	count := (payload + size - 1) / size
	if count > maxSegments {
		return segmentBad
	}
	pieces := g.pieces[:max(count, 1)]
	got := getFor(w.Pool, pieces, s.end+size)
	if got < len(pieces) {
		w.Pool.Put(pieces[:got])
		return segmentBufs
	}
	to := outputArc[out.Kind&3]
	for n, piece := range pieces {
		s.cut(piece, b, n, n == len(pieces)-1)
		w.Follow(b, piece)
		w.Emit(to, piece)
	}
	w.Free(b)
	return graph.Kept
}

// getFor takes buffers that have room for size bytes out of the pool.
func getFor(p *buf.Pool, out []*buf.Buffer, size int) int {
	if size > buf.SmallStride-buf.Headroom {
		return p.GetLarge(out)
	}
	return p.Get(out)
}

// parseSuper finds the headers of a superpacket, and reports false if they are
// not what its metadata say.
func parseSuper(b *buf.Buffer, ethernet bool) (s super, ok bool) {
	p := b.Bytes()
	if ethernet {
		s.l3 = hdr.LinkLen(p) // what is bridged may have VLAN tags
	}
	if len(p) < s.l3+hdr.IPv4Len {
		return s, false
	}
	var proto byte
	switch p[s.l3] >> 4 {
	case 4:
		s.l4 = s.l3 + int(p[s.l3]&0xf)*4
		proto = p[s.l3+9]
	case 6:
		s.ip6 = true
		s.l4 = int(b.CsumStart) - b.Off() // behind extension headers, if there are any
		if s.l4 < s.l3+hdr.IPv6Len || b.Flags&buf.CsumPartial == 0 {
			return s, false
		}
		proto = hdr.ProtoTCP
		if b.GSOType&^buf.GSOECN == buf.GSOUDP {
			proto = hdr.ProtoUDP
		}
	default:
		return s, false
	}
	switch b.GSOType &^ buf.GSOECN {
	case buf.GSOTCPv4, buf.GSOTCPv6:
		if proto != hdr.ProtoTCP || len(p) < s.l4+hdr.TCPLen {
			return s, false
		}
		s.tcp = true
		s.end = s.l4 + int(p[s.l4+12]>>4)*4
		ok = s.end >= s.l4+hdr.TCPLen
	case buf.GSOUDP:
		s.end = s.l4 + hdr.UDPLen
		ok = proto == hdr.ProtoUDP
	}
	return s, ok && s.l4 >= s.l3+hdr.IPv4Len && s.end <= len(p) && b.GSOSize > 0
}

// cut makes piece the n-th segment of b.
func (s *super) cut(piece, b *buf.Buffer, n int, last bool) {
	p, size := b.Bytes(), int(b.GSOSize)
	at := s.end + n*size
	piece.CopyMeta(b)
	piece.GSOType, piece.GSOSize = buf.GSONone, 0
	piece.Flags &^= buf.CsumPartial
	room := piece.Room()
	copy(room, p[:s.end])
	piece.SetLen(s.end + copy(room[s.end:], p[at:min(at+size, len(p))]))
	q := piece.Bytes()
	s.fixIP(q, n)
	if s.tcp {
		s.fixTCP(q, n, size, last)
	} else {
		binary.BigEndian.PutUint16(q[s.l4+4:], uint16(len(q)-s.l4))
	}
	s.sum(q)
}

// fixIP sets the segment's length and, for IPv4, its own identification
// (RFC 6864, section 4; Linux counts on from the superpacket's).
func (s *super) fixIP(q []byte, n int) {
	if s.ip6 {
		(*hdr.IPv6)(q[s.l3:]).SetPayloadLen(len(q) - s.l3 - hdr.IPv6Len)
		return
	}
	h := (*hdr.IPv4)(q[s.l3:])
	h.SetLen(len(q) - s.l3)
	h.SetID(h.ID() + uint16(n))
	h.SetChecksum(0)
	h.SetChecksum(hdr.Checksum(q[s.l3:s.l4]))
}

// fixTCP counts the sequence number on. Only the last segment carries FIN and
// PSH, and only the first CWR (RFC 3168, section 6.1.2).
func (s *super) fixTCP(q []byte, n, size int, last bool) {
	t := (*hdr.TCP)(q[s.l4:])
	t.SetSeq(t.Seq() + uint32(n*size))
	f := t.Flags()
	if !last {
		f &^= hdr.TCPFin | hdr.TCPPsh
	}
	if n > 0 {
		f &^= hdr.TCPCwr
	}
	t.SetFlags(f)
}

// sum computes the segment's transport checksum.
func (s *super) sum(q []byte) {
	at, proto := s.l4+udpChecksumAt, uint8(hdr.ProtoUDP)
	if s.tcp {
		at, proto = s.l4+tcpChecksumAt, hdr.ProtoTCP
	}
	length := len(q) - s.l4
	var pseudo uint16
	if s.ip6 {
		pseudo = (*hdr.IPv6)(q[s.l3:]).PseudoSum(proto, length)
	} else {
		pseudo = (*hdr.IPv4)(q[s.l3:]).PseudoSum(length)
	}
	binary.BigEndian.PutUint16(q[at:], 0)
	c := ^hdr.Fold(hdr.Sum(q[s.l4:], uint64(pseudo)))
	if c == 0 && !s.tcp {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(q[at:], c)
}
