package afxdp

import (
	"os"

	"github.com/skein-dataplane/skein/buf"
)

// aside holds the buffers that a zero-copy socket must never be given: those
// whose frame lies on two pages. The NIC sees each page at an address of its
// own, so the kernel throws away a chunk that crosses from one to the next,
// and does not give it back (Linux, xp_check_unaligned in
// net/xdp/xsk_buff_pool.c). At 2,112 bytes per frame that is every second one,
// so zero-copy leaves half of a pool for use. They return when the queue is
// closed.
//
// The zero aside is that of copy mode, where any frame will do.
type aside struct {
	page uint64 // bytes; 0: nothing is set aside
	held []*buf.Buffer
}

func (a *aside) init(buffers int) {
	a.page = uint64(os.Getpagesize())
	a.held = make([]*buf.Buffer, 0, buffers)
}

// crosses reports whether the n > 0 bytes from addr of the UMEM on lie on two
// pages.
func (a *aside) crosses(addr uint64, n int) bool {
	return a.page != 0 && addr/a.page != (addr+uint64(n)-1)/a.page
}

// take sets b, whose frame is at addr, aside if need be, and reports whether
// it has.
func (a *aside) take(b *buf.Buffer, addr uint64) bool {
	if !a.crosses(addr, buf.SmallStride) {
		return false
	}
	a.held = append(a.held, b)
	return true
}

func (a *aside) release(p *buf.Pool) {
	p.Put(a.held)
	a.held = a.held[:0]
}
