package service

import (
	"net/netip"
	"slices"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
)

// Direct server return: which nodes there are, and where they are reached.

// SetNode adds a node, or replaces the one of that name. It reports whether that
// changes an address: the API server has a new Node every few minutes.
func (t *Table) SetNode(n *Node) (changed bool) {
	was := t.nodes[n.Name]
	t.nodes[n.Name] = n
	if was != nil && slices.Equal(was.Addrs, n.Addrs) {
		return false
	}
	t.nodesChanged()
	return true
}

// DeleteNode removes the node of a name, if it is there.
func (t *Table) DeleteNode(name string) {
	if t.nodes[name] != nil {
		delete(t.nodes, name)
		t.nodesChanged()
	}
}

// nodesChanged has those looked at again who ask for direct server return.
func (t *Table) nodesChanged() {
	t.peersDue = true
	for ref := range t.direct {
		t.dirty[ref] = true
	}
}

// setDirect notes whether a service asks for direct server return.
func (t *Table) setDirect(o *owned) {
	is := o.service != nil && o.service.DSR
	if t.direct[o.ref] == is {
		return
	}
	if delete(t.direct, o.ref); is {
		t.direct[o.ref] = true
	}
	if len(t.direct) < 2 {
		t.peersDue = true // the first or the last
	}
}

// Peers returns the addresses of the other nodes as of the last Commit, the same
// as before if they have not changed; nil while no service asks for direct
// server return, or no other node is known.
func (t *Table) Peers() *nat.Peers { return t.peers }

// commitPeers makes peers anew if need be.
func (t *Table) commitPeers() {
	if !t.peersDue {
		return
	}
	t.peersDue = false
	var all []hdr.Addr6
	for name, n := range t.nodes {
		if name == t.world.Node || len(t.direct) == 0 {
			continue
		}
		for _, a := range n.Addrs {
			if !slices.Contains(t.world.Own, a) {
				all = append(all, addr6(a))
			}
		}
	}
	next := nat.NewPeers(all)
	switch {
	case len(all) == 0:
		t.peers = nil
	case !slices.Equal(next.All(), t.peers.All()):
		t.peers = next
	}
}

// Nodes returns the addresses of all nodes that are known.
func (t *Table) Nodes() (out []netip.Addr) {
	for _, name := range sorted(t.nodes) {
		out = append(out, t.nodes[name].Addrs...)
	}
	return out
}

// nodeOf returns the address of the node of an endpoint, of its family; :: if
// its service does not ask for it, or it is not known.
func (t *Table) nodeOf(o *owned, e *end) hdr.Addr6 {
	if !o.service.DSR || e.Node == t.world.Node && e.Node != "" {
		return hdr.Addr6{}
	}
	if n := t.nodes[e.Node]; n != nil {
		for _, a := range n.Addrs {
			if a.Is4() == e.Addr.Is4() {
				return addr6(a)
			}
		}
	}
	o.alarm(o.place, "%s: endpoint %v is on node %q, of which no Node with an address of that family is known: "+
		"its clients from outside are seen with this node's address, and answered by way of it", o.ref, e.Addr, e.Node)
	return hdr.Addr6{}
}
