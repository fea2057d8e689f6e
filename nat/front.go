package nat

import (
	"github.com/skein-dataplane/skein/hdr"
)

// A Kind says what an address and port of a service are.
type Kind uint8

const (
	_ Kind = iota
	ClusterIP
	ExternalIP
	LoadBalancer
	NodePort
	HostPort
	NumKinds
)

var kindNames = [NumKinds]string{0: "none", ClusterIP: "ClusterIP", ExternalIP: "ExternalIP",
	LoadBalancer: "LoadBalancer", NodePort: "NodePort", HostPort: "hostPort"}

func (k Kind) String() string {
	if k >= NumKinds {
		return "unknown"
	}
	return kindNames[k]
}

// external reports whether externalTrafficPolicy is about traffic to it.
func (k Kind) external() bool { return k == ExternalIP || k == LoadBalancer || k == NodePort }

// A FrontKey is what clients of a service send to. 0.0.0.0 and :: stand for any
// address of the node itself (AnyAddr).
type FrontKey struct {
	Addr  hdr.Addr6 // IPv4 is mapped: see Addr4
	Port  uint16
	Proto uint8
}

func (k *FrontKey) hash() uint64 {
	return mum(mum(k.Addr.Hi^k0, k.Addr.Lo^k1)^uint64(k.Port)<<8^uint64(k.Proto), k2)
}

// A Front is one address and port of a service.
type Front struct {
	Key     FrontKey
	Kind    Kind
	Service *Service
}

// An Outcome is what becomes of a new flow to a service.
type Outcome uint8

const (
	_           Outcome = iota
	Chosen              // it goes to the backend
	NoEndpoints         // nobody answers: tell the client (TCP RST, or ICMP port unreachable)
	NoLocal             // nobody on this node answers, and only those may: drop
	NotAllowed          // the client is in none of loadBalancerSourceRanges: drop
	NumOutcomes
)

var outcomeNames = [NumOutcomes]string{0: "none", Chosen: "chosen", NoEndpoints: "no endpoints",
	NoLocal: "no endpoint on this node", NotAllowed: "not in loadBalancerSourceRanges"}

func (o Outcome) String() string {
	if o >= NumOutcomes {
		return "unknown"
	}
	return outcomeNames[o]
}

// A Client is who opens a flow to a service.
type Client struct {
	Addr   hdr.Addr6
	Hash   uint64 // of the flow: FlowHash
	Inside bool   // a pod or the node itself
	// Forwarded: another node has sent the flow on to this one by a tunnel, for
	// its backends to answer.
	Forwarded bool
}

// Choose returns the backend for a new flow. affinity may be nil; now is in
// seconds on any clock that does not go back.
//
// Traffic policies are those of Kubernetes: externalTrafficPolicy is about
// clients from outside, and for those from inside an external address is as
// good as the ClusterIP; internalTrafficPolicy is about ClusterIPs. What another
// node has forwarded stays on this one. Affinity outranks the hash, and is
// renewed by each new flow.
func (f *Front) Choose(c *Client, affinity *Affinity, now uint32) (*Backend, Outcome) {
	s := f.Service
	if f.Kind == LoadBalancer && !c.Inside && !s.allows(c.Addr) {
		return nil, NotAllowed
	}
	from, none := &s.all, NoEndpoints
	if c.Forwarded || f.Kind.external() && s.ExternalLocal && !c.Inside || f.Kind == ClusterIP && s.InternalLocal {
		if from = &s.local; len(s.all.backends) > 0 {
			none = NoLocal
		}
	}
	if len(from.backends) == 0 {
		return nil, none
	}
	i := from.choose(s, c, affinity, now)
	return &from.backends[i], Chosen
}

func (p *picker) choose(s *Service, c *Client, affinity *Affinity, now uint32) int {
	if s.Affinity == 0 || affinity == nil {
		return p.pick(c.Hash)
	}
	e := affinity.place(s.ID, c.Addr, now)
	if e.is(s.ID, c.Addr, now) {
		if i := p.find(e.backend, e.port, e.hint); i >= 0 {
			e.hint, e.until = uint32(i), now+s.Affinity
			return i
		}
	}
	i := p.pick(c.Hash)
	b := &p.backends[i]
	*e = affinityEntry{client: c.Addr, backend: b.Addr, service: s.ID, hint: uint32(i), until: now + s.Affinity, port: b.Port}
	return i
}

// Masquerades reports whether a flow to the backend that does not go there
// directly (Direct) needs a source address of the node, so that answers come
// back this way: because the client is the backend (hairpin), a NodePort's
// backend is elsewhere, or it should go directly but nobody knows where to.
func (f *Front) Masquerades(b *Backend, client hdr.Addr6) bool {
	if b.Addr == client {
		return true
	}
	if b.Local {
		return false
	}
	nowhere := f.Service.DSR && b.Node.IsUnspecified()
	return f.Kind == NodePort || f.Kind.external() && (f.Service.MasqueradeExternal || nowhere)
}

// Direct reports whether the packets of a flow go to the backend's node as they
// are, in a tunnel, for that to translate them and to answer the client itself:
// direct server return. To clients from inside the way is not longer.
func (f *Front) Direct(b *Backend, c *Client) bool {
	return f.Service.DSR && f.Kind.external() && !b.Local && !c.Inside && !c.Forwarded && !b.Node.IsUnspecified()
}

// Returns reports whether the service's backends answer what other nodes
// forward to this one.
func (f *Front) Returns() bool { return f.Service.DSR && f.Kind.external() }
