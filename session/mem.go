package session

import (
	"crypto/rand"
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapAnon maps memory that the kernel hands out, zeroed, as it is first used.
func mapAnon(size int) ([]byte, error) {
	m, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err == nil {
		adviseHuge(m)
	}
	return m, err
}

// adviseHuge asks for huge pages, which save misses of the TLB. A kernel that
// has none gives small ones, which are as right, so its answer is not looked at.
// For a file in /run it gives none unless its administrator says so: by
// /sys/kernel/mm/transparent_hugepage/shmem_enabled, advise.
func adviseHuge(m []byte) { _ = unix.Madvise(m, unix.MADV_HUGEPAGE) }

func unmap(m []byte) error {
	if m == nil {
		return nil
	}
	return unix.Munmap(m)
}

// view returns n values of a type without pointers that begin off bytes into
// m. m has room for them; off is a multiple of 64.
func view[T any](m []byte, off, n int) []T {
	last := m[off : off+n*int(unsafe.Sizeof(*new(T)))] // checks the length
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(last))), n)
}

// A layout says where in the derived memory each part begins, in bytes.
type layout struct {
	slots, due, groups, routed, soft, tops, owners int
	size                                           int
	numGroups                                      int
}

func derivedLayout(capacity int) layout {
	l := layout{numGroups: capacity/groupLen + 1}
	at := 0
	part := func(bytes int) int {
		begin := at
		at += (bytes + 63) &^ 63
		return begin
	}
	l.slots = part(8 * indexSlots(capacity))
	l.due = part(4 * (capacity + 1))
	l.groups = part(4 * l.numGroups)
	l.routed = part(4 * (capacity/routeGroup + 1))
	l.soft = part(8 * l.numGroups)
	l.tops = part(8 * (l.numGroups + 63) / 64 * 8)
	l.owners = part(int(unsafe.Sizeof(owner{})) << 16)
	l.size = at
	return l
}

func newSeed() (s seed, err error) {
	var b [8 * len(s)]byte
	if _, err = rand.Read(b[:]); err != nil {
		return s, err
	}
	for i := range s {
		s[i] = binary.NativeEndian.Uint64(b[8*i:])
	}
	s[3] |= 1 // a factor of 0 would give the same hash to all
	return s, nil
}

// Now returns the seconds since boot, suspension included: the clock of all
// times in a table. Unlike the time of day it is never set, and unlike a
// process' own it goes on after a restart.
func Now() uint32 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0 // not on a kernel since 2.6.39
	}
	return uint32(ts.Sec)
}
