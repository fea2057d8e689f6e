package fib

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
	"github.com/skein-dataplane/skein/hdr"
)

// A RIB holds what routes there should be for addresses A, and makes tables T
// of them. It is for one goroutine; the tables that it hands out are for all.
//
// Changes gather until Commit. A change that fails changes nothing, and one
// that is already so changes nothing either.
type RIB[A Address, T Table4 | Table6] struct {
	family    family[A]
	ifaces    map[uint32]Iface
	neighbors neighbors[A]
	routes    bart.Table[uint32] // prefix to a way, or to several in many
	ways      ways[A]
	lists     lists[A]
	adjs      adjTable[A]
	trie      trie[A, T]
	vias      bart.Table[int] // recursive next hops, and how many lists have them
	byDefault uint32          // path list of the default route, 0 if there is none

	dirty      []prefix[A]         // prefixes whose entry may be another one now
	toggled    map[uint32]struct{} // lists that came alive or died
	resolveAll bool                // recursive lists may come to something else now

	table *T
}

// The RIBs of both families.
type (
	RIB4 = RIB[hdr.Addr4, Table4]
	RIB6 = RIB[hdr.Addr6, Table6]
)

// A trie is the writer's side of what a table looks prefixes up in.
type trie[A Address, T any] interface {
	// paint makes list, of a prefix of so many bits, the entry of all
	// addresses of p that no longer prefix has. To insert p, bits and list are
	// its own; to remove it, they are those of the next shorter prefix, and
	// insert is false.
	paint(p prefix[A], bits int, list uint32, insert bool)
	// altered reports whether there is anything to publish.
	altered() bool
	publish(e ends, vias []A) *T
}

// NewRIB4 returns an IPv4 RIB without routes, interfaces or neighbors.
func NewRIB4() *RIB4 { return newRIB(family4, newTrie4()) }

// NewRIB6 returns an IPv6 RIB without routes, interfaces or neighbors.
func NewRIB6() *RIB6 { return newRIB(family6, newTrie6()) }

func newRIB[A Address, T Table4 | Table6](f family[A], t trie[A, T]) *RIB[A, T] {
	r := &RIB[A, T]{
		family:    f,
		ifaces:    map[uint32]Iface{},
		neighbors: neighbors[A]{all: map[neighborKey[A]]neighbor{}},
		ways:      newWays[A](),
		lists:     newLists[A](),
		adjs:      newAdjTable[A](),
		trie:      t,
		toggled:   map[uint32]struct{}{},
	}
	r.table = r.publish()
	return r
}

// An Op says what to do with a route. The zero Op is refused.
type Op uint8

const (
	_        Op = iota
	OpAdd       // add it, or replace the one of the same prefix, source and metric
	OpDelete    // delete the one of the same prefix, source and metric
)

// A Change is one step of Apply.
type Change struct {
	Op    Op
	Route Route
}

// Apply makes the changes in order, or none of them. The error says which one
// was wrong: ErrInvalid, ErrNotFound for deleting what is not there, ErrFull.
func (r *RIB[A, T]) Apply(changes ...Change) error {
	if err := r.check(changes); err != nil {
		return err
	}
	for i := range changes {
		r.apply(&changes[i])
	}
	return nil
}

// Add adds routes, or replaces those of the same prefix, source and metric. It
// adds all or none; the error is ErrInvalid or ErrFull.
func (r *RIB[A, T]) Add(routes ...Route) error {
	for i := range routes {
		if err := r.checkRoute(&routes[i]); err != nil {
			return err
		}
	}
	further := 0
	for i := range routes {
		further += r.further(&routes[i])
	}
	if err := r.room(len(routes), further); err != nil {
		return err
	}
	for i := range routes {
		r.add(&routes[i])
	}
	return nil
}

// Delete deletes the routes of the same prefix, source and metric. It deletes
// all or none; the error is ErrInvalid or ErrNotFound.
func (r *RIB[A, T]) Delete(routes ...Route) error {
	changes := make([]Change, len(routes))
	for i := range routes {
		changes[i] = Change{OpDelete, routes[i]}
	}
	return r.Apply(changes...)
}

// further returns 1 if there is no route to the prefix of this one yet, else 0.
func (r *RIB[A, T]) further(route *Route) int {
	if _, there := r.routes.Get(route.scoped()); there {
		return 0
	}
	return 1
}

// room makes sure that so many more path lists have a number each, and further
// prefixes a place.
func (r *RIB[A, T]) room(lists, further int) error {
	if len(r.lists.all)+lists > r.family.maxLists {
		return fmt.Errorf("fib: more than %d path lists: %w", r.family.maxLists, ErrFull)
	}
	if r.routes.Size()+further > r.family.maxRoutes {
		return fmt.Errorf("fib: more than %d %s prefixes: %w", r.family.maxRoutes, r.family.name, ErrFull)
	}
	return nil
}

// check finds out what is wrong with the changes, one after the other.
func (r *RIB[A, T]) check(changes []Change) error {
	type id struct {
		p netip.Prefix
		wayID
	}
	exists := map[id]bool{} // by the changes so far
	further := 0
	for i := range changes {
		route := &changes[i].Route
		if err := r.checkChange(&changes[i]); err != nil {
			return err
		}
		k := id{route.scoped(), wayID{route.Source, route.Metric}}
		if changes[i].Op == OpAdd {
			exists[k] = true
			further += r.further(route)
			continue
		}
		is, known := exists[k]
		if !known {
			is = r.has(k.p, k.wayID)
		}
		if !is {
			return fmt.Errorf("fib: delete %v proto %v metric %d: %w", route.Prefix, route.Source, route.Metric, ErrNotFound)
		}
		exists[k] = false
	}
	return r.room(len(changes), further)
}

func (r *RIB[A, T]) checkChange(c *Change) error {
	route := c.Route
	switch c.Op {
	case OpAdd:
		return r.checkRoute(&route)
	case OpDelete:
		route.Link = route.OnLink()
		route.Type, route.NextHops = TypeBlackhole, nil // what it is does not matter
		return r.checkRoute(&route)
	}
	return fmt.Errorf("fib: change of %v: neither add nor delete: %w", route.Prefix, ErrInvalid)
}

func (r *RIB[A, T]) apply(c *Change) {
	if c.Op == OpAdd {
		r.add(&c.Route)
	} else {
		r.put(c.Route.scoped(), wayID{c.Route.Source, c.Route.Metric}, 0)
	}
}

func (r *RIB[A, T]) add(route *Route) {
	var scratch [MaxNextHops]path[A]
	list := r.intern(route.Type, r.family.paths(route, scratch[:0]))
	r.put(route.scoped(), wayID{route.Source, route.Metric}, list)
}

// put makes list the path list of the route with this prefix and id; 0 deletes
// the route.
func (r *RIB[A, T]) put(p netip.Prefix, id wayID, list uint32) {
	r.routes.Modify(p, func(v uint32, _ bool) (uint32, bool) {
		v, changed := r.ways.with(v, r.family.pack(p), &r.lists, id, list)
		if changed {
			r.dirty = append(r.dirty, r.family.pack(p))
		}
		return v, v == 0
	})
}

func (r *RIB[A, T]) has(p netip.Prefix, id wayID) bool {
	v, _ := r.routes.Get(p)
	return slices.ContainsFunc(r.ways.of(v), func(w uint32) bool { return r.ways.all[w].wayID == id })
}

// best returns the path list in force of those that v stands for, 0 if there
// is none.
func (r *RIB[A, T]) best(v uint32) uint32 {
	if v < isSeveral { // nearly always
		if list := r.ways.all[v].list; r.lists.all[list].alive {
			return list
		}
		return 0
	}
	for _, w := range r.ways.of(v) {
		if list := r.ways.all[w].list; r.lists.all[list].alive {
			return list
		}
	}
	return 0
}

// bestFor returns the longest prefix that covers p and is in force, and its
// path list, 0 if there is none.
func (r *RIB[A, T]) bestFor(p netip.Prefix) (netip.Prefix, uint32) {
	for q, v := range r.covers(p) {
		if list := r.best(v); list != 0 {
			return q, list
		}
	}
	return netip.Prefix{}, 0
}

// covers returns the prefixes that cover p, itself included, longest first. A
// link-local prefix has none but those on its link: what is on no link of ours
// is nowhere (RFC 4007, section 9).
func (r *RIB[A, T]) covers(p netip.Prefix) iter.Seq2[netip.Prefix, uint32] {
	return func(yield func(netip.Prefix, uint32) bool) {
		least := 0
		if isLinkLocal(p.Addr()) && p.Bits() >= linkBits {
			least = linkBits
		}
		for q, v := range r.routes.Supernets(p) {
			if q.Bits() < least || !yield(q, v) {
				return
			}
		}
	}
}

func (r *RIB[A, T]) checkRoute(route *Route) error {
	if err := route.Check(); err != nil {
		return err
	}
	if !r.family.has(route.Prefix.Addr()) {
		return fmt.Errorf("fib: route %v: not an %s prefix: %w", route.Prefix, r.family.name, ErrInvalid)
	}
	return nil
}
