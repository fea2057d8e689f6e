package nat

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"

	"github.com/skein-dataplane/skein/hdr"
)

// A Backend is an end that answers for a service.
type Backend struct {
	Addr   hdr.Addr6 // IPv4 is mapped: see Addr4
	Port   uint16
	Weight uint16 // share of new flows relative to others; 0 counts as 1
	Local  bool   // on this node
	// Node is an address of the node that it is on, of its own family, where
	// the service asks for direct server return and that is known; else ::.
	Node hdr.Addr6
	// Hits counts the flows that were given to it. A single worker writes it, and
	// others read it in between (graph.Worker.Do); several add to it atomically.
	// Never nil in a Service.
	Hits *uint64
}

func (b *Backend) weight() uint32 { return max(1, uint32(b.Weight)) }

// A Range is addresses from First to Last.
type Range struct{ First, Last hdr.Addr6 }

// A Spec says what a Service is to be.
type Spec struct {
	ID   uint32 // stays with the service while others come and go; for Affinity
	Name string // in words
	// All are the backends that new flows may go to, Local those that they may
	// go to where a traffic policy is Local. Neither needs to hold the other: of
	// each kind those that are shutting down stand in when there are no others.
	All, Local []Backend
	// ExternalLocal and InternalLocal are externalTrafficPolicy and
	// internalTrafficPolicy: Local.
	ExternalLocal, InternalLocal bool
	Affinity                     uint32 // seconds that a client stays with its backend; 0: no time
	Maglev                       bool   // choose by Maglev's table, and not by the flow's hash alone
	// DSR: backends elsewhere answer clients from outside themselves, if Backend.Node
	// is known.
	DSR bool
	// MasqueradeExternal: from outside to backends elsewhere by an ExternalIP or
	// LoadBalancer address with the node's address as source, as with NodePort.
	MasqueradeExternal bool
	// Sources may reach the service by its LoadBalancer addresses; nil: all may.
	Sources []Range
}

// A Service is what packets to an address and port get to. It never changes,
// but for the Hits of its backends.
type Service struct {
	Spec
	all, local picker
}

// NewService returns a Service. It takes the slices of the Spec over.
func NewService(s Spec) (*Service, error) {
	if n := max(len(s.All), len(s.Local)); n > MaxBackends {
		return nil, fmt.Errorf("nat: service %s: %d backends, at most %d are possible", s.Name, n, MaxBackends)
	}
	slices.SortFunc(s.Sources, func(a, b Range) int { return a.First.Compare(b.First) })
	s.Sources = merge(s.Sources)
	for _, list := range [][]Backend{s.All, s.Local} {
		slices.SortFunc(list, order)
		for i := range list {
			if list[i].Hits == nil {
				list[i].Hits = new(uint64)
			}
		}
	}
	return &Service{Spec: s, all: newPicker(s.All, s.Maglev), local: newPicker(s.Local, s.Maglev)}, nil
}

// merge joins sorted ranges that overlap.
func merge(sorted []Range) []Range {
	if sorted == nil {
		return nil // all may, which no range at all does not say
	}
	out := make([]Range, 0, len(sorted))
	for _, r := range sorted {
		if n := len(out); n > 0 && r.First.Compare(out[n-1].Last) <= 0 {
			if r.Last.Compare(out[n-1].Last) > 0 {
				out[n-1].Last = r.Last
			}
			continue
		}
		out = append(out, r)
	}
	return out
}

// A picker chooses among backends.
type picker struct {
	backends []Backend
	table    []uint16 // of Maglev, nil without
	sums     []uint32 // of weights up to and including each backend; nil if all are equal
}

func newPicker(backends []Backend, byMaglev bool) picker {
	p := picker{backends: backends}
	if len(backends) < 2 {
		return p
	}
	if byMaglev {
		p.table = maglev(backends)
		return p
	}
	if slices.ContainsFunc(backends, func(b Backend) bool { return b.weight() != backends[0].weight() }) {
		sum := uint32(0)
		for i := range backends {
			sum += backends[i].weight()
			p.sums = append(p.sums, sum)
		}
	}
	return p
}

// pick returns the index of the backend for a flow; there is at least one.
// A hash is scaled to a range by multiplication, which is no division.
func (p *picker) pick(hash uint64) int {
	switch {
	case p.table != nil:
		hi, _ := bits.Mul64(hash, uint64(len(p.table)))
		return int(p.table[hi])
	case p.sums != nil:
		hi, _ := bits.Mul64(hash, uint64(p.sums[len(p.sums)-1]))
		low, high := 0, len(p.sums)-1
		for low < high {
			if mid := (low + high) / 2; uint64(p.sums[mid]) > hi {
				high = mid
			} else {
				low = mid + 1
			}
		}
		return low
	}
	hi, _ := bits.Mul64(hash, uint64(len(p.backends)))
	return int(hi)
}

// find returns the index of a backend, looking at hint first; -1 if it is none
// of them. They are sorted.
func (p *picker) find(addr hdr.Addr6, port uint16, hint uint32) int {
	if int(hint) < len(p.backends) && p.backends[hint].Addr == addr && p.backends[hint].Port == port {
		return int(hint)
	}
	low, high := 0, len(p.backends)
	for low < high {
		mid := (low + high) / 2
		b := &p.backends[mid]
		switch c := b.Addr.Compare(addr); {
		case c == 0 && b.Port == port:
			return mid
		case c < 0 || c == 0 && b.Port < port:
			low = mid + 1
		default:
			high = mid
		}
	}
	return -1
}

// allows reports whether a client may use LoadBalancer addresses.
func (s *Service) allows(client hdr.Addr6) bool {
	if s.Sources == nil {
		return true
	}
	low, high := 0, len(s.Sources)
	for low < high {
		if mid := (low + high) / 2; s.Sources[mid].Last.Compare(client) < 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low < len(s.Sources) && s.Sources[low].First.Compare(client) <= 0
}

// Backends returns those of both lists, each once, sorted.
func (s *Service) Backends() []Backend {
	out := slices.Clone(s.all.backends)
	for _, b := range s.local.backends {
		if s.all.find(b.Addr, b.Port, 0) < 0 {
			out = append(out, b)
		}
	}
	slices.SortFunc(out, order)
	return out
}

func order(a, b Backend) int {
	return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Port, b.Port))
}
