package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/session"
)

// IP4Open remembers flows that policy has allowed, so that their next packets,
// and the answers to them, need no more than ip4-session. A flow that can't be
// remembered is refused: its answers would be.
//
// In: the packet starts at its IPv4 header; Adj is set, Flow is a draft.
// Out: Flow is the session, and the packet goes where Adj leads.
var IP4Open = graph.Spec{
	Name:     "ip4-open",
	Arcs:     openArcs("ip4", "ip4-arp"),
	New:      func() graph.Node { return &ip4Open{ports: newPorts(nat.DefaultPorts[:])} },
	Describe: describeRoute,
}

type ip4Open struct {
	ports *nat.Ports
	mapper
}

func (o *ip4Open) Process(w *graph.Worker, v *graph.Vector) {
	o.follow(w.Flows.Table)
	for i, b := range v.Bufs() {
		if v.Arc[i] = o.open(w, b, w.Flows.Drafts4.At(b.Flow)); v.Arc[i] == 0 {
			v.Arc[i] = openArc[w.State.FIB4.Adj(b.Adj).Kind%fib.NumKinds]
		}
	}
}

// open returns 0 if the packet may go on.
func (o *ip4Open) open(w *graph.Worker, b *buf.Buffer, d *session.Draft[session.Key4]) graph.Arc {
	t, now := w.Flows.Table, w.Second()
	if w.State.Policy == nil {
		return 0
	}
	// Since it was found, it may have given its place to another.
	if d.Session != 0 && t.Find4(d.Key, d.Hash).Index() == d.Session.Index() {
		renew(w, b, d.Session, d.Flags, d.Data)
		return 0
	}
	if b.Flow = 0; d.Part != session.Whole {
		return 0
	}
	r, arc := o.insert(w, b, d)
	if arc != 0 {
		return arc
	}
	// Another packet of this vector may have opened it, with another port.
	if d.Session == 0 && (d.Flags|t.At(r.Index()).Flags)&flagTranslated != 0 && translate4(b, t.Out4(r)) != nat.Done {
		t.Delete(r.Index())
		return openUnfixable
	}
	allow(w, r, d.Flags, d.Data)
	t.Seen(r, packetsOf(b), uint32(b.Len()), d.TCP, now)
	b.Flow = uint32(r)
	return 0
}

// insert makes the session of a draft, or says why not. Where there is NAT, a flow
// that another one is in the way of, or whose answers would be another worker's,
// takes another source port, as does each that gets an address of the node's
// whose own port is not one of nat.Ports.
func (o *ip4Open) insert(w *graph.Worker, b *buf.Buffer, d *session.Draft[session.Key4]) (session.Ref, graph.Arc) {
	if d.Flags&flagTunnelled != 0 {
		return o.tunnel(w, b, d)
	}
	if d.Out != d.Key {
		d.Flags |= flagTranslated
	}
	if d.Flags&flagMasqueraded == 0 && ours4(w, d.Out.Swap()) {
		r, res := o.try(w, b, d)
		if res != session.Conflict || w.State.NAT == nil {
			return r, refusal[res%session.NumResults]
		}
	}
	k := d.Out
	f := portFlow4(d.Key, k)
	if o.wants(&f, d.Flags) {
		port, ok := o.mappings.Acquire(&f, o.ports)
		if !ok {
			return 0, openPorts
		}
		d.Out = k.WithPorts(port, k.DstPort())
		if r, res := o.try(w, b, d); o.settle(&f, r, res) {
			return r, refusal[res%session.NumResults]
		}
	}
	walk := walkOf(o.ports, &f, d.Flags)
	for {
		port, ok := walk.Next()
		if !ok {
			return 0, openPorts
		}
		if d.Out = k.WithPorts(port, k.DstPort()); !ours4(w, d.Out.Swap()) {
			walk.PassOver()
			continue
		}
		d.Flags |= flagTranslated
		if r, res := o.try(w, b, d); res != session.Conflict {
			return r, refusal[res%session.NumResults]
		}
	}
}

// tunnel makes the session of a flow that goes to another node. Of the key of its
// answers nothing but the zone is free, as no packet has it.
func (o *ip4Open) tunnel(w *graph.Worker, b *buf.Buffer, d *session.Draft[session.Key4]) (session.Ref, graph.Arc) {
	to := d.Out.Dst()
	for try := range uint64(tunnelTries) {
		d.Out = tunnelKey4(d.Key, to, try)
		if r, res := o.try(w, b, d); res != session.Conflict {
			return r, refusal[res%session.NumResults]
		}
	}
	return 0, openConflict
}

func (o *ip4Open) try(w *graph.Worker, b *buf.Buffer, d *session.Draft[session.Key4]) (session.Ref, session.Result) {
	t, now := w.Flows.Table, w.Second()
	return t.Insert4(d.Key, d.Out.Swap(), d.Hash, ownerOf(b), d.TCP, now)
}

// Mapped returns how many endpoint-independent mappings there are.
func (o *ip4Open) Mapped() int {
	if o.mappings == nil {
		return 0
	}
	return o.mappings.Len()
}

// PortStats returns how often there was no port for a flow.
func (o *ip4Open) PortStats() nat.PortStats { return o.ports.Stats() }
