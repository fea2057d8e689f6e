package nodes

import (
	"encoding/binary"

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
	batch  acl.Batch
	packet P // lent to session.Parse4 and Parse6
}

// arriving asks the rules for what comes in, of each run of packets that one
// interface has received. keys sets the keys of some packets.
func (n *aclNode[P]) arriving(w *graph.Worker, v *graph.Vector, keys func(*aclNode[P], []*buf.Buffer)) {
	bufs := v.Bufs()
	for from := 0; from < len(bufs); {
		to := from + runBy(bufs[from:], receiver)
		run, arcs := bufs[from:to], v.Arc[from:to]
		g := gatesOf(w.State, run[0].RxIf)
		if from = to; g.none() {
			passAll(run, arcs)
			continue
		}
		keys(n, run)
		n.in(w, run, arcs, &g)
	}
}

// leaving does so with the rules for what goes out, of each run of packets that one
// interface is to send.
func (n *aclNode[P]) leaving(w *graph.Worker, v *graph.Vector, keys func(*aclNode[P], []*buf.Buffer)) {
	bufs := v.Bufs()
	for from := 0; from < len(bufs); {
		to := from + runBy(bufs[from:], sender)
		run, arcs := bufs[from:to], v.Arc[from:to]
		r := outRules(w.State, run[0].TxIf)
		if from = to; r == nil {
			passAll(run, arcs)
			continue
		}
		keys(n, run)
		n.ask(w, run, arcs, r, run[0].TxIf, state.GateOut)
	}
}

// keys4 sets the keys of IPv4 packets.
func keys4(n *aclNode[session.Packet4], run []*buf.Buffer) {
	for i, b := range run {
		aclKey4(&n.batch.Keys[i], &n.packet, b)
	}
}

// keys6 is keys4 for IPv6.
func keys6(n *aclNode[session.Packet6], run []*buf.Buffer) {
	for i, b := range run {
		aclKey6(&n.batch.Keys[i], &n.packet, b)
	}
}

// in decides about packets that have come in by an interface for which there are
// rules. Their keys are set.
func (n *aclNode[P]) in(w *graph.Worker, bufs []*buf.Buffer, arcs []graph.Arc, g *gates) {
	if g.in != nil {
		n.ask(w, bufs, arcs, g.in, bufs[0].RxIf, state.GateIn)
	} else {
		passAll(bufs, arcs)
	}
	if g.untracked == nil {
		return
	}
	for i, b := range bufs {
		if arcs[i] == aclDenied {
			continue
		}
		switch v := n.single(w, b, &n.batch.Keys[i], g); {
		case v.Reason != acl.ByRule:
		case v.Action != acl.Allow:
			arcs[i] = aclUntracked
		default:
			b.Feat = iface.FeatEnd // what follows is about flows
			arcs[i] = graph.NextFeature(b)
		}
	}
}

// A Batch holds a vector.
const _ = uint(acl.BatchLen - graph.MaxVector)

func passAll(bufs []*buf.Buffer, arcs []graph.Arc) {
	for i, b := range bufs {
		arcs[i] = graph.NextFeature(b)
	}
}

// ask asks the Ruled of a gate at an interface about packets whose keys are set.
func (n *aclNode[P]) ask(w *graph.Worker, bufs []*buf.Buffer, arcs []graph.Arc, r *state.Ruled, at uint32, g state.Gate) {
	r.Program.FindBatch(&n.batch, len(bufs), w.State.Policy.Sets, r.HitsOf(w.ID()))
	for i, b := range bufs {
		k := &n.batch.Keys[i]
		v, logged := r.Program.Found(k)
		b.Meta = rulingWord(g, v.Rule, false)
		if logged != acl.NoRule {
			n.log(w, k, at, g, v, logged)
		}
		if arcs[i] = aclDenied; v.Action == acl.Allow {
			arcs[i] = graph.NextFeature(b)
		}
	}
}

// runBy returns how many packets at the head of bufs have an interface in common:
// packets come in runs of one, so that nodes ask once for each run.
func runBy(bufs []*buf.Buffer, at func(*buf.Buffer) uint32) int {
	n := 1
	for n < len(bufs) && at(bufs[n]) == at(bufs[0]) {
		n++
	}
	return n
}

// gates are the rules for what an interface receives; nil: there are none.
type gates struct {
	in, untracked *state.Ruled
	at            uint32 // the interface and the gate of untracked
	gate          state.Gate
}

// gatesOf returns those of an interface.
func gatesOf(st *state.State, rx uint32) (g gates) {
	if st.Policy == nil {
		return g
	}
	if e := st.Policy.At(rx); e != nil {
		g.in = e.In
	}
	g.at, g.gate = untracked(st, rx)
	if e := st.Policy.At(g.at); e != nil {
		g.untracked = e.At(g.gate)
	}
	return g
}

func (g *gates) none() bool { return g.in == nil && g.untracked == nil }

// untracked returns which gate packets pass that an interface receives, and
// where: the wire sends to the host behind it, the host to the wire before it.
func untracked(st *state.State, rx uint32) (at uint32, g state.Gate) {
	if in := &st.Ifaces[rx]; in.Kind == iface.Tap {
		return in.Peer, state.GateUntrackedFrom
	}
	return rx, state.GateUntrackedTo
}

func receiver(b *buf.Buffer) uint32 { return b.RxIf }
func sender(b *buf.Buffer) uint32   { return b.TxIf }

// outRules returns the rules for what an interface is to send; nil: there are none.
func outRules(st *state.State, tx uint32) *state.Ruled {
	if st.Policy == nil {
		return nil
	}
	if e := st.Policy.At(tx); e != nil {
		return e.Out
	}
	return nil
}

// single asks untracked policy about one packet. The verdict is to be read only.
func (n *aclNode[P]) single(w *graph.Worker, b *buf.Buffer, k *acl.Key, g *gates) *acl.Verdict {
	v, logged := g.untracked.Program.Find(k, w.State.Policy.Sets, g.untracked.HitsOf(w.ID()))
	b.Meta = rulingWord(g.gate, v.Rule, false)
	if logged != acl.NoRule {
		n.log(w, k, g.at, g.gate, v, logged)
	}
	return v
}

// asks reports whether there are rules for what an interface receives.
func asks(st *state.State, rx uint32) bool {
	g := gatesOf(st, rx)
	return !g.none()
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
	h := b.IPv4AtL3()
	// The usual packet in one look, as in ip4-session.
	is := transports[h.Protocol()]
	if h.IsWhole() && int32(b.End()-int(b.L3)-hdr.IPv4Len) >= is.least {
		ports := h.PlainPorts() & is.ports
		k.Set4(h.Src(), h.Dst(), h.Protocol(), uint16(ports>>16), uint16(ports))
		return
	}
	part := session.Parse4(payloadAt(b), 0, p)
	k.Set4(h.Src(), h.Dst(), h.Protocol(), p.Key.SrcPort(), p.Key.DstPort())
	partKey(k, b, part, hdr.ProtoICMP)
}

// aclKey6 is aclKey4 for IPv6.
func aclKey6(k *acl.Key, p *session.Packet6, b *buf.Buffer) {
	h := b.IPv6AtL3()
	is := transports[h.NextHeader()]
	if int32(b.End()-int(b.L3)-hdr.IPv6Len) >= is.least {
		ports := uint32(0)
		if is.ports != 0 {
			ports = binary.BigEndian.Uint32(payloadAt(b)[hdr.IPv6Len:])
		}
		k.Set6(h.Src(), h.Dst(), h.NextHeader(), uint16(ports>>16), uint16(ports))
		return
	}
	part := session.Parse6(payloadAt(b), 0, p)
	proto := p.Key.Proto()
	if part == session.Related {
		proto = hdr.ProtoICMPv6
	}
	k.Set6(h.Src(), h.Dst(), proto, p.Key.SrcPort(), p.Key.DstPort())
	partKey(k, b, part, hdr.ProtoICMPv6)
}
