package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/session"
)

// What ip4-handoff and ip6-handoff have in common.

// handoffArcs are the ways out of ip4-handoff and ip6-handoff, besides the
// unicast arcs.
func handoffArcs(ip string) []graph.To {
	return []graph.To{
		handoffReleased: {Reason: "first fragment has come", Node: ip + "-handoff"},
		handoffBehind:   {Reason: ip + " worker of the flow is behind", Node: graph.Drop},
		handoffWaiting:  {Reason: ip + " too many fragments wait for their first", Node: graph.Drop},
		handoffNoFirst:  {Reason: ip + " first fragment has not come", Node: graph.Drop},
	}
}

const (
	_               graph.Arc = iota
	handoffReleased           // to go where the first has gone
	handoffBehind             // its ring is full: show runtime says which worker is busy
	handoffWaiting            //
	handoffNoFirst            //
)

// A gathering brings the fragments of a packet together at one worker, which so
// learns of the first one whose flow the later ones are of.
type gathering struct {
	waiting
	frags *session.Frags
}

func newGathering() gathering {
	frags, err := session.NewFrags(session.FragRoom)
	if err != nil {
		panic(err) // the system has no random numbers, nor had Go any to start with
	}
	return gathering{waiting: waiting{released: handoffReleased, noFirst: handoffNoFirst}, frags: frags}
}

// fragment decides about a fragment with ports if it is the first. It returns 0
// if these are known.
func (g *gathering) fragment(w *graph.Worker, b *buf.Buffer, f *session.FragKey, at session.Piece, part session.Part, sport, dport *uint16) graph.Arc {
	if home := w.Sharding().OfFragment(f); home != w.ID() {
		return handOver(w, home, graph.Again, b)
	}
	if part == session.First {
		if g.frags.First(f, *sport, *dport, at, w.Second()) > 0 {
			g.release(w, b.RxIf, f)
		}
		return 0
	}
	var answer session.FragAnswer
	*sport, *dport, answer = g.frags.Later(f, at, w.Second())
	switch {
	case answer == session.Known:
		return 0
	case answer == session.Hold && g.keep(w, b, f):
		return graph.Kept
	}
	return handoffWaiting
}

// Tick gives up fragments that have waited too long.
func (g *gathering) Tick(w *graph.Worker) (next int64) { return g.expire(w) }

// handOver has a packet go on at another worker.
func handOver(w *graph.Worker, peer int, arc graph.Arc, b *buf.Buffer) graph.Arc {
	if w.Cross(peer, arc, b) {
		return graph.Handed
	}
	return handoffBehind
}
