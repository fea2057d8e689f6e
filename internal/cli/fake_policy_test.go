package cli

import (
	"context"

	"google.golang.org/grpc"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
)

func (f *fake) ApplyPolicy(_ context.Context, r *pb.ApplyPolicyRequest) (*pb.ApplyPolicyResponse, error) {
	f.asked(r)
	return &pb.ApplyPolicyResponse{Applied: []*pb.PolicyRef{fakeWeb, {Group: "projectcalico.org", Kind: "Tier", Name: "admins"}}, Alarms: fakeAlarms}, nil
}

func (f *fake) DeletePolicy(_ context.Context, r *pb.DeletePolicyRequest) (*pb.DeletePolicyResponse, error) {
	f.asked(r)
	return &pb.DeletePolicyResponse{}, nil
}

func (f *fake) SetWorkload(_ context.Context, r *pb.SetWorkloadRequest) (*pb.SetWorkloadResponse, error) {
	f.asked(r)
	return &pb.SetWorkloadResponse{}, nil
}

var fakeWeb = &pb.PolicyRef{Group: "networking.k8s.io", Kind: "NetworkPolicy", Namespace: "default", Name: "web"}

var fakeAlarms = []*pb.PolicyAlarm{{Resource: "NetworkPolicy default/mysql", Field: "spec.tier", What: "there is no Tier security: it is asked after all others",
	Place: "mysql.yaml:7:9 (document 2)"}}

func (f *fake) ListPolicy(context.Context, *pb.ListPolicyRequest) (*pb.ListPolicyResponse, error) {
	return &pb.ListPolicyResponse{Active: true, Generation: 7, Alarms: fakeAlarms, Resources: []*pb.PolicyResource{
		{Ref: fakeWeb, Source: "api"}, {Ref: &pb.PolicyRef{Kind: "Namespace", Name: "default"}, Source: "/etc/skein/policy/ns.yaml"}}}, nil
}

func (f *fake) ListEndpoints(_ context.Context, r *pb.ListEndpointsRequest) (*pb.ListEndpointsResponse, error) {
	order := 1000.0
	m := &pb.ListEndpointsResponse{Endpoints: []*pb.PolicyEndpoint{
		{Name: "default/web", Interface: "tun3", Addresses: []string{"10.1.0.5", "2001:db8::5"}, Labels: map[string]string{"app": "web", "tier": "front"},
			Gates: []*pb.PolicyGate{
				{Name: "ingress", Tiers: []*pb.PolicyTier{
					{Name: "default", DefaultAction: "deny", Hits: 5, Policies: []*pb.PolicyRules{{Name: "default/web", Ref: fakeWeb, Order: &order, Rules: []*pb.PolicyRule{
						{Number: 1, Text: "allow tcp from set app == 'client' to ports 80", Hits: 1234567}}}}},
					{DefaultAction: "deny"}}},
				{Name: "egress", Tiers: []*pb.PolicyTier{{DefaultAction: "deny", Policies: []*pb.PolicyRules{{Name: "kns.default", Rules: []*pb.PolicyRule{{Number: 1, Text: "allow", Hits: 9}}}}}}}}},
		{Name: "default/client", Interface: "tun4", Addresses: []string{"10.1.0.6"}},
		{Name: "default/late", Interface: "tun5", Closed: true}}}
	switch r.Name {
	case "":
	case "default/client":
		m.Endpoints = m.Endpoints[1:2]
	default:
		m.Endpoints = m.Endpoints[:1]
	}
	return m, nil
}

func (f *fake) Explain(_ context.Context, r *pb.ExplainRequest) (*pb.ExplainResponse, error) {
	f.asked(r)
	return &pb.ExplainResponse{Packet: "10.1.0.6 > 10.1.0.5: tcp 1024 > 81 flags S", Interface: "tun4", Verdict: "dropped: ip4 no rule allows: ingress (default deny)",
		Steps: []*pb.ExplainStep{{What: "received", Text: "on tun4 (default/client)"}, {What: "source check", Text: "10.1.0.6 is behind tun4"},
			{What: "session", Text: "none: it opens a flow"}, {What: "route", Text: "10.1.0.5/32: dev tun3 (default/web)"},
			{What: "ingress of default/web", Text: "denied: policy default/web selects pod web for ingress; no rule matched"}}}, nil
}

func (f *fake) ListSessions(r *pb.ListSessionsRequest, out grpc.ServerStreamingServer[pb.ListSessionsResponse]) error {
	f.asked(r)
	st := &pb.SessionStats{Capacity: 262144, Sessions: 3, Matching: 2, Inserted: 10, Expired: 6, Evicted: 1, Refused: map[string]uint64{"over quota": 5, "full": 1}}
	if r.CountOnly {
		return out.Send(&pb.ListSessionsResponse{Stats: st})
	}
	if err := out.Send(&pb.ListSessionsResponse{Sessions: []*pb.Session{{Protocol: "tcp", Src: "10.1.0.6:1024", Dst: "10.1.0.5:80", State: "established", Verdict: "allow", Tunnel: "192.0.2.20",
		Rule: "ingress of default/web: default/web, rule 1", OpenedBy: "tun4", Idle: sec(3), Timeout: sec(7440), ForwardPackets: 12, ForwardBytes: 1500,
		ReversePackets: 10, ReverseBytes: 98765}}}); err != nil {
		return err
	}
	return out.Send(&pb.ListSessionsResponse{Stats: st, Sessions: []*pb.Session{{Protocol: "udp", Src: "[2001:db8::6]:4000", Dst: "[2001:db8::53]:53",
		TranslatedDst: "[2001:db8::7]:5353", State: "unreplied", Verdict: "to be judged", Idle: sec(1), Timeout: sec(120), ForwardPackets: 1, ForwardBytes: 76}}})
}

func (f *fake) ClearSessions(_ context.Context, r *pb.ClearSessionsRequest) (*pb.ClearSessionsResponse, error) {
	f.asked(r)
	return &pb.ClearSessionsResponse{Cleared: 2}, nil
}
