package fib

import "github.com/skein-dataplane/skein/hdr"

// An adjKey is what makes an adjacency that adjacency, whether or not its next
// hop's link address is known. Kind is Forward for Resolve too.
type adjKey[A Address] struct {
	kind  Kind
	iface uint32
	via   A
}

// An adjTable4 gives adjacencies their indices. An index stays with its key
// for as long as somebody holds it, across snapshots.
type adjTable[A Address] struct {
	cow[Adj]
	vias  cow[A] // of each adjacency
	index map[adjKey[A]]uint32
	keys  []adjKey[A]
	refs  []int
	idle  []uint32 // let go by the last holder since the last sweep
	free  []uint32
}

func newAdjTable[A Address]() adjTable[A] {
	t := adjTable[A]{index: map[adjKey[A]]uint32{}, keys: make([]adjKey[A], 1), refs: []int{1}}
	t.add() // index 0: no route
	return t
}

func (t *adjTable[A]) add() int {
	var none A
	t.vias.add(none)
	return t.cow.add(Adj{})
}

func (t *adjTable[A]) set(i int, a Adj, via A) {
	t.vias.set(i, via)
	t.cow.set(i, a)
}

// hold returns the index for k, to be given back with release.
func (t *adjTable[A]) hold(k adjKey[A]) (i uint32, isNew bool) {
	i, ok := t.index[k]
	if !ok {
		i = t.newIndex()
		t.index[k], t.keys[i] = i, k
	}
	t.refs[i]++
	return i, !ok
}

func (t *adjTable[A]) newIndex() uint32 {
	if n := len(t.free); n > 0 {
		i := t.free[n-1]
		t.free = t.free[:n-1]
		return i
	}
	t.keys, t.refs = append(t.keys, adjKey[A]{}), append(t.refs, 0)
	return uint32(t.add())
}

func (t *adjTable[A]) release(i uint32) {
	if t.refs[i]--; t.refs[i] == 0 {
		t.idle = append(t.idle, i)
	}
}

// sweep frees what nobody has held again since it was let go. It waits for the
// end of a commit, so that what goes and comes back keeps its index.
func (t *adjTable[A]) sweep() {
	for _, i := range t.idle {
		k := t.keys[i]
		if t.refs[i] != 0 || k == (adjKey[A]{}) {
			continue
		}
		delete(t.index, k)
		t.keys[i] = adjKey[A]{}
		var none A
		t.set(int(i), Adj{}, none)
		t.free = append(t.free, i)
	}
	t.idle = t.idle[:0]
}

// adjacency returns what k comes to, with the interfaces and neighbors as they
// are now.
func (r *RIB[A, T]) adjacency(k adjKey[A]) Adj {
	a := Adj{Kind: k.kind, Iface: k.iface, Via: r.family.via4(k.via)}
	ifc, ok := r.ifaces[k.iface]
	if !ok {
		return a
	}
	a.MTU = ifc.MTU
	if k.kind != Forward || ifc.PointToPoint {
		return a
	}
	n, ok := r.neighbors.get(k.iface, k.via)
	if !ok {
		a.Kind = Resolve
		return a
	}
	(*hdr.Ether)(a.Rewrite[:hdr.EtherLen]).Fill(n.mac, ifc.MAC, r.family.etherType)
	a.RewriteLen = hdr.EtherLen
	return a
}

// refresh works out again the adjacency for k, if there is one.
func (r *RIB[A, T]) refresh(k adjKey[A]) {
	if i, ok := r.adjs.index[k]; ok {
		r.adjs.set(int(i), r.adjacency(k), k.via)
	}
}

// refreshIface works out again all adjacencies on an interface.
func (r *RIB[A, T]) refreshIface(iface uint32) {
	for k, i := range r.adjs.index {
		if k.iface == iface {
			r.adjs.set(int(i), r.adjacency(k), k.via)
		}
	}
}
