package fib_test

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/hdr"
)

// A twin is the slow and obvious version of RIB4 and Table4: it keeps what it
// is told, and answers each question from the beginning.
type twin struct {
	routes    map[routeID]fib.Route
	ifaces    map[uint32]fib.Iface
	neighbors map[neighborID]hdr.MAC

	sorted []routeID // longest first, then best first; nil: to be made
	memo   map[step]set
}

type routeID struct {
	prefix netip.Prefix
	link   uint32 // of a link-local prefix
	source fib.Source
	metric uint32
}

type neighborID struct {
	iface uint32
	addr  netip.Addr
}

// A step is a route, and how much further recursion may go from it.
type step struct {
	routeID
	depth int
}

// A set is the adjacencies that flows are spread over, in words.
type set map[string]bool

func (s set) String() string { return strings.Join(slices.Sorted(maps.Keys(s)), " | ") }

func newTwin() *twin {
	return &twin{
		routes:    map[routeID]fib.Route{},
		ifaces:    map[uint32]fib.Iface{},
		neighbors: map[neighborID]hdr.MAC{},
	}
}

func idOf(r fib.Route) routeID { return routeID{r.Prefix, linkOf(r), r.Source, r.Metric} }

func linkOf(r fib.Route) uint32 {
	switch {
	case !isLinkLocal(r.Prefix.Addr()):
		return 0
	case r.Link == 0 && len(r.NextHops) > 0:
		return r.NextHops[0].Iface
	}
	return r.Link
}

func isLinkLocal(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

func (t *twin) changed() { t.sorted, t.memo = nil, nil }

func (t *twin) sort() {
	if t.sorted != nil {
		return
	}
	t.sorted = slices.SortedFunc(maps.Keys(t.routes), func(a, b routeID) int {
		return cmp.Or(-cmp.Compare(a.prefix.Bits(), b.prefix.Bits()),
			cmp.Compare(a.source, b.source), cmp.Compare(a.metric, b.metric), a.prefix.Compare(b.prefix))
	})
	t.memo = map[step]set{}
}

func (t *twin) alive(r fib.Route) bool {
	if r.Type != fib.TypeUnicast {
		return true
	}
	for _, n := range r.NextHops {
		if n.Iface == fib.NoIface || t.ifaces[n.Iface].Up {
			return true
		}
	}
	return false
}

// best returns the route in force for an address, neighbors left aside. Of a
// link-local address it is that on its link.
func (t *twin) best(a netip.Addr, link uint32) (fib.Route, bool) {
	t.sort()
	if !isLinkLocal(a) {
		link = 0
	}
	for _, id := range t.sorted {
		if isLinkLocal(a) != isLinkLocal(id.prefix.Addr()) {
			continue
		}
		if r := t.routes[id]; id.link == link && id.prefix.Contains(a) && t.alive(r) {
			return r, true
		}
	}
	return fib.Route{}, false
}

// lookup returns where packets for a go, on a link if it is link-local.
func (t *twin) lookup(a netip.Addr, link uint32) set {
	r, ok := t.best(a, link)
	if !ok {
		return set{"no route": true}
	}
	if s := t.neighbor(r, a); s != nil {
		return s
	}
	if s := t.targets(r, 8); len(s) > 0 {
		return s
	}
	return set{"unreachable": true}
}

// neighbor returns the host route to a, which r covers, if it has one.
func (t *twin) neighbor(r fib.Route, a netip.Addr) set {
	for i := uint32(1); i <= numIfaces; i++ {
		_, known := t.neighbors[neighborID{i, a}]
		if known && t.targetsOnLinks(r)["glean dev "+name(i)] {
			return set{"via " + a.String() + " dev " + name(i): true}
		}
	}
	return nil
}

func (t *twin) targetsOnLinks(r fib.Route) set {
	s := set{}
	for _, n := range r.NextHops {
		if n.Iface != fib.NoIface && r.Type == fib.TypeUnicast {
			t.onLink(s, n, r.Prefix)
		}
	}
	return s
}

func (t *twin) onLink(s set, n fib.NextHop, p netip.Prefix) {
	link := t.ifaces[n.Iface]
	if p.IsSingleIP() && !n.Via.IsValid() {
		n.Via = p.Addr()
	}
	switch {
	case !link.Up:
	case link.PointToPoint:
		s["dev "+name(n.Iface)] = true
	case !n.Via.IsValid():
		s["glean dev "+name(n.Iface)] = true
	default:
		s[t.via(n.Via, n.Iface)] = true
	}
}

func (t *twin) via(a netip.Addr, iface uint32) string {
	words := "via " + a.String() + " dev " + name(iface)
	if _, known := t.neighbors[neighborID{iface, a}]; !known {
		words = "resolve " + words
	}
	return words
}

func (t *twin) targets(r fib.Route, depth int) set {
	if r.Type != fib.TypeUnicast {
		words := r.Type.String()
		if len(r.NextHops) > 0 {
			words += " dev " + name(r.NextHops[0].Iface)
		}
		return set{words: true}
	}
	s := t.targetsOnLinks(r)
	if !slices.ContainsFunc(r.NextHops, func(n fib.NextHop) bool { return n.Iface == fib.NoIface }) {
		return s
	}
	if depth == 0 {
		return set{}
	}
	k := step{idOf(r), depth}
	if s, ok := t.memo[k]; ok {
		return s
	}
	for _, n := range r.NextHops {
		if n.Iface == fib.NoIface {
			maps.Copy(s, t.through(n.Via, depth-1))
		}
	}
	t.memo[k] = s
	return s
}

// through returns where packets for a next hop go.
func (t *twin) through(via netip.Addr, depth int) set {
	r, ok := t.best(via, 0)
	if !ok || r.Type == fib.TypeLocal || r.Type == fib.TypePunt {
		return nil
	}
	if s := t.neighbor(r, via); s != nil {
		return s
	}
	out := set{}
	for words := range t.targets(r, depth) {
		for i := uint32(1); i <= numIfaces; i++ {
			if words == "glean dev "+name(i) {
				words = t.via(via, i)
			}
		}
		out[words] = true
	}
	return out
}

// The changes below return whether they are allowed.

func (t *twin) add(r fib.Route) bool {
	if r.Check() != nil {
		return false
	}
	t.routes[idOf(r)] = r
	t.changed()
	return true
}

func (t *twin) del(id routeID) bool {
	_, ok := t.routes[id]
	delete(t.routes, id)
	t.changed()
	return ok
}

func (t *twin) setIface(i fib.Iface) bool {
	t.ifaces[i.Index] = i
	t.changed()
	return true
}

func (t *twin) delIface(i uint32) bool {
	_, ok := t.ifaces[i]
	delete(t.ifaces, i)
	maps.DeleteFunc(t.neighbors, func(n neighborID, _ hdr.MAC) bool { return n.iface == i })
	t.changed()
	return ok
}

func (t *twin) setNeighbor(n neighborID, mac hdr.MAC) bool {
	if link, ok := t.ifaces[n.iface]; !ok || link.PointToPoint {
		return false
	}
	t.neighbors[n] = mac
	t.changed()
	return true
}

func (t *twin) delNeighbor(n neighborID) bool {
	_, ok := t.neighbors[n]
	delete(t.neighbors, n)
	t.changed()
	return ok
}
