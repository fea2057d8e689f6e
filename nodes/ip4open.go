package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
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
	New:      func() graph.Node { return ip4Open{} },
	Describe: describeRoute,
}

type ip4Open struct{}

func (ip4Open) Process(w *graph.Worker, v *graph.Vector) {
	for i, b := range v.Bufs() {
		if v.Arc[i] = open4(w, b, w.Flows.Drafts4.At(b.Flow)); v.Arc[i] == 0 {
			v.Arc[i] = openArc[w.State.FIB4.Adj(b.Adj).Kind%fib.NumKinds]
		}
	}
}

// open4 returns 0 if the packet may go on.
func open4(w *graph.Worker, b *buf.Buffer, d *session.Draft[session.Key4]) graph.Arc {
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
	r, res := t.Insert4(d.Key, d.Out.Swap(), d.Hash, ownerOf(b), d.TCP, now)
	if arc := refusal[res%session.NumResults]; arc != 0 {
		return arc
	}
	allow(w, r, d.Flags, d.Data)
	t.Seen(r, packetsOf(b), uint32(b.Len()), d.TCP, now)
	b.Flow = uint32(r)
	return 0
}
