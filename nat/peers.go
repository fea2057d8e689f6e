package nat

import (
	"slices"

	"github.com/skein-dataplane/skein/hdr"
)

// Peers are the addresses of the other nodes, to which direct server return
// sends packets in tunnels, and from which it takes them. They never change; nil
// Peers are none.
type Peers struct {
	slots []hdr.Addr6 // a hash table that is at most half full; :: is a free place
	all   []hdr.Addr6 // sorted
}

// NewPeers returns the given addresses; IPv4 is mapped.
func NewPeers(addrs []hdr.Addr6) *Peers {
	all := slices.Clone(addrs)
	slices.SortFunc(all, hdr.Addr6.Compare)
	all = slices.DeleteFunc(slices.Compact(all), hdr.Addr6.IsUnspecified)
	size := 2
	for size < 2*len(all) {
		size *= 2
	}
	p := &Peers{slots: make([]hdr.Addr6, size), all: all}
	for _, a := range all {
		at := p.home(a)
		for p.slots[at] != (hdr.Addr6{}) {
			at = (at + 1) & (len(p.slots) - 1)
		}
		p.slots[at] = a
	}
	return p
}

func (p *Peers) home(a hdr.Addr6) int {
	return int(mum(a.Hi^k0, a.Lo^k1)) & (len(p.slots) - 1)
}

// Has reports whether an address is one of them.
func (p *Peers) Has(a hdr.Addr6) bool {
	if p == nil || a.IsUnspecified() {
		return false
	}
	for at := p.home(a); ; at = (at + 1) & (len(p.slots) - 1) {
		switch p.slots[at] {
		case a:
			return true
		case hdr.Addr6{}:
			return false
		}
	}
}

// All returns all of them, sorted. It is not to be written to.
func (p *Peers) All() []hdr.Addr6 {
	if p == nil {
		return nil
	}
	return p.all
}
