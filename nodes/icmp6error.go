package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
)

// ICMP6Error tells the sender of a packet why it could not be delivered
// (RFC 4443, section 3).
//
// In: the packet is unchanged since L3 was set, and starts there; L4 is set;
// Meta holds the error, from icmpError. If it is in a tunnel of this node's, the
// error is about what is in that.
// Out: the packet has become the ICMPv6 error, to be looked up.
var ICMP6Error = graph.Spec{
	Name: "icmp6-error",
	Arcs: []graph.To{
		errorSent:    {Reason: "icmp6 error sent", Node: "ip6-lookup"},
		errorAboutIt: {Reason: "no icmp6 error may answer this packet", Node: graph.Drop},
		errorLimited: {Reason: "icmp6 error rate limit", Node: graph.Drop},
		errorSource:  {Reason: "no own address to send an icmp6 error from", Node: graph.Drop},
	},
	New:      func() graph.Node { return new(icmp6Error) },
	Describe: describeICMP6,
}

// The ways out of icmp6-error are those of icmp4-error, for these reasons:
//
//	errorAboutIt  RFC 4443, section 2.4 (e)
//	errorLimited  RFC 4443, section 2.4 (f)
//	errorSource   RFC 4443, section 2.2

// quoted6 is how much of a packet its error quotes, in bytes: as much as fits
// in the least MTU that a link may have (RFC 4443, section 2.4 (c)).
const quoted6 = hdr.MinMTU6 - hdr.IPv6Len - hdr.ICMPLen

type icmp6Error struct{ errorLimits }

func (e *icmp6Error) Process(w *graph.Worker, v *graph.Vector) {
	for i, b := range v.Bufs() {
		v.Arc[i] = e.answer(w, b)
	}
}

func (e *icmp6Error) answer(w *graph.Worker, b *buf.Buffer) graph.Arc {
	if b.IPv6().NextHeader() == hdr.ProtoIPv6 && inTunnel(w, b) {
		unwrap6(b)
	}
	to := b.IPv6().Src()
	if !mayAnswer6(b, to) {
		return errorAboutIt
	}
	own := w.State.Source6(b.RxIf)
	if to.IsLinkLocal() {
		own = w.State.LinkSource6(b.RxIf)
	}
	if to := lookup6(w.State.FIB6, link6(b), b.IPv6().Dst(), hash6(b)); w.State.FIB6.Adj(to).Kind == fib.Local {
		own = b.IPv6().Dst() // RFC 4443, section 2.2 (a)
	}
	if own.IsUnspecified() {
		return errorSource
	}
	if !e.allow(w, uint32(to.Hi>>32)^uint32(to.Hi)^uint32(to.Lo>>32)^uint32(to.Lo)) {
		return errorLimited
	}
	as, undo := undo6(w, b, to, b.IPv6().Dst())
	b.Trim(min(b.Len(), quoted6))
	b.GSOType, b.GSOSize = buf.GSONone, 0
	b.Flags &^= buf.CsumPartial | buf.CsumValid
	own6(b)
	fillError(b, b.Meta, b.Meta&0xffff)
	fillIP6(b, own, to, initialTTL)
	fillChecksum6(b)
	if undo && translate6(b, as) != nat.Done {
		return errorAboutIt
	}
	b.Flow = 0
	return errorSent
}

// mayAnswer6 reports whether an error may be sent about the packet at all: not
// about an ICMPv6 error or redirect, nor what came to or from more than one
// station. Who sends to several is not told that a packet is too big either:
// multicast is not routed.
func mayAnswer6(b *buf.Buffer, from hdr.Addr6) bool {
	if b.Flags&buf.LinkBroadcast != 0 || martianSource6(from) {
		return false
	}
	u := upper6(b)
	if u.Proto != hdr.ProtoICMPv6 {
		return true
	}
	if u.NotFirst || b.End() < int(b.L4)+1 {
		return false // nobody can tell that it is not an error
	}
	t := b.ICMP().Type()
	return !hdr.ICMP6IsError(t) && t != hdr.ICMP6Redirect
}
