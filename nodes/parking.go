package nodes

import (
	"math/rand/v2"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/state"
)

// The ways out of ip4-arp and ip6-nd.
const (
	_            graph.Arc = iota
	parkAsked              // a packet of our own
	parkResolved           // a parked one
	parkFailed             // RFC 1122, section 2.3.2.2; RFC 4861, section 7.2.2
	parkFull               // the oldest makes room: the newest is the most wanted
	parkCrowded            // somebody scans
	parkNoSource           //
)

const (
	parkTries = 3             // questions before the next hop counts as unreachable: Linux's mcast_solicit, RFC 4861's MAX_MULTICAST_SOLICIT
	parkEvery = 1_000_000_000 // nanoseconds between them: RFC 1122, section 2.3.2.1; RFC 4861, section 10: RETRANS_TIMER
	parkRoom  = 16            // packets per next hop: more than a TCP sender's first flight (RFC 6928: 10)
	parkSets  = 128           // by hash of the next hop
	parkWays  = 4             // next hops per set, so at most 8,192 packets wait in all
	parkGlean = parkWays - 1  // of these are for destinations on our links
)

// A resolver is what differs between the families.
type resolver[A comparable] interface {
	// adj looks up again where a parked packet goes.
	adj(st *state.State, b *buf.Buffer) uint32
	// wants returns the adjacency and whose link address it wants for b.
	wants(st *state.State, b *buf.Buffer, adj uint32) (*fib.Adj, A)
	// source reports whether there is an address to ask from.
	source(st *state.State, iface uint32) bool
	// question makes b one for the link address of hop.
	question(st *state.State, b *buf.Buffer, iface uint32, hop A)
	hash(hop A) uint64
	mapped(hop A) hdr.Addr6
	// failed is what senders are told, from icmpError.
	failed() uint32
}

// An asked is a next hop that has been asked for its link address.
type asked[A comparable] struct {
	iface   uint32
	hop     A
	gleaned bool  // it is the packets' own destination
	tries   uint8 // 0: the place is free
	n       uint8
	due     int64 // when to ask again, or to give up
	bufs    [parkRoom]*buf.Buffer
}

// A parking keeps packets until the link address of their next hop is known. What
// is told of one that has outlived its session is in docs/decisions.md.
//
// Who scans a link's addresses, of which IPv6 has 2^64, fills it (RFC 6583).
// That harms neither neighbours that are known, which never come here, nor the
// next hops of routes, for which a place in each set is kept. A destination
// that finds no place takes that of one that has not answered for a second.
type parking[A comparable, R resolver[A]] struct {
	sets [parkSets][parkWays]asked[A]
	used int
	seed uint64 // so that nobody can aim at a set
	r    R
}

func newParking[A comparable, R resolver[A]]() graph.Node {
	return &parking[A, R]{seed: rand.Uint64()}
}

func (p *parking[A, R]) Process(w *graph.Worker, v *graph.Vector) {
	for i, b := range v.Bufs() {
		v.Arc[i] = p.park(w, b)
	}
}

// park keeps b until its next hop has answered.
func (p *parking[A, R]) park(w *graph.Worker, b *buf.Buffer) graph.Arc {
	adj, hop := p.r.wants(w.State, b, b.Adj)
	gleaned := adj.Kind == fib.Glean
	q := p.find(adj.Iface, hop, gleaned)
	if q == nil {
		return parkCrowded
	}
	if q.tries != 0 && (q.iface != adj.Iface || q.hop != hop) {
		p.fail(w, q)
	}
	if q.tries == 0 {
		if !p.r.source(w.State, adj.Iface) {
			return parkNoSource
		}
		*q = asked[A]{iface: adj.Iface, hop: hop, gleaned: gleaned}
		p.used++
		p.ask(w, q)
		w.TickAt(q.due)
		w.Notify(state.Notice{Kind: state.NeighborWanted, Iface: q.iface, IP: p.r.mapped(hop)})
	}
	if q.n == parkRoom {
		w.Emit(parkFull, q.bufs[0])
		copy(q.bufs[:], q.bufs[1:])
		q.n--
	}
	q.bufs[q.n] = b
	q.n++
	return graph.Kept
}

// find returns the place of a next hop; if it has none, a free one, or that of
// another that is to give way; and nil if there is none of these.
func (p *parking[A, R]) find(iface uint32, hop A, gleaned bool) (place *asked[A]) {
	h := (p.r.hash(hop) ^ uint64(iface)<<32 ^ p.seed) * 0x9e3779b97f4a7c15
	set := &p.sets[h>>57]
	for i := range set {
		q := &set[i]
		switch {
		case q.tries != 0 && q.hop == hop && q.iface == iface:
			return q
		case i >= parkGlean && gleaned:
		case q.tries == 0:
			place = q
		case place == nil && q.gleaned && q.tries > 1:
			place = q
		}
	}
	return place
}

// ask sends a question and sets the time for the next one. Without a buffer it
// is as if the question had been lost.
func (p *parking[A, R]) ask(w *graph.Worker, q *asked[A]) {
	q.tries++
	q.due = w.Now + parkEvery
	var one [1]*buf.Buffer
	if w.Pool.Get(one[:]) == 0 {
		return
	}
	b := one[0]
	p.r.question(w.State, b, q.iface, q.hop)
	b.TxIf = q.iface
	w.Emit(parkAsked, b)
}

// Tick lets go what can go on, asks again, and gives up.
func (p *parking[A, R]) Tick(w *graph.Worker) (next int64) {
	if p.used == 0 {
		return 0
	}
	for s := range p.sets {
		for i := range p.sets[s] {
			q := &p.sets[s][i]
			if q.tries == 0 {
				continue
			}
			if p.settle(w, q); q.tries != 0 && (next == 0 || q.due < next) {
				next = q.due
			}
		}
	}
	return next
}

// settle does what is due for one next hop.
func (p *parking[A, R]) settle(w *graph.Worker, q *asked[A]) {
	first := q.bufs[0]
	adj, hop := p.r.wants(w.State, first, p.r.adj(w.State, first))
	switch {
	case adj.Kind != fib.Resolve && adj.Kind != fib.Glean || adj.Iface != q.iface || hop != q.hop:
		p.let(w, q, parkResolved)
	case w.Now < q.due:
	case q.tries < parkTries && p.r.source(w.State, q.iface):
		p.ask(w, q)
	default:
		p.fail(w, q)
	}
}

// fail gives a next hop up.
func (p *parking[A, R]) fail(w *graph.Worker, q *asked[A]) {
	w.Notify(state.Notice{Kind: state.NeighborFailed, Iface: q.iface, IP: p.r.mapped(q.hop)})
	p.let(w, q, parkFailed)
}

// let sends everything that waits for a next hop out by arc, and forgets it.
func (p *parking[A, R]) let(w *graph.Worker, q *asked[A], arc graph.Arc) {
	for _, b := range q.bufs[:q.n] {
		b.Meta = p.r.failed()
		w.Emit(arc, b)
	}
	q.tries, q.n = 0, 0
	p.used--
}

// Parked returns how many packets wait.
func (p *parking[A, R]) Parked() (n int) {
	for s := range p.sets {
		for i := range p.sets[s] {
			n += int(p.sets[s][i].n)
		}
	}
	return n
}
