package fib

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
	"github.com/skein-dataplane/skein/hdr"
)

// A RIB4 holds what routes there should be, and makes Table4s of them. It is
// for one goroutine; the tables that it hands out are for all.
//
// Changes gather until Commit. A change that fails changes nothing, and one
// that is already so changes nothing either.
type RIB4 struct {
	ifaces    map[uint32]Iface
	neighbors neighbors4
	routes    bart.Table[uint32] // prefix to a way, or to several in many
	ways      ways4
	lists     lists4
	adjs      adjTable4
	trie      trie4
	vias      bart.Table[int] // recursive next hops, and how many lists have them

	dirty      []prefix4           // prefixes whose entry may be another one now
	toggled    map[uint32]struct{} // lists that came alive or died
	resolveAll bool                // recursive lists may come to something else now

	table *Table4
}

// NewRIB4 returns a RIB without routes, interfaces or neighbors.
func NewRIB4() *RIB4 {
	r := &RIB4{
		ifaces:    map[uint32]Iface{},
		neighbors: neighbors4{all: map[neighborKey]neighbor{}},
		ways:      newWays4(),
		lists:     newLists4(),
		adjs:      newAdjTable4(),
		trie:      newTrie4(),
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
func (r *RIB4) Apply(changes ...Change) error {
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
func (r *RIB4) Add(routes ...Route) error {
	for i := range routes {
		if err := routes[i].Check(); err != nil {
			return err
		}
	}
	if err := r.room(len(routes)); err != nil {
		return err
	}
	for i := range routes {
		r.add(&routes[i])
	}
	return nil
}

// Delete deletes the routes of the same prefix, source and metric. It deletes
// all or none; the error is ErrInvalid or ErrNotFound.
func (r *RIB4) Delete(routes ...Route) error {
	changes := make([]Change, len(routes))
	for i := range routes {
		changes[i] = Change{OpDelete, routes[i]}
	}
	return r.Apply(changes...)
}

// room makes sure that n more path lists have a number each.
func (r *RIB4) room(n int) error {
	if len(r.lists.all)+n > listMask {
		return fmt.Errorf("fib: more than %d path lists: %w", listMask, ErrFull)
	}
	return nil
}

// check finds out what is wrong with the changes, one after the other.
func (r *RIB4) check(changes []Change) error {
	type id struct {
		p prefix4
		wayID
	}
	exists := map[id]bool{} // by the changes so far
	for i := range changes {
		route := &changes[i].Route
		if err := checkChange(&changes[i]); err != nil {
			return err
		}
		k := id{packPrefix(route.Prefix), wayID{route.Source, route.Metric}}
		if changes[i].Op == OpAdd {
			exists[k] = true
			continue
		}
		is, known := exists[k]
		if !known {
			is = r.has(route.Prefix, k.wayID)
		}
		if !is {
			return fmt.Errorf("fib: delete %v proto %v metric %d: %w", route.Prefix, route.Source, route.Metric, ErrNotFound)
		}
		exists[k] = false
	}
	return r.room(len(changes))
}

func checkChange(c *Change) error {
	route := c.Route
	switch c.Op {
	case OpAdd:
		return route.Check()
	case OpDelete:
		route.Type, route.NextHops = TypeBlackhole, nil // what it is does not matter
		return route.Check()
	}
	return fmt.Errorf("fib: change of %v: neither add nor delete: %w", route.Prefix, ErrInvalid)
}

func (r *RIB4) apply(c *Change) {
	if c.Op == OpAdd {
		r.add(&c.Route)
	} else {
		r.put(c.Route.Prefix, wayID{c.Route.Source, c.Route.Metric}, 0)
	}
}

func (r *RIB4) add(route *Route) {
	var scratch [MaxNextHops]path
	list := r.intern(route.Type, route.paths(scratch[:0]))
	r.put(route.Prefix, wayID{route.Source, route.Metric}, list)
}

// put makes list the path list of the route with this prefix and id; 0 deletes
// the route.
func (r *RIB4) put(p netip.Prefix, id wayID, list uint32) {
	r.routes.Modify(p, func(v uint32, _ bool) (uint32, bool) {
		v, changed := r.ways.with(v, r, id, list)
		if changed {
			r.dirty = append(r.dirty, packPrefix(p))
		}
		return v, v == 0
	})
}

func (r *RIB4) has(p netip.Prefix, id wayID) bool {
	v, _ := r.routes.Get(p)
	return slices.ContainsFunc(r.ways.of(v), func(w uint32) bool { return r.ways.all[w].wayID == id })
}

// best returns the path list in force of those that v stands for, 0 if there
// is none.
func (r *RIB4) best(v uint32) uint32 {
	if v < isMany { // nearly always
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
func (r *RIB4) bestFor(p netip.Prefix) (netip.Prefix, uint32) {
	for q, v := range r.routes.Supernets(p) {
		if list := r.best(v); list != 0 {
			return q, list
		}
	}
	return netip.Prefix{}, 0
}

// leaf4 is the entry of the trie for a prefix of so many bits.
func leaf4(bits int, list uint32) uint32 { return uint32(bits)<<lengthShift | list }

func addr4(a netip.Addr) (hdr.Addr4, error) {
	if !a.Is4() {
		return 0, fmt.Errorf("fib: %v: not an IPv4 address: %w", a, ErrInvalid)
	}
	return hdr.Addr4From(a), nil
}
