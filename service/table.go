package service

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
)

// A World is what services depend on beside themselves.
type World struct {
	Node      string         // endpoints there are local
	Zone      string         // "" if not known: then hints are not looked at
	Own       []netip.Addr   // the node's addresses, where NodePorts and hostPorts are
	Known     []netip.Prefix // where endpoints can be: pools and nodes; nil: anywhere
	Pods      []netip.Addr   // of pods on this node; those of endpoints are known without
	APIServer string         // the service that is never without backends, "default/kubernetes"
}

// An Alarm says what was asked for that is not done, and what is done instead.
type Alarm struct {
	Place Place // of the object; zero if it did not come from a file
	What  string
}

func (a Alarm) String() string {
	if a.Place == (Place{}) {
		return a.What
	}
	return a.Place.String() + ": " + a.What
}

// A Table makes a nat.Services of Services and EndpointSlices, by what has
// changed since it did last. It belongs to one goroutine.
type Table struct {
	world    World
	owners   map[string]*owned          // by what claims: "ns/name", or "hostPort ..."
	slices   map[string]*Slice          // by "ns/name"
	slicesOf map[string]map[string]bool // names of slices by service
	claims   map[nat.FrontKey][]*claim  // the first one has it
	pods     map[netip.Addr]int         // addresses that are pods', and how many say so
	wants    map[netip.Addr]map[string]bool
	dirty    map[string]bool
	own      bool // the node's addresses have changed
	lastID   uint32
	current  *nat.Services
	nodes    map[string]*Node // by name
	direct   map[string]bool  // services that ask for direct server return
	peers    *nat.Peers
	peersDue bool // they have changed
}

// An owned is a Service or a hostPort, and what has been made of it.
type owned struct {
	ref      string
	created  time.Time
	place    Place
	service  *Service
	hostPort *HostPort
	groups   map[group]*nat.Service
	claims   []*claim
	alarms   []Alarm
}

func (o *owned) alarm(at Place, format string, args ...any) {
	if a := (Alarm{at, fmt.Sprintf(format, args...)}); !slices.Contains(o.alarms, a) {
		o.alarms = append(o.alarms, a)
	}
}

// A claim is a front that somebody wants.
type claim struct {
	owner *owned
	front *nat.Front
}

// before orders claims to one key: older first, those without a date last.
func before(a, b *claim) int {
	x, y := a.owner.created, b.owner.created
	if x.IsZero() != y.IsZero() {
		if x.IsZero() {
			return 1
		}
		return -1
	}
	return cmp.Or(x.Compare(y), cmp.Compare(a.owner.ref, b.owner.ref))
}

// NewTable returns a table without services.
func NewTable(w World) *Table {
	t := &Table{
		owners: map[string]*owned{}, slices: map[string]*Slice{}, slicesOf: map[string]map[string]bool{},
		claims: map[nat.FrontKey][]*claim{}, pods: map[netip.Addr]int{}, wants: map[netip.Addr]map[string]bool{},
		dirty: map[string]bool{}, current: new(nat.Services), own: true,
		nodes: map[string]*Node{}, direct: map[string]bool{},
	}
	t.SetWorld(w)
	return t
}

// SetWorld changes what services depend on.
func (t *Table) SetWorld(w World) {
	for _, a := range t.world.Pods {
		t.countPod(a, -1)
	}
	t.own = t.own || !slices.Equal(t.world.Own, w.Own)
	t.peersDue = true
	t.world = w
	for _, a := range w.Pods {
		t.countPod(a, 1)
	}
	for ref := range t.owners {
		t.dirty[ref] = true
	}
}

// AddPod says that an address is a pod's on this node, besides those of the
// World. Unlike SetWorld it has nothing looked at that the address does not
// concern.
func (t *Table) AddPod(a netip.Addr) { t.countPod(a, 1) }

// DropPod takes back what AddPod has said.
func (t *Table) DropPod(a netip.Addr) { t.countPod(a, -1) }

// countPod notes that one more or less says that an address is a pod's.
func (t *Table) countPod(a netip.Addr, by int) {
	had := t.pods[a] > 0
	if t.pods[a] += by; t.pods[a] <= 0 {
		delete(t.pods, a)
	}
	if had != (t.pods[a] > 0) {
		for ref := range t.wants[a] {
			t.dirty[ref] = true
		}
	}
}

// SetService adds a service, or replaces the one of that name.
func (t *Table) SetService(s *Service) {
	o := t.owner(s.Ref())
	t.want(o, false)
	o.service, o.created, o.place = s, s.Created, s.Place
	t.want(o, true)
}

// owner returns who claims under a name, and has it looked at by Commit.
func (t *Table) owner(ref string) *owned {
	t.dirty[ref] = true
	if t.owners[ref] == nil {
		t.owners[ref] = &owned{ref: ref}
	}
	return t.owners[ref]
}

// want notes, or forgets, the addresses that a service would have.
func (t *Table) want(o *owned, on bool) {
	if o.service == nil {
		return
	}
	for _, v := range o.service.vips() {
		if on {
			add(t.wants, v.addr, o.ref)
		} else {
			drop(t.wants, v.addr, o.ref)
		}
	}
}

func add[K comparable](to map[K]map[string]bool, k K, name string) {
	if to[k] == nil {
		to[k] = map[string]bool{}
	}
	to[k][name] = true
}

func drop[K comparable](from map[K]map[string]bool, k K, name string) {
	if delete(from[k], name); len(from[k]) == 0 {
		delete(from, k)
	}
}

// DeleteService removes the service "namespace/name", if it is there.
func (t *Table) DeleteService(ref string) {
	if o := t.owners[ref]; o != nil {
		t.want(o, false)
		o.service = nil
		t.dirty[ref] = true
	}
}

// SetSlice adds an EndpointSlice, or replaces the one of that name.
func (t *Table) SetSlice(s *Slice) {
	t.DeleteSlice(s.Ref())
	t.slices[s.Ref()] = s
	t.slice(s, 1)
	add(t.slicesOf, s.Namespace+"/"+s.Service, s.Ref())
}

// DeleteSlice removes the EndpointSlice "namespace/name", if it is there.
func (t *Table) DeleteSlice(ref string) {
	s := t.slices[ref]
	if s == nil {
		return
	}
	t.slice(s, -1)
	drop(t.slicesOf, s.Namespace+"/"+s.Service, ref)
	delete(t.slices, ref)
}

func (t *Table) slice(s *Slice, by int) {
	t.dirty[s.Namespace+"/"+s.Service] = true
	for _, e := range s.Endpoints {
		if e.Pod {
			t.countPod(e.Addr, by)
		}
	}
}

// SetHostPorts replaces the hostPorts of a pod; none removes them.
func (t *Table) SetHostPorts(pod string, ports []HostPort) {
	next := map[string]*HostPort{}
	for i := range ports {
		h := ports[i]
		h.Pod = pod
		next[fmt.Sprintf("hostPort %d/%d %v to %v of %s", h.Host, h.Proto, h.HostIP, h.Addr, pod)] = &h
	}
	for ref, o := range t.owners {
		if o.hostPort != nil && o.hostPort.Pod == pod && next[ref] == nil {
			o.hostPort = nil
			t.dirty[ref] = true
		}
	}
	for ref, h := range next {
		if o := t.owner(ref); o.hostPort == nil || *o.hostPort != *h {
			o.hostPort, o.created = h, h.Created
		}
	}
}

// Commit returns the services as they are now, and whether anything has changed
// that packets see.
func (t *Table) Commit() (next *nat.Services, changed bool, err error) {
	edit := t.current.Edit()
	if t.own {
		edit.Own(ownAddrs(t.world.Own))
		changed = true
	}
	touched := map[nat.FrontKey]bool{}
	for _, ref := range sorted(t.dirty) {
		if o := t.owners[ref]; o != nil {
			t.rebuild(o, touched)
		}
	}
	clear(t.dirty)
	t.own = false
	t.commitPeers()
	for k := range touched {
		var want *nat.Front
		if c := t.claims[k]; len(c) > 0 {
			want = c[0].front
		}
		is := t.exact(k)
		switch {
		case want == nil && is == nil, want != nil && is != nil && *want == *is:
			continue
		case want == nil:
			edit.Delete(k)
		default:
			if err := edit.Set(want); err != nil {
				return t.current, false, fmt.Errorf("service: %w", err)
			}
		}
		changed = true
	}
	if changed {
		t.current = edit.Done()
	}
	return t.current, changed, nil
}

func ownAddrs(addrs []netip.Addr) (out []hdr.Addr6) {
	for _, a := range addrs {
		out = append(out, addr6(a))
	}
	return out
}

// exact returns the front with a key that packets see now.
func (t *Table) exact(k nat.FrontKey) *nat.Front {
	if f := t.current.Find(&k); f != nil && f.Key == k {
		return f
	}
	return nil
}

// rebuild makes claims of what is wanted, and notes the keys that it concerns.
func (t *Table) rebuild(o *owned, touched map[nat.FrontKey]bool) {
	for _, c := range o.claims {
		k := c.front.Key
		touched[k] = true
		rest := slices.DeleteFunc(t.claims[k], func(d *claim) bool { return d.owner == o })
		if t.claims[k] = rest; len(rest) == 0 {
			delete(t.claims, k)
		}
	}
	o.claims, o.alarms = nil, nil
	t.setDirect(o)
	switch {
	case o.service != nil:
		o.claims = t.fronts(o)
	case o.hostPort != nil:
		if c := t.hostPort(o); c != nil {
			o.claims = []*claim{c}
		}
	default:
		delete(t.owners, o.ref)
	}
	used := map[*nat.Service]bool{}
	for _, c := range o.claims {
		used[c.front.Service] = true
	}
	maps.DeleteFunc(o.groups, func(_ group, s *nat.Service) bool { return !used[s] })
	for _, c := range o.claims {
		k := c.front.Key
		touched[k] = true
		t.claims[k] = append(t.claims[k], c)
		slices.SortFunc(t.claims[k], before)
	}
}

// Alarms returns all there are, in the order of what they are about.
func (t *Table) Alarms() (out []Alarm) {
	for _, ref := range sorted(t.owners) {
		o := t.owners[ref]
		out = append(out, o.alarms...)
		for _, c := range o.claims {
			if winner := t.claims[c.front.Key][0]; winner != c {
				k := c.front.Key
				out = append(out, Alarm{o.place, fmt.Sprintf("%s: %v %s is %s's, which is older: it is left out",
					o.ref, c.front.Kind, frontText(k), winner.owner.ref)})
			}
		}
	}
	return out
}

func frontText(k nat.FrontKey) string {
	proto := map[uint8]string{hdr.ProtoTCP: "TCP", hdr.ProtoUDP: "UDP", hdr.ProtoSCTP: "SCTP"}[k.Proto]
	if k.Addr == nat.AnyAddr(k.Addr) {
		return fmt.Sprintf("port %d/%s", k.Port, proto)
	}
	return fmt.Sprintf("%v/%s", netip.AddrPortFrom(k.Addr.Addr().Unmap(), k.Port), proto)
}

// HealthChecks returns what is to be answered on healthCheckNodePorts: for each
// port which service, and how many of its endpoints on this node are ready.
func (t *Table) HealthChecks() map[uint16]Check {
	out := map[uint16]Check{}
	for _, ref := range sorted(t.owners) {
		o := t.owners[ref]
		if o.service == nil || o.service.HealthPort == 0 || !o.service.ExternalLocal || o.service.Type != "LoadBalancer" {
			continue
		}
		if _, taken := out[o.service.HealthPort]; taken {
			continue // the API server gives each its own
		}
		ends := map[hdr.Addr6]bool{}
		for _, s := range o.groups {
			for _, b := range s.Local {
				ends[b.Addr] = true
			}
		}
		out[o.service.HealthPort] = Check{o.service.Namespace, o.service.Name, len(ends)}
	}
	return out
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
