package state

import (
	"net/netip"

	"github.com/skein-dataplane/skein/hdr"
)

// A NoticeKind says what the data plane has seen.
type NoticeKind uint8

const (
	_              NoticeKind = iota
	NeighborSeen              // IP has said by ARP or neighbor discovery that its link address is MAC
	NeighborWanted            // packets wait for the link address of IP
	NeighborFailed            // IP has not answered, its packets are dropped
	DeviceGone                // the device of Iface is broken for good
	EchoReply                 // IP has answered an echo request, Echo says which
	PolicyLog                 // a Log rule has matched a packet, Log says which
)

// A Notice is what the data plane tells the one writer. It holds no pointer,
// so that handing it over costs neither an allocation nor a lock.
type Notice struct {
	Kind  NoticeKind
	TTL   uint8 // EchoReply: as received
	MAC   hdr.MAC
	Iface uint32
	IP    hdr.Addr6 // IPv4 is mapped: see Mapped
	Echo  uint32    // EchoReply: identifier<<16 | sequence number
	Len   uint32    // EchoReply: bytes of ICMP header and payload
	Now   int64     // the worker's clock, in nanoseconds
	Log   Logged    // PolicyLog
}

// Logged is a packet that a Log rule has matched: Iface and Gate say at which
// Ruled, IP is its source. The worker sends some of them only, if there are many.
// Rule is a number of the Program that was there under Gen; a later Policy's may
// have others.
type Logged struct {
	Gen              uint32 // of the Policy
	Rule             uint32 // number in the Program
	Dst              hdr.Addr6
	SrcPort, DstPort uint16 // of ICMP: type and code
	Proto            uint8
	Gate             Gate
	Allowed          bool // what that Program came to
}

// Addr returns the address that the notice is about, of its own family.
func (n *Notice) Addr() netip.Addr { return n.IP.Addr().Unmap() }

// Mapped returns an IPv4 address as a Notice has it (RFC 4291, section 2.5.5.2).
func Mapped(a hdr.Addr4) hdr.Addr6 { return hdr.Addr6{Lo: 0xffff<<32 | uint64(a)} }
