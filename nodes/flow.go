package nodes

import (
	"fmt"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/session"
)

// What ip4-session and ip6-session have in common.

// sessionArcs are the ways out of ip4-session and ip6-session.
func sessionArcs(ip string) []graph.To {
	return []graph.To{
		sessionTranslate: {Reason: "translated", Node: ip + "-translate"},
		sessionService:   {Reason: "new", Node: ip + "-service"},
		sessionReleased:  {Reason: "first fragment has come", Node: ip + "-session"},
		sessionBad:       {Reason: ip + " transport header is short or contradictory", Node: graph.Drop},
		sessionWaiting:   {Reason: ip + " too many fragments wait for their first", Node: graph.Drop},
		sessionNoFirst:   {Reason: ip + " first fragment has not come", Node: graph.Drop},
		sessionFlood:     {Reason: ip + " too many new flows at once", Node: graph.Drop},
		sessionOwn:       {Reason: ip + " source is the node's own, from a link", Node: graph.Drop},
	}
}

const (
	_                graph.Arc = iota
	sessionTranslate           // its session says what it is to become
	sessionService             // it may be for a service
	sessionReleased            // to find its session now
	sessionBad                 // RFC 1858, section 3; RFC 3128
	sessionWaiting             //
	sessionNoFirst             //
	sessionFlood               // more than session.DraftRoom in one sweep
	sessionOwn                 // a martian; without policy its source decides nothing
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

// leastL4 is how many bytes of transport header a packet needs to be parsed
// in one look, by protocol; beyond all that is possible for those that session
// has to parse.
var leastL4 = func() (least [256]int32) {
	for proto := range least {
		if hdr.IsExt(uint8(proto)) {
			least[proto] = 1 << 20
		}
	}
	least[hdr.ProtoTCP], least[hdr.ProtoUDP], least[hdr.ProtoSCTP] = hdr.TCPLen, hdr.UDPLen, 12
	least[hdr.ProtoICMP], least[hdr.ProtoICMPv6] = 1<<20, 1<<20
	return least
}()

// tcpMask has all bits set for TCP.
var tcpMask = [256]uint8{hdr.ProtoTCP: 0xff}

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
	case s != nil && s.Flags&flagTranslated != 0:
		return sessionTranslate
	case fresh && w.State.NAT != nil:
		return sessionService
	}
	return graph.NextFeature(b)
}

// valid reports whether what a session remembers of policy is still true.
func valid(s *session.Session, gen uint32) bool { return s.Gen == gen && s.Verdict == session.Allow }

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
