package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/session"
)

// What the nodes have in common between which direct server return has its
// tunnels: ip4-encap, ip6-encap, ip4-decap and ip6-decap.
//
// A flow that goes to another node has a session as any other. Where translated
// flows have the backend, in the key that answers would have, it has the node's
// address: so it survives the daemon. Answers never come by this way, and that no
// packet is taken for one, these keys are of zones that no packet is of.

// encapArcs are the ways out of ip4-encap and ip6-encap.
func encapArcs(ip, icmp string) []graph.To {
	return []graph.To{
		encapSent:   {Reason: "in a tunnel", Node: ip + "-lookup"},
		encapTTL:    {Reason: ip + " last hop spent before a tunnel", Node: icmp + "-error", Dies: true},
		encapTooBig: {Reason: ip + " too big for a tunnel", Node: icmp + "-error", Dies: true},
		encapGone:   {Reason: ip + " node at the end of a tunnel is gone", Node: graph.Drop},
		encapAgain:  {Reason: ip + " came by a tunnel and would leave by one", Node: graph.Drop},
		encapSource: {Reason: ip + " no own address to begin a tunnel at", Node: graph.Drop},
		encapSum:    {Reason: ip + " checksum offload does not fit a tunnel's packet", Node: graph.Drop},
		encapCut:    {Reason: ip + " can't be cut to fit a tunnel", Node: graph.Drop},
	}
}

// The ways out of ip4-encap and ip6-encap.
const (
	_           graph.Arc = iota
	encapSent             //
	encapTTL              // RFC 2003, section 3.1; RFC 2473, section 3.1
	encapTooBig           // RFC 2003, section 5.1; RFC 2473, section 7
	encapGone             // the flow is forgotten: its next packet goes to another backend
	encapAgain            // likewise: two nodes may not send a flow to one another
	encapSource           //
	encapSum              // a device has told nonsense about a packet
	encapCut              // no buffers, or a link too narrow for tunnels
)

// decapArcs are the ways out of ip4-decap and ip6-decap, besides the unicast arcs.
func decapArcs(ip, icmp string) []graph.To {
	return []graph.To{
		decapInner:    {Reason: "out of a tunnel", Node: ip + "-input"},
		decapError:    {Reason: "error about a tunnel's packet, for who has sent it", Node: icmp + "-error"},
		decapNested:   {Reason: ip + " tunnel in a tunnel", Node: graph.Drop},
		decapFragment: {Reason: ip + " fragment of a tunnel's packet", Node: graph.Drop},
		decapECN:      {Reason: ip + " congestion in a tunnel, and the packet can't say so", Node: graph.Drop},
	}
}

// The ways out of ip4-decap and ip6-decap.
const (
	_             graph.Arc = iota
	decapInner              //
	decapError              // RFC 2003, section 4; RFC 2473, section 8
	decapNested             // nobody in the cluster makes these
	decapFragment           // nor these: ip4-encap cuts packets before, and forbids it behind
	decapECN                // RFC 6040, section 4.2
)

// tunnelTTL is how many hops a tunnel may have, which are one to the packets in
// it (RFC 2003, section 3.1; RFC 2473, section 6.3).
const tunnelTTL = initialTTL

// tunnelTries is how many zones are tried for the key of answers: flows of one
// client's port to several addresses of services may go to one node.
const tunnelTries = 8

// tunnelZone returns one of the zones for a flow to an address of a service, by
// a hash of it: 0 is that of packets.
func tunnelZone(service, try uint64) uint16 {
	h := service * 0x9e3779b97f4a7c15
	return max(1, uint16(h>>48)+uint16(try))
}

// Tunnelled reports whether packets of a session leave in tunnels, to the node
// whose address session.Table.Out4 or Out6 has as destination.
func Tunnelled(s *session.Session) bool { return s.Flags&flagTunnelled != 0 }

// inTunnel reports whether a packet that has come from a client is in a tunnel
// now: nothing else that an uplink has received is this node's own.
func inTunnel(w *graph.Worker, b *buf.Buffer) bool {
	return b.Flags&buf.Originated != 0 && fromUplink(w, b)
}

func fromUplink(w *graph.Worker, b *buf.Buffer) bool {
	return w.State.Ifaces[b.RxIf].Kind == iface.Uplink
}

// answered takes note that somebody has answered a flow whose answers go another
// way: its client goes on. An ACK of TCP says that the handshake is complete; a
// FIN, as nobody can see that of the other side, that both are closing; with
// other protocols it is any packet but the first.
func answered(w *graph.Worker, r session.Ref, tcp uint8) {
	as := uint8(0)
	switch w.Flows.At(r.Index()).Class() {
	case session.TCPHalfOpen:
		if tcp&(hdr.TCPAck|hdr.TCPRst|hdr.TCPSyn) != hdr.TCPAck {
			return
		}
		as = hdr.TCPSyn | hdr.TCPAck
	case session.TCPHalfClosed:
		as = hdr.TCPFin | hdr.TCPAck
	case session.UDPUnreplied, session.OtherUnreplied:
	default:
		return
	}
	w.Flows.Seen(r|session.Reverse, 0, 0, as, w.Second())
}

// ecn are the two bits of congestion notification in TOS and traffic class
// (RFC 3168, section 5).
const (
	ecnMask = 3
	ecnECT1 = 1
	ecnECT0 = 2
	ecnCE   = 3
)

// outOfTunnel returns the bits that a packet leaves a tunnel with, of those it
// has and those its tunnel's header has (RFC 6040, section 4.2, figure 4). It
// reports false for one that is to be dropped: it has met congestion, and its
// ends would not understand.
func outOfTunnel(inner, outer uint8) (uint8, bool) {
	switch inner, outer = inner&ecnMask, outer&ecnMask; {
	case inner == 0:
		return 0, outer != ecnCE
	case outer == ecnCE:
		return ecnCE, true
	case inner == ecnECT0 && outer == ecnECT1:
		return ecnECT1, true
	}
	return inner, true
}

// tunnelMTU returns how long a packet may be that a header of head bytes comes
// before, on a link of an MTU that is perhaps not known: 0.
func tunnelMTU(mtu uint32, head int) int {
	if mtu == 0 || mtu > 0xffff {
		mtu = 0xffff
	}
	return int(mtu) - head
}

// takesTunnels reports whether packets that an uplink receives may be out of
// other nodes' tunnels.
func takesTunnels(w *graph.Worker) bool { return w.State.NAT != nil && w.State.NAT.Peers != nil }

// cutForTunnel cuts a superpacket, which starts at its network header, into its
// segments, for each to get a header of its own: no device does so for a tunnel.
// They are as long as their sender has made them. Shorter ones would fit where
// those do not, but the path's MTU would stay hidden from who asks for it. The
// superpacket itself is left over.
func (g *gsoSegment) cutForTunnel(w *graph.Worker, b *buf.Buffer) ([]*buf.Buffer, graph.Arc) {
	s, ok := parseSuper(b, false)
	if !ok {
		return nil, encapSum
	}
	size, payload := int(b.GSOSize), b.Len()-s.end
	count := max(1, (payload+size-1)/size)
	if count > maxSegments {
		return nil, encapCut
	}
	pieces := g.pieces[:count]
	if got := getFor(w.Pool, pieces, s.end+size); got < count {
		w.Pool.Put(pieces[:got])
		return nil, encapCut
	}
	for n, piece := range pieces {
		s.cut(piece, b, n, n == count-1)
		w.Follow(b, piece)
	}
	return pieces, 0
}
