package afxdp

import (
	"fmt"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/internal/packetsock"
	"golang.org/x/sys/unix"
)

// Superpackets says what becomes of TCP superpackets that are sent.
type Superpackets string

const (
	// AutoSuperpackets is Whole in copy mode, and Cut without a copy.
	AutoSuperpackets Superpackets = ""
	// Whole hands them to the kernel by a packet socket, which cuts them or has
	// the NIC do so. In copy mode the kernel makes a packet of its own of each
	// frame that is sent; so it makes one of 64 KiB, and is asked once. Pod to
	// wire that carried 4 times as much TCP (1.35 and 5.3 Gbit/s, medians in
	// turns, veth at 1,500 bytes, two busy Zen 5 cores).
	Whole Superpackets = "whole"
	// Cut has them cut before Tx, and sent by the ring.
	Cut Superpackets = "cut"
)

// wholeOffload is what a device takes whose superpackets go whole. All packets
// of a flow take one way, so that none overtakes another: TCP from a kernel,
// whose checksums are left open, the packet socket; what has finished ones, and
// UDP, the ring, which is faster for single packets.
const wholeOffload = drivers.ChecksumTCP | drivers.TSO4 | drivers.TSO6

// A whole is the packet socket of a queue.
type whole struct {
	packetsock.Sender
	fd int
}

// takeWhole gives each queue a packet socket, if superpackets are to go whole.
func (d *Device) takeWhole(want Superpackets, ifindex int) error {
	if want == Cut || want == AutoSuperpackets && d.zeroCopy {
		return nil
	}
	for _, x := range d.queues {
		fd, err := packetsock.OpenSender(ifindex)
		if err != nil {
			return fmt.Errorf("superpackets: %w", err)
		}
		q := x.(*queue)
		q.whole = &whole{fd: fd}
		q.whole.Init(fd, &q.stats)
	}
	d.info.Offload = wholeOffload
	d.info.Detail += ", TCP superpackets whole"
	return nil
}

// close closes the socket, if there is one.
func (w *whole) close() error {
	if w == nil || w.fd < 0 {
		return nil
	}
	err := unix.Close(w.fd)
	w.fd = -1
	return err
}

// unfinished reports whether a packet's sender has left work to whoever sends it.
func unfinished(b *buf.Buffer) bool {
	return b.GSOType != buf.GSONone || b.Flags&buf.CsumPartial != 0
}

// splitTx sends, in order, what is open by the packet socket and all else by
// the ring.
func (q *queue) splitTx(p *buf.Pool, bufs []*buf.Buffer) (sent int) {
	if !q.usable(p) {
		return 0
	}
	for sent < len(bufs) {
		end, way := sent+1, unfinished(bufs[sent])
		for end < len(bufs) && unfinished(bufs[end]) == way {
			end++
		}
		run := bufs[sent:end]
		if way {
			sent += q.whole.Tx(p, run)
		} else {
			sent += q.ringTx(p, run)
		}
		if sent < end {
			break
		}
	}
	return sent
}
