package mem

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
)

// small is what a small buffer takes, in bytes.
const small = buf.SmallStride - buf.Headroom

// A Source hands packets out in order, and starts over a number of times.
type Source struct {
	packets []Packet
	next    int
	loops   int
	mixed   bool // some packets need large buffers
	offload bool // some packets have offload
}

// NewSource makes a source that is run through loops times more than once, or
// Forever.
func NewSource(packets []Packet, loops int) *Source {
	s := &Source{packets: packets, loops: loops}
	for _, p := range packets {
		s.mixed = s.mixed || len(p.Data) > small
		s.offload = s.offload || p.Offload != (Offload{})
	}
	return s
}

// Stop makes the source empty.
func (s *Source) Stop() { s.packets, s.next, s.loops = nil, 0, 0 }

// Rx is drivers.Queue's Rx.
func (s *Source) Rx(p *buf.Pool, into []*buf.Buffer, stats *drivers.Stats) (n int) {
	for n < len(into) && s.rewind() {
		want := into[n : n+min(len(into)-n, len(s.packets)-s.next)]
		if s.mixed {
			want = want[:1]
		}
		got := s.get(p, want)
		for i, b := range want[:got] {
			b.Set(s.packets[s.next+i].Data)
		}
		if s.offload {
			for i, b := range want[:got] {
				s.packets[s.next+i].Offload.set(b)
			}
		}
		s.next += got
		n += got
		if got < len(want) {
			stats.RxNoBufs++
			break
		}
	}
	return n
}

func (s *Source) get(p *buf.Pool, want []*buf.Buffer) int {
	if s.mixed && len(s.packets[s.next].Data) > small {
		return p.GetLarge(want)
	}
	return p.Get(want)
}

// rewind reports whether there is a next packet, after starting over if need be.
func (s *Source) rewind() bool {
	if s.next < len(s.packets) {
		return true
	}
	if s.loops == 0 || len(s.packets) == 0 {
		return false
	}
	if s.loops > 0 {
		s.loops--
	}
	s.next = 0
	return true
}

func (o *Offload) set(b *buf.Buffer) {
	if *o == (Offload{}) {
		return
	}
	b.Flags |= o.Flags
	b.CsumStart, b.CsumOffset = o.CsumStart+buf.Headroom, o.CsumOffset
	b.GSOType, b.GSOSize, b.HdrEnd = o.GSOType, o.GSOSize, o.HdrEnd+buf.Headroom
}
