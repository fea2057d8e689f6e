package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
)

// IP6Session finds the session of each packet. A packet of a flow that policy
// has allowed visits this node and no other of policy's: it is translated here if
// it is to be, and if the session knows the adjacency of the packets before, it
// is not looked up either, for as long as the routes are the same. Of all others it makes
// a draft, and has ip6-policy asked once ip6-lookup knows where they go.
//
// Later fragments go with the first one, and wait for it if it comes late. ICMP
// errors go with the flow that they are about (RFC 4443, section 2.4).
//
// In: the packet starts at a sound IPv6 header; L4 is set.
// Out: Flow is the session (session.Ref), Adj its adjacency if it knows that; or
// Flow is, with buf.Judge, the draft
// (session.Drafts6).
var IP6Session = graph.Spec{
	Name:     "ip6-session",
	Arcs:     sessionArcs("ip6"),
	On:       IP6UnicastArc,
	New:      func() graph.Node { return &ip6Session{waiting: sessionWaits()} },
	Describe: describeSession6,
}

type ip6Session struct {
	waiting
	routes learned[fib.Table6]
	keys   [graph.MaxVector]session.Key6
	hashes [graph.MaxVector]uint64
	refs   [graph.MaxVector]session.Ref
	heads  [graph.MaxVector]flowHead
	rest   [graph.MaxVector]uint8 // indices of packets that steady leaves
	rests  uint
	// deleted: a session was removed since the vector was looked up, so what was
	// found may be gone or another's.
	deleted bool
	packet  session.Packet6 // lent to session.Parse6
}

// Process looks all packets up at once, so that the cache misses of a large
// table overlap.
func (s *ip6Session) Process(w *graph.Worker, v *graph.Vector) {
	p, bufs := w.State.Policy, v.Bufs()
	if p == nil {
		for i, b := range bufs {
			v.Arc[i] = graph.NextFeature(b)
		}
		return
	}
	t := w.Flows.Table
	s.routes.check(t, w.State.FIB6)
	s.parse(w, v)
	t.FindVector6(s.keys[:len(bufs)], s.hashes[:], s.refs[:])
	s.steady(w, v, p.Gen)
	s.deleted = false
	for _, i := range s.rest[:s.rests] {
		if s.heads[i].part() != session.Bad {
			v.Arc[i] = s.rare(w, bufs[i], int(i))
		}
	}
}

// steady sends on packets of flows that go on, as nearly all are. The others are
// left in rest: to deal with them here would cost these registers.
func (s *ip6Session) steady(w *graph.Worker, v *graph.Vector, gen uint32) {
	t, now, rests := w.Flows.Table, w.Second(), uint(0)
	bufs := v.Bufs()
	refs, heads := s.refs[:len(bufs)], s.heads[:len(bufs)]
	for i, b := range bufs {
		r, h := refs[i], heads[i]
		x := t.At(r.Index()) // of Ref 0 it is none that is valid
		if h.part() == session.Whole && b.GSOType == buf.GSONone && valid(x, gen) {
			// An if of its own: the compiler would put the answer down first.
			if x.SeenSteady(r.Dir(), 1, uint32(b.Len()), h.tcp(), now) {
				b.Flow, b.Adj = uint32(r), t.RouteOf(x, r)
				if x.Flags&flagElsewhere != 0 && (h.sumAt() == 0 || x.Flags&flagTunnelled != 0 || !translatePlain6(t, b, r, h.sumAt())) {
					v.Arc[i] = elsewhere(x.Flags)
				} else if v.Arc[i] = sessionForward; b.Adj-1 >= session.NoRoute-1 {
					v.Arc[i] = s.route(w, b, r)
				}
				continue
			}
		}
		s.rest[rests%graph.MaxVector] = uint8(i)
		rests++
	}
	s.rests = rests
}

// rare decides about a packet that is not just one more of a flow that goes on.
func (s *ip6Session) rare(w *graph.Worker, b *buf.Buffer, i int) graph.Arc {
	t, r, h := w.Flows.Table, s.refs[i], s.heads[i]
	if s.deleted && r != 0 {
		r = t.Find6(&s.keys[i], s.hashes[i])
	}
	if r != 0 && h.part() == session.Whole {
		if t.Seen(r, packetsOf(b), uint32(b.Len()), h.tcp(), w.Second()) == session.Stale {
			t.Delete(r.Index())
			r, s.deleted = 0, true
		} else if x := t.At(r.Index()); valid(x, w.State.Policy.Gen) {
			b.Flow, b.Adj = uint32(r), t.Route(r)
			return s.known(w, b, x, r)
		}
	}
	return s.undecided(w, b, i, r)
}

// known sends on a packet of session x, which knows of the route what Adj is.
func (s *ip6Session) known(w *graph.Worker, b *buf.Buffer, x *session.Session, r session.Ref) graph.Arc {
	switch {
	case x.Flags&flagElsewhere != 0:
		return elsewhere(x.Flags)
	case b.Adj-1 >= session.NoRoute-1:
		return s.route(w, b, r)
	}
	return sessionForward
}

// parse sets keys, hashes and heads. Packets that end here get their arc.
func (s *ip6Session) parse(w *graph.Worker, v *graph.Vector) {
	t := w.Flows.Table
	for i, b := range v.Bufs() {
		h := b.IPv6()
		is := transports[h.NextHeader()]
		if int32(b.End()-int(b.L4)) >= is.least {
			s.keys[i].SetPlain(h, b.UDP().Ports()&is.ports)
			s.heads[i] = is.whole | flowHead(b.TCP().Flags())<<8&is.tcp
		} else {
			v.Arc[i] = s.unusual(w, b, i)
		}
		s.hashes[i] = t.Hash6(&s.keys[i])
	}
}

// route decides where a packet goes whose session does not know it, or knows
// that ip6-lookup is to be asked. What it finds the session knows from then on.
// Link-local destinations are for ip6-lookup, as they have as many routes as
// there are links; Lookup has none.
func (s *ip6Session) route(w *graph.Worker, b *buf.Buffer, r session.Ref) graph.Arc {
	if b.Adj == session.NoRoute {
		return graph.NextFeature(b)
	}
	routes, k := w.State.FIB6, w.Flows.Key6(r)
	b.Adj = routes.Lookup(b.IPv6().Dst(), keyHash6(&k))
	if b.Adj >= session.NoRoute || routes.Adj(b.Adj).Kind != fib.Forward {
		w.Flows.SetRoute(r, session.NoRoute)
		return graph.NextFeature(b)
	}
	w.Flows.SetRoute(r, b.Adj)
	return sessionForward
}

// unusual does so for what is not one whole packet with nothing odd about it.
func (s *ip6Session) unusual(w *graph.Worker, b *buf.Buffer, i int) graph.Arc {
	p, frags, now := &s.packet, w.Flows.Frags6, w.Second()
	part := session.Parse6(b.Bytes(), 0, p)
	s.heads[i] = headOf(part, p.TCP)
	s.keys[i] = p.Key
	switch part {
	case session.Bad:
		return sessionBad
	case session.First:
		f := p.Frag()
		if frags.First(&f, p.Key.SrcPort(), p.Key.DstPort(), p.At, now) > 0 {
			s.release(w, b.RxIf, &f)
		}
		s.heads[i] = headOf(session.Whole, p.TCP)
	case session.Later:
		s.heads[i] = 0
		f := p.Frag()
		sport, dport, answer := frags.Later(&f, p.At, now)
		switch {
		case answer == session.Known:
			s.keys[i] = p.Key.WithPorts(sport, dport)
			s.heads[i] = laterHead
		case answer == session.Hold && s.keep(w, b, &f):
			return graph.Kept
		default:
			return sessionWaiting
		}
	}
	return 0
}

// undecided decides about a packet whose session is r, 0 if it has none, and
// of which policy has to be asked unless it is an error.
func (s *ip6Session) undecided(w *graph.Worker, b *buf.Buffer, i int, r session.Ref) graph.Arc {
	if w.State.Ifaces[b.RxIf].Kind == iface.Uplink && isOwn6(w.State, b) {
		return sessionOwn
	}
	t, head := w.Flows.Table, s.heads[i]
	if head.part() == session.Related && r != 0 {
		// A pod is no router: what it says of others' packets is not believed.
		if w.State.Ifaces[b.RxIf].Kind == iface.Tun && b.IPv6().Src() != s.keys[i].Src() {
			r = 0
		} else if f := t.At(r.Index()); valid(f, w.State.Policy.Gen) {
			b.Flow = uint32(r)
			return onward(w, b, f, false)
		}
	}
	d, flow := w.Flows.Drafts6.New()
	if d == nil {
		return sessionFlood
	}
	s.draft(w, d, b, i, r)
	b.Flow = flow
	b.Flags |= buf.Judge
	w.TickAt(w.Now + expireEvery)
	if r != 0 {
		return onward(w, b, t.At(r.Index()), false)
	}
	return onward(w, b, nil, true)
}

// isOwn6 is isOwn4.
func isOwn6(st *state.State, b *buf.Buffer) bool {
	src := b.IPv6().Src()
	return src == st.Addr6 || st.FIB6.Adj(lookup6(st.FIB6, b.RxIf, src, 0)).Kind == fib.Punt
}

// draft fills in what is known.
func (s *ip6Session) draft(w *graph.Worker, d *session.Draft[session.Key6], b *buf.Buffer, i int, r session.Ref) {
	t, head := w.Flows.Table, s.heads[i]
	d.Key, d.Hash, d.Session, d.Part, d.TCP = s.keys[i], s.hashes[i], r, head.part(), head.tcp()
	switch {
	case r != 0:
		forward := r &^ session.Reverse
		d.Key, d.Out = t.Key6(forward), t.Out6(forward)
		d.Hash = t.Hash6(&d.Key)
	case head.part() != session.Whole: // an error about a flow that nobody knows is a packet like others
		h := b.IPv6()
		d.Key = session.MakeKey6(h.Src(), h.Dst(), 0, 0, hdr.ProtoICMPv6, 0)
		d.Out = d.Key
	default:
		d.Out = d.Key
	}
	if d.Key.Proto() == hdr.ProtoICMPv6 {
		later := head.later() || head.part() == session.Related && r != 0
		k := icmpOf(b, later, s.keys[i].SrcPort(), hdr.ICMP6EchoRequest, hdr.ICMP6EchoReply)
		if r.Dir() == session.Reverse {
			k = k.opposite(hdr.ICMP6EchoRequest, hdr.ICMP6EchoReply)
		}
		d.Type, d.Code = k.typ, k.code
	}
}

// Tick removes what has had its time.
func (s *ip6Session) Tick(w *graph.Worker) (next int64) {
	return earlier(s.expire(w), expireSessions(w))
}
