package nodes

import (
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/session"
)

// IP4Service sends new flows to services to one of their backends, and those to
// addresses or ports that are mapped for good to whom they are mapped to. It is
// asked once for each flow: what it has chosen the session keeps.
//
// In: the packet starts at a sound IPv4 header; Flow is a draft without session.
// Out: the packet and the draft's Out have the destination to look up.
var IP4Service = graph.Spec{
	Name:     "ip4-service",
	Arcs:     serviceArcs("ip4", "icmp4"),
	New:      func() graph.Node { return &ip4Service{affinity: newAffinity(affinityRoom)} },
	Describe: describeService,
}

type ip4Service struct {
	affinity *nat.Affinity
	keys     [graph.MaxVector]nat.FrontKey
	fronts   [graph.MaxVector]*nat.Front
}

func (s *ip4Service) Process(w *graph.Worker, v *graph.Vector) {
	bufs := v.Bufs()
	if w.State.NAT == nil {
		for i := range bufs {
			v.Arc[i] = serviceNone
		}
		return
	}
	for i, b := range bufs {
		k := w.Flows.Drafts4.At(b.Flow).Key
		s.keys[i] = nat.FrontKey{Addr: nat.Addr4(k.Dst()), Port: k.DstPort(), Proto: k.Proto()}
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
		v.Arc[i] = s.send(w, b, w.Flows.Drafts4.At(b.Flow), f)
		s.fronts[i] = nil
	}
}

// send gives a packet its destination.
func (s *ip4Service) send(w *graph.Worker, b *buf.Buffer, d *session.Draft[session.Key4], f *nat.Front) graph.Arc {
	k := d.Key
	if f == nil {
		return s.static(w, b, d)
	}
	src := nat.Addr4(k.Src())
	c := nat.Client{Addr: src, Hash: nat.FlowHash(src, nat.Addr4(k.Dst()), k.SrcPort(), k.DstPort(), k.Proto())}
	backend, arc := backendOf(w, b, f, &c, s.affinity)
	if backend == nil {
		if arc == serviceReject {
			refuse(b, icmpError(hdr.ICMPUnreachable, hdr.ICMPPortUnreachable, 0))
		}
		return arc
	}
	if f.Direct(backend, &c) {
		d.Out = tunnelKey4(k, hdr.Addr4(backend.Node.Lo), 0)
		d.Flags |= flagTunnelled
		return serviceDirect
	}
	if f.Masquerades(backend, src) {
		d.Flags |= flagAsked
	}
	return s.to(b, d, hdr.Addr4(backend.Addr.Lo), backend.Port, arc)
}

// static does so for what is mapped for good.
func (s *ip4Service) static(w *graph.Worker, b *buf.Buffer, d *session.Draft[session.Key4]) graph.Arc {
	k := d.Key
	a, port, ok := w.State.NAT.Statics.In(nat.Addr4(k.Dst()), k.Proto(), k.DstPort())
	if !ok || d.Part != session.Whole {
		return serviceNone
	}
	if a == nat.Addr4(k.Src()) {
		d.Flags |= flagAsked // hairpin: its own answers would not come back (RFC 4787, REQ-9)
	}
	return s.to(b, d, hdr.Addr4(a.Lo), port, serviceStatic)
}

func (s *ip4Service) to(b *buf.Buffer, d *session.Draft[session.Key4], dst hdr.Addr4, port uint16, arc graph.Arc) graph.Arc {
	k := d.Key
	out := session.MakeKey4(k.Src(), dst, k.SrcPort(), port, k.Proto(), k.Zone())
	if translate4(b, out) != nat.Done {
		return serviceUnfixable
	}
	d.Out = out
	return arc
}

// Affinity returns what the node remembers of clients. It is the worker's:
// look at it by graph.Worker.Do.
func (s *ip4Service) Affinity() *nat.Affinity { return s.affinity }
