package nstest

import (
	"encoding/binary"

	"github.com/skein-dataplane/skein/hdr"
)

// UDPFrame returns an Ethernet frame with a UDP packet from 10.0.0.2:7 to
// 10.0.0.1:9, of which the UDP checksum covers the pseudo-header only. The UDP
// header is at 34, the payload at 42.
func UDPFrame(dst, src hdr.MAC, payload []byte) []byte {
	f := make([]byte, 42+len(payload))
	(*hdr.Ether)(f).Fill(dst, src, hdr.TypeIPv4)
	ip := (*hdr.IPv4)(f[14:])
	ip[0], ip[8], ip[9] = 0x45, 64, hdr.ProtoUDP
	ip.SetLen(len(f) - 14)
	binary.BigEndian.PutUint32(ip[12:], 0x0a000002)
	binary.BigEndian.PutUint32(ip[16:], 0x0a000001)
	ip.SetChecksum(hdr.Checksum(ip[:]))
	udp := (*hdr.UDP)(f[34:])
	binary.BigEndian.PutUint16(udp[0:], 7)
	binary.BigEndian.PutUint16(udp[2:], 9)
	udp.SetLen(len(f) - 34)
	udp.SetChecksum(ip.PseudoSum(len(f) - 34))
	copy(f[42:], payload)
	return f
}

// FinishUDP turns the checksum of a frame from UDPFrame into a whole one.
func FinishUDP(f []byte) []byte {
	(*hdr.UDP)(f[34:]).SetChecksum(^hdr.Fold(hdr.Sum(f[34:], 0)))
	return f
}
