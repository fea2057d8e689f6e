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

	// rxBytes is how many bytes Rx takes before it returns early. What was read
	// has to be in the cache still when it is written: with 256 superpackets at
	// a time, 16 MB, four TCP streams from TUN to TUN are slower by a third
	// than with four (9.2 to 10.5 against 12.6 to 14.4 Gb/s, L2 of 1 MiB).
	rxBytes = 256 << 10
)

// A Queue is one of a device's queues. Between calls it holds no buffers: a
// node may have hundreds of idle pods, and large frames are few. To take one
// from the pool and put it back costs 6 ns of the 300 of an empty Rx.
//
// Rx reads each packet into a large frame, and moves it to a small one if it
// fits there. The alternative, to let readv scatter it over a small and a large
// frame, saves the copy and is no faster: 651 against 572 ns at 64 bytes, 642
// against 583 at 1400, 2640 against 2452 for a superpacket of 63,000 bytes
// (BenchmarkRx, vectors of 64 to 256, best of 5 or 6 runs on a shared Zen 5 VM
// with a spread of 30 %).
type Queue struct {
	fd     int
	header int  // bytes before each packet: vnet.HeaderLen with offload, or 0
	direct bool // every packet fits into a small frame: read into that

	frame [1]*buf.Buffer // to read the next packet into; nil between calls
	txIov [2]unix.Iovec
	txHdr vnet.Header

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

// Rx reads packets until there are none, or into is full, or 256 KiB are read,
// or the pool is empty. What it does not read stays in the kernel.
func (q *Queue) Rx(p *buf.Pool, into []*buf.Buffer) int {
	n, bytes := 0, 0
	for n < len(into) && bytes < rxBytes {
		if q.frame[0] == nil && !q.get(p) {
			q.stats.RxNoBufs++
			return n
		}
		size, errno := q.read()
		if errno != 0 {
			// EAGAIN: empty. All else means that the interface is gone.
			if errno != unix.EAGAIN && errno != unix.EINTR {
				q.stats.RxErrors++
			}
			break
		}
		bytes += size
		if q.take(p, size, into[n:n+1]) {
			n++
		} else {
			q.stats.RxErrors++
		}
	}
	if q.frame[0] != nil {
		p.Put(q.frame[:])
		q.frame[0] = nil
	}
	return n
}

func (q *Queue) get(p *buf.Pool) bool {
	if q.direct {
		return p.Get(q.frame[:]) == 1
	}
	return p.GetLarge(q.frame[:]) == 1
}

// read reads one packet into the frame, the virtio-net header before the
// packet's place, and returns the bytes of both.
func (q *Queue) read() (int, unix.Errno) {
	room := q.frame[0].Room()
	start := unsafe.Add(unsafe.Pointer(unsafe.SliceData(room)), -q.header)
	q.stats.Syscalls++
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(q.fd), uintptr(start), uintptr(q.header+len(room)))
	return int(n), errno
}

// take makes out[0] the packet of size bytes, header included, that was read.
// It reports false if that is none, or was cut off.
func (q *Queue) take(p *buf.Pool, size int, out []*buf.Buffer) bool {
	f, packet := q.frame[0], size-q.header
	room := f.Room()
	if packet <= 0 || packet >= len(room) {
		return false
	}
	if !q.direct && packet <= smallRoom && p.Get(out) == 1 {
		out[0].Set(room[:packet])
	} else {
		f.SetLen(packet)
		out[0], q.frame[0] = f, nil
	}
	if q.header == 0 {
		return true
	}
	h := (*vnet.Header)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(room)), -vnet.HeaderLen))
	if vnet.Decode(h, out[0]) {
		return true
	}
	p.Put(out)
	return false
}

func space(b []byte) unix.Iovec {
	return unix.Iovec{Base: unsafe.SliceData(b), Len: uint64(len(b))}
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
