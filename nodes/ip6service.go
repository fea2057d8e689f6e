package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/session"
)

// IP6Service sends new flows to services to one of their backends, and those to
// addresses or ports that are mapped for good to whom they are mapped to. It is
// asked once for each flow: what it has chosen the session keeps.
//
// In: the packet starts at a sound IPv6 header; Flow is a draft without session.
// Out: the packet and the draft's Out have the destination to look up.
var IP6Service = graph.Spec{
	Name:     "ip6-service",
	Arcs:     serviceArcs("ip6", "icmp6"),
	New:      func() graph.Node { return &ip6Service{affinity: newAffinity(affinityRoom)} },
	Describe: describeService,
}

type ip6Service struct {
	affinity *nat.Affinity
	keys     [graph.MaxVector]nat.FrontKey
	fronts   [graph.MaxVector]*nat.Front
}

func (s *ip6Service) Process(w *graph.Worker, v *graph.Vector) {
	bufs := v.Bufs()
	if w.State.NAT == nil {
		for i := range bufs {
			v.Arc[i] = serviceNone
		}
		return
	}
	for i, b := range bufs {
		k := w.Flows.Drafts6.At(b.Flow).Key
		s.keys[i] = nat.FrontKey{Addr: k.Dst(), Port: k.DstPort(), Proto: k.Proto()}
	}
	w.State.NAT.Services.FindVector(s.keys[:len(bufs)], s.fronts[:])
	for i, b := range bufs {
		f := s.fronts[i]
		if b.Flags&buf.Tunnelled != 0 {
			if f = answersHere(w, f, &s.keys[i]); f == nil {
				v.Arc[i] = serviceForeign
				continue
			}
		}
		v.Arc[i] = s.send(w, b, w.Flows.Drafts6.At(b.Flow), f)
		s.fronts[i] = nil
	}
}

// send gives a packet its destination.
func (s *ip6Service) send(w *graph.Worker, b *buf.Buffer, d *session.Draft[session.Key6], f *nat.Front) graph.Arc {
	k := d.Key
	if f == nil {
		return s.static(w, b, d)
	}
	src := k.Src()
	c := nat.Client{Addr: src, Hash: nat.FlowHash(src, k.Dst(), k.SrcPort(), k.DstPort(), k.Proto())}
	backend, arc := backendOf(w, b, f, &c, s.affinity)
	if backend == nil {
		if arc == serviceReject {
			refuse(b, icmpError(hdr.ICMP6Unreachable, hdr.ICMP6PortUnreachable, 0))
		}
		return arc
	}
	if f.Direct(backend, &c) {
		d.Out = tunnelKey6(k, backend.Node, 0)
		d.Flags |= flagTunnelled
		return serviceDirect
	}
	if f.Masquerades(backend, src) {
		d.Flags |= flagAsked
	}
	return s.to(b, d, backend.Addr, backend.Port, arc)
}

// static does so for what is mapped for good.
func (s *ip6Service) static(w *graph.Worker, b *buf.Buffer, d *session.Draft[session.Key6]) graph.Arc {
	k := d.Key
	a, port, ok := w.State.NAT.Statics.In(k.Dst(), k.Proto(), k.DstPort())
	if !ok || d.Part != session.Whole {
		return serviceNone
	}
	if a == k.Src() {
		d.Flags |= flagAsked // hairpin: its own answers would not come back (RFC 4787, REQ-9)
	}
	return s.to(b, d, a, port, serviceStatic)
}

func (s *ip6Service) to(b *buf.Buffer, d *session.Draft[session.Key6], dst hdr.Addr6, port uint16, arc graph.Arc) graph.Arc {
	k := d.Key
	out := session.MakeKey6(k.Src(), dst, k.SrcPort(), port, k.Proto(), k.Zone())
	if translate6(b, out) != nat.Done {
		return serviceUnfixable
	}
	d.Out = out
	return arc
}

// Affinity returns what the node remembers of clients. It is the worker's:
// look at it by graph.Worker.Do.
func (s *ip6Service) Affinity() *nat.Affinity { return s.affinity }
