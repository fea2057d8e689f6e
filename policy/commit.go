package policy

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/policy/resource"
)

// A policy is one that is in force, with the endpoints that it applies to.
type policy struct {
	*resource.Policy
	ref    resource.Ref
	serial uint64
	watch  *watch
}

// A profile is one that endpoints may have.
type profile struct {
	*resource.Profile
	name   string
	serial uint64
}

// defaultTierOrder is the order of the tier default (Calico, Tier v3), unless a
// Tier says otherwise.
const defaultTierOrder = 1_000_000

// Commit works out what has changed since the last Commit. The error says what
// could not be compiled: endpoints that need it keep the Programs they have, or
// if they are new, let nothing pass. All else is as the Change says, and the next
// Commit tries again.
func (e *Engine) Commit() (*Change, error) {
	fresh, gone := e.readResources()
	for k := range e.dirty.entities {
		e.refresh(k)
	}
	for _, p := range gone {
		e.retire(p)
	}
	for _, p := range fresh {
		e.enforce(p)
	}
	if e.dirty.all {
		for id := range e.endpoints {
			e.dirty.endpoints[id] = true
		}
	}
	todo := slices.Sorted(maps.Keys(e.dirty.endpoints))
	e.dirty = newDirt()
	c, err := e.recompile(todo)
	sets := e.sets.store.Commit()
	if sets != e.last {
		e.last, c.Verdicts = sets, true
	}
	c.Sets = sets
	err, e.sets.wrong = errors.Join(err, e.sets.wrong), nil
	if err != nil {
		return c, fmt.Errorf("policy: %w", err)
	}
	return c, nil
}

// recompile brings endpoints up to date. Old programs go only when all new ones
// are there, so that sets which both name stay.
func (e *Engine) recompile(todo []string) (*Change, error) {
	c := &Change{}
	var wrong []error
	var old []*program
	for _, id := range todo {
		before := e.endpoints[id]
		ent := e.localEntity(id)
		if ent == nil {
			if before != nil {
				old = append(old, before.programs[:]...)
				delete(e.endpoints, id)
				c.Removed, c.Verdicts = append(c.Removed, id), true
			}
			continue
		}
		after, err := e.local(ent, before)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", after.Name, err))
			e.dirty.endpoints[id] = true
		}
		if before != nil {
			old = append(old, before.programs[:]...)
		}
		e.endpoints[id] = after
		if before == nil || !before.same(after) {
			c.Updated = append(c.Updated, after.Endpoint)
			c.Verdicts = true
		} else {
			after.Endpoint = before.Endpoint
		}
	}
	for _, p := range old {
		e.release(p)
	}
	e.sweepSets()
	return c, errors.Join(wrong...)
}

// localEntity returns the entity of an endpoint of this node.
func (e *Engine) localEntity(id string) *entity {
	ent := e.entities[entityKey{workloadEntity, id}]
	if name, is := hostName(id); is {
		ent = e.entities[entityKey{hostEntity, name}]
	}
	if ent == nil || !ent.local {
		return nil
	}
	return ent
}

// readResources enters what has changed of the resources. Policies are left to
// the time when all entities are up to date.
func (e *Engine) readResources() (fresh, gone []*policy) {
	for ref := range e.dirty.resources {
		o, has := e.resources[ref]
		if k, is := keyOf(ref); is {
			e.dirty.entities[k] = true
			for id := range e.names[k.name] {
				if k.kind == podEntity {
					e.dirty.entities[entityKey{workloadEntity, id}] = true
				}
			}
			continue
		}
		switch ref.Kind {
		case "NetworkPolicy", "GlobalNetworkPolicy":
			if p := e.policies[ref]; p != nil {
				gone = append(gone, p)
				delete(e.policies, ref)
			}
			if has {
				e.serial++
				p := &policy{Policy: o.Spec.(*resource.Policy), ref: ref, serial: e.serial}
				e.policies[ref] = p
				fresh = append(fresh, p)
			}
		case "Namespace", "ServiceAccount":
			e.readLabels(ref)
		case "EndpointSlice":
			e.readSlice(ref, o)
		default:
			e.readCommon(ref, o, has)
		}
	}
	return fresh, gone
}

// readLabels has what inherits labels looked at again.
func (e *Engine) readLabels(ref resource.Ref) {
	namespace := ref.Namespace
	if ref.Kind == "Namespace" {
		namespace = ref.Name
	}
	for ent := range e.namespaces[namespace] {
		if ref.Kind == "Namespace" || ent.labels[resource.LabelServiceAccount] == ref.Name {
			e.dirty.entities[ent.key] = true
		}
	}
}

func (e *Engine) readSlice(ref resource.Ref, o owned) {
	if old := e.slices[ref]; old != nil {
		e.sets.serve(old, -1)
		delete(e.slices, ref)
	}
	if s, is := o.Spec.(*resource.EndpointSlice); is {
		e.sets.serve(s, 1)
		e.slices[ref] = s
	}
}

// readCommon enters what any endpoint may depend on.
func (e *Engine) readCommon(ref resource.Ref, o owned, has bool) {
	e.dirty.all = true
	if ref.Kind == "Tier" {
		delete(e.tiers, ref.Name)
		if has {
			e.tiers[ref.Name] = *o.Spec.(*resource.Tier)
		}
		return
	}
	delete(e.profiles, ref.Name)
	if has {
		e.serial++
		e.profiles[ref.Name] = &profile{Profile: o.Spec.(*resource.Profile), name: ref.Name, serial: e.serial}
	}
	for _, ent := range e.entities {
		if slices.Contains(ent.profiles, ref.Name) {
			e.dirty.entities[ent.key] = true
		}
	}
}

// enforce finds out what a policy applies to.
func (e *Engine) enforce(p *policy) {
	p.watch = e.watch(p.Applies)
	p.watch.policies[p] = true
	e.touchMatched(p.watch)
}

func (e *Engine) retire(p *policy) {
	e.touchMatched(p.watch)
	delete(p.watch.policies, p)
	e.unwatch(p.watch)
}

func (e *Engine) touchMatched(w *watch) {
	for ent := range w.matched {
		if ent.local {
			e.dirty.endpoints[ent.key.endpointID()] = true
		}
	}
}

// tier returns a tier by name.
func (e *Engine) tier(name string) resource.Tier {
	if t, has := e.tiers[name]; has {
		return t
	}
	t := resource.Tier{Order: math.Inf(1), Default: acl.Deny}
	if name == resource.DefaultTier {
		t.Order = defaultTierOrder
	}
	return t
}

// compareTiers orders tiers. Those that nobody has defined are asked last.
func (e *Engine) compareTiers(a, b string) int {
	missing := func(name string) int {
		if _, has := e.tiers[name]; has || name == resource.DefaultTier {
			return 0
		}
		return 1
	}
	return cmp.Or(missing(a)-missing(b), cmp.Compare(e.tier(a).Order, e.tier(b).Order), cmp.Compare(a, b))
}
