package policy

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/policy/resource"
)

// ErrConflict is the error of what contradicts something that is there.
var ErrConflict = errors.New("conflict")

// Options are what an Engine has to know of its node.
type Options struct {
	Node string // whose HostEndpoints are this node's

	// What passes at host endpoints whatever policy says. nil stands for
	// Calico's lists (FailsafeIn, FailsafeOut), an empty list for nothing.
	FailsafeIn, FailsafeOut []Failsafe
}

// An Engine knows all resources and workloads. What it is told counts from the
// next Commit on. It is not for several goroutines at once.
type Engine struct {
	options   Options
	resources map[resource.Ref]owned
	workloads map[string]Workload        // by ID
	names     map[string]map[string]bool // namespace/name: IDs of workloads
	ifaces    map[string]string          // of this node: ID of the workload

	// As of the last Commit.
	index
	sets      setTable
	programs  map[string]*program // by what they are made of
	endpoints map[string]*local   // by ID
	tiers     map[string]resource.Tier
	policies  map[resource.Ref]*policy
	profiles  map[string]*profile
	slices    map[resource.Ref]*resource.EndpointSlice
	last      *acl.Sets
	serial    uint64 // of the newest policy or profile; none is used twice

	dirty dirt
}

// An owned resource belongs to who asked for it.
type owned struct {
	resource.Resource
	source string
}

// dirt is what the next Commit has to look at.
type dirt struct {
	resources map[resource.Ref]bool
	entities  map[entityKey]bool
	endpoints map[string]bool
	all       bool // all endpoints
}

func newDirt() dirt {
	return dirt{resources: map[resource.Ref]bool{}, entities: map[entityKey]bool{}, endpoints: map[string]bool{}}
}

// New returns an Engine that knows nothing yet.
func New(o Options) *Engine {
	if o.FailsafeIn == nil {
		o.FailsafeIn = FailsafeIn()
	}
	if o.FailsafeOut == nil {
		o.FailsafeOut = FailsafeOut()
	}
	return &Engine{
		options: o, resources: map[resource.Ref]owned{}, workloads: map[string]Workload{}, names: map[string]map[string]bool{}, ifaces: map[string]string{},
		index: newIndex(), sets: newSetTable(), programs: map[string]*program{}, endpoints: map[string]*local{},
		tiers: map[string]resource.Tier{}, policies: map[resource.Ref]*policy{}, profiles: map[string]*profile{},
		slices: map[resource.Ref]*resource.EndpointSlice{},
		dirty:  newDirt(),
	}
}

// Upsert adds resources, or puts them in the place of those of the same name.
// source says whose they are, such as a file's name or "kubernetes". On error,
// which wraps ErrConflict, nothing changes.
func (e *Engine) Upsert(source string, all ...resource.Resource) error {
	return e.update(source, nil, all)
}

// Replace makes these the resources of a source: those that it had besides are
// removed. On error, which wraps ErrConflict or resource.ErrInvalid, nothing
// changes.
func (e *Engine) Replace(source string, all ...resource.Resource) error {
	if err := resource.Duplicates(all); err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	gone := map[resource.Ref]bool{}
	for ref, o := range e.resources {
		if o.source == source {
			gone[ref] = true
		}
	}
	for _, r := range all {
		delete(gone, r.Ref)
	}
	return e.update(source, gone, all)
}

// Delete removes a resource. One that is not there, or is another source's,
// changes nothing.
func (e *Engine) Delete(source string, ref resource.Ref) {
	if o, has := e.resources[ref]; has && o.source == source {
		delete(e.resources, ref)
		e.dirty.resources[ref] = true
	}
}

// update removes resources of a source and adds others, or does nothing.
func (e *Engine) update(source string, gone map[resource.Ref]bool, all []resource.Resource) error {
	for _, r := range all {
		if o, has := e.resources[r.Ref]; has && o.source != source {
			return fmt.Errorf("policy: %v: from %s: %s has one already: %w", r.Ref, source, o.source, ErrConflict)
		}
	}
	if err := e.hostsConflict(gone, all); err != nil {
		return err
	}
	for ref := range gone {
		delete(e.resources, ref)
		e.dirty.resources[ref] = true
	}
	for _, r := range all {
		if o, has := e.resources[r.Ref]; !has || !same(o.Resource, r) {
			e.dirty.resources[r.Ref] = true
		}
		e.resources[r.Ref] = owned{r, source}
	}
	return nil
}

// same reports whether two resources mean the same.
func same(a, b resource.Resource) bool {
	return maps.Equal(a.Labels, b.Labels) && reflect.DeepEqual(a.Spec, b.Spec)
}

// hostsConflict refuses a second host endpoint for an interface of a node.
func (e *Engine) hostsConflict(gone map[resource.Ref]bool, all []resource.Resource) error {
	type place struct{ node, iface string }
	taken := map[place]resource.Ref{}
	for _, r := range all {
		h, is := r.Spec.(*resource.HostEndpoint)
		if !is || h.Interface == "" {
			continue
		}
		if len(taken) == 0 {
			for ref, o := range e.resources {
				if h, is := o.Spec.(*resource.HostEndpoint); is && !gone[ref] {
					taken[place{h.Node, h.Interface}] = ref
				}
			}
		}
		at := place{h.Node, h.Interface}
		if other, has := taken[at]; has && other != r.Ref {
			return fmt.Errorf("policy: HostEndpoint %s: interface %s of node %s has HostEndpoint %s already: %w",
				r.Name, h.Interface, h.Node, other.Name, ErrConflict)
		}
		taken[at] = r.Ref
	}
	return nil
}

// SetWorkload adds a workload, or changes the one of this ID. If there is a
// resource.Pod of its name, labels, service account and ports are the Pod's. On
// error, which wraps ErrConflict or resource.ErrInvalid, nothing changes.
func (e *Engine) SetWorkload(w Workload) error {
	if _, host := hostName(w.ID); host || w.ID == "" || w.Name == "" || w.Local && w.Interface == "" {
		return fmt.Errorf("policy: workload %q (%s/%s): it needs an ID that is no host endpoint's, a name and, on this node, an interface: %w",
			w.ID, w.Namespace, w.Name, resource.ErrInvalid)
	}
	if other := e.atInterface(w); other != "" {
		return fmt.Errorf("policy: workload %s: interface %s has workload %s already: %w", w.ID, w.Interface, other, ErrConflict)
	}
	for _, a := range w.Addrs {
		if !a.IsValid() || a.Is4In6() || a.Zone() != "" {
			return fmt.Errorf("policy: workload %s: address %v: %w", w.ID, a, resource.ErrInvalid)
		}
	}
	for _, p := range w.Ports {
		if p.Name == "" || !resource.HasPorts(p.Proto) {
			return fmt.Errorf("policy: workload %s: port %+v: it needs a name, and a protocol with ports: %w", w.ID, p, resource.ErrInvalid)
		}
	}
	e.RemoveWorkload(w.ID)
	e.workloads[w.ID] = w.clone()
	put(e.names, w.Namespace+"/"+w.Name, w.ID)
	if w.Local {
		e.ifaces[w.Interface] = w.ID
	}
	e.touchWorkload(w)
	return nil
}

// RemoveWorkload removes a workload. One that is not there changes nothing.
func (e *Engine) RemoveWorkload(id string) {
	if w, has := e.workloads[id]; has {
		delete(e.workloads, id)
		drop(e.names, w.Namespace+"/"+w.Name, id)
		if w.Local {
			delete(e.ifaces, w.Interface)
		}
		e.touchWorkload(w)
	}
}

// atInterface returns the ID of another workload at the interface of w.
func (e *Engine) atInterface(w Workload) string {
	if id := e.ifaces[w.Interface]; w.Local && id != w.ID {
		return id
	}
	return ""
}

func (w Workload) clone() Workload {
	w.Labels, w.Addrs, w.Ports = maps.Clone(w.Labels), slices.Clone(w.Addrs), slices.Clone(w.Ports)
	w.Profiles = slices.Clone(w.Profiles)
	return w
}

// touchWorkload has the workload looked at, and the Pod of its name.
func (e *Engine) touchWorkload(w Workload) {
	e.dirty.entities[entityKey{workloadEntity, w.ID}] = true
	e.dirty.entities[entityKey{podEntity, w.Namespace + "/" + w.Name}] = true
}

// Endpoints returns the endpoints of this node as of the last Commit, by ID.
func (e *Engine) Endpoints() (out []*Endpoint) {
	for _, id := range slices.Sorted(maps.Keys(e.endpoints)) {
		out = append(out, e.endpoints[id].Endpoint)
	}
	return out
}
