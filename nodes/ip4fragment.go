package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
)

// IP4Fragment cuts packets that are too long for the next link into fragments
// (RFC 791, section 3.2; RFC 1812, section 5.2.6).
//
// In: the packet starts at a sound IPv4 header that allows it, its TTL not yet
// taken; Adj is one to forward by.
// Out: each fragment as ip4-rewrite sends a packet on. The packet itself has
// become the first fragment.
var IP4Fragment = graph.Spec{
	Name: "ip4-fragment",
	Arcs: []graph.To{
		fragmentMTU:  {Reason: "ip4 MTU too small for a fragment", Node: graph.Drop},
		fragmentBufs: {Reason: "no buffers for fragments", Node: graph.Drop},
		fragmentSum:  {Reason: "checksum offload does not fit the packet to fragment", Node: graph.Drop},
		fragmentEnd:  {Reason: "ip4 fragment ends beyond 64 KiB", Node: graph.Drop},
	},
	On:  IP4OutputArc,
	New: func() graph.Node { return ip4Fragment{} },
}

// The ways out of ip4-fragment, besides the ip4-output arc.
const (
	_            graph.Arc = iota
	fragmentMTU            // below 8 bytes of payload behind the header
	fragmentBufs           // not all fragments, so none
	fragmentSum            // a device has told nonsense about a packet
	fragmentEnd            // RFC 791, section 3.1: no packet is that long; the offset would wrap
)

// maxFragments is how many fragments a packet can become: 64 KiB in those of
// the least MTU that a link may have (RFC 791, section 3.2: 68 bytes) are far
// more, and are refused.
const maxFragments = 128

type ip4Fragment struct{}

func (ip4Fragment) Process(w *graph.Worker, v *graph.Vector) {
	for i, b := range v.Bufs() {
		v.Arc[i] = fragment(w, b, w.State.FIB4.Adj(b.Adj))
	}
}

func fragment(w *graph.Worker, b *buf.Buffer, adj *fib.Adj) graph.Arc {
	var pieces [maxFragments]*buf.Buffer
	more, arc := cut4(w, b, int(adj.MTU), &pieces)
	if arc != 0 {
		return arc
	}
	// The first goes first: whoever looks at ports further on needs it.
	w.Emit(outputFragment(w, b, adj), b)
	for _, piece := range pieces[:more] {
		w.Emit(outputFragment(w, piece, adj), piece)
	}
	return graph.Kept
}

// cut4 takes a hop off a packet and cuts it into fragments of at most mtu bytes:
// it becomes the first itself, pieces are the others. It returns how many these
// are, or the arc by which a packet leaves ip4-fragment that can't be cut.
func cut4(w *graph.Worker, b *buf.Buffer, mtu int, pieces *[maxFragments]*buf.Buffer) (more int, _ graph.Arc) {
	h := b.IPv4()
	// The checksum covers all fragments, and only the first carries it. It must
	// not be written into the header, whose options are known to be sound.
	if b.Flags&buf.CsumPartial != 0 && (b.CsumStart < b.L4 || !finishChecksum(b)) {
		return 0, fragmentSum
	}
	head := h.HeaderLen()
	step := (mtu - head) &^ 7
	if step < 8 {
		return 0, fragmentMTU
	}
	payload := b.Len() - head
	if int(h.Frag()&hdr.FragOffset)*8+payload > 0xffff {
		return 0, fragmentEnd
	}
	more = (payload+step-1)/step - 1 // fragments besides the first
	if more > len(pieces) {
		return 0, fragmentMTU
	}
	if got := getFor(w.Pool, pieces[:more], head+step); got < more {
		w.Pool.Put(pieces[:got])
		return 0, fragmentBufs
	}
	if b.Flags&buf.Originated == 0 {
		h.SetTTL(h.TTL() - 1)
	}
	offset, flags := h.Frag()&hdr.FragOffset, h.Frag()&hdr.MoreFragments // the reserved bit is zero (RFC 791, section 3.1)
	bytes := b.Bytes()
	for n, piece := range pieces[:more] {
		at := (n + 1) * step
		part := bytes[head+at : head+min(at+step, payload)]
		carve(piece, b, bytes[:head], part)
		f := offset + uint16(at/8) | flags
		if n+1 < more {
			f |= hdr.MoreFragments
		}
		sealFragment(piece, f)
		w.Follow(b, piece)
	}
	b.Trim(head + step)
	sealFragment(b, offset|flags|hdr.MoreFragments)
	return more, 0
}

// carve makes piece a packet like b, of a header and a part of its payload. Of
// the options only those stay that are to be copied (RFC 791, section 3.1).
func carve(piece, b *buf.Buffer, header, part []byte) {
	piece.CopyMeta(b)
	room := piece.Room()
	n := copyOptions(room, header)
	piece.SetLen(n + copy(room[n:], part))
	piece.L3 = uint16(piece.Off())
	piece.L4 = piece.L3 + uint16(n)
	piece.IPv4()[0] = 0x40 | byte(n/4)
}

// copyOptions copies header to dst, without the options that only the first
// fragment carries, and returns its new length, a multiple of 4.
func copyOptions(dst, header []byte) int {
	n := copy(dst, header[:hdr.IPv4Len])
	for opts := header[hdr.IPv4Len:]; len(opts) > 0 && opts[0] != 0; {
		size := 1
		if opts[0] != 1 {
			size = int(opts[1]) // ip4-input has seen that it fits
		}
		if opts[0]&0x80 != 0 {
			n += copy(dst[n:], opts[:size])
		}
		opts = opts[size:]
	}
	for ; n%4 != 0; n++ {
		dst[n] = 0
	}
	return n
}

// sealFragment makes the header fit the packet that it now heads.
func sealFragment(b *buf.Buffer, frag uint16) {
	h := b.IPv4()
	h.SetLen(b.Len())
	h.SetFrag(frag)
	h.SetChecksum(0)
	h.SetChecksum(hdr.Checksum(b.Bytes()[:h.HeaderLen()]))
}

func outputFragment(w *graph.Worker, b *buf.Buffer, adj *fib.Adj) graph.Arc {
	link(b, adj)
	b.Feat = w.State.Ifaces[b.TxIf].Feat[IP4OutputArc.ID]
	return graph.NextFeature(b)
}
