package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
)

// IP6Lookup decides where each IPv6 packet goes next, by longest matching
// prefix, and by flow hash among equal paths.
//
// A link-local destination is looked up on its link (RFC 4007, section 6): that
// which the packet came in by, or, if it is Skein's own, TxIf. From others,
// only what is for this node is let pass (RFC 4291, section 2.5.6).
//
// In: the packet starts at a sound IPv6 header; ip6-input has seen to that.
// Out: Adj is set, and not a byte of the packet has changed. Towards
// icmp6-error, Meta holds the error.
//
// The hop limit is not looked at. Only ip6-rewrite, which sends packets
// further, can know that it matters.
var IP6Lookup = graph.Spec{
	Name: "ip6-lookup",
	Arcs: []graph.To{
		lookupForward:     {Reason: "forward", Node: "ip6-rewrite"},
		lookupResolve:     {Reason: "resolve", Node: "ip6-nd"},
		lookupLocal:       {Reason: "local", Node: "ip6-local"},
		lookupPunt:        {Reason: "punt", Node: "ip6-punt"},
		lookupNoRoute:     {Reason: "ip6 no route", Node: "icmp6-error", Dies: true},
		lookupUnreachable: {Reason: "ip6 destination unreachable by route", Node: "icmp6-error", Dies: true},
		lookupProhibit:    {Reason: "ip6 destination prohibited by route", Node: "icmp6-error", Dies: true},
		lookupBlackhole:   {Reason: "ip6 destination blackholed by route", Node: graph.Drop},
		lookupJudge:       {Reason: "to be judged", Node: "ip6-policy"},
		lookupLinkLocal:   {Reason: "ip6 link-local destination is not routed", Node: graph.Drop},
	},
	New:      func() graph.Node { return new(ip6Lookup) },
	Describe: describeRoute6,
}

// The ways out of ip6-lookup are those of ip4-lookup, and this.
const lookupLinkLocal = lookupJudge + 1 // RFC 4291, section 2.5.6

// lookupError6 is what the sender is told (RFC 4443, section 3.1).
var lookupError6 = [fib.NumKinds]uint32{
	fib.NoRoute:     icmpError(hdr.ICMP6Unreachable, hdr.ICMP6NoRoute, 0),
	fib.Unreachable: icmpError(hdr.ICMP6Unreachable, hdr.ICMP6AddrUnreachable, 0),
	fib.Prohibit:    icmpError(hdr.ICMP6Unreachable, hdr.ICMP6AdminProhibited, 0),
}

type ip6Lookup struct {
	dst  [graph.MaxVector]hdr.Addr6
	leaf [graph.MaxVector]uint32
}

// Process looks all destinations up at once, so that the misses of a large
// table overlap. It has no route for link-local ones: these are looked up again,
// each on its link.
func (l *ip6Lookup) Process(w *graph.Worker, v *graph.Vector) {
	routes, bufs := w.State.FIB6, v.Bufs()
	dst, leaves := l.dst[:len(bufs)], l.leaf[:len(bufs)]
	for i, b := range bufs {
		dst[i] = b.IPv6().Dst()
	}
	routes.Leaves(dst, leaves)
	for i, b := range bufs {
		var only bool
		if b.Adj, only = routes.Only(leaves[i]); !only {
			b.Adj = routes.Choose(leaves[i], hash6(b))
		}
		v.Arc[i] = lookupForward
		if kind := routes.Adj(b.Adj).Kind; kind != fib.Forward || b.Flags&buf.Judge != 0 {
			v.Arc[i] = unusual6(routes, b, dst[i], kind)
		}
	}
}

// unusual6 is unusual, and looks a link-local destination up on its link.
func unusual6(routes *fib.Table6, b *buf.Buffer, dst hdr.Addr6, kind fib.Kind) graph.Arc {
	if dst.IsLinkLocal() {
		return lookupOnLink(routes, b, dst)
	}
	return unusual(b, kind, lookupError6[kind%fib.NumKinds])
}

// lookupOnLink decides about a packet to a link-local address. From others
// than Skein it lets pass only what is for this node.
func lookupOnLink(routes *fib.Table6, b *buf.Buffer, dst hdr.Addr6) graph.Arc {
	b.Adj = routes.LookupLink(link6(b), dst, hash6(b))
	kind := routes.Adj(b.Adj).Kind
	if b.RxIf != 0 && kind != fib.Local && kind != fib.Punt {
		return lookupLinkLocal
	}
	return unusual(b, kind, lookupError6[kind%fib.NumKinds])
}

// link6 returns the interface on whose link a packet's link-local addresses
// are.
func link6(b *buf.Buffer) uint32 {
	if b.RxIf == 0 {
		return b.TxIf
	}
	return b.RxIf
}

// lookup6 looks a single address up that was seen on the link of an interface.
func lookup6(routes *fib.Table6, iface uint32, a hdr.Addr6, hash uint32) uint32 {
	if a.IsLinkLocal() {
		return routes.LookupLink(iface, a, hash)
	}
	return routes.Lookup(a, hash)
}

func describeRoute6(r *graph.Record) string {
	return r.State.FIB6.Describe(r.Meta.Adj, ifaceName(r.State))
}
