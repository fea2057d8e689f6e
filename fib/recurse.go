package fib

import "net/netip"

// maxRecursion is the number of routes that a next hop may go through before
// it comes to a link.
const maxRecursion = 8

// trackVias counts the lists that recurse through an address.
func (r *RIB[A, T]) trackVias(paths []path[A], by int) {
	for _, p := range paths {
		if !p.recursive() {
			continue
		}
		r.resolveAll = r.resolveAll || by > 0
		host := netip.PrefixFrom(p.via.Addr(), r.family.bits)
		r.vias.Modify(host, func(n int, _ bool) (int, bool) { return n + by, n+by == 0 })
	}
}

// resolve works out what lists come to where that may have changed.
//
// Recursion is worked out in rounds. Before the first, recursive paths lead
// nowhere; in each, a recursive path leads to what the list of its covering
// route came to in the round before. So a route that needs itself, directly or
// in a circle, never comes to anything, in whatever order routes came, and
// what takes more than maxRecursion rounds does not either. Its packets are
// unreachable. The default route counts as a covering route, as in VPP.
func (r *RIB[A, T]) resolve(dirty []prefix[A]) {
	if !r.resolveAll && r.coversVia(dirty) {
		r.resolveAll = true
	}
	for _, i := range r.lists.stale {
		if l := &r.lists.all[i]; !l.hasRecursive() {
			r.install(i, r.family.mergeTargets(r.directTargets(nil, l)))
		}
	}
	r.lists.stale = r.lists.stale[:0]
	if r.resolveAll {
		r.resolveAll = false
		r.resolveRecursive()
	}
}

func (l *pathList[A]) hasRecursive() bool {
	return l.typ == TypeUnicast && len(l.paths) > 0 && l.paths[0].recursive() // NoIface sorts first
}

// coversVia reports whether a change of one of the prefixes may be one of what
// a recursive next hop comes to.
func (r *RIB[A, T]) coversVia(dirty []prefix[A]) bool {
	n := r.vias.Size()
	if n == 0 {
		return false
	}
	if len(dirty) > n {
		return true
	}
	for _, p := range dirty {
		for range r.vias.Subnets(p.netip()) {
			return true
		}
	}
	return false
}

func (r *RIB[A, T]) resolveRecursive() {
	covers := make(map[A]uint32, r.vias.Size())
	for p := range r.vias.All() {
		a := r.family.addrOf(p)
		_, covers[a] = r.bestFor(p)
	}
	var lists []uint32
	now := map[uint32][]target[A]{}
	for i := range r.lists.all {
		if r.lists.all[i].hasRecursive() {
			lists = append(lists, uint32(i))
			now[uint32(i)] = nil
		}
	}
	for range maxRecursion {
		next := make(map[uint32][]target[A], len(now))
		same := true
		for _, i := range lists {
			next[i] = r.recurse(&r.lists.all[i], covers, now)
			same = same && equalTargets(next[i], now[i])
		}
		if now = next; same {
			break
		}
	}
	for _, i := range lists {
		if len(now[i]) == 0 {
			now[i] = []target[A]{{adjKey[A]{kind: Unreachable}, 1}}
		}
		r.install(i, now[i])
	}
}

// recurse returns what a list comes to, given what recursive lists came to
// before.
func (r *RIB[A, T]) recurse(l *pathList[A], covers map[A]uint32, before map[uint32][]target[A]) []target[A] {
	out := r.directTargets(nil, l)
	for _, p := range l.paths {
		if !p.recursive() {
			break // they sort first
		}
		through := r.through(covers[p.via], p.via, before)
		total := 0.0
		for _, t := range through {
			total += t.share
		}
		for _, t := range through {
			out = append(out, target[A]{t.key, float64(p.weight) * t.share / total})
		}
	}
	return r.family.mergeTargets(out)
}

// through returns where packets for via go by the list of its covering route.
func (r *RIB[A, T]) through(cover uint32, via A, before map[uint32][]target[A]) []target[A] {
	l := &r.lists.all[cover]
	switch {
	case cover == 0 || l.typ == TypeLocal || l.typ == TypePunt:
		return nil // a gateway that is ourselves is none
	case l.hasRecursive():
		return onLink(before[cover], via)
	}
	return onLink(r.family.mergeTargets(r.directTargets(nil, l)), via)
}

// onLink puts the neighbor via in place of the link that it is on.
func onLink[A Address](targets []target[A], via A) []target[A] {
	out := make([]target[A], len(targets))
	for i, t := range targets {
		if t.key.kind == Glean {
			t.key = adjKey[A]{Forward, t.key.iface, via}
		}
		out[i] = t
	}
	return out
}

func equalTargets[A Address](a, b []target[A]) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
