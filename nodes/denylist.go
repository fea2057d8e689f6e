package nodes

import (
	"encoding/binary"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/state"
)

// DenyList drops packets from sources that the node wants nothing of, as the
// first thing that is done with a packet: a flood of them costs least here.
//
// In: as the device has handed it over.
// Out: the same. What is too short for an IP source, or is not IP, passes, for
// the nodes behind to judge; so does a frame with a VLAN tag, which is not routed.
var DenyList = graph.Spec{
	Name: "deny-list",
	Arcs: []graph.To{sourceDenied: {Reason: "source is on the deny list", Node: graph.Drop}},
	On:   DeviceInputArc,
	New:  func() graph.Node { return denyList{} },
}

const (
	_ graph.Arc = iota
	sourceDenied
)

type denyList struct{}

func (denyList) Process(w *graph.Worker, v *graph.Vector) {
	deny, ifaces := w.State.Deny, w.State.Ifaces
	for i, b := range v.Bufs() {
		if deny != nil && denied(deny, b, ifaces[b.RxIf].Ethernet) {
			v.Arc[i] = sourceDenied
			continue
		}
		v.Arc[i] = graph.NextFeature(b)
	}
}

// denied reports whether a packet's source is on the list.
func denied(deny *state.Deny, b *buf.Buffer, ether bool) bool {
	p := b.Bytes()
	if ether {
		if len(p) < hdr.EtherLen {
			return false
		}
		if typ := b.Ether().Type(); typ != hdr.TypeIPv4 && typ != hdr.TypeIPv6 {
			return false
		}
		p = p[hdr.EtherLen:]
	}
	switch {
	case len(p) >= hdr.IPv4Len && p[0]>>4 == 4:
		src := hdr.Addr4(binary.BigEndian.Uint32(p[12:]))
		return deny.T4.Adj(deny.T4.Lookup(src, 0)).Kind != fib.NoRoute
	case len(p) >= hdr.IPv6Len && p[0]>>4 == 6:
		src := hdr.Addr6{Hi: binary.BigEndian.Uint64(p[8:]), Lo: binary.BigEndian.Uint64(p[16:])}
		// Without neighbour discovery, which is of the link, nothing works.
		return !src.IsLinkLocal() && deny.T6.Adj(deny.T6.Lookup(src, 0)).Kind != fib.NoRoute
	}
	return false
}
