package nodes

import (
	"slices"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/state"
)

// An AskedAt is a place where rules are asked about a packet.
type AskedAt struct {
	Iface uint32
	Gate  state.Gate
}

// An Opinion is what the nodes that ask rules make of a packet.
type Opinion struct {
	Asked []AskedAt // in order
	Drop  string    // why the packet is dropped, as counters name it; "" if it passes
	// Untracked: a rule that allows it keeps it from sessions and all other
	// policy.
	Untracked bool
	Flow      bool // policy has a say at one of its ends, so that it has a session
}

// AskPolicy has the code of ip4-acl, ip4-policy and ip4-acl-output, or IPv6's,
// judge a packet that an interface receives and that adj is the way of. The
// packet opens a flow and is not translated. AskPolicy is for people who want to
// know: it works on copies, tells nobody and counts no hit.
func AskPolicy(st *state.State, rx uint32, adj *fib.Adj, k *acl.Key) (o Opinion) {
	if st.Policy == nil || int(rx) >= len(st.Ifaces) || int(adj.Iface) >= len(st.Ifaces) {
		return o
	}
	at, _ := untracked(st, rx)
	alone := *st
	alone.Policy = uncounted(st.Policy, rx, at, adj.Iface)
	w := &graph.Worker{State: &alone}
	b := &buf.Buffer{RxIf: rx, TxIf: adj.Iface}
	o.askLists(w, b, at, k)
	if o.Drop == "" && !o.Untracked && judged[adj.Kind%fib.NumKinds] {
		o.askEnds(w, b, adj, k)
	}
	if o.Drop == "" && (adj.Kind == fib.Forward || adj.Kind == fib.Resolve || adj.Kind == fib.Glean) {
		if !allowsOut(w, b, k) {
			o.Drop = aclOutputArcs(family(k))[aclDenied].Reason
		}
		o.note(alone.Policy, adj.Iface, state.GateOut)
	}
	return o
}

// askLists asks what is asked before sessions.
func (o *Opinion) askLists(w *graph.Worker, b *buf.Buffer, at uint32, k *acl.Key) {
	const others = 1<<1 | iface.FeatEnd // features that an untracked packet is kept from
	lists, g, arcs := aclNode[struct{}]{}, gatesOf(w.State, b.RxIf), []graph.Arc{0}
	lists.batch.Keys[0] = *k
	b.Feat = 1 | others
	lists.in(w, []*buf.Buffer{b}, arcs, &g)
	arc := arcs[0]
	o.note(w.State.Policy, b.RxIf, state.GateIn)
	o.note(w.State.Policy, at, state.GateUntrackedFrom, state.GateUntrackedTo)
	if arc == aclDenied || arc == aclUntracked {
		o.Drop = aclArcs(family(k))[arc].Reason
		return
	}
	o.Untracked = b.Feat != others
}

// allowsOut asks the access list of the interface that a packet is to be sent by.
func allowsOut(w *graph.Worker, b *buf.Buffer, k *acl.Key) bool {
	r := outRules(w.State, b.TxIf)
	if r == nil {
		return true
	}
	lists, arcs := aclNode[struct{}]{}, []graph.Arc{0}
	lists.batch.Keys[0] = *k
	lists.ask(w, []*buf.Buffer{b}, arcs, r, b.TxIf, state.GateOut)
	return arcs[0] != aclDenied
}

// askEnds asks the policy of both ends.
func (o *Opinion) askEnds(w *graph.Worker, b *buf.Buffer, adj *fib.Adj, k *acl.Key) {
	q := question{key: *k, arrived: *k}
	q.roles(w.State, b, adj, false)
	var j judge
	arc := j.ask(w, &q)
	o.note(w.State.Policy, q.from.iface, state.GatePreDNAT, state.GateForwardTo)
	near, far := []state.Gate{state.GateFrom}, []state.Gate{state.GateTo}
	if q.from.kind == iface.Uplink {
		near = []state.Gate{state.GateTo}
	}
	if q.to.kind == iface.Uplink {
		far = []state.Gate{state.GateFrom, state.GateForwardFrom}
	}
	o.note(w.State.Policy, q.from.iface, near...)
	o.note(w.State.Policy, q.to.iface, far...)
	if o.Flow = arc == policyOpen; arc > policyOpen {
		o.Drop = policyArcs(family(k), "")[arc].Reason
	}
}

func family(k *acl.Key) string {
	if k.Flags&acl.V6 != 0 {
		return "ip6"
	}
	return "ip4"
}

// note adds those gates of an endpoint that were asked: they have a hit, as
// something always decides.
func (o *Opinion) note(p *state.Policy, at uint32, gates ...state.Gate) {
	e := p.At(at)
	if e == nil {
		return
	}
	for _, g := range gates {
		if r := e.At(g); r != nil && slices.ContainsFunc(r.HitsOf(0), func(n uint64) bool { return n != 0 }) {
			o.Asked = append(o.Asked, AskedAt{at, g})
			clear(r.HitsOf(0))
		}
	}
}

// uncounted returns a copy of p with hits of its own at some interfaces.
func uncounted(p *state.Policy, at ...uint32) *state.Policy {
	next := *p
	next.Ends = slices.Clone(p.Ends)
	for _, i := range at {
		if p.At(i) != nil {
			next.Ends[i] = p.At(i).Uncounted()
		}
	}
	return &next
}
