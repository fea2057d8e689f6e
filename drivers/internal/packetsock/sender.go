// Package packetsock answers one question: how are packets, and superpackets,
// sent through a packet socket?
//
// By sendmmsg with a virtio-net header before each packet, so that the kernel or
// the NIC cuts what has to be cut. The driver af_packet sends everything so, and
// af_xdp superpackets where the kernel copies frames anyway. Maturity: stable.
package packetsock

import (
	"syscall"
	"unsafe"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/vnet"
	"golang.org/x/sys/unix"
)

// Batch is the number of packets per system call. At 64, the call itself costs
// 3 ns per packet.
const Batch = 64

// Mmsghdr is struct mmsghdr (sendmmsg(2)).
type Mmsghdr struct {
	unix.Msghdr
	N uint32
	_ [4]byte
}

// A Sender writes packets to a socket that has PACKET_VNET_HDR. The virtio-net
// header is put into the headroom right before the packet, so that one piece of
// memory is sent; only a packet without headroom needs a second piece.
type Sender struct {
	fd    int
	stats *drivers.Stats
	msgs  [Batch]Mmsghdr
	iovs  [Batch][2]unix.Iovec
	hdrs  [Batch]vnet.Header
}

// Init makes s send through fd, and count in stats. Who has opened the socket
// closes it; s must not move from here on.
func (s *Sender) Init(fd int, stats *drivers.Stats) {
	s.fd, s.stats = fd, stats
	for i := range s.msgs {
		s.msgs[i].Iov = &s.iovs[i][0]
	}
}

// Tx is that of a drivers.Queue. The kernel copies, so all that is sent goes
// back to p at once. Sent are also packets that the kernel refuses for good,
// and all packets while the link is down; they count as TxErrors.
func (s *Sender) Tx(p *buf.Pool, bufs []*buf.Buffer) (sent int) {
	refused := -1 // position of the packet that was refused once already
	for sent < len(bufs) {
		k := s.prepare(bufs[sent:])
		n, errno := s.sendmmsg(k)
		sent += n
		if errno == 0 {
			continue
		}
		if full(errno) {
			s.stats.TxFull++
			break
		}
		// The error may be an old one that the socket had kept, for instance
		// from when the link went down. Only the second one is this packet's.
		if refused != sent {
			refused = sent
			continue
		}
		skip := 1
		if errno == unix.ENETDOWN || errno == unix.ENXIO || errno == unix.ENODEV {
			skip = len(bufs) - sent
		}
		s.stats.TxErrors += uint64(skip)
		sent += skip
	}
	p.Put(bufs[:sent])
	return sent
}

// full reports whether an error goes away by itself. ENOBUFS comes from a
// full queueing discipline or a full peer.
func full(errno syscall.Errno) bool {
	return errno == unix.EAGAIN || errno == unix.ENOBUFS || errno == unix.ENOMEM
}

// prepare describes up to Batch packets and returns how many.
func (s *Sender) prepare(bufs []*buf.Buffer) int {
	n := min(len(bufs), Batch)
	for i, b := range bufs[:n] {
		iov := &s.iovs[i]
		s.msgs[i].SetIovlen(1)
		if b.Off() >= vnet.HeaderLen {
			h := (*vnet.Header)(b.Prepend(vnet.HeaderLen))
			iov[0].Base = &h[0]
			iov[0].SetLen(b.Len())
			b.Advance(vnet.HeaderLen)
			vnet.Encode(h, b)
			continue
		}
		vnet.Encode(&s.hdrs[i], b)
		iov[0].Base = &s.hdrs[i][0]
		iov[0].SetLen(vnet.HeaderLen)
		iov[1].Base = unsafe.SliceData(b.Bytes())
		iov[1].SetLen(b.Len())
		s.msgs[i].SetIovlen(2)
	}
	return n
}

// sendmmsg sends the first k messages and reports how many went before one
// was refused. sendmmsg(2) keeps the error to itself if any went, so it is
// met by the next call.
func (s *Sender) sendmmsg(k int) (int, syscall.Errno) {
	s.stats.Syscalls++
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd),
		uintptr(unsafe.Pointer(&s.msgs[0])), uintptr(k), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
