package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/session"
)

// IP6Translate gives packets of translated flows the addresses and ports that
// their session says, source and destination at once: where they go depends on
// the destination only, and what policy is still to be asked about it finds in
// the draft. ICMP errors are translated by what they quote (RFC 5508).
//
// In: the packet starts at a sound IPv6 header; Flow is a translated session, or
// a draft about one.
// Out: the packet is as it leaves, but for what forwarding changes.
var IP6Translate = graph.Spec{
	Name:     "ip6-translate",
	Arcs:     translateArcs("ip6"),
	New:      func() graph.Node { return ip6Translate{} },
	Describe: describeTranslated,
}

type ip6Translate struct{}

func (ip6Translate) Process(w *graph.Worker, v *graph.Vector) {
	for i, b := range v.Bufs() {
		r := session.Ref(b.Flow)
		if session.IsDraft(b.Flow) {
			r = w.Flows.Drafts6.At(b.Flow).Session
		}
		v.Arc[i] = translateArc[translate6(b, w.Flows.Out6(r))%nat.NumResults]
	}
}

// translate6 makes b a packet with key k.
func translate6(b *buf.Buffer, k session.Key6) nat.Result {
	hash6(b)
	return nat.Translate6(b, &nat.Tuple6{Src: k.Src(), Dst: k.Dst(), SrcPort: k.SrcPort(), DstPort: k.DstPort()})
}

// translatePlain6 is translatePlain4.
func translatePlain6(t *session.Table, b *buf.Buffer, r session.Ref, sumAt uint8) bool {
	src, dst, ports, ok := t.Leaves6(r)
	return ok && nat.Plain6(b, sumAt, src, dst, ports)
}

// undo6 returns what makes an error about b one about the packet that its
// sender has sent, and false if b is that still. What a node has kept may have
// outlived its session or draft: then it is not taken for another's.
func undo6(w *graph.Worker, b *buf.Buffer, src, dst hdr.Addr6) (session.Key6, bool) {
	r := session.Ref(b.Flow)
	if session.IsDraft(b.Flow) {
		d := w.Flows.Drafts6.At(b.Flow)
		if r = d.Session; r == 0 {
			return d.Key.Swap(), d.Out != d.Key && d.Out.Src() == src && d.Out.Dst() == dst
		}
	}
	if r == 0 || w.Flows.At(r.Index()).Flags&flagTranslated == 0 {
		return session.Key6{}, false
	}
	now := w.Flows.Out6(r)
	return w.Flows.Out6(r ^ session.Reverse), now.Src() == src && now.Dst() == dst
}
