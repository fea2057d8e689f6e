package nodes

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
)

// What the nodes that translate have in common.

// Flags of sessions and of drafts. They stand in the sessions' file, so each
// keeps its place.
const (
	// flagTranslated: packets leave with other addresses or ports than they came
	// with (session.Table.Out4).
	flagTranslated = 1 << iota
	// flagAsked: a service, or a mapping to its sender, has asked for the node's
	// address as source.
	flagAsked
	// flagMasqueraded: the source is one of the node's addresses, so its port has to
	// be one of nat.Ports.
	flagMasqueraded
	// flagRemember: policy wants the flow to be remembered. Of drafts only.
	flagRemember
	// flagTunnelled: packets leave as they came, in a tunnel to a node, whose
	// address is that of session.Table.Out4's destination.
	flagTunnelled
	// flagMapped: the session uses an endpoint-independent mapping. Of sessions only.
	flagMapped

	// flagElsewhere: packets go elsewhere than they were sent to.
	flagElsewhere = flagTranslated | flagTunnelled
)

// affinityRoom is how many clients of services with session affinity a worker
// remembers in each family.
const affinityRoom = 1 << 14

// An AffinityHolder is ip4-service or ip6-service, a PortHolder ip4-open or
// ip6-open, as graph.Worker.Node returns them: for what shows their tables.
type (
	AffinityHolder interface{ Affinity() *nat.Affinity }
	PortHolder     interface {
		PortStats() nat.PortStats
		Mapped() int // endpoint-independent mappings
	}
)

// translateArcs are the ways out of ip4-translate and ip6-translate.
func translateArcs(ip string) []graph.To {
	return []graph.To{
		translateNext:      {Reason: "translated", Node: ip + "-lookup"},
		translateUnfixable: {Reason: ip + " checksum can't be made to fit a translation", Node: graph.Drop},
		translateMisquoted: {Reason: ip + " icmp error for another than it quotes", Node: graph.Drop},
	}
}

const (
	_                  graph.Arc = iota
	translateNext                //
	translateUnfixable           // nat.Unfixable, nat.Short
	translateMisquoted           // nat.Misquoted
	translateRedirect            // nat.Redirect, of IPv4 only: those of IPv6 stay on their link
)

// translateArc is the way out for each result of a translation.
var translateArc = [nat.NumResults]graph.Arc{
	0:             translateUnfixable,
	nat.Done:      translateNext,
	nat.Short:     translateUnfixable,
	nat.Unfixable: translateUnfixable,
	nat.Misquoted: translateMisquoted,
	nat.Redirect:  translateRedirect,
}

// serviceArcs are the ways out of ip4-service and ip6-service.
func serviceArcs(ip, icmp string) []graph.To {
	return []graph.To{
		serviceNone:      {Reason: "no service", Node: ip + "-lookup"},
		serviceChosen:    {Reason: "backend chosen", Node: ip + "-lookup"},
		serviceStatic:    {Reason: "mapped for good", Node: ip + "-lookup"},
		serviceReject:    {Reason: ip + " service has no endpoints", Node: icmp + "-error", Dies: true},
		serviceNoLocal:   {Reason: ip + " service has no endpoint on this node", Node: graph.Drop},
		serviceSource:    {Reason: ip + " client not in loadBalancerSourceRanges", Node: graph.Drop},
		serviceUnfixable: {Reason: ip + " checksum can't be made to fit a backend", Node: graph.Drop},
		serviceDirect:    {Reason: "backend chosen, on another node", Node: ip + "-encap"},
		serviceForeign:   {Reason: ip + " came by a tunnel, for no service", Node: graph.Drop},
	}
}

const (
	_                graph.Arc = iota
	serviceNone                //
	serviceChosen              //
	serviceStatic              // of State.NAT.Statics
	serviceReject              // as kube-proxy: ICMP port unreachable, which ends TCP's attempt too (RFC 5461, section 4.1)
	serviceNoLocal             // a traffic policy is Local; load balancers ask healthCheckNodePorts
	serviceSource              //
	serviceUnfixable           //
	serviceDirect              // that answers the client itself
	serviceForeign             // that this node answers for others: it knows less than they do, or they lie
)

// masqueradeArcs are the ways out of ip4-masquerade and ip6-masquerade.
func masqueradeArcs(ip, resolve string) []graph.To {
	return []graph.To{
		masqueradeOpen:    {Reason: "remember", Node: ip + "-open"},
		masqueradeForward: {Reason: "not translated: forward", Node: ip + "-rewrite"},
		masqueradeResolve: {Reason: "not translated: resolve", Node: resolve},
		masqueradeLocal:   {Reason: "not translated: local", Node: ip + "-local"},
		masqueradePunt:    {Reason: "not translated: punt", Node: ip + "-punt"},
		masqueradeNone:    {Reason: ip + " no own address to masquerade with", Node: graph.Drop},
		masqueradeAlone:   {Reason: ip + " packet of no flow to masquerade", Node: graph.Drop},
		masqueradeChanged: {Reason: ip + " source translation has changed", Node: graph.Drop},
	}
}

const (
	_                 graph.Arc = iota
	masqueradeOpen              //
	masqueradeForward           //
	masqueradeResolve           //
	masqueradeLocal             //
	masqueradePunt              //
	masqueradeNone              // by state.State.Source4, Source6
	masqueradeAlone             // ICMP that is neither echo nor about a flow: its answer would find nobody
	masqueradeChanged           // the flow is forgotten, its next packet begins anew
)

// plainArc is the way out for what is neither translated nor to be remembered.
var plainArc = [fib.NumKinds]graph.Arc{
	fib.Forward: masqueradeForward,
	fib.Resolve: masqueradeResolve,
	fib.Glean:   masqueradeResolve,
	fib.Local:   masqueradeLocal,
	fib.Punt:    masqueradePunt,
}

// backendOf asks a front for a backend for a new flow.
func backendOf(w *graph.Worker, b *buf.Buffer, f *nat.Front, c *nat.Client, a *nat.Affinity) (*nat.Backend, graph.Arc) {
	backend, arc := choose(w, b, f, c, a)
	if backend != nil {
		b.Meta = f.Service.ID
		hit(w, backend.Hits)
	}
	return backend, arc
}

// choose does so, and counts nothing.
func choose(w *graph.Worker, b *buf.Buffer, f *nat.Front, c *nat.Client, a *nat.Affinity) (*nat.Backend, graph.Arc) {
	kind := w.State.Ifaces[b.RxIf].Kind
	c.Inside, c.Forwarded = kind == iface.Tun || kind == iface.Tap, b.Flags&buf.Tunnelled != 0
	if f.Service.Affinity != 0 && w.State.Workers > 1 {
		c.Hash = nat.ClientHash(f.Service.ID, c.Addr) // workers do not know of each other's clients
	}
	backend, outcome := f.Choose(c, a, w.Second())
	switch outcome {
	case nat.Chosen:
		return backend, serviceChosen
	case nat.NoLocal:
		return nil, serviceNoLocal
	case nat.NotAllowed:
		return nil, serviceSource
	}
	return nil, serviceReject
}

// hit counts a new flow. Several workers count together: flows are too few for
// that to be felt, and backends too many for counters of each worker's own.
func hit(w *graph.Worker, counter *uint64) {
	if w.Peers() == 1 {
		*counter++
		return
	}
	atomic.AddUint64(counter, 1)
}

// answersHere returns the front that a packet from another node's tunnel is for:
// f, if there is one, or that of a port of that node, and which is as good as one
// of this. It is nil if the service does not say that its backends answer.
func answersHere(w *graph.Worker, f *nat.Front, k *nat.FrontKey) *nat.Front {
	if f == nil {
		f = w.State.NAT.Services.FindAny(k)
	}
	if f == nil || !f.Returns() {
		return nil
	}
	return f
}

// isTranslated reports whether a packet is of a flow that was translated.
func isTranslated(w *graph.Worker, b *buf.Buffer) bool {
	r := session.Ref(b.Flow)
	return w.State.NAT != nil && r != 0 && !session.IsDraft(b.Flow) && w.Flows.At(r.Index()).Flags&flagTranslated != 0
}

// refuse has the sender of a packet told that nobody is there.
func refuse(b *buf.Buffer, e uint32) {
	b.Meta, b.Flow = e, 0
	b.Flags &^= buf.Judge
}

// goingOut says of a flow what decides about its source.
func goingOut(w *graph.Worker, b *buf.Buffer, adj *fib.Adj, src, dst hdr.Addr6, flags uint16) nat.Leaving {
	return nat.Leaving{
		Src: src, Dst: dst, Asked: flags&flagAsked != 0,
		FromPod: w.State.Ifaces[b.RxIf].Kind == iface.Tun,
		ToHost:  adj.Kind == fib.Local || adj.Kind == fib.Punt,
	}
}

// newSource returns which source a flow is to leave with: what its own is mapped
// to for good, or, if why says so, an address of the node, which is not in src.
func newSource(st *state.State, adj *fib.Adj, l *nat.Leaving, proto uint8, port uint16) (src hdr.Addr6, _ uint16, why nat.Why) {
	if a, p, ok := st.NAT.Statics.Out(l.Src, proto, port); ok && st.Ifaces[adj.Iface].Kind == iface.Uplink && !l.ToHost {
		return a, p, 0
	}
	return l.Src, port, st.NAT.Outgoing.Decide(l)
}

// describeService names the service whose backend was chosen.
func describeService(r *graph.Record) string {
	if r.State.NAT == nil || r.Reason != "backend chosen" && r.Next != "ip4-encap" && r.Next != "ip6-encap" {
		return ""
	}
	for f := range r.State.NAT.Services.All {
		if f.Service.ID != r.Meta.Meta {
			continue
		}
		if r.Reason == "backend chosen" {
			return "of service " + f.Service.Name + ", now " + headline(r)
		}
		return "of service " + f.Service.Name + ", which answers " + headline(r) + " itself"
	}
	return ""
}

// describeTunnel says which nodes a tunnel is between, or what was in it.
func describeTunnel(r *graph.Record) string {
	switch r.Reason {
	case "in a tunnel":
		return "between nodes " + headline(r)
	case "out of a tunnel":
		return headline(r)
	}
	return ""
}

// describeTranslated says what the packet has become.
func describeTranslated(r *graph.Record) string {
	return strings.TrimSpace(describeSession(r) + " now " + headline(r))
}

// describeMasquerade says which rule decides about the source.
func describeMasquerade(r *graph.Record) string {
	why := nat.Why(r.Meta.Meta)
	switch {
	case why == 0:
		return "as before"
	case why.Masquerade():
		return "source is to be the node's: " + why.String()
	}
	return "source is kept: " + why.String()
}

// headline writes addresses and ports of a packet that starts at its IP header.
func headline(r *graph.Record) string {
	p := r.Bytes
	at := int(r.Meta.L4) - r.Meta.Off()
	ports := func() (s, d string) {
		if at < 0 || at+4 > len(p) {
			return "", ""
		}
		h := (*[4]byte)(p[at:])
		return fmt.Sprintf(":%d", uint16(h[0])<<8|uint16(h[1])), fmt.Sprintf(":%d", uint16(h[2])<<8|uint16(h[3]))
	}
	var src, dst string
	var proto uint8
	switch {
	case len(p) >= hdr.IPv4Len && p[0]>>4 == 4:
		h := (*hdr.IPv4)(p)
		src, dst, proto = h.Src().String(), h.Dst().String(), h.Protocol()
	case len(p) >= hdr.IPv6Len && p[0]>>4 == 6:
		h := (*hdr.IPv6)(p)
		src, dst, proto = "["+h.Src().String()+"]", "["+h.Dst().String()+"]", h.NextHeader()
	}
	switch proto {
	case hdr.ProtoTCP, hdr.ProtoUDP, hdr.ProtoSCTP:
		s, d := ports()
		return src + s + " > " + dst + d
	}
	return src + " > " + dst
}

// newAffinity returns room for a number of clients.
func newAffinity(clients int) *nat.Affinity {
	a, err := nat.NewAffinity(clients)
	if err != nil {
		panic(err) // the system has no random numbers, nor had Go any to start with
	}
	return a
}

// newPorts returns the ports for source translation.
func newPorts(ranges []nat.PortRange) *nat.Ports {
	p, err := nat.NewPorts(ranges...)
	if err != nil {
		panic(err) // Sized has looked at the ranges, and the system has random numbers
	}
	return p
}
