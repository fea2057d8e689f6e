package tuntap

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/vnet"
)

const (
	smallRoom = buf.SmallStride - buf.Headroom // bytes of packet in a small frame
	etherLen  = 14
)

// A Queue is one of a device's queues. Between calls it holds no buffers: a
// node may have hundreds of idle pods, and large frames are few.
//
// Rx reads each packet by one readv into a small frame, and what does not fit
// into a large one. The many small packets so stay where they are; of a
// superpacket the first 1856 bytes are moved once. The alternative, to read
// into a large frame and move small packets out of it, is measured beside it
// by BenchmarkRx.
type Queue struct {
	fd       int
	header   int  // bytes before each packet: vnet.HeaderLen with offload, or 0
	oneFrame bool // no packet is larger than a small frame: take no large ones

	small [1]*buf.Buffer // to read the next packet into; nil between calls
	large [1]*buf.Buffer
	iov   [2]unix.Iovec // the space of small and large
	txIov [2]unix.Iovec
	txHdr vnet.Header
	spill [64]byte // what a packet that should fit into one frame has too much

	stats drivers.Stats
}

var _ drivers.Queue = (*Queue)(nil)

func newQueue(fd int, offload bool) *Queue {
	q := &Queue{fd: fd}
	if offload {
		q.header = vnet.HeaderLen
	}
	return q
}

// FD returns the descriptor to poll.
func (q *Queue) FD() int { return q.fd }

// Stats returns the queue's numbers. RxDropped stays 0: the kernel counts what
// it drops for a full queue as the interface's tx_dropped.
func (q *Queue) Stats() drivers.Stats { return q.stats }

// Close closes the queue. It holds no buffers to hand to p.
func (q *Queue) Close(p *buf.Pool) error {
	fd := q.fd
	q.fd = -1
	if fd < 0 {
		return nil
	}
	return os.NewSyscallError("close", unix.Close(fd))
}

// Rx reads packets until there are none, or into is full, or the pool is
// empty. In the last case they stay in the kernel.
func (q *Queue) Rx(p *buf.Pool, into []*buf.Buffer) int {
	n := 0
	for n < len(into) {
		if !q.fill(p) {
			q.stats.RxNoBufs++
			break
		}
		q.stats.Syscalls++
		got, _, errno := unix.RawSyscall(unix.SYS_READV, uintptr(q.fd), uintptr(unsafe.Pointer(&q.iov)), uintptr(len(q.iov)))
		if errno != 0 {
			// EAGAIN: empty. All else means that the interface is gone.
			if errno != unix.EAGAIN && errno != unix.EINTR {
				q.stats.RxErrors++
			}
			break
		}
		if b := q.take(int(got)); b != nil {
			into[n] = b
			n++
		}
	}
	putBack(p, &q.small)
	putBack(p, &q.large)
	return n
}

func putBack(p *buf.Pool, b *[1]*buf.Buffer) {
	if b[0] != nil {
		p.Put(b[:])
		b[0] = nil
	}
}

// fill makes sure that there is a frame of each kind to read into.
func (q *Queue) fill(p *buf.Pool) bool {
	if q.small[0] == nil {
		if p.Get(q.small[:]) == 0 {
			return false
		}
		b := q.small[0]
		b.SetSpan(buf.Headroom-q.header, buf.SmallStride)
		q.iov[0] = space(b.Bytes())
	}
	if q.large[0] == nil {
		if q.oneFrame {
			q.iov[1] = space(q.spill[:])
			return true
		}
		if p.GetLarge(q.large[:]) == 0 {
			return false
		}
		q.iov[1] = space(q.large[0].Room()[smallRoom:])
	}
	return true
}

func space(b []byte) unix.Iovec {
	return unix.Iovec{Base: unsafe.SliceData(b), Len: uint64(len(b))}
}

// take makes a packet of the size bytes that were read, virtio-net header
// included, or returns nil if they are none. It uses up the frame that it
// returns; the others stay for the next packet.
func (q *Queue) take(size int) *buf.Buffer {
	first, kept := q.small[0], &q.small
	packet := size - q.header
	if packet > smallRoom {
		if q.large[0] == nil {
			q.stats.RxErrors++
			return nil
		}
		kept = &q.large
	}
	b := kept[0]
	if packet <= 0 || packet > b.Cap()-buf.Headroom {
		q.stats.RxErrors++
		return nil
	}
	if b != first {
		copy(b.Room(), first.Bytes()[q.header:])
	}
	b.SetLen(packet)
	if q.header > 0 && !vnet.Decode(q.read(first), b) {
		q.stats.RxErrors++
		if b == first { // its span is the space to read into again
			b.SetSpan(buf.Headroom-q.header, buf.SmallStride)
		}
		return nil
	}
	kept[0] = nil
	return b
}

// read returns the virtio-net header that lies before the packet in a frame.
func (q *Queue) read(b *buf.Buffer) *vnet.Header {
	return (*vnet.Header)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b.Room())), -vnet.HeaderLen))
}

// Tx writes packets, one system call each. Those that the kernel refuses are
// counted and skipped. Where it refuses all, because the interface is down or
// gone, it is not asked for the rest of the vector.
func (q *Queue) Tx(p *buf.Pool, bufs []*buf.Buffer) int {
	sent := 0
loop:
	for sent < len(bufs) {
		switch q.write(bufs[sent]) {
		case 0:
			sent++
		case unix.EAGAIN, unix.EINTR, unix.ENOBUFS, unix.ENOMEM:
			q.stats.TxFull++
			break loop
		case unix.EIO, unix.EBADFD, unix.EBADF, unix.ENODEV: // not up; detached; closed
			q.stats.TxErrors += uint64(len(bufs) - sent)
			sent = len(bufs)
		default: // EINVAL: the header, or the IP version, is not to the kernel's liking
			q.stats.TxErrors++
			sent++
		}
	}
	p.Put(bufs[:sent])
	return sent
}

// write writes one packet.
func (q *Queue) write(b *buf.Buffer) unix.Errno {
	if q.header == 0 {
		// Without a header nobody would finish the packet.
		if b.Flags&buf.CsumPartial != 0 || b.GSOType != buf.GSONone || b.Len() == 0 {
			return unix.EINVAL
		}
		return q.writeBytes(b.Bytes())
	}
	if b.Len() == 0 {
		return unix.EINVAL
	}
	if b.Off() < vnet.HeaderLen {
		return q.writeTwo(b)
	}
	// The header goes to the headroom, so that one piece is written.
	vnet.Encode(&q.txHdr, b)
	*(*vnet.Header)(b.Prepend(vnet.HeaderLen)) = q.txHdr
	errno := q.writeBytes(b.Bytes())
	b.Advance(vnet.HeaderLen)
	return errno
}

func (q *Queue) writeBytes(packet []byte) unix.Errno {
	q.stats.Syscalls++
	_, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(q.fd), uintptr(unsafe.Pointer(unsafe.SliceData(packet))), uintptr(len(packet)))
	return errno
}

// writeTwo is for a packet without headroom.
func (q *Queue) writeTwo(b *buf.Buffer) unix.Errno {
	vnet.Encode(&q.txHdr, b)
	q.txIov = [2]unix.Iovec{space(q.txHdr[:]), space(b.Bytes())}
	q.stats.Syscalls++
	_, _, errno := unix.RawSyscall(unix.SYS_WRITEV, uintptr(q.fd), uintptr(unsafe.Pointer(&q.txIov)), uintptr(len(q.txIov)))
	return errno
}
