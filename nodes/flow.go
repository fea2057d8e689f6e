package nodes

import (
	"fmt"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/session"
)

// What ip4-session and ip6-session have in common.

// sessionArcs are the ways out of ip4-session and ip6-session.
func sessionArcs(ip string) []graph.To {
	return []graph.To{
		sessionForward:   {Reason: "forward", Node: ip + "-rewrite"},
		sessionTranslate: {Reason: "translated", Node: ip + "-translate"},
		sessionService:   {Reason: "new", Node: ip + "-service"},
		sessionReleased:  {Reason: "first fragment has come", Node: ip + "-session"},
		sessionBad:       {Reason: ip + " transport header is short or contradictory", Node: graph.Drop},
		sessionWaiting:   {Reason: ip + " too many fragments wait for their first", Node: graph.Drop},
		sessionNoFirst:   {Reason: ip + " first fragment has not come", Node: graph.Drop},
		sessionFlood:     {Reason: ip + " too many new flows at once", Node: graph.Drop},
		sessionOwn:       {Reason: ip + " source is the node's own, from a link", Node: graph.Drop},
		sessionTunnel:    {Reason: "tunnelled", Node: ip + "-encap"},
	}
}

const (
	_                graph.Arc = iota
	sessionForward             // its session knows the route, see routeOf
	sessionTranslate           // its session says what it is to become, and it is none that can be written here
	sessionService             // it may be for a service
	sessionReleased            // to find its session now
	sessionBad                 // RFC 1858, section 3; RFC 3128
	sessionWaiting             //
	sessionNoFirst             //
	sessionFlood               // more than session.DraftRoom in one sweep
	sessionOwn                 // a martian; without policy its source decides nothing
	sessionTunnel              // its session says which node answers it
)

const (
	// expireEvery is how often sessions are looked at that may be due, and
	// expireLeast how often if there are more than expireBudget can do at once:
	// all of a million groups of 64 in some seconds, and no sweep waits for more
	// than a tenth of a millisecond.
	expireEvery  = 1_000_000_000
	expireLeast  = 10_000_000
	expireBudget = 1024
)

// sessionWaits returns what ip4-session and ip6-session keep fragments in.
func sessionWaits() waiting { return waiting{released: sessionReleased, noFirst: sessionNoFirst} }

// expireSessions removes sessions that have seen nothing for long, and returns
// when to do so again, 0 if there are none. Both families' nodes call it for the
// table they share.
func expireSessions(w *graph.Worker) (next int64) {
	t := w.Flows.Table
	t.Expire(w.Second(), expireBudget)
	st := t.Stats()
	if st.Sessions == 0 {
		return 0
	}
	return w.Now + max(expireLeast, expireEvery/int64(1+st.Capacity/64/expireBudget))
}

// earlier returns the earlier of two times, of which 0 is never.
func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// packetsOf returns how many packets a superpacket stands for.
func packetsOf(b *buf.Buffer) uint32 {
	if b.GSOType == buf.GSONone || b.GSOSize == 0 {
		return 1
	}
	return uint32(max(1, (b.End()-int(b.HdrEnd)+int(b.GSOSize)-1)/int(b.GSOSize)))
}

// A flowHead is what is known of a packet besides its key, in one word, as it is
// written and read for each packet:
//
//	| nat.SumAt | later | flags of TCP | session.Part |   the lowest byte last
//
// SumAt is that of a packet that nat.Plain4 or Plain6 can translate, else 0.
// later is 1 for a fragment but the first. The Part is Whole for fragments too
// whose ports are known, and Bad for what has left.
type flowHead uint32

func (h flowHead) part() session.Part { return session.Part(h) }
func (h flowHead) tcp() uint8         { return uint8(h >> 8) }
func (h flowHead) later() bool        { return h>>16&1 != 0 }
func (h flowHead) sumAt() uint8       { return uint8(h >> 24) }

const laterHead = flowHead(1<<16) | flowHead(session.Whole)

func headOf(part session.Part, tcp uint8) flowHead { return flowHead(part) | flowHead(tcp)<<8 }

// A transport is what the sessions' nodes have to know of a protocol to read a
// packet in one look.
type transport struct {
	ports uint32   // all bits set if it has any
	least int32    // bytes of header; toParse: session has to parse it
	tcp   flowHead // of TCP the bits of the flags
	whole flowHead // all others, of a whole packet
}

// toParse is beyond the length of any packet.
const toParse = 1 << 20

var transports = func() (t [256]transport) {
	for proto := range t {
		t[proto] = transport{ports: portMask[proto], whole: flowHead(session.Whole) | flowHead(nat.SumAt[proto])<<24}
		if hdr.IsExt(uint8(proto)) {
			t[proto].least = toParse
		}
	}
	t[hdr.ProtoTCP].least, t[hdr.ProtoTCP].tcp = hdr.TCPLen, 0xff00
	t[hdr.ProtoUDP].least, t[hdr.ProtoSCTP].least = hdr.UDPLen, 12
	t[hdr.ProtoICMP].least, t[hdr.ProtoICMPv6].least = toParse, toParse
	return t
}()

// An icmpKind is what rules look at in ICMP. Echo requests and replies are the
// only kinds that sessions have.
type icmpKind struct{ typ, code uint8 }

// icmpOf returns the kind of an ICMP packet of a flow with this source port,
// which is 0 in replies. Fragments but the first don't say it themselves.
func icmpOf(b *buf.Buffer, later bool, sport uint16, request, reply uint8) icmpKind {
	switch {
	case !later:
		return icmpKind{b.ICMP().Type(), b.ICMP().Code()}
	case sport != 0:
		return icmpKind{typ: request}
	}
	return icmpKind{typ: reply}
}

// opposite returns what a packet answers, or is answered by.
func (k icmpKind) opposite(request, reply uint8) icmpKind {
	switch k.typ {
	case request:
		return icmpKind{typ: reply}
	case reply:
		return icmpKind{typ: request}
	}
	return k
}

// onward returns the way of a packet whose flow is known, or of which there is a
// draft: s is its session, nil if there is none. These nodes are the last before
// ip4-lookup and ip6-lookup, so no other feature is left out.
func onward(w *graph.Worker, b *buf.Buffer, s *session.Session, fresh bool) graph.Arc {
	switch {
	case s != nil && s.Flags&flagElsewhere != 0:
		return elsewhere(s.Flags)
	case fresh && w.State.NAT != nil:
		return sessionService
	}
	return graph.NextFeature(b)
}

// learned is the routes that the sessions of one family have learned from: a
// session knows the adjacency of its packets for as long as the routes are the
// same, so that its packets need no lookup.
type learned[T any] struct{ from *T }

// check has all sessions forget if there are others now. The table that they
// have learned from is kept until then, so that no other can have its address.
func (l *learned[T]) check(t *session.Table, now *T) {
	if l.from != now {
		l.from = now
		t.ForgetRoutes()
	}
}

// elsewhere is the way out for packets of a session that go elsewhere than they
// were sent to.
func elsewhere(flags uint16) graph.Arc {
	if flags&flagTranslated != 0 {
		return sessionTranslate
	}
	return sessionTunnel
}

// valid reports whether what a session remembers of policy is still true.
func valid(s *session.Session, gen uint32) bool { return s.Gen == gen && s.Verdict == session.Allow }

// describeSession4 and describeSession6 say what is known of a packet's flow, and
// which way it goes if its session knows that.
func describeSession4(r *graph.Record) string {
	if r.Reason != "forward" {
		return describeSession(r)
	}
	return describeSession(r) + " " + describeRoute(r)
}

func describeSession6(r *graph.Record) string {
	if r.Reason != "forward" {
		return describeSession(r)
	}
	return describeSession(r) + " " + describeRoute6(r)
}

// describeSession says what is known of a packet's flow.
func describeSession(r *graph.Record) string {
	switch {
	case session.IsDraft(r.Meta.Flow):
		return "to be judged"
	case r.Meta.Flow != 0:
		return fmt.Sprintf("session %d", session.Ref(r.Meta.Flow).Index())
	}
	return ""
}
