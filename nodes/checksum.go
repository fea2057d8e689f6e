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
	if b.CsumOffset == sctpChecksumAt {
		return finishSCTP(b, p[start:])
	}
	c := hdr.Checksum(p[start:])
	if c == 0 && b.CsumOffset == udpChecksumAt {
		c = 0xffff // 0 would mean that there is none (RFC 768)
	}
	binary.BigEndian.PutUint16(p[at:], c)
	b.Flags &^= buf.CsumPartial
	return true
}

// finishSCTP does so for SCTP, whose checksum is a CRC32c with 0 in its place
// (RFC 9260, section 6.8 and appendix A).
func finishSCTP(b *buf.Buffer, p []byte) bool {
	if len(p) < sctpChecksumAt+4 {
		return false
	}
	binary.LittleEndian.PutUint32(p[sctpChecksumAt:], 0)
	c := ^uint32(0)
	for _, x := range p {
		c = crc32cTable[byte(c)^x] ^ c>>8
	}
	binary.LittleEndian.PutUint32(p[sctpChecksumAt:], ^c)
	b.Flags &^= buf.CsumPartial
	return true
}

// crc32cTable is of Castagnoli's polynomial, the lowest power in the highest bit.
var crc32cTable = makeCRC32C()

func makeCRC32C() (t [256]uint32) {
	for i := range t {
		c := uint32(i)
		for range 8 {
			c = c>>1 ^ 0x82f63b78&-(c&1)
		}
		t[i] = c
	}
	return t
}

// Where the checksum stands in the transport headers, in bytes.
const (
	udpChecksumAt  = 6
	sctpChecksumAt = 8
	tcpChecksumAt  = 16
)
