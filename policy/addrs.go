package policy

import "net/netip"

// An addrTable knows who has an address, for words.
type addrTable map[netip.Addr]map[*entity]bool

// move enters an entity's addresses in place of those it had.
func (t addrTable) move(e *entity, from, to []netip.Prefix) {
	for _, p := range from {
		if p.IsSingleIP() {
			drop(t, p.Addr(), e)
		}
	}
	for _, p := range to {
		if p.IsSingleIP() {
			put(t, p.Addr(), e)
		}
	}
}

// at returns the entity that has an address: a pod rather than a set that lists
// it, and the first by name; nil if there is none.
func (t addrTable) at(a netip.Addr) (best *entity) {
	for e := range t[a] {
		if best == nil || e.key.kind < best.key.kind || e.key.kind == best.key.kind && e.key.name < best.key.name {
			best = e
		}
	}
	return best
}
