package server

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/control"
	"github.com/skein-dataplane/skein/internal/pktline"
	"github.com/skein-dataplane/skein/policy"
	"github.com/skein-dataplane/skein/policy/resource"
)

func (s *service) ApplyPolicy(ctx context.Context, r *pb.ApplyPolicyRequest) (*pb.ApplyPolicyResponse, error) {
	f, err := s.control.ApplyPolicy(ctx, r.Name, r.Text)
	if err != nil {
		return nil, err
	}
	m := &pb.ApplyPolicyResponse{Alarms: alarms(f.Alarms)}
	for _, x := range f.Resources {
		m.Applied = append(m.Applied, policyRef(x.Ref))
		m.Alarms = append(m.Alarms, alarms(x.Alarms)...)
	}
	return m, nil
}

func (s *service) DeletePolicy(ctx context.Context, r *pb.DeletePolicyRequest) (*pb.DeletePolicyResponse, error) {
	var refs []control.PolicyRef
	for _, x := range r.Refs {
		ref := control.PolicyRef{Group: x.Group, Kind: x.Kind, Namespace: x.Namespace, Name: x.Name}
		if ref.Group == "" {
			ref.Group = "*"
		}
		if ref.Kind == "" || ref.Name == "" {
			return nil, invalid("a resource has a kind and a name")
		}
		refs = append(refs, ref)
	}
	if err := s.control.DeletePolicy(ctx, refs...); err != nil {
		return nil, err
	}
	return &pb.DeletePolicyResponse{}, nil
}

func (s *service) ListPolicy(context.Context, *pb.ListPolicyRequest) (*pb.ListPolicyResponse, error) {
	st := s.control.Policy()
	m := &pb.ListPolicyResponse{Alarms: alarms(st.Alarms), Active: st.Active, Generation: st.Gen}
	for _, r := range st.Resources {
		m.Resources = append(m.Resources, &pb.PolicyResource{Ref: policyRef(r.Ref), Source: r.Source})
	}
	return m, nil
}

func policyRef(r resource.Ref) *pb.PolicyRef {
	return &pb.PolicyRef{Group: r.Group, Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}
}

func alarms(all []resource.Alarm) (out []*pb.PolicyAlarm) {
	for _, a := range all {
		m := &pb.PolicyAlarm{Resource: a.Ref.String(), Field: a.Field, What: a.What}
		if a.Place.File != "" {
			m.Place = a.Place.String()
		}
		out = append(out, m)
	}
	return out
}

func (s *service) ListEndpoints(ctx context.Context, r *pb.ListEndpointsRequest) (*pb.ListEndpointsResponse, error) {
	all, err := s.control.Endpoints(ctx, r.Name)
	if err != nil {
		return nil, err
	}
	m := &pb.ListEndpointsResponse{}
	for i := range all {
		m.Endpoints = append(m.Endpoints, endpointMessage(&all[i]))
	}
	return m, nil
}

func endpointMessage(e *control.PolicyEnd) *pb.PolicyEndpoint {
	m := &pb.PolicyEndpoint{Name: e.Name, Interface: e.Interface, Host: e.Host, Closed: e.Closed, Labels: e.Labels}
	for _, a := range e.Addrs {
		m.Addresses = append(m.Addresses, a.String())
	}
	for i := range e.Gates {
		m.Gates = append(m.Gates, gateMessage(&e.Gates[i]))
	}
	return m
}

func gateMessage(g *control.PolicyGate) *pb.PolicyGate {
	hits := func(n uint32) uint64 {
		if int(n) < len(g.Hits) {
			return g.Hits[n]
		}
		return 0
	}
	m := &pb.PolicyGate{Name: g.Gate.String()}
	for _, t := range g.Tiers {
		tier := &pb.PolicyTier{Name: t.Name, DefaultAction: t.Default.String(), Hits: hits(t.Number)}
		for _, p := range t.Policies {
			tier.Policies = append(tier.Policies, rulesMessage(p, hits))
		}
		m.Tiers = append(m.Tiers, tier)
	}
	return m
}

func rulesMessage(p policy.PolicyStatus, hits func(uint32) uint64) *pb.PolicyRules {
	m := &pb.PolicyRules{Name: p.Name}
	if p.Ref != (resource.Ref{}) {
		m.Ref = policyRef(p.Ref)
	}
	if !math.IsInf(p.Order, 0) {
		m.Order = &p.Order
	}
	for _, r := range p.Rules {
		m.Rules = append(m.Rules, &pb.PolicyRule{Number: uint32(r.Number), Text: r.Text, Hits: hits(r.Program)})
	}
	return m
}

func (s *service) SetWorkload(ctx context.Context, r *pb.SetWorkloadRequest) (*pb.SetWorkloadResponse, error) {
	if err := checkWorkload(r.Workload); err != nil {
		return nil, err
	}
	if err := s.control.SetWorkload(ctx, r.Interface, workload(r.Workload)); err != nil {
		return nil, err
	}
	return &pb.SetWorkloadResponse{}, nil
}

func (s *service) Explain(ctx context.Context, r *pb.ExplainRequest) (*pb.ExplainResponse, error) {
	packet, in, err := s.packetOf(ctx, r)
	if err != nil {
		return nil, err
	}
	if r.Interface != "" {
		in = r.Interface
	}
	x, err := s.control.Explain(ctx, packet, in)
	if err != nil {
		return nil, err
	}
	m := &pb.ExplainResponse{Packet: pktline.Format(packet, false), Interface: x.Interface, Passes: x.Passes, Verdict: x.Verdict}
	for _, step := range x.Steps {
		m.Steps = append(m.Steps, &pb.ExplainStep{What: step.What, Text: step.Text})
	}
	return m, nil
}

// packetOf returns the packet that a request is about, from its IP header on,
// and where it came in, if that is known.
func (s *service) packetOf(ctx context.Context, r *pb.ExplainRequest) (packet []byte, in string, err error) {
	switch at := r.Packet.(type) {
	case *pb.ExplainRequest_Line:
		packet, err := pktline.Parse(at.Line)
		if err != nil {
			return nil, "", invalid("%s", strings.TrimPrefix(err.Error(), "pktline: "))
		}
		return withoutLink(packet), "", nil
	case *pb.ExplainRequest_Trace:
		return s.tracedBytes(ctx, at.Trace)
	}
	return nil, "", invalid("neither a packet nor a trace is named")
}

// withoutLink takes an Ethernet header off a packet that Parse has made: it
// makes IP packets with and without.
func withoutLink(p []byte) []byte {
	const etherLen = 14
	if len(p) > etherLen && (p[12] == 0x08 && p[13] == 0 && p[etherLen]>>4 == 4 || p[12] == 0x86 && p[13] == 0xdd && p[etherLen]>>4 == 6) {
		return p[etherLen:]
	}
	return p
}

// tracedBytes returns a traced packet as it came in.
func (s *service) tracedBytes(ctx context.Context, id uint64) ([]byte, string, error) {
	all, _, err := s.control.Traces(ctx)
	if err != nil {
		return nil, "", err
	}
	flat := slices.Concat(all...)
	for i := range flat {
		r := &flat[i]
		p := packet(r)
		if r.Packet != id || len(p) == 0 || r.L3 < 0 {
			continue
		}
		in := ""
		if i := int(r.Meta.RxIf); i < len(r.State.Ifaces) {
			in = r.State.Ifaces[i].Name
		}
		whole := make([]byte, min(max(r.Len-len(r.Bytes)+len(p), len(p)), maxFrame))
		copy(whole, p)
		return whole, in, nil
	}
	return nil, "", fmt.Errorf("%w: traced packet %d", control.ErrNotFound, id)
}
