package nat

import (
	"fmt"

	"github.com/skein-dataplane/skein/hdr"
)

// A PortRange is ports from First to Last.
type PortRange struct{ First, Last uint16 }

// MaxPortRanges is how many ranges Ports can have.
const MaxPortRanges = 4

// DefaultPorts are those that neither the node's own connections take, by
// Linux' default ip_local_port_range of 32768 to 60999, nor Kubernetes'
// NodePorts, 30000 to 32767: the address is the node's as well.
var DefaultPorts = [...]PortRange{{1024, 29999}, {61000, 65535}}

const (
	// portCounters is how many destinations are told apart. RFC 6056, section
	// 3.3.4, suggests 10 or more.
	portCounters = 1024
	// maxPortTries bounds what one packet may cost. As ports for a destination
	// are given out one after the other, the next ones are those that were given
	// out longest ago.
	maxPortTries = 128
	// maxSkipped bounds how many ports are passed over that are another worker's:
	// of 64 workers, 63 in 64 are.
	maxSkipped = 64 * maxPortTries
)

// Ports proposes ports for source NAT. It belongs to one worker, and does not
// know which ports are in use: a port may be used for as many destinations as
// there are, and whether a flow is unique its session table says (Conflict).
//
// First comes the port that the flow has already, so that what its sender has
// chosen at random stays so. Then come others by double-hash port selection
// (RFC 6056, section 3.3.4): for each destination from a random start on, one
// after the other.
type Ports struct {
	ranges   [MaxPortRanges]PortRange
	total    uint32
	seed     [2]uint64
	counters [portCounters]uint32
	stats    PortStats
}

// PortStats say how often there was no port.
type PortStats struct {
	Exhausted [NumPortProtos]uint64
	Last      PortFlow // the last flow that found none; zero if all did
}

// Add adds what another has counted.
func (s *PortStats) Add(o PortStats) {
	for i, n := range o.Exhausted {
		s.Exhausted[i] += n
	}
	if o.Last != (PortFlow{}) {
		s.Last = o.Last
	}
}

// Protocols as PortStats counts them.
const (
	PortsTCP = iota
	PortsUDP
	PortsICMP
	PortsOther
	NumPortProtos
)

// A PortFlow is a flow that needs a port.
type PortFlow struct {
	Inside, External, Remote hdr.Addr6 // source before and after, destination
	Port, RemotePort         uint16    // of Inside and Remote
	Proto                    uint8
}

// NewPorts returns Ports of the given ranges, which do not overlap.
func NewPorts(ranges ...PortRange) (*Ports, error) {
	if len(ranges) == 0 || len(ranges) > MaxPortRanges {
		return nil, fmt.Errorf("nat: ports: %d ranges: 1 to %d are possible", len(ranges), MaxPortRanges)
	}
	p := new(Ports)
	for i, r := range ranges {
		if r.First == 0 || r.Last < r.First {
			return nil, fmt.Errorf("nat: ports: %d-%d: not a range of ports", r.First, r.Last)
		}
		for _, s := range ranges[:i] {
			if r.First <= s.Last && s.First <= r.Last {
				return nil, fmt.Errorf("nat: ports: %d-%d and %d-%d: overlap", s.First, s.Last, r.First, r.Last)
			}
		}
		p.ranges[i] = r
		p.total += uint32(r.Last-r.First) + 1
	}
	var err error
	p.seed, err = newSeed()
	return p, err
}

// Holds reports whether a port is one of those that Ports gives out.
func (p *Ports) Holds(port uint16) bool {
	for _, r := range p.ranges {
		if port >= r.First && port <= r.Last && r.First != 0 {
			return true
		}
	}
	return false
}

// at returns port number i of all.
func (p *Ports) at(i uint32) uint16 {
	for _, r := range p.ranges {
		n := uint32(r.Last-r.First) + 1
		if i < n {
			return r.First + uint16(i)
		}
		i -= n
	}
	return p.ranges[0].First
}

// Stats returns what could not be given.
func (p *Ports) Stats() PortStats { return p.stats }

// A PortWalk is the ports that a flow may take, in the order to try them.
type PortWalk struct {
	ports          *Ports
	flow           *PortFlow
	start          uint32
	counter        *uint32
	class          PortRange // the only ports that may be taken, if Last is not 0
	tries          uint8
	skipped        uint16
	keep, portless bool
}

// Walk begins to look for a port. Protocols without ports have one try, with
// port 0: they can keep their flows apart by addresses only.
func (p *Ports) Walk(f *PortFlow) PortWalk {
	h := mum(mum(f.Remote.Hi^p.seed[0], f.Remote.Lo^p.seed[1])^mum(f.External.Hi^k0, f.External.Lo^k1), uint64(f.RemotePort)<<8^uint64(f.Proto)^k2)
	w := PortWalk{ports: p, flow: f, start: uint32(h>>32) % p.total, counter: &p.counters[h%portCounters]}
	w.portless = !hasPorts(f.Proto)
	w.keep = p.Holds(f.Port)
	return w
}

// WalkClass is Walk for a flow whose source address stays its sender's: some
// servers trust ports below 1024, so a port stays in its class, as Linux has them
// (nf_nat_core.c).
func (p *Ports) WalkClass(f *PortFlow) PortWalk {
	w := p.Walk(f)
	switch {
	case w.portless || f.Port >= 1024:
	case f.Port >= 512:
		w.class = PortRange{600, 1023}
	default:
		w.class = PortRange{1, 511}
	}
	return w
}

// PassOver says that the port that Next has returned can't be tried, as answers to it
// would reach another worker. It does not count as a try.
func (w *PortWalk) PassOver() {
	if w.tries > 0 && w.skipped < maxSkipped && hasPorts(w.flow.Proto) {
		w.tries--
		w.skipped++
	}
}

func hasPorts(proto uint8) bool {
	switch proto {
	case hdr.ProtoTCP, hdr.ProtoUDP, hdr.ProtoSCTP, hdr.ProtoICMP, hdr.ProtoICMPv6, protoUDPLite, protoDCCP:
		return true
	}
	return false
}

// Next returns the next port to try. When there is none any more it counts that
// and reports false.
func (w *PortWalk) Next() (uint16, bool) {
	switch {
	case w.portless:
		w.portless = false
		w.tries = maxPortTries
		w.keep = false
		return 0, true
	case w.keep:
		w.keep = false
		return w.flow.Port, true
	case w.tries < maxPortTries:
		w.tries++
		*w.counter++
		if n := uint32(w.class.Last-w.class.First) + 1; w.class.Last != 0 {
			return w.class.First + uint16((w.start+*w.counter)%n), true
		}
		return w.ports.at((w.start + *w.counter) % w.ports.total), true
	}
	w.ports.none(w.flow)
	return 0, false
}

// none takes note of a flow that has got no port.
func (p *Ports) none(f *PortFlow) {
	p.stats.Exhausted[portProto(f.Proto)]++
	p.stats.Last = *f
}

// HasPorts reports whether flows of the protocol have ports, or identifiers that
// stand for them.
func (f *PortFlow) HasPorts() bool { return hasPorts(f.Proto) }

func portProto(proto uint8) int {
	switch proto {
	case hdr.ProtoTCP:
		return PortsTCP
	case hdr.ProtoUDP:
		return PortsUDP
	case hdr.ProtoICMP, hdr.ProtoICMPv6:
		return PortsICMP
	}
	return PortsOther
}
