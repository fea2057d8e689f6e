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
type ways struct {
	all   []way
	refs  []int
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

func newWays() ways {
	return ways{all: make([]way, 1), refs: make([]int, 1), index: map[way]uint32{}}
}

// of returns the ways that v stands for, best first, until the next call.
func (w *ways) of(v uint32) []uint32 {
	switch {
	case v == 0:
		return nil
	case v >= isSeveral:
		return w.many[v&^isSeveral]
	}
	w.one[0] = v
	return w.one[:]
}

// with returns v with list in the place of what the route id had, and without
// the route if list is 0, and whether anything is different now.
func (w *ways) with(v uint32, r listRefs, id wayID, list uint32) (is uint32, changed bool) {
	now := append(w.scratch[:0], w.of(v)...)
	i, found := slices.BinarySearchFunc(now, id, func(x uint32, id wayID) int { return w.all[x].compare(id) })
	switch {
	case found && w.all[now[i]].list == list, !found && list == 0:
		return v, false
	case !found:
		now = slices.Insert(now, i, w.hold(r, way{id, list}))
	case list == 0:
		w.release(r, now[i])
		now = slices.Delete(now, i, i+1)
	default:
		was := now[i]
		now[i] = w.hold(r, way{id, list})
		w.release(r, was)
	}
	w.scratch = now
	return w.pack(v, now), true
}

// pack returns what stands for the ways now, which replace those of was.
func (w *ways) pack(was uint32, now []uint32) uint32 {
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

func (w *ways) hold(r listRefs, x way) uint32 {
	i, ok := w.index[x]
	if !ok {
		i = w.newIndex()
		w.all[i] = x
		w.index[x] = i
		r.hold(x.list)
	}
	w.refs[i]++
	return i
}

func (w *ways) newIndex() uint32 {
	if n := len(w.free); n > 0 {
		i := w.free[n-1]
		w.free = w.free[:n-1]
		return i
	}
	w.all, w.refs = append(w.all, way{}), append(w.refs, 0)
	return uint32(len(w.all) - 1)
}

func (w *ways) release(r listRefs, i uint32) {
	if w.refs[i]--; w.refs[i] > 0 {
		return
	}
	r.release(w.all[i].list)
	delete(w.index, w.all[i])
	w.all[i] = way{}
	w.free = append(w.free, i)
}
