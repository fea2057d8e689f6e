package control

import (
	"fmt"
	"net/netip"

	"github.com/skein-dataplane/skein/fib"
)

// A RouteView is a route as it is shown: next hops by name, and what becomes
// of packets that take it.
type RouteView struct {
	fib.Entry
	Devs []string    // the interfaces of its next hops, "" where one has none
	Adjs []Adjacency // of the best route only
}

// An Adjacency is the end of a route.
type Adjacency struct {
	fib.Adj
	Via         netip.Addr // next hop; unspecified if there is none
	Interface   string
	Description string
}

// Routes calls each with all routes in order, until it returns false. The
// writer waits meanwhile.
func (c *Control) Routes(each func(RouteView) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := range c.rib.Routes() {
		if !each(c.view(e)) {
			return
		}
	}
}

// RoutesTo returns the routes to one prefix, best first.
func (c *Control) RoutesTo(prefix netip.Prefix) (out []RouteView) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := range c.rib.to(prefix) {
		out = append(out, c.view(e))
	}
	return out
}

// Lookup returns the route that packets to an address take.
func (c *Control) Lookup(a netip.Addr) (RouteView, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.rib.Lookup(a)
	if !ok {
		return RouteView{}, fmt.Errorf("control: route to %s: %w", a, ErrNotFound)
	}
	return c.view(e), nil
}

// view resolves what an entry refers to. c.mu is held.
func (c *Control) view(e fib.Entry) RouteView {
	v := RouteView{Entry: e}
	for _, nh := range e.Route.NextHops {
		v.Devs = append(v.Devs, c.name(nh.Iface))
	}
	st := c.pub.Load()
	for _, i := range e.Adjs {
		if e.Route.Prefix.Addr().Is4() {
			adj := st.FIB4.Adj(i)
			v.Adjs = append(v.Adjs, Adjacency{*adj, adj.Via.Addr(), c.name(adj.Iface), st.FIB4.Describe(i, c.name)})
		} else {
			adj := st.FIB6.Adj(i)
			v.Adjs = append(v.Adjs, Adjacency{*adj, st.FIB6.Via(i).Addr(), c.name(adj.Iface), st.FIB6.Describe(i, c.name)})
		}
	}
	return v
}

// Name returns the name of an interface, "" if there is none of that index.
func (c *Control) Name(i uint32) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.name(i)
}

// Has reports whether there is an interface of that name.
func (c *Control) Has(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.index(name)
	return ok
}

// AddRoute adds a route of the API. resolve makes it, given a function that
// finds interfaces by name. If there is another of the same prefix and metric
// it is replaced, or, without replace, refused with ErrExists.
func (c *Control) AddRoute(replace bool, resolve func(index func(string) (uint32, bool)) (fib.Route, error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, err := resolve(c.index)
	if err != nil {
		return fmt.Errorf("control: %w: %w", ErrInvalid, err)
	}
	r.Source = fib.SourceAPI
	if old, ok := c.rib.route(r); ok && !replace && old.Text(c.name) != r.Text(c.name) {
		return fmt.Errorf("control: route %s: %w, as %s", r.Prefix, ErrExists, old.Text(c.name))
	}
	if err := c.rib.Add(r); err != nil {
		return fmt.Errorf("control: %w", err)
	}
	if err := c.publish(); err != nil {
		return err
	}
	return c.remembered(c.store.PutRoute(routeKey(r), r.Text(c.name)))
}

// DelRoute deletes the route to a prefix that fits: of those of the API, or
// else of the configuration, the one of the lowest metric. Those of
// interfaces, pods and the host go with what they belong to. fits is given a
// function that names interfaces, and must not call c.
func (c *Control) DelRoute(prefix netip.Prefix, fits func(r fib.Route, name func(uint32) string) bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found fib.Route
	for e := range c.rib.to(prefix) {
		r := e.Route
		removable := r.Source == fib.SourceAPI || r.Source == fib.SourceStatic
		if removable && (found.Source == 0 || r.Source == fib.SourceAPI && found.Source == fib.SourceStatic) && fits(r, c.name) {
			found = r
		}
	}
	if found.Source == 0 {
		return fmt.Errorf("control: route %s like that, of the API or the configuration: %w", prefix, ErrNotFound)
	}
	if err := c.rib.Delete(found); err != nil {
		return fmt.Errorf("control: %w", err)
	}
	if err := c.publish(); err != nil || found.Source != fib.SourceAPI {
		return err
	}
	return c.remembered(c.store.DelRoute(routeKey(found)))
}
