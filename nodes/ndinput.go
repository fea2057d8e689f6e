package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/state"
)

// NDInput learns from neighbor solicitations and advertisements and answers
// those that ask for us (RFC 4861, section 7.2). Between an uplink and its tap
// it lets all others pass, so that the host resolves its neighbours, detects
// duplicates of its addresses and is found by others as without Skein. On the
// tap it answers for what Skein routes itself, pods above all (RFC 4861,
// section 7.2.8).
//
// Routers' messages and redirects are the host's, and never come here.
//
// In: the packet starts behind its Ethernet header, at L3, and isND.
// Out: the packet starts at its Ethernet header; TxIf is set.
var NDInput = graph.Spec{
	Name: "nd-input",
	Arcs: []graph.To{
		ndReply:     {Reason: "nd advertisement sent", Node: "interface-output"},
		ndBridge:    {Reason: "bridged", Node: "interface-output"},
		ndHopLimit:  {Reason: "nd from beyond the link", Node: graph.Drop},
		ndMalformed: {Reason: "nd malformed", Node: graph.Drop},
		ndChecksum:  {Reason: "nd bad checksum", Node: graph.Drop},
		ndSender:    {Reason: "nd sender is not a station", Node: graph.Drop},
		ndNotOurs:   {Reason: "nd for another station", Node: graph.Drop},
		ndLearnt:    {Reason: "nd advertisement taken in", Node: graph.Drop},
	},
	New:      func() graph.Node { return ndInput{} },
	Describe: describeND,
}

// The ways out of nd-input.
const (
	_           graph.Arc = iota
	ndReply               // it asks for an address of ours
	ndBridge              // the other side wants it too
	ndHopLimit            // RFC 4861, sections 7.1.1 and 7.1.2, as the next two
	ndMalformed           //
	ndChecksum            //
	ndSender              // a group address, or none that could be a source
	ndNotOurs             // nobody here wants it
	ndLearnt              // an answer to us alone
)

type ndInput struct{}

func (ndInput) Process(w *graph.Worker, v *graph.Vector) {
	for i, b := range v.Bufs() {
		v.Arc[i] = neighbor(w, b)
	}
}

func neighbor(w *graph.Worker, b *buf.Buffer) graph.Arc {
	m, arc := checkND(b)
	if arc != 0 {
		return arc
	}
	in, routes, src := &w.State.Ifaces[b.RxIf], w.State.FIB6, b.IPv6().Src()
	at := lookup6(routes, b.RxIf, m.target, 0)
	target, onLink := routes.Adj(at), routes.Via(at) == m.target
	m.learn(w, b.RxIf, src, target.Kind)
	b.Seek(int(b.L3) - hdr.EtherLen)
	toUs := b.Ether().Dst() == in.MAC
	switch {
	case m.solicit && (m.proxied(in, b.RxIf, target, src.IsUnspecified()) || answers(w.State, in, target, onLink, src.IsUnspecified())):
		m.reply(w.State, b, src, target)
		return ndReply
	case in.Peer != 0 && (in.Kind != iface.Tap || !toUs):
		b.TxIf = in.Peer
		b.Flags |= buf.Bridged
		return ndBridge
	case !m.solicit:
		return ndLearnt
	}
	return ndNotOurs
}

// proxied reports whether Skein speaks for the target on a pod's Ethernet
// device, as proxies does; of link-local addresses it has one.
func (m *nd) proxied(in *iface.Iface, rx uint32, target *fib.Adj, probe bool) bool {
	return proxies(in, rx, target, probe) && (!m.target.IsLinkLocal() || m.target == in.LinkLocal)
}

// checkND returns the message of a packet, or the arc by which it leaves if
// it is not sound.
func checkND(b *buf.Buffer) (m nd, _ graph.Arc) {
	h, n := b.IPv6(), b.Len()-hdr.IPv6Len
	if size := h.PayloadLen(); size < hdr.NeighborSolLen || size > n {
		return m, ndMalformed
	} else if n = size; h.HopLimit() != hdr.NDHopLimit {
		return m, ndHopLimit
	}
	message := b.Bytes()[hdr.IPv6Len:][:n]
	if b.Flags&buf.CsumPartial == 0 && h.Checksum(hdr.ProtoICMPv6, message) != 0 {
		return m, ndChecksum
	}
	src := h.Src()
	m, ok := parseND(message, src, h.Dst())
	switch {
	case !ok:
		return m, ndMalformed
	case m.hasMAC && m.mac.IsGroup() || !src.IsUnspecified() && martianSource6(src):
		return m, ndSender
	}
	return m, 0
}

// reply makes of a solicitation that b starts at the advertisement that
// answers it (RFC 4861, section 7.2.4). Skein forwards, so it is a router; for
// others' addresses it does not override what they say themselves.
func (m *nd) reply(st *state.State, b *buf.Buffer, asker hdr.Addr6, target *fib.Adj) {
	own := m.target
	a := nd{flags: hdr.NDRouter | hdr.NDSolicited, target: m.target, mac: st.Ifaces[b.RxIf].MAC}
	if target.Kind == fib.Local {
		a.flags |= hdr.NDOverride
	} else if s := st.LinkSource6(b.RxIf); !s.IsUnspecified() {
		own = s
	}
	to := b.Ether().Src()
	switch {
	case asker.IsUnspecified():
		a.flags &^= hdr.NDSolicited
		asker = hdr.AllNodes6
		to = asker.MulticastMAC()
	case m.hasMAC:
		to = m.mac
	}
	a.fill(b, to, own, asker)
	b.Flags &^= buf.CsumPartial | buf.CsumValid | buf.LinkBroadcast
	b.TxIf = b.RxIf
}

// learn tells control of a neighbour's link address, if it is news or the
// answer to a question: a station on a link that is asked for, or speaks to
// us, or one that we know and that has changed (RFC 4861, sections 7.2.3 and
// 7.2.5). One that we do not know, and that has not been asked for, is passed
// over, so that nobody can fill the table with advertisements.
func (m *nd) learn(w *graph.Worker, i uint32, src hdr.Addr6, target fib.Kind) {
	who := src
	if !m.solicit {
		who = m.target
	}
	if who.IsUnspecified() {
		return // duplicate address detection (RFC 4862, section 5.4)
	}
	routes := w.State.FIB6
	at := lookup6(routes, i, who, 0)
	adj := routes.Adj(at)
	known := adj.Kind == fib.Forward && adj.Iface == i && routes.Via(at) == who
	onLink := adj.Iface == i && (adj.Kind == fib.Glean || adj.Kind == fib.Resolve) ||
		adj.Kind == fib.NoRoute && who.IsLinkLocal() // which are on the link always: RFC 4861, section 5.2
	mac := m.mac
	if !m.hasMAC {
		if !known {
			return
		}
		mac = hdr.MAC(adj.Rewrite[:6]) // it may confirm what we know
	}
	changed := known && mac != hdr.MAC(adj.Rewrite[:6])
	news := changed || onLink && (target == fib.Local || target == fib.Punt)
	if !m.solicit {
		solicited, override := m.flags&hdr.NDSolicited != 0, m.flags&hdr.NDOverride != 0
		news = changed && override || !changed && (known || onLink) && solicited
	}
	if news {
		w.Notify(state.Notice{Kind: state.NeighborSeen, Iface: i, IP: who, MAC: mac})
	}
}
