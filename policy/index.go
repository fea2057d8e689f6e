package policy

import (
	"github.com/skein-dataplane/skein/policy/selector"
)

// An index knows which entities which selectors match. An entity is compared
// with those selectors that are satisfied by one of its labels only, and a
// selector with the entities that have one of the labels it needs.
type index struct {
	entities   map[entityKey]*entity
	namespaces map[string]map[*entity]bool
	labels     map[selector.Pair]map[*entity]bool
	addrs      addrTable

	selectors map[string]*watch
	anchored  map[selector.Pair]map[*watch]bool
	floating  map[*watch]bool // those that need no label
}

// A watch is a selector that somebody uses, with what it matches.
type watch struct {
	*selector.Selector
	anchors  []selector.Pair
	floats   bool
	matched  map[*entity]bool
	policies map[*policy]bool // that apply to what it matches
	set      *liveSet         // of what it matches, if rules name it
	uses     int
}

func newIndex() index {
	return index{
		entities: map[entityKey]*entity{}, namespaces: map[string]map[*entity]bool{},
		labels: map[selector.Pair]map[*entity]bool{}, addrs: addrTable{},
		selectors: map[string]*watch{}, anchored: map[selector.Pair]map[*watch]bool{}, floating: map[*watch]bool{},
	}
}

// put adds v to the set at key k.
func put[K, V comparable](m map[K]map[V]bool, k K, v V) {
	if m[k] == nil {
		m[k] = map[V]bool{}
	}
	m[k][v] = true
}

// drop removes v from the set at key k.
func drop[K, V comparable](m map[K]map[V]bool, k K, v V) {
	if delete(m[k], v); len(m[k]) == 0 {
		delete(m, k)
	}
}

// watch returns the watch for a selector, for one more use.
func (x *index) watch(s *selector.Selector) *watch {
	if w := x.selectors[s.String()]; w != nil {
		w.uses++
		return w
	}
	w := &watch{Selector: s, matched: map[*entity]bool{}, policies: map[*policy]bool{}, uses: 1}
	x.selectors[s.String()] = w
	anchors, ok := s.Anchors(func(p selector.Pair) int { return len(x.labels[p]) })
	w.anchors, w.floats = anchors, !ok
	if w.floats {
		x.floating[w] = true
		for _, e := range x.entities {
			w.consider(e)
		}
		return w
	}
	for _, p := range anchors {
		put(x.anchored, p, w)
		for e := range x.labels[p] {
			w.consider(e)
		}
	}
	return w
}

// unwatch ends one use of a watch.
func (x *index) unwatch(w *watch) {
	if w.uses--; w.uses > 0 {
		return
	}
	delete(x.selectors, w.String())
	delete(x.floating, w)
	for _, p := range w.anchors {
		drop(x.anchored, p, w)
	}
	for e := range w.matched {
		delete(e.matched, w)
	}
}

func (w *watch) consider(e *entity) {
	if w.Match(e.labels) {
		w.matched[e], e.matched[w] = true, true
	}
}

// matches returns the watches that match labels.
func (x *index) matches(labels map[string]string) map[*watch]bool {
	found := map[*watch]bool{}
	for k, v := range labels {
		for w := range x.anchored[selector.Pair{Key: k, Value: v}] {
			if w.Match(labels) {
				found[w] = true
			}
		}
	}
	for w := range x.floating {
		if w.Match(labels) {
			found[w] = true
		}
	}
	return found
}

// relabel enters an entity's labels in place of those it had.
func (x *index) relabel(e *entity, labels map[string]string) {
	for k, v := range e.labels {
		if now, has := labels[k]; !has || now != v {
			drop(x.labels, selector.Pair{Key: k, Value: v}, e)
		}
	}
	for k, v := range labels {
		if old, has := e.labels[k]; !has || old != v {
			put(x.labels, selector.Pair{Key: k, Value: v}, e)
		}
	}
	e.labels = labels
}
