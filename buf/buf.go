// Package buf answers one question: what does the data plane know of a packet?
//
// A Buffer is one packet and its metadata, an Arena is the memory behind all
// of them, and a Pool is one worker's share of them. Maturity: stable.
package buf

import (
	"unsafe"

	"github.com/skein-dataplane/skein/hdr"
)

// A Buffer is one packet. It belongs to exactly one worker at a time. Apart
// from the address of its frame it holds no pointer, so the garbage collector
// has one word of it to look at, and it fills exactly one 64-byte cache line.
//
// All offsets are counted from the start of the frame and not of the packet.
// Headers can so be taken off and put on without touching the others.
type Buffer struct {
	frame unsafe.Pointer // the packet's memory, outside the Go heap

	Feat uint64 // features still to visit on the current arc, lowest bit first

	off uint32 // where the header being processed starts
	end uint32 // where the packet ends

	RxIf uint32 // index of the interface the packet came in by
	TxIf uint32 // index of the interface it leaves by, once that is decided
	Adj  uint32 // adjacency chosen by a lookup; valid until the end of the sweep
	Hash uint32 // symmetric flow hash, both directions have the same; 0 until somebody asks
	Flow uint32 // session (session.Ref) or draft of one (session.Drafts), 0 if none
	Meta uint32 // scratch between two adjacent nodes, documented by both

	L3    uint16 // where the network header starts, once it is known
	L4    uint16 // where the transport header starts, once it is known
	Flags Flags

	// Offload, as in the virtio-net header (virtio 1.2, section 5.1.6).
	CsumStart  uint16 // CsumPartial: the checksum covers the packet from here
	CsumOffset uint16 // CsumPartial: where to store it, from CsumStart on
	GSOSize    uint16 // bytes of transport payload per segment
	HdrEnd     uint16 // where the transport header ends and the payload starts
	GSOType    GSOType

	Hops uint8 // backward arcs taken in this sweep, to stop loops
}

// Flags are what is true of a packet.
type Flags uint16

const (
	// Traced: each node that the packet visits is recorded.
	Traced Flags = 1 << iota
	// CsumPartial: the transport checksum holds the sum of the pseudo-header
	// only, and whoever puts the packet on a wire has to finish it.
	CsumPartial
	// CsumValid: whoever received the packet has verified its checksum.
	CsumValid
	// LinkBroadcast: the packet came as a link-layer broadcast or multicast.
	// No ICMP error may answer it (RFC 1122, section 3.2.2).
	LinkBroadcast
	// Bridged: the frame crosses between an uplink and its host tap unrouted.
	Bridged
	// Originated: this node made the packet, Skein or the host behind its tap,
	// so no hop is to be taken off.
	Originated
	// Judge: no session has an answer for the packet, so policy is asked once it
	// is known where it goes. Set between ip4-session and ip4-policy only.
	Judge
	// Large: the frame is of the large class.
	Large
	// Tunnelled: another node has sent the packet in a tunnel, for a service whose
	// backends here answer it.
	Tunnelled
)

// GSOType says how a superpacket is to be cut into segments. The values are
// virtio's VIRTIO_NET_HDR_GSO_*.
type GSOType uint8

const (
	GSONone  GSOType = 0
	GSOTCPv4 GSOType = 1
	GSOTCPv6 GSOType = 4
	GSOUDP   GSOType = 5    // VIRTIO_NET_HDR_GSO_UDP_L4: one datagram per segment
	GSOECN   GSOType = 0x80 // flag: CWR is set in the first segment only
)

// Bytes returns the packet from the header being processed on.
func (b *Buffer) Bytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Add(b.frame, b.off)), b.end-b.off)
}

// Len returns the number of bytes from the header being processed to the end.
func (b *Buffer) Len() int { return int(b.end - b.off) }

// Off returns where in the frame the header being processed starts.
func (b *Buffer) Off() int { return int(b.off) }

// End returns where in the frame the packet ends.
func (b *Buffer) End() int { return int(b.end) }

// Cap returns the number of bytes that the frame has in all.
func (b *Buffer) Cap() int {
	if b.Flags&Large != 0 {
		return LargeStride
	}
	return SmallStride
}

// Room returns the bytes of the frame from its headroom to its end, for a
// driver to receive into; SetLen says how many of them it has filled.
func (b *Buffer) Room() []byte {
	return unsafe.Slice((*byte)(unsafe.Add(b.frame, Headroom)), b.Cap()-Headroom)
}

// SetLen makes the packet the n bytes after the headroom. n is at most
// len(b.Room()).
func (b *Buffer) SetLen(n int) { b.off, b.end = Headroom, Headroom+uint32(n) }

// SetSpan makes the packet the bytes [off, end) of the frame, for a driver
// that was told by the kernel where it put them.
func (b *Buffer) SetSpan(off, end int) { b.off, b.end = uint32(off), uint32(end) }

// Set makes p the packet, cut off where the frame ends, and returns how many
// bytes it has taken.
func (b *Buffer) Set(p []byte) int {
	n := copy(b.Room(), p)
	b.SetLen(n)
	return n
}

// Advance moves the start of the packet by n bytes: forward past a header that
// has been dealt with, or, when n is negative, back over one. The caller has
// checked that the packet, or the headroom, has that many.
func (b *Buffer) Advance(n int) { b.off = uint32(int(b.off) + n) }

// Seek makes at, a position in the frame, the start of the packet.
func (b *Buffer) Seek(at int) { b.off = uint32(at) }

// Trim cuts the packet to n bytes from the header being processed on. n is at
// most b.Len().
func (b *Buffer) Trim(n int) { b.end = b.off + uint32(n) }

// Prepend makes room for n bytes before the packet and returns them; they
// become its first bytes. n is at most b.Off().
func (b *Buffer) Prepend(n int) []byte {
	b.off -= uint32(n)
	return unsafe.Slice((*byte)(unsafe.Add(b.frame, b.off)), n)
}

// PrependEther puts a link header before the packet, which has room for it.
func (b *Buffer) PrependEther(h *hdr.Ether) {
	b.off -= hdr.EtherLen
	*b.Ether() = *h
}

// Reset forgets everything but the frame, and puts an empty packet after the
// headroom. It leaves the pointer alone, as to write one makes the compiler ask
// whether the garbage collector runs.
func (b *Buffer) Reset() {
	large := b.Flags & Large
	*(*[metaLen]byte)(unsafe.Add(unsafe.Pointer(b), metaAt)) = [metaLen]byte{}
	b.off, b.end, b.Flags = Headroom, Headroom, large
}

// All of a Buffer but the pointer, in bytes.
const (
	metaAt  = unsafe.Offsetof(Buffer{}.Feat)
	metaLen = unsafe.Sizeof(Buffer{}) - metaAt
)

// CopyMeta takes over src's metadata, but neither its bytes nor its place in
// the frame.
func (b *Buffer) CopyMeta(src *Buffer) {
	frame, off, end, large := b.frame, b.off, b.end, b.Flags&Large
	*b = *src
	b.frame, b.off, b.end = frame, off, end
	b.Flags = src.Flags&^Large | large
}

// The headers at the front of the packet. They do not check that the packet
// is that long: the node that takes a header for the first time does, once.
// Beyond the packet's end lies other packets' memory, never foreign memory.

func (b *Buffer) Ether() *hdr.Ether { return (*hdr.Ether)(unsafe.Add(b.frame, b.off)) }
func (b *Buffer) ARP() *hdr.ARP     { return (*hdr.ARP)(unsafe.Add(b.frame, b.off)) }
func (b *Buffer) IPv4() *hdr.IPv4   { return (*hdr.IPv4)(unsafe.Add(b.frame, b.off)) }
func (b *Buffer) IPv6() *hdr.IPv6   { return (*hdr.IPv6)(unsafe.Add(b.frame, b.off)) }

// The headers at L3 and L4, on the same terms.

func (b *Buffer) IPv4AtL3() *hdr.IPv4 { return (*hdr.IPv4)(unsafe.Add(b.frame, b.L3)) }
func (b *Buffer) IPv6AtL3() *hdr.IPv6 { return (*hdr.IPv6)(unsafe.Add(b.frame, b.L3)) }
func (b *Buffer) UDP() *hdr.UDP       { return (*hdr.UDP)(unsafe.Add(b.frame, b.L4)) }
func (b *Buffer) TCP() *hdr.TCP       { return (*hdr.TCP)(unsafe.Add(b.frame, b.L4)) }
func (b *Buffer) ICMP() *hdr.ICMP     { return (*hdr.ICMP)(unsafe.Add(b.frame, b.L4)) }
