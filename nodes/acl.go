package nodes

import (
	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
)

// What the nodes have in common that ask rules of each packet on its own:
// ip4-acl, ip6-acl, ip4-acl-output and ip6-acl-output.

// The ways out of ip4-acl and ip6-acl, besides the unicast arcs.
const (
	_            graph.Arc = iota
	aclDenied              // Endpoint.In or Out
	aclUntracked           // Endpoint.UntrackedFrom or UntrackedTo
)

func aclArcs(ip string) []graph.To {
	return []graph.To{
		aclDenied:    {Reason: ip + " access list denies", Node: graph.Drop},
		aclUntracked: {Reason: ip + " untracked policy denies", Node: graph.Drop},
	}
}

func aclOutputArcs(ip string) []graph.To {
	return []graph.To{aclDenied: {Reason: ip + " outgoing access list denies", Node: graph.Drop}}
}

// An aclNode asks rules without sessions. P is what the family's packets are
// parsed into.
type aclNode[P any] struct {
	judge
	key    acl.Key
	packet P // lent to session.Parse4 and Parse6
}

// in decides about a packet that has come in, whose key is set.
func (n *aclNode[P]) in(w *graph.Worker, b *buf.Buffer) graph.Arc {
	p := w.State.Policy
	if e := p.At(b.RxIf); e != nil && e.In != nil {
		if n.single(w, b, b.RxIf, state.GateIn).Action != acl.Allow {
			return aclDenied
		}
	}
	at, gate := untracked(w.State, b.RxIf)
	if e := p.At(at); e != nil && e.At(gate) != nil {
		switch v := n.single(w, b, at, gate); {
		case v.Reason != acl.ByRule:
		case v.Action != acl.Allow:
			return aclUntracked
		default:
			b.Feat = iface.FeatEnd // what follows is about flows
		}
	}
	return graph.NextFeature(b)
}

// untracked returns which gate packets pass that an interface receives, and
// where: the wire sends to the host behind it, the host to the wire before it.
func untracked(st *state.State, rx uint32) (at uint32, g state.Gate) {
	if in := &st.Ifaces[rx]; in.Kind == iface.Tap {
		return in.Peer, state.GateUntrackedFrom
	}
	return rx, state.GateUntrackedTo
}

// out decides about a packet that is to be sent, whose key is set.
func (n *aclNode[P]) out(w *graph.Worker, b *buf.Buffer) graph.Arc {
	e := w.State.Policy.At(b.TxIf)
	if e == nil || e.Out == nil {
		return graph.NextFeature(b)
	}
	if n.single(w, b, b.TxIf, state.GateOut).Action != acl.Allow {
		return aclDenied
	}
	return graph.NextFeature(b)
}

// single asks the Ruled of one gate, which is there.
func (n *aclNode[P]) single(w *graph.Worker, b *buf.Buffer, at uint32, g state.Gate) acl.Verdict {
	p := w.State.Policy
	r := p.At(at).At(g)
	v := r.Program.Match(&n.key, p.Sets, r.HitsOf(w.ID()))
	b.Meta = rulingWord(g, v.Rule, false)
	if v.Log != acl.NoRule {
		n.log(w, &n.key, at, g, v)
	}
	return v
}

// asks reports whether there are rules for what an interface receives.
func asks(st *state.State, rx uint32) bool {
	if st.Policy == nil {
		return false
	}
	at, gate := untracked(st, rx)
	e, far := st.Policy.At(rx), st.Policy.At(at)
	return e != nil && e.In != nil || far != nil && far.At(gate) != nil
}

// partKey makes what is known of addresses and ports the key of a packet of
// which session says that it is part. ICMP's header is at L4.
func partKey(k *acl.Key, b *buf.Buffer, part session.Part, icmp uint8) {
	switch {
	case part == session.Later || part == session.Bad:
		k.Flags |= acl.NoPorts
	case k.Proto == icmp:
		k.SrcPort, k.DstPort = 0, 0
		k.SetICMP(b.ICMP().Type(), b.ICMP().Code())
	}
}

// describeList says which rule has decided at the gate of an access list.
func describeList(r *graph.Record) string {
	at := r.Meta.RxIf
	switch state.Gate(r.Meta.Meta >> 24 & 15) {
	case state.GateUntrackedFrom:
		at, _ = untracked(r.State, at)
	case state.GateOut:
		at = r.Meta.TxIf
	}
	return rulingAt(r, at)
}

// payloadAt returns the packet from its network header on.
func payloadAt(b *buf.Buffer) []byte { return b.Bytes()[int(b.L3)-b.Off():] }

// aclKey4 sets k for an IPv4 packet whose network header is at L3.
func aclKey4(k *acl.Key, p *session.Packet4, b *buf.Buffer) {
	part := session.Parse4(payloadAt(b), 0, p)
	h := b.IPv4AtL3()
	k.Set4(h.Src(), h.Dst(), h.Protocol(), p.Key.SrcPort(), p.Key.DstPort())
	partKey(k, b, part, hdr.ProtoICMP)
}

// aclKey6 is aclKey4 for IPv6.
func aclKey6(k *acl.Key, p *session.Packet6, b *buf.Buffer) {
	part := session.Parse6(payloadAt(b), 0, p)
	h, proto := b.IPv6AtL3(), p.Key.Proto()
	if part == session.Related {
		proto = hdr.ProtoICMPv6
	}
	k.Set6(h.Src(), h.Dst(), proto, p.Key.SrcPort(), p.Key.DstPort())
	partKey(k, b, part, hdr.ProtoICMPv6)
}
