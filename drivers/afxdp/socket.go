package afxdp

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"golang.org/x/sys/unix"
)

// bindPatience is how long a queue may stay busy: the kernel frees that of a
// process that has ended only after a grace period.
const bindPatience = time.Second

// A socket is an AF_XDP socket and its rings.
type socket struct {
	fd         int
	zeroCopy   bool
	fill, done ring[uint64]
	rx, tx     ring[unix.XDPDesc]
}

// newSocket binds a socket to one queue of the interface. If share is not
// negative it is the socket whose UMEM, on the same arena, is used, and flags
// are its.
func newSocket(ifindex, queue, size int, a *buf.Arena, flags uint16, share int) (*socket, error) {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, needs(err)
	}
	s := &socket{fd: fd}
	if err := s.setUp(ifindex, queue, size, a, flags, share); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// needs says what to do about errors that have a usual cause.
func needs(err error) error {
	switch {
	case errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, ebpf.ErrNotSupported):
		return &drivers.Missing{What: "AF_XDP sockets", Err: err,
			Remedy: "use a kernel built with CONFIG_BPF_SYSCALL and CONFIG_XDP_SOCKETS, or the driver af_packet"}
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return &drivers.Missing{What: "CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF", Err: err,
			Remedy: "run as root or grant them"}
	case errors.Is(err, unix.ENOBUFS):
		return &drivers.Missing{What: "locked memory for all packets", Err: err,
			Remedy: "grant CAP_IPC_LOCK or raise RLIMIT_MEMLOCK"}
	}
	return err
}

func (s *socket) setUp(ifindex, queue, size int, a *buf.Arena, flags uint16, share int) error {
	if share < 0 {
		if err := registerUMEM(s.fd, a); err != nil {
			return fmt.Errorf("register UMEM: %w", needs(err))
		}
	}
	for _, opt := range []int{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_RX_RING, unix.XDP_TX_RING} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_XDP, opt, size); err != nil {
			return fmt.Errorf("size of ring %d: %w", opt, err)
		}
	}
	if err := s.mapRings(size); err != nil {
		return fmt.Errorf("map rings: %w", err)
	}
	// Copy mode sends 32 packets per system call unless told otherwise, which
	// kernels before 6.17 cannot be. Tx copes with either.
	_ = unix.SetsockoptInt(s.fd, unix.SOL_XDP, unix.XDP_MAX_TX_SKB_BUDGET, size)

	to := &unix.SockaddrXDP{Flags: flags, Ifindex: uint32(ifindex), QueueID: uint32(queue)}
	if share >= 0 {
		to.Flags, to.SharedUmemFD = unix.XDP_SHARED_UMEM, uint32(share)
	}
	if err := bind(s.fd, to); err != nil {
		return fmt.Errorf("bind to queue %d: %w", queue, needs(err))
	}
	opts, err := unix.GetsockoptInt(s.fd, unix.SOL_XDP, unix.XDP_OPTIONS)
	s.zeroCopy = err == nil && opts&unix.XDP_OPTIONS_ZEROCOPY != 0
	return err
}

func bind(fd int, to unix.Sockaddr) error {
	for end := time.Now().Add(bindPatience); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Bind(fd, to)
		if !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
			return err
		}
	}
}

// registerUMEM lets the kernel use the arena's small frames. It puts packets
// XDP_PACKET_HEADROOM bytes after an address, which is buf.Headroom.
func registerUMEM(fd int, a *buf.Arena) error {
	mem := a.UMEM()
	if len(mem) == 0 {
		return errors.New("the pool has no small buffers")
	}
	reg := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(&mem[0]))), Len: uint64(len(mem)),
		Size: buf.SmallStride, Flags: unix.XDP_UMEM_UNALIGNED_CHUNK_FLAG}
	return setsockopt(fd, unix.XDP_UMEM_REG, unsafe.Pointer(&reg), unsafe.Sizeof(reg))
}

// The kernel's headroom has to be ours.
var _ = [1]struct{}{}[buf.Headroom-unix.XDP_PACKET_HEADROOM]

func (s *socket) mapRings(size int) error {
	var off unix.XDPMmapOffsets
	if err := getsockopt(s.fd, unix.XDP_MMAP_OFFSETS, unsafe.Pointer(&off), unsafe.Sizeof(off)); err != nil {
		return err
	}
	var e [4]error
	s.fill, e[0] = mapRing[uint64](s.fd, unix.XDP_UMEM_PGOFF_FILL_RING, off.Fr, size)
	s.done, e[1] = mapRing[uint64](s.fd, unix.XDP_UMEM_PGOFF_COMPLETION_RING, off.Cr, size)
	s.rx, e[2] = mapRing[unix.XDPDesc](s.fd, unix.XDP_PGOFF_RX_RING, off.Rx, size)
	s.tx, e[3] = mapRing[unix.XDPDesc](s.fd, unix.XDP_PGOFF_TX_RING, off.Tx, size)
	return errors.Join(e[:]...)
}

func (s *socket) close() error {
	err := unix.Close(s.fd)
	s.fd = -1
	return errors.Join(err, s.fill.unmap(), s.done.unmap(), s.rx.unmap(), s.tx.unmap())
}

// kick has the kernel send what is in the transmit ring. It returns at once.
func (s *socket) kick() {
	unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
}

// wake has the kernel look at the fill ring. It returns at once.
func (s *socket) wake() {
	unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
}

func (s *socket) statistics() (st unix.XDPStatistics) {
	if s.fd >= 0 && getsockopt(s.fd, unix.XDP_STATISTICS, unsafe.Pointer(&st), unsafe.Sizeof(st)) != nil {
		return unix.XDPStatistics{} // cannot happen on an open socket
	}
	return st
}

func setsockopt(fd, opt int, p unsafe.Pointer, size uintptr) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(opt), uintptr(p), size, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func getsockopt(fd, opt int, p unsafe.Pointer, size uintptr) error {
	n := uint32(size)
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(opt), uintptr(p), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
