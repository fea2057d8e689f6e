package state

import "github.com/skein-dataplane/skein/hdr"

// A NoticeKind says what the data plane has seen.
type NoticeKind uint8

const (
	_              NoticeKind = iota
	NeighborSeen              // IP has said by ARP that its link address is MAC
	NeighborWanted            // packets wait for the link address of IP
	NeighborFailed            // IP has not answered, its packets are dropped
	DeviceGone                // the device of Iface is broken for good
	EchoReply                 // IP has answered an echo request, Echo says which
)

// A Notice is what the data plane tells the one writer. It holds no pointer,
// so that handing it over costs neither an allocation nor a lock.
type Notice struct {
	Kind  NoticeKind
	TTL   uint8 // EchoReply: as received
	MAC   hdr.MAC
	Iface uint32
	IP    hdr.Addr4
	Echo  uint32 // EchoReply: identifier<<16 | sequence number
	Len   uint32 // EchoReply: bytes of ICMP header and payload
	Now   int64  // the worker's clock, in nanoseconds
}
