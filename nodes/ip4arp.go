package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/state"
)

// IP4ARP parks packets until the link address of their next hop is known, and
// asks for it (RFC 826; RFC 1122, section 2.3.2). The answer reaches control
// by arp-input; with the State that it then publishes the packets go on.
//
// In: the packet starts at its IPv4 header; Adj is one to resolve or to glean.
// Out: the packet as it came, to be looked up again. Towards icmp4-error, Meta
// holds the error.
var IP4ARP = graph.Spec{
	Name: "ip4-arp",
	Arcs: []graph.To{
		arpRequest:  {Reason: "arp request sent", Node: "interface-output"},
		arpResolved: {Reason: "arp resolved", Node: "ip4-lookup"},
		arpFailed:   {Reason: "arp next hop does not answer", Node: "icmp4-error", Dies: true},
		arpFull:     {Reason: "arp queue of the next hop is full", Node: graph.Drop},
		arpCrowded:  {Reason: "arp too many unresolved next hops", Node: graph.Drop},
		arpNoSource: {Reason: "arp no own address to ask from", Node: graph.Drop},
	},
	New:      func() graph.Node { return new(ip4ARP) },
	Describe: describeRoute,
}

// The ways out of ip4-arp.
const (
	_           graph.Arc = iota
	arpRequest            // a packet of our own
	arpResolved           // a parked one
	arpFailed             // RFC 1122, section 2.3.2.2; RFC 1812, section 3.3.2
	arpFull               // the oldest makes room: the newest is the most wanted
	arpCrowded            // somebody scans
	arpNoSource           //
)

const (
	arpTries  = 3             // requests before the next hop counts as unreachable, as in Linux (mcast_solicit)
	arpEvery  = 1_000_000_000 // nanoseconds between them: RFC 1122, section 2.3.2.1
	arpParked = 16            // packets per next hop: more than a TCP sender's first flight (RFC 6928: 10)
	arpSets   = 128           // by hash of the next hop
	arpWays   = 4             // next hops per set, so at most 8,192 packets wait in all
)

// An asked is a next hop that has been asked for its link address.
type asked struct {
	iface uint32
	ip    hdr.Addr4
	tries uint8 // 0: the place is free
	n     uint8
	due   int64 // when to ask again, or to give up
	bufs  [arpParked]*buf.Buffer
}

type ip4ARP struct {
	sets [arpSets][arpWays]asked
	used int
}

func (a *ip4ARP) Process(w *graph.Worker, v *graph.Vector) {
	for i, b := range v.Bufs() {
		v.Arc[i] = a.park(w, b)
	}
}

// park keeps b until its next hop has answered.
func (a *ip4ARP) park(w *graph.Worker, b *buf.Buffer) graph.Arc {
	adj := w.State.FIB4.Adj(b.Adj)
	ip := asks(adj, b)
	q := a.find(adj.Iface, ip)
	if q == nil {
		return arpCrowded
	}
	if q.tries == 0 {
		if w.State.Source4(adj.Iface) == 0 {
			return arpNoSource
		}
		*q = asked{iface: adj.Iface, ip: ip}
		a.used++
		q.ask(w)
		w.TickAt(q.due)
		w.Notify(state.Notice{Kind: state.NeighborWanted, Iface: q.iface, IP: state.Mapped(ip)})
	}
	if q.n == arpParked {
		w.Emit(arpFull, q.bufs[0])
		copy(q.bufs[:], q.bufs[1:])
		q.n--
	}
	q.bufs[q.n] = b
	q.n++
	return graph.Kept
}

// asks returns whose link address adj wants for b.
func asks(adj *fib.Adj, b *buf.Buffer) hdr.Addr4 {
	if adj.Kind == fib.Glean {
		return b.IPv4().Dst()
	}
	return adj.Via
}

// find returns the place of a next hop, a free one if it has none, and nil if
// there is none of either.
func (a *ip4ARP) find(iface uint32, ip hdr.Addr4) (free *asked) {
	set := &a.sets[(uint32(ip)^iface<<16)*0x9e3779b1>>25]
	for i := range set {
		switch q := &set[i]; {
		case q.tries == 0:
			free = q
		case q.ip == ip && q.iface == iface:
			return q
		}
	}
	return free
}

// ask sends a request and sets the time for the next one. Without a buffer it
// is as if the request had been lost.
func (q *asked) ask(w *graph.Worker) {
	q.tries++
	q.due = w.Now + arpEvery
	var one [1]*buf.Buffer
	if w.Pool.Get(one[:]) == 0 {
		return
	}
	b, out := one[0], &w.State.Ifaces[q.iface]
	b.SetLen(hdr.EtherLen + hdr.ARPLen)
	b.Ether().Fill(hdr.BroadcastMAC, out.MAC, hdr.TypeARP)
	b.Advance(hdr.EtherLen)
	b.ARP().Fill(hdr.ARPRequest, out.MAC, w.State.Source4(q.iface), hdr.MAC{}, q.ip)
	b.Advance(-hdr.EtherLen)
	b.TxIf = q.iface
	w.Emit(arpRequest, b)
}

// Tick lets go what can go on, asks again, and gives up.
func (a *ip4ARP) Tick(w *graph.Worker) (next int64) {
	if a.used == 0 {
		return 0
	}
	for s := range a.sets {
		for i := range a.sets[s] {
			q := &a.sets[s][i]
			if q.tries == 0 {
				continue
			}
			if a.settle(w, q); q.tries != 0 && (next == 0 || q.due < next) {
				next = q.due
			}
		}
	}
	return next
}

// settle does what is due for one next hop.
func (a *ip4ARP) settle(w *graph.Worker, q *asked) {
	first := q.bufs[0]
	adj := w.State.FIB4.Adj(w.State.FIB4.Lookup(first.IPv4().Dst(), first.Hash))
	switch {
	case adj.Kind != fib.Resolve && adj.Kind != fib.Glean || adj.Iface != q.iface || asks(adj, first) != q.ip:
		a.let(w, q, arpResolved)
	case w.Now < q.due:
	case q.tries < arpTries && w.State.Source4(q.iface) != 0:
		q.ask(w)
	default:
		w.Notify(state.Notice{Kind: state.NeighborFailed, Iface: q.iface, IP: state.Mapped(q.ip)})
		a.let(w, q, arpFailed)
	}
}

// let sends everything that waits for a next hop out by arc, and forgets it.
func (a *ip4ARP) let(w *graph.Worker, q *asked, arc graph.Arc) {
	for _, b := range q.bufs[:q.n] {
		b.Meta = icmpError(hdr.ICMPUnreachable, hdr.ICMPHostUnreachable, 0)
		w.Emit(arc, b)
	}
	q.tries, q.n = 0, 0
	a.used--
}

// Parked returns how many packets wait.
func (a *ip4ARP) Parked() (n int) {
	for s := range a.sets {
		for i := range a.sets[s] {
			n += int(a.sets[s][i].n)
		}
	}
	return n
}
