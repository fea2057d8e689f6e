package policy

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/skein-dataplane/skein/policy/resource"
)

// An entity is what selectors can match: a workload, a Pod that is none, a
// network set or a host endpoint.
type entity struct {
	key     entityKey
	matched map[*watch]bool
	entityFields
}

// entityFields are what changes when the entity does.
type entityFields struct {
	namespace, name string
	labels          map[string]string // with all it inherits
	prefixes        []netip.Prefix
	ports           []resource.Port
	profiles        []string
	iface           string
	local, host     bool
}

type entityKind uint8

const (
	workloadEntity entityKind = iota
	podEntity
	netsEntity
	hostEntity
)

// An entityKey names an entity among those of its kind: by ID, by namespace and
// name, or by name.
type entityKey struct {
	kind entityKind
	name string
}

// endpointID returns the ID of the entity's Endpoint.
func (k entityKey) endpointID() string {
	if k.kind == hostEntity {
		return "host " + k.name
	}
	return k.name
}

func keyOf(r resource.Ref) (entityKey, bool) {
	name := r.Name
	if r.Namespace != "" {
		name = r.Namespace + "/" + r.Name
	}
	switch r.Kind {
	case "Pod":
		return entityKey{podEntity, name}, true
	case "NetworkSet", "GlobalNetworkSet":
		return entityKey{netsEntity, name}, true
	case "HostEndpoint":
		return entityKey{hostEntity, name}, true
	}
	return entityKey{}, false
}

func (e *Engine) resource(group, kind, namespace, name string) (owned, bool) {
	o, has := e.resources[resource.Ref{Group: group, Kind: kind, Namespace: namespace, Name: name}]
	return o, has
}

// build returns what an entity is now, and whether it is there at all: nothing
// if it is not, so that no index keeps it.
func (e *Engine) build(k entityKey) (f entityFields, ok bool) {
	namespace, name, _ := strings.Cut(k.name, "/")
	switch k.kind {
	case workloadEntity:
		w, has := e.workloads[k.name]
		if !has {
			return f, false
		}
		return e.buildWorkload(w), true
	case podEntity:
		o, has := e.resource(resource.Core, "Pod", namespace, name)
		if !has || len(e.names[k.name]) > 0 {
			return f, false
		}
		p := o.Spec.(*resource.Pod)
		return e.buildWorkload(Workload{Namespace: namespace, Name: name, Labels: o.Labels,
			ServiceAccount: p.ServiceAccount, Addrs: p.Addrs, Ports: p.Ports}), true
	case netsEntity:
		return e.buildNets(k.name)
	}
	return e.buildHost(k.name)
}

func (e *Engine) buildWorkload(w Workload) (f entityFields) {
	if o, has := e.resource(resource.Core, "Pod", w.Namespace, w.Name); has {
		p := o.Spec.(*resource.Pod)
		w.Labels, w.ServiceAccount, w.Ports = o.Labels, p.ServiceAccount, p.Ports
	}
	if w.ServiceAccount == "" {
		w.ServiceAccount = "default"
	}
	f = entityFields{namespace: w.Namespace, name: w.Name, prefixes: resource.Prefixes(w.Addrs), ports: w.Ports,
		profiles: w.Profiles, iface: w.Interface, local: w.Local}
	if f.profiles == nil {
		f.profiles = []string{"kns." + w.Namespace, "ksa." + w.Namespace + "." + w.ServiceAccount}
	}
	f.labels = e.inherited(f.profiles)
	e.ofNamespace(f.labels, w.Namespace)
	e.ofAccount(f.labels, w.Namespace, w.ServiceAccount)
	maps.Copy(f.labels, w.Labels)
	f.labels[resource.LabelNamespace] = w.Namespace
	f.labels[resource.LabelOrchestrator] = resource.Orchestrator
	f.labels[resource.LabelServiceAccount] = w.ServiceAccount
	return f
}

func (e *Engine) buildNets(name string) (f entityFields, ok bool) {
	kind := "GlobalNetworkSet"
	namespace, own, namespaced := strings.Cut(name, "/")
	if namespaced {
		kind = "NetworkSet"
	} else {
		namespace, own = "", name
	}
	o, has := e.resource(resource.Calico, kind, namespace, own)
	if !has {
		return f, false
	}
	f = entityFields{namespace: namespace, name: own, prefixes: o.Spec.(*resource.NetworkSet).Nets, labels: map[string]string{}}
	if namespaced {
		e.ofNamespace(f.labels, namespace)
	}
	maps.Copy(f.labels, o.Labels)
	if namespaced {
		f.labels[resource.LabelNamespace] = namespace
	}
	return f, true
}

func (e *Engine) buildHost(name string) (f entityFields, ok bool) {
	o, has := e.resource(resource.Calico, "HostEndpoint", "", name)
	if !has {
		return f, false
	}
	h := o.Spec.(*resource.HostEndpoint)
	f = entityFields{name: name, prefixes: resource.Prefixes(h.IPs), ports: h.Ports, profiles: h.Profiles,
		iface: h.Interface, local: h.Node == e.options.Node, host: true}
	f.labels = e.inherited(h.Profiles)
	maps.Copy(f.labels, o.Labels)
	return f, true
}

// inherited returns the labels of profiles.
func (e *Engine) inherited(profiles []string) map[string]string {
	labels := map[string]string{}
	for _, name := range profiles {
		if o, has := e.resource(resource.Calico, "Profile", "", name); has {
			maps.Copy(labels, o.Spec.(*resource.Profile).Labels)
		}
	}
	return labels
}

// ofNamespace adds the labels of a namespace. Kubernetes labels each with its
// name.
func (e *Engine) ofNamespace(labels map[string]string, namespace string) {
	labels[resource.NamespacePrefix+"kubernetes.io/metadata.name"] = namespace
	o, _ := e.resource(resource.Core, "Namespace", "", namespace)
	for k, v := range o.Labels {
		labels[resource.NamespacePrefix+k] = v
	}
	labels[resource.NamespacePrefix+"projectcalico.org/name"] = namespace
}

func (e *Engine) ofAccount(labels map[string]string, namespace, account string) {
	o, _ := e.resource(resource.Core, "ServiceAccount", namespace, account)
	for k, v := range o.Labels {
		labels[resource.AccountPrefix+k] = v
	}
	labels[resource.AccountPrefix+"projectcalico.org/name"] = account
}

// refresh brings an entity up to date, with the sets it is in, and marks its
// endpoint if that may have other rules now.
func (e *Engine) refresh(k entityKey) {
	now, exists := e.build(k)
	ent := e.entities[k]
	if ent == nil {
		if !exists {
			return
		}
		ent = &entity{key: k, matched: map[*watch]bool{}}
		e.entities[k] = ent
	}
	old := ent.entityFields
	after := map[*watch]bool{}
	if exists {
		after = e.matches(now.labels)
	}
	e.rejoin(ent, now, after)
	e.addrs.move(ent, old.prefixes, now.prefixes)
	e.relabel(ent, now.labels)
	if old.namespace != now.namespace || !exists {
		drop(e.namespaces, old.namespace, ent)
	}
	ent.entityFields = now
	if old.local || now.local {
		e.dirty.endpoints[k.endpointID()] = true
	}
	if !exists {
		delete(e.entities, k)
		return
	}
	put(e.namespaces, now.namespace, ent)
}

// rejoin moves an entity from the sets that it was in to those it is in now.
func (e *Engine) rejoin(ent *entity, now entityFields, after map[*watch]bool) {
	moved := !slices.Equal(ent.prefixes, now.prefixes)
	for w := range after {
		if moved || !ent.matched[w] {
			e.sets.join(w.set, now.prefixes)
		}
		w.matched[ent] = true
	}
	for w := range ent.matched {
		if moved || !after[w] {
			e.sets.leave(w.set, ent.prefixes)
		}
		if !after[w] {
			delete(w.matched, ent)
		}
	}
	ent.matched = after
	if moved || !slices.Equal(ent.ports, now.ports) {
		e.sets.joinPorts(now)
		e.sets.leavePorts(ent.entityFields)
	}
}
