package nat

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/skein-dataplane/skein/hdr"
)

// A Why says whether a flow leaves with a source address of the node, and which
// rule says so.
type Why uint8

const (
	_          Why = iota
	Hairpin        // masquerade: its destination is who has sent it, by way of a service
	ByService      // masquerade: answers have to come back this way
	ByPool         // masquerade: it leaves a pool with natOutgoing
	ToHost         // keep: the host sees who it is
	NotFromPod     // keep: neither is it a pod's, nor does a service ask
	NoPool         // keep: its source is in no pool
	PoolOff        // keep: the pool has no natOutgoing
	Excluded       // keep: the destination knows the way back
	NumWhys
)

var whyNames = [NumWhys]string{0: "none", Hairpin: "back to its sender", ByService: "a service asks for it",
	ByPool: "the pool has natOutgoing", ToHost: "to the host", NotFromPod: "not from a pod",
	NoPool: "source in no pool", PoolOff: "the pool has no natOutgoing", Excluded: "destination excluded"}

func (y Why) String() string {
	if y >= NumWhys {
		return "unknown"
	}
	return whyNames[y]
}

// Masquerade reports whether the flow leaves with a source address of the node.
func (y Why) Masquerade() bool { return y == Hairpin || y == ByService || y == ByPool }

// A Pool is addresses that pods have (Calico's IPPool).
type Pool struct {
	Prefix      netip.Prefix
	NatOutgoing bool
}

// Outgoing decides about source NAT of what leaves. It never changes. The zero
// Outgoing has no pools.
type Outgoing struct {
	starts []hdr.Addr6 // where stretches of addresses begin; sorted
	marks  []mark      // what holds from there to the next
}

type mark uint8

const (
	inPool mark = 1 << iota
	natOutgoing
	excluded
)

// NewOutgoing returns the decisions for the given pools. Where pools contain
// one another the smaller one counts. Excluded are the destinations that see
// pods' own addresses: those given, and all pools.
func NewOutgoing(pools []Pool, exclude []netip.Prefix) (*Outgoing, error) {
	// IPv4 lies within ::/0, but nothing that is said of that is about it.
	all := []marked{{prefix: netip.PrefixFrom(netip.IPv4Unspecified(), 0), wall: true}}
	for _, p := range pools {
		m := inPool | excluded
		if p.NatOutgoing {
			m |= natOutgoing
		}
		all = append(all, marked{prefix: p.Prefix, mark: m})
	}
	for _, p := range exclude {
		all = append(all, marked{prefix: p, mark: excluded})
	}
	for i := range all {
		if err := all[i].limits(); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(all, func(a, b marked) int {
		return cmp.Or(a.first.Compare(b.first), b.last.Compare(a.last))
	})
	o := new(Outgoing)
	o.flatten(all)
	return o, nil
}

type marked struct {
	prefix      netip.Prefix
	mark        mark
	wall        bool // what contains it says nothing of it
	first, last hdr.Addr6
}

func (m *marked) limits() error {
	p := m.prefix
	if !p.IsValid() || p.Addr().Is4In6() {
		return fmt.Errorf("nat: outgoing: %v: not a prefix", p)
	}
	r := RangeOf(p)
	m.first, m.last = r.First, r.Last
	return nil
}

// flatten makes stretches of prefixes, each of which comes after those that
// contain it. Open are those that contain where it has got to.
func (o *Outgoing) flatten(sorted []marked) {
	var open []marked
	end := func(until hdr.Addr6, all bool) {
		for n := len(open); n > 0 && (all || open[n-1].last.Compare(until) < 0); n = len(open) {
			last := open[n-1].last
			open = open[:n-1]
			if last.Lo++; last.Lo == 0 {
				last.Hi++
			}
			if last.IsUnspecified() {
				continue // behind the last address there is none
			}
			under := mark(0)
			if n > 1 {
				under = open[n-2].mark
			}
			o.begin(last, under)
		}
	}
	for _, m := range sorted {
		end(m.first, false)
		if n := len(open); n > 0 && !m.wall {
			if m.mark&inPool == 0 {
				m.mark |= open[n-1].mark
			}
			m.mark |= open[n-1].mark & excluded
		}
		o.begin(m.first, m.mark)
		open = append(open, m)
	}
	end(hdr.Addr6{}, true)
}

func (o *Outgoing) begin(at hdr.Addr6, m mark) {
	if n := len(o.starts); n > 0 && o.starts[n-1] == at {
		o.marks[n-1] = m
		return
	}
	o.starts, o.marks = append(o.starts, at), append(o.marks, m)
}

func (o *Outgoing) of(a hdr.Addr6) mark {
	low, high := 0, len(o.starts)
	for low < high {
		if mid := (low + high) / 2; o.starts[mid].Compare(a) <= 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low == 0 {
		return 0
	}
	return o.marks[low-1]
}

// A Leaving is a flow that has found its way.
type Leaving struct {
	Src, Dst hdr.Addr6 // Dst is that of the backend, if there is one; IPv4 is mapped
	FromPod  bool
	ToHost   bool // it leaves by the host's TAP
	Asked    bool // a service asks for the node's address: Front.Masquerades
}

// Decide says whether a flow leaves with a source address of the node. A flow
// whose source is the node's already is not to be asked about.
func (o *Outgoing) Decide(l *Leaving) Why {
	switch {
	case l.Asked && l.Src == l.Dst:
		return Hairpin
	case l.ToHost:
		return ToHost
	case l.Asked:
		return ByService
	case !l.FromPod:
		return NotFromPod
	}
	switch m := o.of(l.Src); {
	case m&inPool == 0:
		return NoPool
	case m&natOutgoing == 0:
		return PoolOff
	}
	if o.of(l.Dst)&excluded != 0 {
		return Excluded
	}
	return ByPool
}

// RangeOf returns the addresses of a prefix, which is valid.
func RangeOf(p netip.Prefix) Range {
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	r := Range{First: hdr.Addr6From(p.Masked().Addr())}
	if r.Last = r.First; bits < 64 {
		r.Last.Hi |= ^uint64(0) >> bits
		r.Last.Lo = ^uint64(0)
	} else {
		r.Last.Lo |= ^uint64(0) >> (bits - 64)
	}
	return r
}
