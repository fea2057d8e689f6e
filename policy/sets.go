package policy

import (
	"net/netip"
	"slices"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/policy/resource"
)

// A setTable keeps the sets that programs in use name filled, and a few that were
// in use before.
type setTable struct {
	store    *acl.Store
	live     map[string]*liveSet
	idle     []*liveSet                               // of live, those that nobody uses, by when they were last
	ports    map[string]map[acl.Member]int            // members of all sets of named ports, by name
	services map[resource.Service]map[sliceMember]int // what slices say
	wrong    error                                    // of the store; there is none that can be expected
}

// A liveSet is a set that programs name. Several entities may have one member.
type liveSet struct {
	name  string
	spec  resource.Set
	count map[acl.Member]int
	uses  int
	watch *watch // if it is a selector's
}

// A sliceMember is an address with a port that serves a service.
type sliceMember struct {
	addr netip.Addr
	port resource.Port
}

func newSetTable() setTable {
	return setTable{store: acl.NewStore(), live: map[string]*liveSet{},
		ports: map[string]map[acl.Member]int{}, services: map[resource.Service]map[sliceMember]int{}}
}

func (t *setTable) note(err error) {
	if t.wrong == nil {
		t.wrong = err
	}
}

func (t *setTable) add(s *liveSet, m acl.Member) {
	if s.count[m]++; s.count[m] == 1 {
		t.note(t.store.Add(s.name, m))
	}
}

func (t *setTable) remove(s *liveSet, m acl.Member) {
	if s.count[m]--; s.count[m] == 0 {
		delete(s.count, m)
		t.note(t.store.Remove(s.name, m))
	}
}

// join makes prefixes members of a selector's set, if rules name it.
func (t *setTable) join(s *liveSet, prefixes []netip.Prefix) {
	if s != nil {
		for _, p := range prefixes {
			t.add(s, acl.Member{Prefix: p})
		}
	}
}

func (t *setTable) leave(s *liveSet, prefixes []netip.Prefix) {
	if s != nil {
		for _, p := range prefixes {
			t.remove(s, acl.Member{Prefix: p})
		}
	}
}

func (t *setTable) joinPorts(f entityFields) {
	for _, p := range f.ports {
		for _, prefix := range f.prefixes {
			if t.ports[p.Name] == nil {
				t.ports[p.Name] = map[acl.Member]int{}
			}
			m := acl.Member{Prefix: prefix, Proto: p.Proto, Port: p.Port}
			t.ports[p.Name][m]++
			if s := t.live["port "+p.Name]; s != nil {
				t.add(s, m)
			}
		}
	}
}

func (t *setTable) leavePorts(f entityFields) {
	for _, p := range f.ports {
		for _, prefix := range f.prefixes {
			m := acl.Member{Prefix: prefix, Proto: p.Proto, Port: p.Port}
			if t.ports[p.Name][m]--; t.ports[p.Name][m] == 0 {
				delete(t.ports[p.Name], m)
			}
			if s := t.live["port "+p.Name]; s != nil {
				t.remove(s, m)
			}
		}
	}
}

// serve enters what a slice says of its service, or takes it back.
func (t *setTable) serve(s *resource.EndpointSlice, by int) {
	if t.services[s.Service] == nil {
		t.services[s.Service] = map[sliceMember]int{}
	}
	for _, a := range s.Addrs {
		for _, p := range append([]resource.Port{{}}, s.Ports...) {
			m := sliceMember{a, p}
			if t.services[s.Service][m] += by; t.services[s.Service][m] == 0 {
				delete(t.services[s.Service], m)
			}
		}
	}
	for _, set := range t.live {
		if set.spec.Service == s.Service && set.spec.Selector == nil && set.spec.Port == "" {
			t.note(t.store.Replace(set.name, t.serviceMembers(set)...))
		}
	}
}

func (t *setTable) serviceMembers(s *liveSet) (out []acl.Member) {
	for m := range t.services[s.spec.Service] {
		member := acl.MemberOf(m.addr)
		member.Proto, member.Port = m.port.Proto, m.port.Port
		if (m.port.Proto != 0) == (s.spec.Kind == acl.NetPorts) {
			out = append(out, member)
		}
	}
	return out
}

// use makes sure that a set is there and full, for one more use.
func (e *Engine) use(name string, spec resource.Set) error {
	t := &e.sets
	if s := t.live[name]; s != nil {
		if s.uses++; s.uses == 1 {
			t.idle = slices.DeleteFunc(t.idle, func(o *liveSet) bool { return o == s })
		}
		return nil
	}
	if err := t.store.Define(name, spec.Kind); err != nil {
		return err
	}
	s := &liveSet{name: name, spec: spec, count: map[acl.Member]int{}, uses: 1}
	t.live[name] = s
	switch {
	case spec.Selector != nil:
		s.watch = e.watch(spec.Selector)
		s.watch.set = s
		for ent := range s.watch.matched {
			t.join(s, ent.prefixes)
		}
	case spec.Port != "":
		for m := range t.ports[spec.Port] {
			t.note(t.store.Add(name, m))
		}
		for m, n := range t.ports[spec.Port] {
			s.count[m] = n
		}
	default:
		return t.store.Replace(name, t.serviceMembers(s)...)
	}
	return nil
}

// maxIdle is how many sets that nobody uses are kept full. To fill a set costs
// some microseconds for each member, and who changes a label often changes it
// back.
const maxIdle = 64

// unuse ends one use of a set.
func (e *Engine) unuse(name string) {
	if s := e.sets.live[name]; s != nil {
		if s.uses--; s.uses == 0 {
			e.sets.idle = append(e.sets.idle, s)
		}
	}
}

// sweepSets deletes the sets that nobody has used for longest, if there are too
// many.
func (e *Engine) sweepSets() {
	for t := &e.sets; len(t.idle) > maxIdle; t.idle = t.idle[1:] {
		s := t.idle[0]
		delete(t.live, s.name)
		t.note(t.store.Delete(s.name))
		if s.watch != nil {
			s.watch.set = nil
			e.unwatch(s.watch)
		}
	}
}
