package nodes

import (
	"encoding/binary"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/hdr"
)

// finishChecksum does what the sender of a CsumPartial packet has left to
// others: it sums up from CsumStart on, where the checksum field holds the sum
// of the pseudo-header, and stores the complement there. A superpacket is to
// be segmented instead. It reports false if the field is not in the packet.
func finishChecksum(b *buf.Buffer) bool {
	start := int(b.CsumStart) - b.Off()
	at := start + int(b.CsumOffset)
	p := b.Bytes()
	if start < 0 || at+2 > len(p) {
		return false
	}
	c := hdr.Checksum(p[start:])
	if c == 0 && b.CsumOffset == udpChecksumAt {
		c = 0xffff // 0 would mean that there is none (RFC 768)
	}
	binary.BigEndian.PutUint16(p[at:], c)
	b.Flags &^= buf.CsumPartial
	return true
}

// Where the checksum stands in the transport headers, in bytes.
const (
	udpChecksumAt = 6
	tcpChecksumAt = 16
)
