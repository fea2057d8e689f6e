package session

// A session remembers a route for each direction, 16 bits of the caller's, on
// its own cache line. Routes of all sessions are forgotten at once, without a
// look at them: each group of routeGroup records has the number of the
// forgetting after which its routes were set. A group of another number has
// none, and those that it had are cleared when one is set anew.
//
// A number for each group costs a quarter of a byte per session, and stays in
// the cache where the sessions do not.
const routeGroup = 16

// NoRoute is a route that says that there is none to remember. Those that can
// be are from 1 to NoRoute-1.
const NoRoute = 1<<16 - 1

// Route returns what SetRoute has set for packets of r since the last
// ForgetRoutes, else 0.
func (t *Table) Route(r Ref) uint32 { return t.RouteOf(t.At(r.Index()), r) }

// RouteOf is Route for who has the session of r at hand.
func (t *Table) RouteOf(s *Session, r Ref) uint32 {
	if t.routed[r>>1/routeGroup] != t.routes {
		return 0
	}
	return uint32(s.routes[r&1])
}

// SetRoute sets what Route returns for packets of r, up to NoRoute.
func (t *Table) SetRoute(r Ref, route uint32) {
	i := r.Index()
	if g := i / routeGroup; t.routed[g] != t.routes {
		first := g * routeGroup
		for k := range t.records[first:min(first+routeGroup, uint32(len(t.records)))] {
			t.records[first+uint32(k)].routes = [2]uint16{}
		}
		t.routed[g] = t.routes
	}
	t.records[i].routes[r.Dir()] = uint16(route)
}

// ForgetRoutes has Route return 0 for all sessions.
func (t *Table) ForgetRoutes() {
	if t.routes++; t.routes == 0 { // after 2^32: numbers of groups would come again
		clear(t.routed)
		t.routes = 1
	}
}
