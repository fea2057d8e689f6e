package fib

import "github.com/skein-dataplane/skein/hdr"

// An adjKey is what makes an adjacency that adjacency, whether or not its next
// hop's link address is known. Kind is Forward for Resolve too.
type adjKey struct {
	kind  Kind
	iface uint32
	via   hdr.Addr4
}

// An adjTable4 gives adjacencies their indices. An index stays with its key
// for as long as somebody holds it, across snapshots.
type adjTable4 struct {
	cow[Adj]
	index map[adjKey]uint32
	keys  []adjKey
	refs  []int
	idle  []uint32 // let go by the last holder since the last sweep
	free  []uint32
}

func newAdjTable4() adjTable4 {
	t := adjTable4{index: map[adjKey]uint32{}, keys: make([]adjKey, 1), refs: []int{1}}
	t.add(Adj{}) // index 0: no route
	return t
}

// hold returns the index for k, to be given back with release.
func (t *adjTable4) hold(k adjKey) (i uint32, isNew bool) {
	i, ok := t.index[k]
	if !ok {
		i = t.newIndex()
		t.index[k], t.keys[i] = i, k
	}
	t.refs[i]++
	return i, !ok
}

func (t *adjTable4) newIndex() uint32 {
	if n := len(t.free); n > 0 {
		i := t.free[n-1]
		t.free = t.free[:n-1]
		return i
	}
	t.keys, t.refs = append(t.keys, adjKey{}), append(t.refs, 0)
	return uint32(t.add(Adj{}))
}

func (t *adjTable4) release(i uint32) {
	if t.refs[i]--; t.refs[i] == 0 {
		t.idle = append(t.idle, i)
	}
}

// sweep frees what nobody has held again since it was let go. It waits for the
// end of a commit, so that what goes and comes back keeps its index.
func (t *adjTable4) sweep() {
	for _, i := range t.idle {
		k := t.keys[i]
		if t.refs[i] != 0 || k == (adjKey{}) {
			continue
		}
		delete(t.index, k)
		t.keys[i] = adjKey{}
		t.set(int(i), Adj{})
		t.free = append(t.free, i)
	}
	t.idle = t.idle[:0]
}

// adjacency returns what k comes to, with the interfaces and neighbors as they
// are now.
func (r *RIB4) adjacency(k adjKey) Adj {
	a := Adj{Kind: k.kind, Iface: k.iface, Via: k.via}
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
	(*hdr.Ether)(a.Rewrite[:hdr.EtherLen]).Fill(n.mac, ifc.MAC, hdr.TypeIPv4)
	a.RewriteLen = hdr.EtherLen
	return a
}

// refresh works out again the adjacency for k, if there is one.
func (r *RIB4) refresh(k adjKey) {
	if i, ok := r.adjs.index[k]; ok {
		r.adjs.set(int(i), r.adjacency(k))
	}
}

// refreshIface works out again all adjacencies on an interface.
func (r *RIB4) refreshIface(iface uint32) {
	for k, i := range r.adjs.index {
		if k.iface == iface {
			r.adjs.set(int(i), r.adjacency(k))
		}
	}
}
