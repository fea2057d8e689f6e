// Package vnet answers one question: how does the kernel tell, and get told,
// what is left to do on a packet?
//
// It translates between the virtio-net header that TUN, TAP and AF_PACKET put
// before each packet and the offload fields of a buf.Buffer. The header counts
// from the start of the packet, the Buffer from the start of its frame.
// Maturity: stable.
package vnet

import (
	"encoding/binary"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/hdr"
)

// HeaderLen is the length of the header without num_buffers, in bytes. It is
// what TUN, TAP (TUNSETVNETHDRSZ) and AF_PACKET (PACKET_VNET_HDR) use unless
// asked for more.
const HeaderLen = 10

// Header is struct virtio_net_hdr in the byte order of the machine
// (virtio 1.2, section 5.1.6; TUN and AF_PACKET use its legacy form, which is
// native-endian).
//
//	| flags, 1 | gso type, 1 | header length, 2 | gso size, 2 |
//	| checksum start, 2      | checksum offset, 2             |
type Header [HeaderLen]byte

// Bits of the flags.
const (
	needsCsum = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM
	dataValid = 2 // VIRTIO_NET_HDR_F_DATA_VALID
)

// Where the transport checksum lies, counted from the transport header
// (RFC 9293, section 3.1; RFC 768).
const (
	tcpCsum = 16
	udpCsum = 6
)

var order = binary.NativeEndian

// Decode sets b's offload fields and flags from h. The packet is in b already,
// and its fields are as Pool.Get left them. It reports false, and leaves b as
// it was, if h cannot be true of this packet: such a packet has to be dropped.
//
// The header length in h is not used. The kernel puts there how much of the
// packet it happens to hold in one piece, so HdrEnd is read from the packet.
func Decode(h *Header, b *buf.Buffer) bool {
	flags, gso := h[0], buf.GSOType(h[1])
	if flags&needsCsum == 0 {
		// A superpacket's segments need checksums of their own, so its sender
		// must ask for them (virtio 1.2, section 5.1.6.2).
		if gso != buf.GSONone {
			return false
		}
		if flags&dataValid != 0 {
			b.Flags |= buf.CsumValid
		}
		return true
	}
	start, offset := int(order.Uint16(h[6:8])), int(order.Uint16(h[8:10]))
	if start+offset+2 > b.Len() || b.Off()+start > 0xffff {
		return false
	}
	if gso != buf.GSONone && !decodeGSO(h, b, start, offset) {
		return false
	}
	b.Flags |= buf.CsumPartial
	b.CsumStart, b.CsumOffset = uint16(b.Off()+start), uint16(offset)
	return true
}

func decodeGSO(h *Header, b *buf.Buffer, start, offset int) bool {
	gso, size := buf.GSOType(h[1]), order.Uint16(h[4:6])
	end := 0
	switch gso &^ buf.GSOECN {
	case buf.GSOTCPv4, buf.GSOTCPv6:
		if offset != tcpCsum {
			return false
		}
		// start+16+2 is within the packet, so byte 12 of the header is too.
		hl := int(b.Bytes()[start+12]>>4) * 4
		if hl < hdr.TCPLen {
			return false
		}
		end = start + hl
	case buf.GSOUDP:
		if offset != udpCsum || gso&buf.GSOECN != 0 {
			return false
		}
		end = start + hdr.UDPLen
	default:
		return false
	}
	if size == 0 || end > b.Len() || b.Off()+end > 0xffff {
		return false
	}
	b.GSOType, b.GSOSize, b.HdrEnd = gso, size, uint16(b.Off()+end)
	return true
}

// Encode sets h from b's offload fields. Fields that contradict the packet,
// such as a checksum that starts before it, become a header that the kernel
// refuses with EINVAL.
func Encode(h *Header, b *buf.Buffer) {
	*h = Header{}
	off := uint16(b.Off())
	if b.Flags&buf.CsumPartial != 0 {
		h[0] = needsCsum
		order.PutUint16(h[6:8], b.CsumStart-off)
		order.PutUint16(h[8:10], b.CsumOffset)
	}
	if b.GSOType != buf.GSONone {
		h[1] = byte(b.GSOType)
		order.PutUint16(h[2:4], b.HdrEnd-off)
		order.PutUint16(h[4:6], b.GSOSize)
	}
}
