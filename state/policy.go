package state

import "github.com/skein-dataplane/skein/acl"

// Policy is what the data plane knows of policy. Without one in the State, and
// so without the features that ask for it, forwarding costs nothing more.
//
// Like all of a State it never changes once published: a change is a new Policy
// with the next Gen. What did not change is shared with the one before, the
// Ruled above all, whose hits so go on counting.
type Policy struct {
	// Gen is the generation of the verdicts that sessions remember: one more
	// with each change of anything here, members of sets included, and never 0. A
	// session of another generation is judged again at its next packet.
	Gen  uint32
	Sets *acl.Sets   // what the Programs' sets were committed as; nil: there are none
	Ends []*Endpoint // by index of the interface; nil or beyond the end: no policy there
	// NodePasses lets pods and the host of their node reach each other whatever
	// policy says, as Kubernetes wants it for probes. A closed endpoint stays so.
	NodePasses bool
	// Stateless: there are access lists and nothing else, so packets need no
	// sessions.
	Stateless bool
}

// At returns the endpoint at an interface, nil if policy says nothing there.
func (p *Policy) At(i uint32) *Endpoint {
	if int(i) < len(p.Ends) {
		return p.Ends[i]
	}
	return nil
}

// An Endpoint is what policy says at one interface. From is always what comes
// from the endpoint, To what goes to it; which packets these are depends on the
// kind of the interface:
//
//   - tun: the endpoint is the pod. From is what the pod sends (its egress
//     policy), To what it receives (its ingress policy).
//   - uplink: the endpoint is the host, as its network sees it (a host endpoint).
//     From is what the host sends by this uplink, To what comes in by it for the
//     host. ForwardFrom and ForwardTo are about others' packets that leave and
//     come in here (Calico's applyOnForward).
//   - tap: the endpoint is the host as its own pods see it. From is what the host
//     sends to pods, To what pods send to the host, Skein's own address included.
//
// A Ruled that is nil lets pass. A packet must pass at both of its ends: first
// that which it comes from, then that which it goes to.
type Endpoint struct {
	Name string // "default/frontend", for words
	From *Ruled
	To   *Ruled

	// Of uplinks. The RuleSet of the first two says itself what becomes of
	// packets that no rule matches; for Calico's meaning its last profile allows.
	ForwardFrom, ForwardTo *Ruled
	// PreDNAT is asked before To and ForwardTo, by the destination that the
	// packet came with. Only a rule that matches decides; one that allows stands
	// for To as well.
	PreDNAT *Ruled
	// UntrackedFrom and UntrackedTo (Calico's doNotTrack) are asked of each
	// packet before sessions are, UntrackedFrom of what the host sends into the
	// tap of this uplink. Only a rule that matches decides. What it allows passes
	// without a session and without any other policy, so the answers need a rule
	// too.
	UntrackedFrom, UntrackedTo *Ruled

	// In and Out are stateless access lists of the interface, of any kind: of
	// each packet that is received and routed, and of each that is routed out of
	// it. All that they do not allow is dropped.
	In, Out *Ruled

	// Closed: policy is not known yet, and nothing passes either way.
	Closed bool
}

// A Ruled is a Program at one place, with the hits that it has had there.
type Ruled struct {
	Program *acl.Program
	hits    [][]uint64 // by worker
}

// cacheLine is how many counters fill one.
const cacheLine = 8

// NewRuled returns p with hits of 0 for each of some workers.
func NewRuled(p *acl.Program, workers int) *Ruled {
	r := &Ruled{Program: p, hits: make([][]uint64, workers)}
	for i := range r.hits { // no two workers write to one cache line
		r.hits[i] = make([]uint64, (p.NumRules()+cacheLine-1)/cacheLine*cacheLine)[:p.NumRules()]
	}
	return r
}

// HitsOf returns a worker's hits: Program.NumRules counters. The worker writes
// them; others read and clear them by its Worker.Do only.
func (r *Ruled) HitsOf(worker int) []uint64 { return r.hits[worker] }

// A Gate is one of the places at an endpoint where rules are asked.
type Gate uint8

const (
	NoGate Gate = iota
	GateFrom
	GateTo
	GateForwardFrom
	GateForwardTo
	GatePreDNAT
	GateUntrackedFrom
	GateUntrackedTo
	GateIn
	GateOut
	NumGates
)

var gateNames = [NumGates]string{"none", "egress", "ingress", "egress of forwarded", "ingress of forwarded", "pre-DNAT",
	"untracked egress", "untracked ingress", "access list in", "access list out"}

// String returns the gate as policies call it: egress is what comes from the
// endpoint, ingress what goes to it.
func (g Gate) String() string {
	if g >= NumGates {
		return "unknown"
	}
	return gateNames[g]
}

// At returns what is asked at a gate, nil if nothing is.
func (e *Endpoint) At(g Gate) *Ruled {
	switch g {
	case GateFrom:
		return e.From
	case GateTo:
		return e.To
	case GateForwardFrom:
		return e.ForwardFrom
	case GateForwardTo:
		return e.ForwardTo
	case GatePreDNAT:
		return e.PreDNAT
	case GateUntrackedFrom:
		return e.UntrackedFrom
	case GateUntrackedTo:
		return e.UntrackedTo
	case GateIn:
		return e.In
	case GateOut:
		return e.Out
	}
	return nil
}

// Uncounted returns a copy of the endpoint whose rules have hits of their own, of
// 0: for questions that are not to count.
func (e *Endpoint) Uncounted() *Endpoint {
	next := *e
	for _, r := range []**Ruled{&next.From, &next.To, &next.ForwardFrom, &next.ForwardTo, &next.PreDNAT,
		&next.UntrackedFrom, &next.UntrackedTo, &next.In, &next.Out} {
		if *r != nil {
			*r = NewRuled((*r).Program, len((*r).hits))
		}
	}
	return &next
}
