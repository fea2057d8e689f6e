package nodes

import (
	"fmt"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
)

// What ip4-policy and ip6-policy have in common.

// policyArcs are the ways out of ip4-policy and ip6-policy.
func policyArcs(ip, resolve string) []graph.To {
	return []graph.To{
		policyNAT:       {Reason: "passes: source", Node: ip + "-masquerade"},
		policyOpen:      {Reason: "allowed", Node: ip + "-open"},
		policyForward:   {Reason: "passes: forward", Node: ip + "-rewrite"},
		policyResolve:   {Reason: "passes: resolve", Node: resolve},
		policyLocal:     {Reason: "passes: local", Node: ip + "-local"},
		policyPunt:      {Reason: "passes: punt", Node: ip + "-punt"},
		policyClosed:    {Reason: ip + " policy not known yet", Node: graph.Drop},
		policyEgress:    {Reason: ip + " policy denies: egress rule", Node: graph.Drop},
		policyIngress:   {Reason: ip + " policy denies: ingress rule", Node: graph.Drop},
		policyNoEgress:  {Reason: ip + " no rule allows: egress (default deny)", Node: graph.Drop},
		policyNoIngress: {Reason: ip + " no rule allows: ingress (default deny)", Node: graph.Drop},
	}
}

// The ways out of ip4-policy and ip6-policy. Those that pass leave no session:
// policy has no say at either end, or the packet can't open one.
const (
	_               graph.Arc = iota
	policyNAT                 // there is NAT, which has to look at it too
	policyOpen                // remember it
	policyForward             //
	policyResolve             //
	policyLocal               //
	policyPunt                //
	policyClosed              // Endpoint.Closed
	policyEgress              // of the end that the flow comes from, pre-DNAT's included
	policyIngress             // of the end that it goes to
	policyNoEgress            // nothing matched
	policyNoIngress           //
)

// passArc is the way out for each kind of adjacency that ip4-lookup sends here.
var passArc = [fib.NumKinds]graph.Arc{
	fib.Forward: policyForward,
	fib.Resolve: policyResolve,
	fib.Glean:   policyResolve,
	fib.Local:   policyLocal,
	fib.Punt:    policyPunt,
}

// judged reports whether policy has a say about packets to such an adjacency.
// The others end for another reason.
var judged = [fib.NumKinds]bool{fib.Forward: true, fib.Resolve: true, fib.Glean: true, fib.Local: true, fib.Punt: true}

// An end is one end of a flow: the interface, and what is there. The host's own
// end is its tap, and interface 0 where Skein itself is meant.
type end struct {
	iface uint32
	kind  iface.Kind
}

// A question is what policy is asked about a flow, as it was when it began.
type question struct {
	key      acl.Key
	arrived  acl.Key // with the destination that it came with, for pre-DNAT
	from, to end
	reverse  bool   // the packet goes from to to from
	word     uint32 // who decided: see rulingWord
}

// roles sets both ends. A packet that goes in reverse comes from where the flow
// goes to.
func (q *question) roles(st *state.State, b *buf.Buffer, adj *fib.Adj, reverse bool) {
	q.from = end{b.RxIf, st.Ifaces[b.RxIf].Kind}
	switch adj.Kind {
	case fib.Local:
		q.to = end{0, iface.Tap}
	case fib.Punt:
		q.to = end{adj.Iface, iface.Tap}
	default:
		q.to = end{adj.Iface, st.Ifaces[adj.Iface].Kind}
	}
	if q.reverse = reverse; reverse {
		q.from, q.to = q.to, q.from
	}
}

// A judge asks policy.
type judge struct{ logs limiter }

// logRate is how many packets a worker tells of that Log rules have matched.
var logRate = rate{every: 1e9 / 100, burst: 100}

// ask returns policyOpen for a flow that may pass and is to be remembered, 0
// for one that passes and is not, else the way to drop it.
func (j *judge) ask(w *graph.Worker, q *question) graph.Arc {
	p := w.State.Policy
	from, to := p.At(q.from.iface), p.At(q.to.iface)
	q.word = 0
	switch {
	case from == nil && to == nil:
		return 0
	case from != nil && from.Closed, to != nil && to.Closed:
		return policyClosed
	case q.from.iface == q.to.iface && q.from.kind == iface.Tun: // to itself
		return policyOpen
	case p.NodePasses && q.from.kind != q.to.kind && q.from.kind != iface.Uplink && q.to.kind != iface.Uplink:
		return policyOpen // pod and host
	}
	if from != nil {
		if arc := j.leaves(w, q, from); arc != 0 {
			return arc
		}
	}
	if to != nil {
		if arc := j.enters(w, q, to); arc != 0 {
			return arc
		}
	}
	return policyOpen
}

// leaves asks the end that the flow comes from. It returns 0 if it may pass.
func (j *judge) leaves(w *graph.Worker, q *question, e *state.Endpoint) graph.Arc {
	switch {
	case q.from.kind == iface.Tun, q.from.kind == iface.Tap && q.to.kind == iface.Tun:
		return j.at(w, q, e, state.GateFrom)
	case q.from.kind != iface.Uplink:
		return 0
	}
	allowed := false
	if e.PreDNAT != nil {
		v := j.match(w, q, e, state.GatePreDNAT, &q.arrived)
		if allowed = v.Reason == acl.ByRule; allowed && v.Action != acl.Allow {
			return policyIngress
		}
	}
	switch {
	case q.to.kind != iface.Tap:
		return j.at(w, q, e, state.GateForwardTo)
	case allowed:
		return 0
	}
	return j.at(w, q, e, state.GateTo)
}

// enters asks the end that the flow goes to.
func (j *judge) enters(w *graph.Worker, q *question, e *state.Endpoint) graph.Arc {
	switch {
	case q.to.kind == iface.Tun, q.to.kind == iface.Tap && q.from.kind == iface.Tun:
		return j.at(w, q, e, state.GateTo)
	case q.to.kind != iface.Uplink:
		return 0
	case q.from.kind == iface.Tap:
		return j.at(w, q, e, state.GateFrom)
	}
	return j.at(w, q, e, state.GateForwardFrom)
}

// at asks one gate, if there is anything to ask.
func (j *judge) at(w *graph.Worker, q *question, e *state.Endpoint, g state.Gate) graph.Arc {
	if e.At(g) == nil {
		return 0
	}
	v := j.match(w, q, e, g, &q.key)
	if v.Action == acl.Allow {
		return 0
	}
	return denial(g, v.Reason)
}

// denial is the way to drop what a rule or the lack of one denies at a gate.
func denial(g state.Gate, why acl.Reason) graph.Arc {
	egress := g == state.GateFrom || g == state.GateForwardFrom
	switch {
	case egress && why == acl.ByRule:
		return policyEgress
	case egress:
		return policyNoEgress
	case why == acl.ByRule:
		return policyIngress
	}
	return policyNoIngress
}

// match asks a Ruled, notes who has decided, and tells control if a rule says so.
// The verdict is to be read only.
func (j *judge) match(w *graph.Worker, q *question, e *state.Endpoint, g state.Gate, k *acl.Key) *acl.Verdict {
	p, ruled, at := w.State.Policy, e.At(g), q.from.iface
	v, logged := ruled.Program.Find(k, p.Sets, ruled.HitsOf(w.ID()))
	far := e != p.At(q.from.iface)
	if far {
		at = q.to.iface
	}
	q.word = rulingWord(g, v.Rule, far != q.reverse)
	if logged != acl.NoRule {
		j.log(w, k, at, g, v, logged)
	}
	return v
}

// log tells control of a packet that a Log rule, rule, has matched.
func (j *judge) log(w *graph.Worker, k *acl.Key, at uint32, g state.Gate, v *acl.Verdict, rule uint32) {
	if !j.logs.allow(w.Now, logRate) {
		return
	}
	l := state.Logged{Gen: w.State.Policy.Gen, Rule: rule, Dst: k.Dst, SrcPort: k.SrcPort, DstPort: k.DstPort,
		Proto: k.Proto, Gate: g, Allowed: v.Action == acl.Allow}
	if k.Proto == hdr.ProtoICMP || k.Proto == hdr.ProtoICMPv6 {
		l.SrcPort, l.DstPort = uint16(k.Type), uint16(k.Code)
	}
	w.Notify(state.Notice{Kind: state.PolicyLog, Iface: at, IP: k.Src, Log: l})
}

// markDenied takes note that the session that a packet was judged for may not go on,
// unless it has been removed already: found is what has its key now. It is kept,
// and each further packet of it judged as the flow that it is: were it removed,
// an answer that is under way would open a flow of its own, in the direction that
// policy may allow, and what is denied would pass as answers to that.
func markDenied(w *graph.Worker, was, found session.Ref) {
	if was != 0 && found.Index() == was.Index() {
		w.Flows.At(was.Index()).Verdict = session.Deny
	}
}

// forget removes the session that a packet was judged for and that can't go on
// as it is translated, unless it has been removed already.
func forget(w *graph.Worker, was, found session.Ref) {
	if was != 0 && found.Index() == was.Index() {
		w.Flows.Delete(was.Index())
	}
}

// rulingWord says in Buffer.Meta, for the words of a trace, who has decided:
//
//	| 0, 3 | at the end that the packet goes to, 1 | gate, 4 | number of the rule, 24 |
func rulingWord(g state.Gate, rule uint32, far bool) uint32 {
	word := uint32(g)<<24 | rule&(1<<24-1)
	if far {
		word |= 1 << 28
	}
	return word
}

// describeRuling puts a rulingWord in words: "default/web ingress: tier default,
// policy allow-web, rule 1 (allow tcp to ports 80)".
func describeRuling(r *graph.Record, adj *fib.Adj) string {
	word, i := r.Meta.Meta, r.Meta.RxIf
	if word>>28&1 != 0 {
		i = adj.Iface
	}
	return rulingAt(r, i)
}

// rulingAt does so for the endpoint at interface i.
func rulingAt(r *graph.Record, i uint32) string {
	word := r.Meta.Meta
	p, gate, rule := r.State.Policy, state.Gate(word>>24&15), word&(1<<24-1)
	if p == nil || p.At(i) == nil || p.At(i).At(gate) == nil {
		return ""
	}
	e := p.At(i)
	ruled := e.At(gate)
	if int(rule) >= ruled.Program.NumRules() {
		return ""
	}
	return fmt.Sprintf("%s %v: %v", e.Name, gate, ruled.Program.Rule(rule))
}
