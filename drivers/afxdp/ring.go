package afxdp

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A ring is one of the four single-producer single-consumer rings that a
// socket shares with the kernel (Linux, Documentation/networking/af_xdp.rst).
// T is uint64, an address in the UMEM, or unix.XDPDesc.
//
// The indices run freely and are taken modulo the size, a power of two. Each
// side stores its own index after the entries (release) and loads the other's
// before them (acquire); sync/atomic gives both.
type ring[T any] struct {
	mem      []byte
	producer *uint32
	consumer *uint32
	flags    *uint32
	entries  []T
	mask     uint32
	own      uint32 // our index, also beyond what has been published
	seen     uint32 // the kernel's index when it was last looked at
}

// mapRing maps the ring of size entries that lies at page offset at.
func mapRing[T any](fd int, at int64, off unix.XDPRingOffset, size int) (r ring[T], err error) {
	var entry T
	length := int(off.Desc) + size*int(unsafe.Sizeof(entry))
	r.mem, err = unix.Mmap(fd, at, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return r, err
	}
	r.producer = (*uint32)(unsafe.Pointer(&r.mem[off.Producer]))
	r.consumer = (*uint32)(unsafe.Pointer(&r.mem[off.Consumer]))
	r.flags = (*uint32)(unsafe.Pointer(&r.mem[off.Flags]))
	r.entries = unsafe.Slice((*T)(unsafe.Pointer(&r.mem[off.Desc])), size)
	r.mask = uint32(size - 1)
	return r, nil
}

func (r *ring[T]) unmap() error {
	if r.mem == nil {
		return nil
	}
	err := unix.Munmap(r.mem)
	*r = ring[T]{}
	return err
}

// at returns the entry for index i.
func (r *ring[T]) at(i uint32) *T { return &r.entries[i&r.mask] }

// room returns how many entries can be produced, want being enough.
func (r *ring[T]) room(want uint32) uint32 {
	size := r.mask + 1
	if free := size - (r.own - r.seen); free >= want {
		return free
	}
	r.seen = atomic.LoadUint32(r.consumer)
	return size - (r.own - r.seen)
}

// ready returns how many entries can be consumed, want being enough.
func (r *ring[T]) ready(want uint32) uint32 {
	if n := r.seen - r.own; n >= want {
		return n
	}
	r.seen = atomic.LoadUint32(r.producer)
	return r.seen - r.own
}

func (r *ring[T]) publish() { atomic.StoreUint32(r.producer, r.own) }
func (r *ring[T]) release() { atomic.StoreUint32(r.consumer, r.own) }

// pending returns how many produced entries the kernel has not consumed.
func (r *ring[T]) pending() uint32 { return r.own - atomic.LoadUint32(r.consumer) }

// sleeps reports whether the kernel wants a system call to look at the ring.
func (r *ring[T]) sleeps() bool {
	return atomic.LoadUint32(r.flags)&unix.XDP_RING_NEED_WAKEUP != 0
}
