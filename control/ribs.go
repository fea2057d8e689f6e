package control

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"

	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/hdr"
)

// ribs are the routes of both families. Its methods are those of a fib.RIB,
// each of which goes to the family that it is about, or to both.
type ribs struct {
	v4 *fib.RIB4
	v6 *fib.RIB6
}

func newRIBs() ribs { return ribs{fib.NewRIB4(), fib.NewRIB6()} }

// A rib is what both families' RIBs have in common.
type rib interface {
	Apply(...fib.Change) error
	Lookup(netip.Addr) (fib.Entry, bool)
	Find(like fib.Route) (fib.Route, bool)
	Routes() iter.Seq[fib.Entry]
	RoutesTo(netip.Prefix) iter.Seq[fib.Entry]
	RoutesOver(uint32) iter.Seq[fib.Entry]
	SetIface(fib.Iface) error
	DelIface(uint32) error
	SetNeighbor(uint32, netip.Addr, hdr.MAC) error
	DelNeighbor(uint32, netip.Addr) error
}

func (r ribs) of(a netip.Addr) rib {
	if a.Is4() {
		return r.v4
	}
	return r.v6
}

// Apply makes the changes, or none of them.
func (r ribs) Apply(changes ...fib.Change) error {
	var v4, v6 []fib.Change
	for _, c := range changes {
		if c.Route.Prefix.Addr().Is4() {
			v4 = append(v4, c)
		} else {
			v6 = append(v6, c)
		}
	}
	if len(v4) == 0 || len(v6) == 0 {
		return errors.Join(r.v4.Apply(v4...), r.v6.Apply(v6...)) // of which one has nothing to do
	}
	undo := r.inverse(v4)
	if err := r.v4.Apply(v4...); err != nil {
		return err
	}
	if err := r.v6.Apply(v6...); err != nil {
		return errors.Join(err, r.v4.Apply(undo...))
	}
	return nil
}

// inverse returns the changes that undo changes of IPv4 routes, last first.
func (r ribs) inverse(changes []fib.Change) (undo []fib.Change) {
	for _, c := range changes {
		back := fib.Change{Op: fib.OpDelete, Route: c.Route}
		if old, ok := r.route(c.Route); ok {
			back = fib.Change{Op: fib.OpAdd, Route: old}
		}
		undo = append([]fib.Change{back}, undo...)
	}
	return undo
}

// to returns the routes to one prefix, best first.
func (r ribs) to(prefix netip.Prefix) iter.Seq[fib.Entry] {
	return r.of(prefix.Addr()).RoutesTo(prefix)
}

// over returns the routes that have a next hop on an interface, IPv4 first.
func (r ribs) over(i uint32) iter.Seq[fib.Entry] {
	return func(yield func(fib.Entry) bool) {
		for _, one := range []rib{r.v4, r.v6} {
			for e := range one.RoutesOver(i) {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// route returns the route of the same prefix, link, source and metric.
func (r ribs) route(want fib.Route) (fib.Route, bool) {
	return r.of(want.Prefix.Addr()).Find(want)
}

// Add adds routes, or replaces those of the same prefix, source and metric.
func (r ribs) Add(routes ...fib.Route) error { return r.Apply(all(fib.OpAdd, routes)...) }

// Delete deletes the routes of the same prefix, source and metric.
func (r ribs) Delete(routes ...fib.Route) error { return r.Apply(all(fib.OpDelete, routes)...) }

func all(op fib.Op, routes []fib.Route) (changes []fib.Change) {
	for _, x := range routes {
		changes = append(changes, fib.Change{Op: op, Route: x})
	}
	return changes
}

// Lookup returns the route that packets to a take.
func (r ribs) Lookup(a netip.Addr) (fib.Entry, bool) { return r.of(a).Lookup(a) }

// Routes returns all routes, IPv4 first.
func (r ribs) Routes() iter.Seq[fib.Entry] {
	return func(yield func(fib.Entry) bool) {
		for _, one := range []rib{r.v4, r.v6} {
			for e := range one.Routes() {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// minMTU6 is the least that a link may carry of IPv6 (RFC 8200, section 5).
const minMTU6 = 1280

// SetIface adds an interface or changes it. One that carries less than IPv6
// needs is down for it.
func (r ribs) SetIface(i fib.Iface) error {
	if err := r.v4.SetIface(i); err != nil {
		return err
	}
	if i.MTU < minMTU6 {
		i.MTU, i.Up = minMTU6, false
	}
	if err := r.v6.SetIface(i); err != nil {
		return fmt.Errorf("IPv6: %w", err)
	}
	return nil
}

// DelIface removes an interface and its neighbours.
func (r ribs) DelIface(i uint32) error { return errors.Join(r.v4.DelIface(i), r.v6.DelIface(i)) }

// SetNeighbor says which link address a neighbour has.
func (r ribs) SetNeighbor(i uint32, ip netip.Addr, mac hdr.MAC) error {
	return r.of(ip).SetNeighbor(i, ip, mac)
}

// DelNeighbor forgets a neighbour's link address.
func (r ribs) DelNeighbor(i uint32, ip netip.Addr) error { return r.of(ip).DelNeighbor(i, ip) }
