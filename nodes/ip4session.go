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

// IP4Session finds the session of each packet. A packet of a flow that policy
// has allowed visits this node and no other of policy's. Of all others it makes
// a draft, and has ip4-policy asked once ip4-lookup knows where they go.
//
// Later fragments go with the first one, and wait for it if it comes late. ICMP
// errors go with the flow that they are about (RFC 5508, section 4).
//
// In: the packet starts at a sound IPv4 header; L4 is set.
// Out: Flow is the session (session.Ref), or with buf.Judge the draft
// (session.Drafts4).
var IP4Session = graph.Spec{
	Name:     "ip4-session",
	Arcs:     sessionArcs("ip4"),
	On:       IP4UnicastArc,
	New:      func() graph.Node { return new(ip4Session) },
	Describe: describeSession,
}

type ip4Session struct {
	waiting
	keys   [graph.MaxVector]session.Key4
	hashes [graph.MaxVector]uint64
	refs   [graph.MaxVector]session.Ref
	heads  [graph.MaxVector]flowHead
	packet session.Packet4 // lent to session.Parse4
}

// A flowHead is what is known of a packet besides its key.
type flowHead struct {
	part  session.Part // Whole stands for fragments too whose ports are known; Bad: it has left
	tcp   uint8        // flags
	later bool         // a fragment but the first
}

// Process looks all packets up at once, so that the cache misses of a large
// table overlap.
func (s *ip4Session) Process(w *graph.Worker, v *graph.Vector) {
	p, bufs := w.State.Policy, v.Bufs()
	if p == nil {
		for i, b := range bufs {
			v.Arc[i] = graph.NextFeature(b)
		}
		return
	}
	t, now, gen := w.Flows.Table, w.Second(), p.Gen
	s.parse(w, v)
	refs := s.refs[:len(bufs)]
	t.FindVector4(s.keys[:len(bufs)], s.hashes[:], refs)
	deleted := false
	for i, b := range bufs {
		r, h := refs[i], s.heads[i]
		if h.part == session.Bad {
			continue
		}
		if deleted && r != 0 {
			r = t.Find4(s.keys[i], s.hashes[i])
		}
		if r != 0 && h.part == session.Whole {
			x := t.At(r.Index())
			if !x.SeenSteady(r.Dir(), packetsOf(b), uint32(b.Len()), h.tcp, now) &&
				t.Seen(r, packetsOf(b), uint32(b.Len()), h.tcp, now) == session.Stale {
				t.Delete(r.Index())
				r, deleted = 0, true
			} else if valid(x, gen) {
				b.Flow = uint32(r)
				v.Arc[i] = graph.NextFeature(b)
				if x.Flags&flagTranslated != 0 {
					v.Arc[i] = sessionTranslate
				}
				continue
			}
		}
		v.Arc[i] = s.undecided(w, b, i, r)
	}
}

// parse sets keys, hashes and heads. Packets that end here get their arc.
func (s *ip4Session) parse(w *graph.Worker, v *graph.Vector) {
	t := w.Flows.Table
	for i, b := range v.Bufs() {
		h := b.IPv4()
		proto := h.Protocol()
		if h[0] == 0x45 && h.Frag()&(hdr.MoreFragments|hdr.FragOffset) == 0 && int32(b.End()-int(b.L4)) >= leastL4[proto] {
			s.keys[i] = session.PlainKey4(h, h.PlainPorts()&portMask[proto])
			s.heads[i] = flowHead{session.Whole, b.TCP().Flags() & tcpMask[proto], false}
		} else {
			v.Arc[i] = s.unusual(w, b, i)
		}
		s.hashes[i] = t.Hash4(s.keys[i])
	}
}

// unusual does so for what is not one whole packet with nothing odd about it.
func (s *ip4Session) unusual(w *graph.Worker, b *buf.Buffer, i int) graph.Arc {
	p, frags, now := &s.packet, w.Flows.Frags4, w.Second()
	part := session.Parse4(b.Bytes(), 0, p)
	s.heads[i] = flowHead{part: part, tcp: p.TCP}
	s.keys[i] = p.Key
	switch part {
	case session.Bad:
		return sessionBad
	case session.First:
		f := p.Frag()
		if frags.First(&f, p.Key.SrcPort(), p.Key.DstPort(), now) > 0 {
			s.release(w, b.RxIf, &f)
		}
		s.heads[i].part = session.Whole
	case session.Later:
		s.heads[i] = flowHead{}
		f := p.Frag()
		sport, dport, answer := frags.Later(&f, now)
		switch {
		case answer == session.Known:
			s.keys[i] = p.Key.WithPorts(sport, dport)
			s.heads[i] = flowHead{part: session.Whole, later: true}
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
func (s *ip4Session) undecided(w *graph.Worker, b *buf.Buffer, i int, r session.Ref) graph.Arc {
	if w.State.Ifaces[b.RxIf].Kind == iface.Uplink && isOwn4(w.State, b) {
		return sessionOwn
	}
	t, head := w.Flows.Table, s.heads[i]
	if head.part == session.Related && r != 0 {
		// A pod is no router: what it says of others' packets is not believed.
		if w.State.Ifaces[b.RxIf].Kind == iface.Tun && b.IPv4().Src() != s.keys[i].Src() {
			r = 0
		} else if f := t.At(r.Index()); valid(f, w.State.Policy.Gen) {
			b.Flow = uint32(r)
			return onward(w, b, f, false)
		}
	}
	d, flow := w.Flows.Drafts4.New()
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

// isOwn4 reports whether a packet is from an address of this node, the host's
// or Skein's. From a link nobody sends those (RFC 1812, section 5.3.8), and what
// rules allow to the node's addresses is not meant for who forges them.
func isOwn4(st *state.State, b *buf.Buffer) bool {
	src := b.IPv4().Src()
	return src == st.Addr4 || st.FIB4.Adj(st.FIB4.Lookup(src, 0)).Kind == fib.Punt
}

// draft fills in what is known.
func (s *ip4Session) draft(w *graph.Worker, d *session.Draft[session.Key4], b *buf.Buffer, i int, r session.Ref) {
	t, head := w.Flows.Table, s.heads[i]
	d.Key, d.Hash, d.Session, d.Part, d.TCP = s.keys[i], s.hashes[i], r, head.part, head.tcp
	switch {
	case r != 0:
		forward := r &^ session.Reverse
		d.Key, d.Out = t.Key4(forward), t.Out4(forward)
		d.Hash = t.Hash4(d.Key)
	case head.part != session.Whole: // an error about a flow that nobody knows is a packet like others
		h := b.IPv4()
		d.Key = session.MakeKey4(h.Src(), h.Dst(), 0, 0, h.Protocol(), 0)
		d.Out = d.Key
	default:
		d.Out = d.Key
	}
	if d.Key.Proto() == hdr.ProtoICMP {
		later := head.later || head.part == session.Related && r != 0
		k := icmpOf(b, later, s.keys[i].SrcPort(), hdr.ICMPEcho, hdr.ICMPEchoReply)
		if r.Dir() == session.Reverse {
			k = k.opposite(hdr.ICMPEcho, hdr.ICMPEchoReply)
		}
		d.Type, d.Code = k.typ, k.code
	}
}

// Tick removes what has had its time.
func (s *ip4Session) Tick(w *graph.Worker) (next int64) {
	return earlier(s.expire(w), expireSessions(w))
}
