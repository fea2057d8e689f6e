package nat

import (
	"fmt"

	"github.com/skein-dataplane/skein/hdr"
)

// Mappings are endpoint-independent mappings (RFC 4787, REQ-1): one external
// port for each address and port inside, whatever it talks to, which no other
// has (REQ-3). They belong to one worker and do not grow. A mapping lasts as
// long as a session uses it, so its timeout is theirs.
//
// What may come in by a mapping is not changed by it: sessions filter by
// address and port (REQ-8).
type Mappings struct {
	entries  []mapping // entry 0 is nobody
	inside   []uint32  // heads of chains, by what is inside
	outside  []uint32  // likewise, by what is outside
	free     uint32    // chain of free entries, by nextInside
	fresh    uint32    // entries from here on have never been used
	used     int
	seed     [2]uint64
	notGiven uint64
}

type mapping struct {
	in, out     hdr.Addr6
	port, ext   uint16
	proto       uint8
	refs        uint32
	nextInside  uint32
	nextOutside uint32
}

// NewMappings returns room for a number of mappings.
func NewMappings(capacity int) (*Mappings, error) {
	if capacity < 1 || capacity >= 1<<31 {
		return nil, fmt.Errorf("nat: mappings: a capacity of %d is not possible", capacity)
	}
	heads := 1
	for heads < capacity {
		heads *= 2
	}
	m := &Mappings{entries: make([]mapping, capacity+1), inside: make([]uint32, heads), outside: make([]uint32, heads), fresh: 1}
	var err error
	m.seed, err = newSeed()
	return m, err
}

func (m *Mappings) head(chains []uint32, a, via hdr.Addr6, port uint16, proto uint8) *uint32 {
	h := mum(mum(a.Hi^m.seed[0], a.Lo^m.seed[1])^mum(via.Hi^k0, via.Lo^k1), uint64(port)<<8^uint64(proto)^k2)
	return &chains[h&uint64(len(chains)-1)]
}

func (m *Mappings) insideHead(f *PortFlow) *uint32 {
	return m.head(m.inside, f.Inside, f.External, f.Port, f.Proto)
}

func (m *Mappings) outsideHead(out hdr.Addr6, port uint16, proto uint8) *uint32 {
	return m.head(m.outside, out, hdr.Addr6{}, port, proto)
}

func (m *Mappings) find(f *PortFlow) *mapping {
	for i := *m.insideHead(f); i != 0; i = m.entries[i].nextInside {
		e := &m.entries[i]
		if e.in == f.Inside && e.port == f.Port && e.proto == f.Proto && e.out == f.External {
			return e
		}
	}
	return nil
}

func (m *Mappings) taken(out hdr.Addr6, port uint16, proto uint8) bool {
	for i := *m.outsideHead(out, port, proto); i != 0; i = m.entries[i].nextOutside {
		if e := &m.entries[i]; e.out == out && e.ext == port && e.proto == proto {
			return true
		}
	}
	return false
}

// Acquire returns the port for a new session of a flow, of the mapping that its
// inside end has or of a new one. It reports false if there is no port, or no
// room for another mapping. Each session that is removed calls Release.
func (m *Mappings) Acquire(f *PortFlow, ports *Ports) (uint16, bool) {
	if e := m.find(f); e != nil {
		e.refs++
		return e.ext, true
	}
	if m.full() {
		m.notGiven++
		ports.none(f)
		return 0, false
	}
	for w := ports.Walk(f); ; {
		port, ok := w.Next()
		if !ok {
			return 0, false
		}
		if !m.taken(f.External, port, f.Proto) {
			m.add(f, port)
			return port, true
		}
	}
}

// Hold is Acquire for a session that has its port already, as after a restart.
// It reports false if the inside end has another one, another end has this one,
// or there is no room; then the session goes on without a mapping.
func (m *Mappings) Hold(f *PortFlow, port uint16) bool {
	if e := m.find(f); e != nil {
		if e.ext != port {
			return false
		}
		e.refs++
		return true
	}
	if m.full() || m.taken(f.External, port, f.Proto) {
		return false
	}
	m.add(f, port)
	return true
}

func (m *Mappings) full() bool { return m.free == 0 && int(m.fresh) == len(m.entries) }

func (m *Mappings) add(f *PortFlow, port uint16) {
	i := m.free
	if i != 0 {
		m.free = m.entries[i].nextInside
	} else {
		i = m.fresh
		m.fresh++
	}
	in, out := m.insideHead(f), m.outsideHead(f.External, port, f.Proto)
	m.entries[i] = mapping{in: f.Inside, out: f.External, port: f.Port, ext: port, proto: f.Proto, refs: 1, nextInside: *in, nextOutside: *out}
	*in, *out = i, i
	m.used++
}

// Release says that a session that Acquire or Hold has given a port is gone.
func (m *Mappings) Release(f *PortFlow) {
	e := m.find(f)
	if e == nil {
		return
	}
	if e.refs--; e.refs > 0 {
		return
	}
	at := m.insideHead(f)
	for &m.entries[*at] != e {
		at = &m.entries[*at].nextInside
	}
	i := *at
	*at = e.nextInside
	for at = m.outsideHead(e.out, e.ext, e.proto); *at != i; {
		at = &m.entries[*at].nextOutside
	}
	*at = e.nextOutside
	*e = mapping{nextInside: m.free}
	m.free = i
	m.used--
}

// Clear forgets all mappings.
func (m *Mappings) Clear() {
	clear(m.entries)
	clear(m.inside)
	clear(m.outside)
	m.free, m.fresh, m.used = 0, 1, 0
}

// Len returns how many mappings there are.
func (m *Mappings) Len() int { return m.used }

// NotGiven returns how often there was no room for another mapping.
func (m *Mappings) NotGiven() uint64 { return m.notGiven }
