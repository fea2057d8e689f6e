package fib

import (
	"fmt"
	"net/netip"

	"github.com/gaissmai/bart"
	"github.com/skein-dataplane/skein/hdr"
)

// An Iface is what the RIB needs to know of an interface.
type Iface struct {
	Index        uint32  // not NoIface
	MTU          uint32  // largest IP packet, in bytes; see SetIface
	MAC          hdr.MAC // source of the frames it sends
	PointToPoint bool    // no link addresses: whatever it sends, the other end gets
	Up           bool    // if not, no path leads over it
}

// SetIface adds an interface or changes it. Routes over an interface that is
// not there or down are kept, and are out of the table until it is up. It is
// cheapest to set an interface before its routes.
//
// The error is ErrInvalid: an MTU must be at least 68 bytes for IPv4 (RFC 791,
// section 3.2) and 1280 for IPv6 (RFC 8200, section 5).
func (r *RIB[A, T]) SetIface(ifc Iface) error {
	if ifc.Index == NoIface || ifc.MTU < r.family.minMTU {
		return fmt.Errorf("fib: interface %d with an MTU of %d: %w", ifc.Index, ifc.MTU, ErrInvalid)
	}
	r.changeIface(ifc.Index, ifc)
	return nil
}

// DelIface removes an interface and its neighbors; the error is ErrNotFound.
func (r *RIB[A, T]) DelIface(index uint32) error {
	if _, ok := r.ifaces[index]; !ok {
		return fmt.Errorf("fib: delete interface %d: %w", index, ErrNotFound)
	}
	for k := range r.neighbors.all {
		if k.iface == index {
			r.forget(k)
		}
	}
	r.changeIface(index, Iface{})
	return nil
}

// changeIface makes ifc the interface with that index; none, if it is zero.
func (r *RIB[A, T]) changeIface(index uint32, ifc Iface) {
	was := r.ifaces[index]
	if was == ifc {
		return
	}
	if r.ifaces[index] = ifc; ifc == (Iface{}) {
		delete(r.ifaces, index)
	}
	r.refreshIface(index)
	if was.Up != ifc.Up || was.PointToPoint != ifc.PointToPoint {
		r.reconsider(index)
	}
}

// reconsider works out again which path lists over an interface are alive, and
// has them and all that may depend on them resolved again.
func (r *RIB[A, T]) reconsider(iface uint32) {
	for k := range r.neighbors.all {
		if k.iface == iface {
			r.neighbors.pending = append(r.neighbors.pending, k)
		}
	}
	for i := range r.lists.all {
		l := &r.lists.all[i]
		if !l.over(iface) {
			continue
		}
		r.resolveAll = true
		r.lists.stale = append(r.lists.stale, uint32(i))
		if alive := r.alive(l); alive != l.alive {
			l.alive = alive
			r.toggled[uint32(i)] = struct{}{}
		}
	}
}

func (l *pathList[A]) over(iface uint32) bool {
	for _, p := range l.paths {
		if p.iface == iface {
			return true
		}
	}
	return false
}

type neighborKey[A Address] struct {
	iface uint32
	addr  A
}

type neighbor struct {
	mac   hdr.MAC
	route bool // it has a host route
}

// neighbors are the neighbors whose link addresses are known.
type neighbors[A Address] struct {
	all     map[neighborKey[A]]neighbor
	byAddr  bart.Table[[]uint32] // interfaces, by address
	pending []neighborKey[A]     // to be looked at, whether they are to have a host route
}

func (n *neighbors[A]) get(iface uint32, a A) (neighbor, bool) {
	x, ok := n.all[neighborKey[A]{iface, a}]
	return x, ok
}

// SetNeighbor says that the neighbor ip on the link of an interface has the
// link address mac. The error is ErrInvalid, or ErrNotFound if there is no
// such interface.
//
// A neighbor on a link whose prefix is routed onto that link gets a host route
// of SourceNeighbor, so that packets go to it at once (an adj-fib, as VPP has
// it). The route goes when the neighbor does, or when the prefix is routed
// another way.
func (r *RIB[A, T]) SetNeighbor(iface uint32, ip netip.Addr, mac hdr.MAC) error {
	a, err := r.family.addr(ip)
	if err != nil {
		return err
	}
	ifc, ok := r.ifaces[iface]
	switch {
	case !ok:
		return fmt.Errorf("fib: neighbor %v: interface %d: %w", ip, iface, ErrNotFound)
	case ifc.PointToPoint:
		return fmt.Errorf("fib: neighbor %v: interface %d has no link addresses: %w", ip, iface, ErrInvalid)
	case mac.IsGroup() || mac == hdr.MAC{}:
		return fmt.Errorf("fib: neighbor %v: not one station's link address: %w", ip, ErrInvalid)
	case NextHop{Iface: iface, Via: ip}.fault() != "":
		return fmt.Errorf("fib: neighbor %v: not a unicast address: %w", ip, ErrInvalid)
	}
	k := neighborKey[A]{iface, a}
	n, known := r.neighbors.all[k]
	n.mac = mac
	r.neighbors.all[k] = n
	if !known {
		r.neighbors.pending = append(r.neighbors.pending, k)
		r.neighbors.byAddr.Modify(r.host(k), func(i []uint32, _ bool) ([]uint32, bool) { return append(i, iface), false })
	}
	r.refresh(adjKey[A]{Forward, iface, a})
	return nil
}

// DelNeighbor forgets a neighbor's link address; the error is ErrNotFound.
func (r *RIB[A, T]) DelNeighbor(iface uint32, ip netip.Addr) error {
	a, err := r.family.addr(ip)
	if err != nil {
		return err
	}
	k := neighborKey[A]{iface, a}
	if _, ok := r.neighbors.all[k]; !ok {
		return fmt.Errorf("fib: delete neighbor %v on interface %d: %w", ip, iface, ErrNotFound)
	}
	r.forget(k)
	return nil
}

func (r *RIB[A, T]) forget(k neighborKey[A]) {
	r.setHostRoute(k, false)
	delete(r.neighbors.all, k)
	r.neighbors.byAddr.Modify(r.host(k), func(ifaces []uint32, _ bool) ([]uint32, bool) {
		var rest []uint32
		for _, i := range ifaces {
			if i != k.iface {
				rest = append(rest, i)
			}
		}
		return rest, len(rest) == 0
	})
	r.refresh(adjKey[A]{Forward, k.iface, k.addr})
}

// setHostRoute adds or deletes the host route to a neighbor.
func (r *RIB[A, T]) setHostRoute(k neighborKey[A], want bool) {
	n := r.neighbors.all[k]
	if n.route == want {
		return
	}
	n.route = want
	r.neighbors.all[k] = n
	list := uint32(0)
	if want {
		list = r.intern(TypeUnicast, []path[A]{{k.iface, k.addr, 1}})
	}
	r.put(r.host(k), wayID{SourceNeighbor, k.iface}, list)
}

// followNeighbors gives host routes to the neighbors that are to have one now
// that the routes to the dirty prefixes may have changed, and takes them from
// the others.
func (r *RIB[A, T]) followNeighbors(dirty []prefix[A]) {
	n := &r.neighbors
	if len(dirty) > len(n.all) {
		for k := range n.all {
			r.setHostRoute(k, r.onGleanedLink(k))
		}
	} else if len(n.all) > 0 {
		for _, p := range dirty {
			r.followWithin(p.netip())
		}
	}
	for _, k := range n.pending {
		if _, ok := n.all[k]; ok {
			r.setHostRoute(k, r.onGleanedLink(k))
		}
	}
	n.pending = n.pending[:0]
}

func (r *RIB[A, T]) followWithin(p netip.Prefix) {
	for host, ifaces := range r.neighbors.byAddr.Subnets(p) {
		host, _ = outOfScope(host)
		for _, i := range ifaces {
			k := neighborKey[A]{i, r.family.addrOf(host)}
			r.setHostRoute(k, r.onGleanedLink(k))
		}
	}
}

// onGleanedLink reports whether, but for its host route, packets for a
// neighbor would have to ask for it on its own link.
func (r *RIB[A, T]) onGleanedLink(k neighborKey[A]) bool {
	for _, v := range r.covers(r.host(k)) {
		for _, w := range r.ways.of(v) {
			l := &r.lists.all[r.ways.all[w].list]
			if l.alive && r.ways.all[w].source != SourceNeighbor {
				return r.gleans(l, k.iface)
			}
		}
	}
	return false
}

func (r *RIB[A, T]) gleans(l *pathList[A], iface uint32) bool {
	if l.typ != TypeUnicast {
		return false
	}
	for _, p := range l.paths {
		if k, ok := r.attached(p); ok && k == (adjKey[A]{kind: Glean, iface: iface}) {
			return true
		}
	}
	return false
}

// host returns the prefix that holds a neighbor alone.
func (r *RIB[A, T]) host(k neighborKey[A]) netip.Prefix {
	return inScope(netip.PrefixFrom(k.addr.Addr(), r.family.bits), k.iface)
}
