package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/session"
)

// IP4Translate gives packets of translated flows the addresses and ports that
// their session says, source and destination at once: where they go depends on
// the destination only, and what policy is still to be asked about it finds in
// the draft. ICMP errors are translated by what they quote (RFC 5508).
//
// In: the packet starts at a sound IPv4 header; Flow is a translated session, or
// a draft about one.
// Out: the packet is as it leaves, but for what forwarding changes.
var IP4Translate = graph.Spec{
	Name:     "ip4-translate",
	Arcs:     append(translateArcs("ip4"), graph.To{Reason: "ip4 icmp redirect of a translated flow", Node: graph.Drop}),
	New:      func() graph.Node { return ip4Translate{} },
	Describe: describeTranslated,
}

type ip4Translate struct{}

func (ip4Translate) Process(w *graph.Worker, v *graph.Vector) {
	for i, b := range v.Bufs() {
		r := session.Ref(b.Flow)
		if session.IsDraft(b.Flow) {
			r = w.Flows.Drafts4.At(b.Flow).Session
		}
		v.Arc[i] = translateArc[translate4(b, w.Flows.Out4(r))%nat.NumResults]
	}
}

// translate4 makes b a packet with key k. Its hash stays that of the packet that
// came in, so that all packets of the flow have one, see flowhash.go.
func translate4(b *buf.Buffer, k session.Key4) nat.Result {
	hash4(b)
	return nat.Translate4(b, &nat.Tuple4{Src: k.Src(), Dst: k.Dst(), SrcPort: k.SrcPort(), DstPort: k.DstPort()})
}

// translatePlain4 does to b, a packet of session r that nat.SumAt says sumAt of,
// what ip4-translate would do. It reports false if that has to.
func translatePlain4(t *session.Table, b *buf.Buffer, r session.Ref, sumAt uint8) bool {
	addrs, ports := t.At(r.Index()).Leaves4(r.Dir())
	return nat.Plain4(b, sumAt, addrs, ports)
}

// undo4 returns what makes an error about b one about the packet that its
// sender has sent, and false if b is that still. What a node has kept may have
// outlived its session or draft: then it is not taken for another's.
func undo4(w *graph.Worker, b *buf.Buffer, src, dst hdr.Addr4) (session.Key4, bool) {
	r := session.Ref(b.Flow)
	if session.IsDraft(b.Flow) {
		d := w.Flows.Drafts4.At(b.Flow)
		if r = d.Session; r == 0 {
			return d.Key.Swap(), d.Out != d.Key && d.Out.Src() == src && d.Out.Dst() == dst
		}
	}
	if r == 0 || w.Flows.At(r.Index()).Flags&flagTranslated == 0 {
		return session.Key4{}, false
	}
	now := w.Flows.Out4(r)
	return w.Flows.Out4(r ^ session.Reverse), now.Src() == src && now.Dst() == dst
}
