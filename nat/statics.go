package nat

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/skein-dataplane/skein/hdr"
)

// A Static maps an address, or one port of it, for good: what comes for
// External goes to Inside, and what Inside sends leaves as External.
type Static struct {
	External, Inside         hdr.Addr6 // IPv4 is mapped: see Addr4
	ExternalPort, InsidePort uint16    // 0, both: all ports, which stay what they are
	Proto                    uint8     // 0: all; not with ports
}

// Statics are all of them. They never change; the zero Statics are none.
type Statics struct{ in, out []staticEnd }

type staticEnd struct {
	from, to         hdr.Addr6
	fromPort, toPort uint16
	proto            uint8
}

func (e *staticEnd) compare(a hdr.Addr6, proto uint8, port uint16) int {
	if c := e.from.Compare(a); c != 0 {
		return c
	}
	return cmp.Compare(uint32(e.proto)<<16|uint32(e.fromPort), uint32(proto)<<16|uint32(port))
}

// NewStatics returns a table of mappings. No two may map the same thing, in
// either direction; but a port of an address that is mapped as a whole may be.
func NewStatics(all []Static) (*Statics, error) {
	s := new(Statics)
	for _, m := range all {
		switch {
		case (m.ExternalPort == 0) != (m.InsidePort == 0):
			return nil, fmt.Errorf("nat: static mapping of %v: port 0", m.External.Addr().Unmap())
		case m.ExternalPort != 0 && (!hasPorts(m.Proto) || m.Proto == hdr.ProtoICMP || m.Proto == hdr.ProtoICMPv6):
			return nil, fmt.Errorf("nat: static mapping of %v: a port of protocol %d", m.External.Addr().Unmap(), m.Proto)
		case (m.External.IsMapped4()) != (m.Inside.IsMapped4()):
			return nil, fmt.Errorf("nat: static mapping of %v to %v: of different families", m.External.Addr().Unmap(), m.Inside.Addr().Unmap())
		}
		s.in = append(s.in, staticEnd{m.External, m.Inside, m.ExternalPort, m.InsidePort, m.Proto})
		s.out = append(s.out, staticEnd{m.Inside, m.External, m.InsidePort, m.ExternalPort, m.Proto})
	}
	for _, list := range [][]staticEnd{s.in, s.out} {
		slices.SortFunc(list, func(a, b staticEnd) int { return a.compare(b.from, b.proto, b.fromPort) })
		for i := 1; i < len(list); i++ {
			if a, b := &list[i-1], &list[i]; a.compare(b.from, b.proto, b.fromPort) == 0 {
				return nil, fmt.Errorf("nat: static mapping: %v port %d protocol %d is mapped twice", b.from.Addr().Unmap(), b.fromPort, b.proto)
			}
		}
	}
	return s, nil
}

// None reports whether nothing is mapped.
func (s *Statics) None() bool { return len(s.in) == 0 }

// In returns where what comes for an address and port goes.
func (s *Statics) In(a hdr.Addr6, proto uint8, port uint16) (hdr.Addr6, uint16, bool) {
	return findStatic(s.in, a, proto, port)
}

// Out returns what an inside end leaves as.
func (s *Statics) Out(a hdr.Addr6, proto uint8, port uint16) (hdr.Addr6, uint16, bool) {
	return findStatic(s.out, a, proto, port)
}

// findStatic looks for the port, then for the protocol, then for the address.
func findStatic(list []staticEnd, a hdr.Addr6, proto uint8, port uint16) (hdr.Addr6, uint16, bool) {
	if len(list) == 0 {
		return a, port, false
	}
	if e := findEnd(list, a, proto, port); e != nil && e.toPort != 0 {
		return e.to, e.toPort, true
	}
	e := findEnd(list, a, proto, 0)
	if e == nil {
		e = findEnd(list, a, 0, 0)
	}
	if e == nil {
		return a, port, false
	}
	return e.to, port, true
}

func findEnd(list []staticEnd, a hdr.Addr6, proto uint8, port uint16) *staticEnd {
	low, high := 0, len(list)
	for low < high {
		mid := (low + high) / 2
		switch c := list[mid].compare(a, proto, port); {
		case c == 0:
			return &list[mid]
		case c < 0:
			low = mid + 1
		default:
			high = mid
		}
	}
	return nil
}
