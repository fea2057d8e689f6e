package afpacket

import (
	"unsafe"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers/internal/packetsock"
	"github.com/skein-dataplane/skein/drivers/vnet"
	"golang.org/x/sys/unix"
)

// batch is the number of packets per system call; each queue keeps that many
// large buffers.
const batch = packetsock.Batch

// firstPart is what of a packet goes into a small buffer, in bytes.
const firstPart = buf.SmallStride - buf.Headroom

// auxdata is the control message that PACKET_AUXDATA brings.
type auxdata struct {
	unix.Cmsghdr
	unix.TpacketAuxdata
	_ [4]byte // CMSG_ALIGN
}

// A receiver takes packets from the socket. Each slot receives into its header,
// a small buffer and, what does not fit there, a large one. So a small packet
// is where it belongs without a copy, and a superpacket is made contiguous by
// copying its first 1,856 bytes. Receiving all into large buffers and copying
// the small packets costs the same at 64 bytes (546 against 556 ns) and more at
// 1,514 (632 against 585 ns: BenchmarkRxStrategy, vectors of 256, veth).
//
// Buffers that a call has not used stay in their slots for the next one.
type receiver struct {
	small, large [batch]*buf.Buffer // slots [:ready] have both
	ready        int
	msgs         [batch]packetsock.Mmsghdr
	iovs         [batch][3]unix.Iovec
	hdrs         [batch]vnet.Header
	aux          [batch]auxdata
	spare        [batch]*buf.Buffer // scratch of fill
}

func (r *receiver) init() {
	for i := range r.msgs {
		iov := &r.iovs[i]
		iov[0].Base = &r.hdrs[i][0]
		iov[0].SetLen(vnet.HeaderLen)
		iov[1].SetLen(firstPart)
		iov[2].SetLen(buf.LargeStride - buf.Headroom - firstPart)
		m := &r.msgs[i]
		m.Iov = &iov[0]
		m.SetIovlen(len(iov))
		m.Control = (*byte)(unsafe.Pointer(&r.aux[i]))
	}
}

// Rx implements drivers.Queue.
func (q *queue) Rx(p *buf.Pool, into []*buf.Buffer) (n int) {
	r := &q.rx
	for n < len(into) {
		r.fill(p)
		want := min(len(into)-n, r.ready)
		if want == 0 {
			q.stats.RxNoBufs++
			return n
		}
		got := q.recvmmsg(want)
		for i := range got {
			if b := q.take(i); b != nil {
				into[n] = b
				n++
			}
		}
		if got < want {
			return n
		}
	}
	return n
}

// recvmmsg returns the number of slots filled. An error other than EAGAIN is
// one packet's (EINVAL for one that no virtio-net header can describe) or the
// link's (ENETDOWN, once each time it goes down); both are over when reported.
func (q *queue) recvmmsg(want int) int {
	r := &q.rx
	for i := range want {
		r.msgs[i].SetControllen(int(unsafe.Sizeof(auxdata{})))
		r.aux[i].Type = 0
	}
	q.stats.Syscalls++
	got, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(q.fd),
		uintptr(unsafe.Pointer(&r.msgs[0])), uintptr(want), unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0:
		return int(got)
	case unix.EAGAIN, unix.EINTR, unix.ENETDOWN:
	default:
		q.stats.RxErrors++
	}
	return 0
}

// take moves the packet in slot i into one buffer and out of the slot. It
// returns nil, and leaves the slot as it is, if the packet is not usable.
func (q *queue) take(i int) *buf.Buffer {
	r := &q.rx
	n := int(r.msgs[i].N) - vnet.HeaderLen
	if n < 0 || r.msgs[i].Flags&unix.MSG_TRUNC != 0 {
		q.stats.RxErrors++
		return nil
	}
	from := &r.small[i]
	if n > firstPart {
		from = &r.large[i]
		copy((*from).Room(), r.small[i].Room())
	}
	b := *from
	b.SetLen(n)
	if !vnet.Decode(&r.hdrs[i], b) {
		q.stats.RxErrors++
		return nil
	}
	r.aux[i].retag(b)
	*from = nil
	r.ready = min(r.ready, i)
	return b
}

// retag puts the VLAN tag, which the kernel has taken out of the frame, back
// after the addresses (IEEE 802.1Q, section 9.6). The addresses move and the
// rest stays, so offsets into the frame remain right.
func (a *auxdata) retag(b *buf.Buffer) {
	if a.Level != unix.SOL_PACKET || a.Type != unix.PACKET_AUXDATA ||
		a.Status&unix.TP_STATUS_VLAN_VALID == 0 || b.Len() < 12 {
		return
	}
	tpid := uint16(unix.ETH_P_8021Q)
	if a.Status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
		tpid = a.Vlan_tpid
	}
	b.Prepend(4)
	p := b.Bytes()[:16]
	copy(p[:12], p[4:])
	p[12], p[13] = byte(tpid>>8), byte(tpid)
	p[14], p[15] = byte(a.Vlan_tci>>8), byte(a.Vlan_tci)
}

// fill puts buffers into the slots that lack one. Where the pool has too few,
// slots at the back give theirs to slots at the front.
func (r *receiver) fill(p *buf.Pool) {
	if r.ready == batch {
		return
	}
	r.ready = min(r.fillSmall(p), r.fillLarge(p))
}

func (r *receiver) fillSmall(p *buf.Pool) int {
	n := fillFrom(&r.small, r.spare[:p.Get(r.spare[:missing(&r.small)])])
	for i := range n {
		r.iovs[i][1].Base = unsafe.SliceData(r.small[i].Room())
	}
	return n
}

func (r *receiver) fillLarge(p *buf.Pool) int {
	n := fillFrom(&r.large, r.spare[:p.GetLarge(r.spare[:missing(&r.large)])])
	for i := range n {
		r.iovs[i][2].Base = &r.large[i].Room()[firstPart]
	}
	return n
}

func missing(slots *[batch]*buf.Buffer) (n int) {
	for _, b := range slots {
		if b == nil {
			n++
		}
	}
	return n
}

// fillFrom distributes fresh, and then the last slots' buffers, over the empty
// slots, and returns how many slots at the front are full.
func fillFrom(slots *[batch]*buf.Buffer, fresh []*buf.Buffer) int {
	last := batch
	for i := range slots {
		if slots[i] != nil {
			continue
		}
		if len(fresh) > 0 {
			slots[i], fresh = fresh[0], fresh[1:]
			continue
		}
		for last--; last > i && slots[last] == nil; {
			last--
		}
		if last <= i {
			return i
		}
		slots[i], slots[last] = slots[last], nil
	}
	return batch
}

// release gives all buffers back.
func (r *receiver) release(p *buf.Pool) {
	for _, slots := range []*[batch]*buf.Buffer{&r.small, &r.large} {
		for i, b := range slots {
			if b != nil {
				p.Put(slots[i : i+1])
				slots[i] = nil
			}
		}
	}
	r.ready = 0
}
