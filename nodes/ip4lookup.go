package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
)

// IP4Lookup decides where each IPv4 packet goes next, by longest matching
// prefix (RFC 1812, section 5.2.4.3), and by flow hash among equal paths.
//
// In: the packet starts at a sound IPv4 header; ip4-input has seen to that.
// Out: Adj is set, and not a byte of the packet has changed. Towards
// icmp4-error, Meta holds the error.
//
// The TTL is not looked at. Only ip4-rewrite, which sends packets further, can
// know that it matters (RFC 1812, section 5.3.1).
var IP4Lookup = graph.Spec{
	Name: "ip4-lookup",
	Arcs: []graph.To{
		lookupForward:     {Reason: "forward", Node: "ip4-rewrite"},
		lookupResolve:     {Reason: "resolve", Node: "ip4-arp"},
		lookupLocal:       {Reason: "local", Node: "ip4-local"},
		lookupPunt:        {Reason: "punt", Node: "ip4-punt"},
		lookupNoRoute:     {Reason: "ip4 no route", Node: "icmp4-error", Dies: true},
		lookupUnreachable: {Reason: "ip4 destination unreachable by route", Node: "icmp4-error", Dies: true},
		lookupProhibit:    {Reason: "ip4 destination prohibited by route", Node: "icmp4-error", Dies: true},
		lookupBlackhole:   {Reason: "ip4 destination blackholed by route", Node: graph.Drop},
		lookupJudge:       {Reason: "to be judged", Node: "ip4-policy"},
	},
	New:      func() graph.Node { return new(ip4Lookup) },
	Describe: describeRoute,
}

// The ways out of ip4-lookup.
const (
	_                 graph.Arc = iota
	lookupForward               // the next hop's link address is known, or it has none
	lookupResolve               // the next hop is on a link of ours, its link address unknown
	lookupLocal                 // for Skein itself
	lookupPunt                  // for the host
	lookupNoRoute               // nothing matches: tell the sender
	lookupUnreachable           // a route says so, or leads nowhere: tell the sender
	lookupProhibit              // a route says so: tell the sender
	lookupBlackhole             // a route says to drop it and say nothing
	lookupJudge                 // it is of no session: policy decides, and then it goes where Adj leads
)

// lookupArc is the way out for each kind of adjacency.
var lookupArc = [fib.NumKinds]graph.Arc{
	fib.NoRoute:     lookupNoRoute,
	fib.Forward:     lookupForward,
	fib.Resolve:     lookupResolve,
	fib.Glean:       lookupResolve,
	fib.Local:       lookupLocal,
	fib.Punt:        lookupPunt,
	fib.Blackhole:   lookupBlackhole,
	fib.Unreachable: lookupUnreachable,
	fib.Prohibit:    lookupProhibit,
}

// lookupError is what the sender is told (RFC 1812, sections 5.2.7.1 and
// 4.3.3.1).
var lookupError = [fib.NumKinds]uint32{
	fib.NoRoute:     icmpError(hdr.ICMPUnreachable, hdr.ICMPNetUnreachable, 0),
	fib.Unreachable: icmpError(hdr.ICMPUnreachable, hdr.ICMPHostUnreachable, 0),
	fib.Prohibit:    icmpError(hdr.ICMPUnreachable, hdr.ICMPAdminProhibited, 0),
}

type ip4Lookup struct {
	dst  [graph.MaxVector]hdr.Addr4
	leaf [graph.MaxVector]uint32
}

// Process looks all destinations up at once, so that the misses of a large
// table overlap.
func (l *ip4Lookup) Process(w *graph.Worker, v *graph.Vector) {
	routes, bufs := w.State.FIB4, v.Bufs()
	dst, leaves := l.dst[:len(bufs)], l.leaf[:len(bufs)]
	for i, b := range bufs {
		dst[i] = b.IPv4().Dst()
	}
	routes.Leaves(dst, leaves)
	for i, b := range bufs {
		var only bool
		if b.Adj, only = routes.Only(leaves[i]); !only {
			b.Adj = routes.Choose(leaves[i], hash4(b))
		}
		v.Arc[i] = lookupForward
		if kind := routes.Adj(b.Adj).Kind; kind != fib.Forward || b.Flags&buf.Judge != 0 {
			v.Arc[i] = unusual(b, kind, lookupError[kind%fib.NumKinds])
		}
	}
}

// unusual returns the way out for a packet that is to be judged, or whose
// adjacency is of a kind but to forward by. Only where it may get somewhere is
// policy asked. If e is not 0, it is what the sender is told.
func unusual(b *buf.Buffer, kind fib.Kind, e uint32) graph.Arc {
	kind %= fib.NumKinds
	if b.Flags&buf.Judge != 0 {
		if judged[kind] {
			return lookupJudge
		}
		b.Flags &^= buf.Judge
	}
	if e != 0 {
		b.Meta = e
	}
	return lookupArc[kind]
}

func describeRoute(r *graph.Record) string {
	return r.State.FIB4.Describe(r.Meta.Adj, ifaceName(r.State))
}
