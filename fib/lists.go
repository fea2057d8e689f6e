package fib

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
)

// A path is a NextHop as the RIB has it.
type path[A Address] struct {
	iface  uint32 // NoIface: recursive
	via    A      // zero: none
	weight uint8
}

func (p path[A]) recursive() bool { return p.iface == NoIface }

// A pathList is what routes share that go the same way: their type and next
// hops. Its index is what leaves of the trie hold.
type pathList[A Address] struct {
	key   string
	typ   Type
	paths []path[A]
	refs  int // ways that lead here

	// Whether routes that go this way are in the table at all. A list with a
	// recursive path is always alive.
	alive bool
	// What the list comes to, each adjacency held. None if it is not alive.
	hops []hop
}

// A hop is one adjacency that a path list comes to, and its share of the flows.
type hop struct {
	adj   uint32
	share float64
}

// A target is a hop before it has an index.
type target[A Address] struct {
	key   adjKey[A]
	share float64
}

// lists interns path lists.
type lists[A Address] struct {
	all   []pathList[A]
	index map[string]uint32
	free  []uint32
	idle  []uint32 // without a way since the last sweep
	stale []uint32 // to be worked out again

	out       cow[bundle]
	buckets   cow[uint32]
	freeRange [7][]uint32 // starts of unused ranges of 1<<i buckets
}

func newLists[A Address]() lists[A] {
	l := lists[A]{all: make([]pathList[A], 1), index: map[string]uint32{}}
	l.out.add(bundle{}) // index 0: no route
	return l
}

// listKey packs what identifies a path list into key.
func (f *family[A]) listKey(key []byte, typ Type, paths []path[A]) []byte {
	key = append(key, byte(typ))
	for _, p := range paths {
		key = binary.BigEndian.AppendUint32(key, p.iface)
		key = f.put(key, p.via)
		key = append(key, p.weight)
	}
	return key
}

// intern returns the index of the path list, a new one if need be.
func (r *RIB[A, T]) intern(typ Type, paths []path[A]) uint32 {
	l := &r.lists
	var scratch [1 + (4+16+1)*MaxNextHops]byte
	key := r.family.listKey(scratch[:0], typ, paths)
	if i, ok := l.index[string(key)]; ok {
		return i
	}
	var i uint32
	if n := len(l.free); n > 0 {
		i = l.free[n-1]
		l.free = l.free[:n-1]
	} else {
		l.all = append(l.all, pathList[A]{})
		i = uint32(l.out.add(bundle{}))
	}
	list := pathList[A]{key: string(key), typ: typ, paths: slices.Clone(paths)}
	list.alive = r.alive(&list)
	l.all[i] = list
	l.index[list.key] = i
	l.stale = append(l.stale, i)
	l.idle = append(l.idle, i) // should nobody come to use it
	r.trackVias(paths, 1)
	return i
}

func (l *lists[A]) hold(i uint32) { l.all[i].refs++ }

func (l *lists[A]) release(i uint32) {
	if l.all[i].refs--; l.all[i].refs == 0 {
		l.idle = append(l.idle, i)
	}
}

// sweepLists frees path lists that no route uses.
func (r *RIB[A, T]) sweepLists() {
	l := &r.lists
	for _, i := range l.idle {
		list := &l.all[i]
		if list.refs != 0 || list.key == "" {
			continue
		}
		delete(l.index, list.key)
		r.trackVias(list.paths, -1)
		r.install(i, nil)
		l.all[i] = pathList[A]{}
		l.free = append(l.free, i)
	}
	l.idle = l.idle[:0]
}

// alive reports whether routes with this path list belong in the table.
func (r *RIB[A, T]) alive(l *pathList[A]) bool {
	if l.typ != TypeUnicast {
		return true
	}
	return slices.ContainsFunc(l.paths, func(p path[A]) bool {
		return p.recursive() || r.ifaces[p.iface].Up
	})
}

// attached returns where a path onto a link leads; false if the link is down.
func (r *RIB[A, T]) attached(p path[A]) (adjKey[A], bool) {
	var none A
	ifc := r.ifaces[p.iface]
	switch {
	case !ifc.Up:
		return adjKey[A]{}, false
	case ifc.PointToPoint:
		return adjKey[A]{kind: Forward, iface: p.iface}, true
	case p.via == none:
		return adjKey[A]{kind: Glean, iface: p.iface}, true
	}
	return adjKey[A]{Forward, p.iface, p.via}, true
}

// directTargets appends what the list comes to without recursion.
func (r *RIB[A, T]) directTargets(into []target[A], l *pathList[A]) []target[A] {
	if l.typ != TypeUnicast {
		k := adjKey[A]{kind: typeKinds[l.typ]}
		if len(l.paths) > 0 {
			k.iface = l.paths[0].iface
		}
		return append(into, target[A]{k, 1})
	}
	for _, p := range l.paths {
		if p.recursive() {
			continue
		}
		if k, ok := r.attached(p); ok {
			into = append(into, target[A]{k, float64(p.weight)})
		}
	}
	return into
}

// mergeTargets brings targets into their one order, each key once, and no more
// than MaxNextHops of them: those with the largest shares.
func (f *family[A]) mergeTargets(t []target[A]) []target[A] {
	byKey := func(a, b target[A]) int { return f.compareKeys(a.key, b.key) }
	slices.SortFunc(t, byKey)
	out := t[:0]
	for _, x := range t {
		if n := len(out); n > 0 && out[n-1].key == x.key {
			out[n-1].share += x.share
		} else {
			out = append(out, x)
		}
	}
	if len(out) > MaxNextHops {
		slices.SortStableFunc(out, func(a, b target[A]) int { return cmp.Compare(b.share, a.share) })
		out = out[:MaxNextHops]
		slices.SortFunc(out, byKey)
	}
	return out
}

func (f *family[A]) compareKeys(a, b adjKey[A]) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.iface, b.iface), f.compare(a.via, b.via))
}

// install makes list i lead to targets, which are merged.
func (r *RIB[A, T]) install(i uint32, targets []target[A]) {
	list := &r.lists.all[i]
	if r.leadsTo(list.hops, targets) {
		return
	}
	hops := make([]hop, len(targets))
	for j, t := range targets {
		adj, isNew := r.adjs.hold(t.key)
		if isNew {
			r.adjs.set(int(adj), r.adjacency(t.key), t.key.via)
		}
		hops[j] = hop{adj, t.share}
	}
	for _, h := range list.hops {
		r.adjs.release(h.adj)
	}
	list.hops = hops
	r.lists.writeOut(i, hops)
}

func (r *RIB[A, T]) leadsTo(hops []hop, targets []target[A]) bool {
	return slices.EqualFunc(hops, targets, func(h hop, t target[A]) bool {
		return r.adjs.keys[h.adj] == t.key && h.share == t.share
	})
}

// writeOut writes what lookups read of list i.
func (l *lists[A]) writeOut(i uint32, hops []hop) {
	if was := l.out.v[i]; was.mask != 0 {
		class := bits.Len32(was.mask)
		l.freeRange[class] = append(l.freeRange[class], was.first)
	}
	switch len(hops) {
	case 0:
		l.out.set(int(i), bundle{})
	case 1:
		l.out.set(int(i), bundle{first: hops[0].adj})
	default:
		counts := spread(hops)
		first := l.newRange(counts.size)
		at := first
		for j, h := range hops {
			for range counts.n[j] {
				l.buckets.set(int(at), h.adj)
				at++
			}
		}
		l.out.set(int(i), bundle{first, counts.size - 1})
	}
}

func (l *lists[A]) newRange(size uint32) uint32 {
	class := bits.Len32(size - 1)
	if n := len(l.freeRange[class]); n > 0 {
		first := l.freeRange[class][n-1]
		l.freeRange[class] = l.freeRange[class][:n-1]
		return first
	}
	first := uint32(len(l.buckets.v))
	for range size {
		l.buckets.add(0)
	}
	return first
}
