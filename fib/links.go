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
	MTU          uint32  // largest IP packet, in bytes; at least 68 (RFC 791, section 3.2)
	MAC          hdr.MAC // source of the frames it sends
	PointToPoint bool    // no link addresses: whatever it sends, the other end gets
	Up           bool    // if not, no path leads over it
}

// SetIface adds an interface or changes it. Routes over an interface that is
// not there or down are kept, and are out of the table until it is up. It is
// cheapest to set an interface before its routes.
func (r *RIB4) SetIface(ifc Iface) error {
	if ifc.Index == NoIface || ifc.MTU < 68 {
		return fmt.Errorf("fib: interface %d with an MTU of %d: %w", ifc.Index, ifc.MTU, ErrInvalid)
	}
	r.changeIface(ifc.Index, ifc)
	return nil
}

// DelIface removes an interface and its neighbors; the error is ErrNotFound.
func (r *RIB4) DelIface(index uint32) error {
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
func (r *RIB4) changeIface(index uint32, ifc Iface) {
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
func (r *RIB4) reconsider(iface uint32) {
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

func (l *pathList) over(iface uint32) bool {
	for _, p := range l.paths {
		if p.iface == iface {
			return true
		}
	}
	return false
}

type neighborKey struct {
	iface uint32
	addr  hdr.Addr4
}

type neighbor struct {
	mac   hdr.MAC
	route bool // it has a host route
}

// neighbors4 are the neighbors whose link addresses are known.
type neighbors4 struct {
	all     map[neighborKey]neighbor
	byAddr  bart.Table[[]uint32] // interfaces, by address
	pending []neighborKey        // to be looked at, whether they are to have a host route
}

func (n *neighbors4) get(iface uint32, a hdr.Addr4) (neighbor, bool) {
	x, ok := n.all[neighborKey{iface, a}]
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
func (r *RIB4) SetNeighbor(iface uint32, ip netip.Addr, mac hdr.MAC) error {
	a, err := addr4(ip)
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
	case NextHop{Via: ip}.fault() != "":
		return fmt.Errorf("fib: neighbor %v: not a unicast address: %w", ip, ErrInvalid)
	}
	k := neighborKey{iface, a}
	n, known := r.neighbors.all[k]
	n.mac = mac
	r.neighbors.all[k] = n
	if !known {
		r.neighbors.pending = append(r.neighbors.pending, k)
		host := hostPrefix(a).netip()
		r.neighbors.byAddr.Modify(host, func(i []uint32, _ bool) ([]uint32, bool) { return append(i, iface), false })
	}
	r.refresh(adjKey{Forward, iface, a})
	return nil
}

// DelNeighbor forgets a neighbor's link address; the error is ErrNotFound.
func (r *RIB4) DelNeighbor(iface uint32, ip netip.Addr) error {
	a, err := addr4(ip)
	if err != nil {
		return err
	}
	k := neighborKey{iface, a}
	if _, ok := r.neighbors.all[k]; !ok {
		return fmt.Errorf("fib: delete neighbor %v on interface %d: %w", ip, iface, ErrNotFound)
	}
	r.forget(k)
	return nil
}

func (r *RIB4) forget(k neighborKey) {
	r.setHostRoute(k, false)
	delete(r.neighbors.all, k)
	r.neighbors.byAddr.Modify(hostPrefix(k.addr).netip(), func(ifaces []uint32, _ bool) ([]uint32, bool) {
		var rest []uint32
		for _, i := range ifaces {
			if i != k.iface {
				rest = append(rest, i)
			}
		}
		return rest, len(rest) == 0
	})
	r.refresh(adjKey{Forward, k.iface, k.addr})
}

// setHostRoute adds or deletes the host route to a neighbor.
func (r *RIB4) setHostRoute(k neighborKey, want bool) {
	n := r.neighbors.all[k]
	if n.route == want {
		return
	}
	n.route = want
	r.neighbors.all[k] = n
	list := uint32(0)
	if want {
		list = r.intern(TypeUnicast, []path{{k.iface, k.addr, 1}})
	}
	r.put(hostPrefix(k.addr).netip(), wayID{SourceNeighbor, k.iface}, list)
}

// followNeighbors gives host routes to the neighbors that are to have one now
// that the routes to the dirty prefixes may have changed, and takes them from
// the others.
func (r *RIB4) followNeighbors(dirty []prefix4) {
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

func (r *RIB4) followWithin(p netip.Prefix) {
	for host, ifaces := range r.neighbors.byAddr.Subnets(p) {
		for _, i := range ifaces {
			k := neighborKey{i, hdr.Addr4From(host.Addr())}
			r.setHostRoute(k, r.onGleanedLink(k))
		}
	}
}

// onGleanedLink reports whether, but for its host route, packets for a
// neighbor would have to ask for it on its own link.
func (r *RIB4) onGleanedLink(k neighborKey) bool {
	for _, v := range r.routes.Supernets(hostPrefix(k.addr).netip()) {
		for _, w := range r.ways.of(v) {
			l := &r.lists.all[r.ways.all[w].list]
			if l.alive && r.ways.all[w].source != SourceNeighbor {
				return r.gleans(l, k.iface)
			}
		}
	}
	return false
}

func (r *RIB4) gleans(l *pathList, iface uint32) bool {
	if l.typ != TypeUnicast {
		return false
	}
	for _, p := range l.paths {
		if k, ok := r.attached(p); ok && k == (adjKey{Glean, iface, 0}) {
			return true
		}
	}
	return false
}
