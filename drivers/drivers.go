// Package drivers answers one question: how do packets get in and out?
//
// It holds the interfaces that the data plane knows; the implementations are
// the packages below it. Maturity: stable.
package drivers

import (
	"net"

	"github.com/skein-dataplane/skein/buf"
)

// A Queue is one pair of receive and transmit rings. One worker owns it, and
// none of its methods blocks or allocates.
type Queue interface {
	// Rx takes up to len(into) packets in, in buffers from p, and reports how
	// many. Their metadata are as p.Get left them, but for what the device
	// says: length, and the offload fields and flags.
	Rx(p *buf.Pool, into []*buf.Buffer) (n int)

	// Tx sends bufs in order and reports how many it has taken over. Those go
	// back to p once the device is done with them; the caller keeps the rest.
	Tx(p *buf.Pool, bufs []*buf.Buffer) (sent int)

	// FD returns a file descriptor that polls readable when Rx has something,
	// or -1 where there is none.
	FD() int

	// Stats returns the queue's own numbers. Only the owning worker may call it.
	Stats() Stats

	// Close releases the queue and hands what buffers it still holds to p.
	Close(p *buf.Pool) error
}

// A Filler is a queue that hands the device buffers before packets can come.
// Without any its FD never polls readable, so somebody has to ask.
type Filler interface {
	Queue
	// Starves reports whether the device has no buffer left to receive into.
	// A call of Rx, also for no packets, gives it what the pool has.
	Starves() bool
}

// Stats are what a queue has seen that its packets do not tell.
type Stats struct {
	RxErrors  uint64 // packets that could not be received whole
	RxDropped uint64 // packets that the kernel dropped before we took them
	RxNoBufs  uint64 // times that the pool had no buffer
	TxErrors  uint64 // packets that the kernel refused for good
	TxFull    uint64 // times that the device had no room
	Syscalls  uint64 // system calls made
	RxDenied  uint64 // packets that a Guard has dropped for their source
	RxLimited uint64 // packets that a Guard has dropped for their rate
}

// A Device is something that packets come from and go to.
type Device interface {
	Info() Info
	Queues() []Queue
	// Close releases everything that is not a queue's own.
	Close() error
}

// Info is what a device says of itself.
type Info struct {
	Driver   string           // "af_packet", "af_xdp", "tun", "tap", "pcap", "memory"
	Detail   string           // how it runs, in words: "zero-copy, native", "offload on"
	Ethernet bool             // frames start at an Ethernet header, else at an IP header
	MAC      net.HardwareAddr // nil without Ethernet
	MTU      int              // bytes, without the Ethernet header
	Offload  Offload          // what Tx takes
}

// Offload is the work that a device takes off the sender.
type Offload uint8

const (
	Checksum    Offload = 1 << iota // CsumPartial packets
	TSO4                            // GSOTCPv4 superpackets
	TSO6                            // GSOTCPv6 superpackets
	USO                             // GSOUDP superpackets
	ChecksumTCP                     // CsumPartial packets of TCP, where not of all
)

// AllOffloads is what a virtio-net header can carry.
const AllOffloads = Checksum | TSO4 | TSO6 | USO
