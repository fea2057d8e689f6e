package fib

import (
	"cmp"
	"slices"
)

// A wayID tells routes to one prefix apart, and orders them.
type wayID struct {
	source Source
	metric uint32
}

func (a wayID) compare(b wayID) int {
	return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.metric, b.metric))
}

// A way is a route without its prefix. A million routes have few ways between
// them, so that a route takes four bytes beside its place in the index.
type way struct {
	wayID
	list uint32
}

// ways interns ways. Way 0 is none, as is path list 0.
type ways[A Address] struct {
	all   []way
	where []where[A] // the prefixes of each way
	index map[way]uint32
	free  []uint32

	many     [][]uint32 // ways of one prefix, best first
	freeMany []uint32
	scratch  []uint32
	one      [1]uint32
}

// listRefs counts the ways that lead to a path list.
type listRefs interface {
	hold(list uint32)
	release(list uint32)
}

// isSeveral marks a value of the route index that is an index into many.
const isSeveral = 1 << 31

func newWays[A Address]() ways[A] {
	return ways[A]{all: make([]way, 1), where: make([]where[A], 1), index: map[way]uint32{}}
}

// of returns the ways that v stands for, best first, until the next call.
func (w *ways[A]) of(v uint32) []uint32 {
	switch {
	case v == 0:
		return nil
	case v >= isSeveral:
		return w.many[v&^isSeveral]
	}
	w.one[0] = v
	return w.one[:]
}

// with returns v, which is of prefix p, with list in the place of what the route
// id had, and without the route if list is 0, and whether anything is different
// now.
func (w *ways[A]) with(v uint32, p prefix[A], r listRefs, id wayID, list uint32) (is uint32, changed bool) {
	now := append(w.scratch[:0], w.of(v)...)
	i, found := slices.BinarySearchFunc(now, id, func(x uint32, id wayID) int { return w.all[x].compare(id) })
	switch {
	case found && w.all[now[i]].list == list, !found && list == 0:
		return v, false
	case !found:
		now = slices.Insert(now, i, w.hold(r, way{id, list}, p))
	case list == 0:
		w.release(r, now[i], p)
		now = slices.Delete(now, i, i+1)
	default:
		was := now[i]
		now[i] = w.hold(r, way{id, list}, p)
		w.release(r, was, p)
	}
	w.scratch = now
	return w.pack(v, now), true
}

// pack returns what stands for the ways now, which replace those of was.
func (w *ways[A]) pack(was uint32, now []uint32) uint32 {
	if was >= isSeveral {
		w.many[was&^isSeveral] = nil
		w.freeMany = append(w.freeMany, was&^isSeveral)
	}
	switch len(now) {
	case 0:
		return 0
	case 1:
		return now[0]
	}
	var i uint32
	if n := len(w.freeMany); n > 0 {
		i = w.freeMany[n-1]
		w.freeMany = w.freeMany[:n-1]
	} else {
		i = uint32(len(w.many))
		w.many = append(w.many, nil)
	}
	w.many[i] = slices.Clone(now)
	return i | isSeveral
}

func (w *ways[A]) hold(r listRefs, x way, p prefix[A]) uint32 {
	i, ok := w.index[x]
	if !ok {
		i = w.newIndex()
		w.all[i] = x
		w.index[x] = i
		r.hold(x.list)
	}
	w.where[i].add(p)
	return i
}

func (w *ways[A]) newIndex() uint32 {
	if n := len(w.free); n > 0 {
		i := w.free[n-1]
		w.free = w.free[:n-1]
		return i
	}
	w.all, w.where = append(w.all, way{}), append(w.where, where[A]{})
	return uint32(len(w.all) - 1)
}

func (w *ways[A]) release(r listRefs, i uint32, p prefix[A]) {
	if w.where[i].remove(p); w.where[i].n > 0 {
		return
	}
	r.release(w.all[i].list)
	delete(w.index, w.all[i])
	w.all[i], w.where[i] = way{}, where[A]{}
	w.free = append(w.free, i)
}
