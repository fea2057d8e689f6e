package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/session"
)

// IP6Open remembers flows that policy has allowed, so that their next packets,
// and the answers to them, need no more than ip6-session. A flow that can't be
// remembered is refused: its answers would be.
//
// In: the packet starts at its IPv6 header; Adj is set, Flow is a draft.
// Out: Flow is the session, and the packet goes where Adj leads.
var IP6Open = graph.Spec{
	Name:     "ip6-open",
	Arcs:     openArcs("ip6", "ip6-nd"),
	New:      func() graph.Node { return ip6Open{} },
	Describe: describeRoute6,
}

type ip6Open struct{}

func (ip6Open) Process(w *graph.Worker, v *graph.Vector) {
	for i, b := range v.Bufs() {
		if v.Arc[i] = open6(w, b, w.Flows.Drafts6.At(b.Flow)); v.Arc[i] == 0 {
			v.Arc[i] = openArc[w.State.FIB6.Adj(b.Adj).Kind%fib.NumKinds]
		}
	}
}

// open6 returns 0 if the packet may go on.
func open6(w *graph.Worker, b *buf.Buffer, d *session.Draft[session.Key6]) graph.Arc {
	t, now := w.Flows.Table, w.Second()
	if w.State.Policy == nil {
		return 0
	}
	// Since it was found, it may have given its place to another.
	if d.Session != 0 && t.Find6(&d.Key, d.Hash).Index() == d.Session.Index() {
		renew(w, b, d.Session, d.Flags, d.Data)
		return 0
	}
	if b.Flow = 0; d.Part != session.Whole {
		return 0
	}
	back := d.Out.Swap()
	r, res := t.Insert6(&d.Key, &back, d.Hash, ownerOf(b), d.TCP, now)
	if arc := refusal[res%session.NumResults]; arc != 0 {
		return arc
	}
	allow(w, r, d.Flags, d.Data)
	t.Seen(r, packetsOf(b), uint32(b.Len()), d.TCP, now)
	b.Flow = uint32(r)
	return 0
}
