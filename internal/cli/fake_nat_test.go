package cli

import (
	"context"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
)

func (f *fake) ApplyServices(_ context.Context, r *pb.ApplyServicesRequest) (*pb.ApplyServicesResponse, error) {
	f.asked(r)
	return &pb.ApplyServicesResponse{Applied: []string{"Service default/web", "EndpointSlice default/web-x7"}}, nil
}

func (f *fake) DeleteServices(_ context.Context, r *pb.DeleteServicesRequest) (*pb.DeleteServicesResponse, error) {
	f.asked(r)
	return &pb.DeleteServicesResponse{}, nil
}

func (f *fake) ListServices(_ context.Context, r *pb.ListServicesRequest) (*pb.ListServicesResponse, error) {
	m := &pb.ListServicesResponse{Services: []*pb.ServicePort{
		{Name: "default/web:http", Balancing: "maglev", ExternalPolicy: "Local", InternalPolicy: "Cluster", Affinity: sec(10800), Sources: []string{"192.0.2.0-192.0.2.255"}, DirectReturn: true,
			Addresses: []*pb.ServiceAddress{{Kind: "ClusterIP", Address: "10.96.0.10:80", Protocol: "tcp"}, {Kind: "NodePort", Address: "*:30080", Protocol: "tcp"}},
			Backends: []*pb.ServiceBackend{{Address: "10.1.0.5:8080", Weight: 1, Local: true, InUse: true, Hits: 41},
				{Address: "10.1.1.6:8080", Weight: 1, InUse: true, Hits: 7, Node: "192.0.2.20"}, {Address: "10.1.2.6:8080", Weight: 1, InUse: true}}},
		{Name: "hostPort of default/db at tun4", Balancing: "hash", ExternalPolicy: "Cluster", InternalPolicy: "Cluster",
			Addresses: []*pb.ServiceAddress{{Kind: "hostPort", Address: "*:5432", Protocol: "tcp"}},
			Backends:  []*pb.ServiceBackend{{Address: "10.1.0.6:5432", Weight: 1, Local: true, InUse: true}}}},
		Alarms: []string{"web.yaml:4:1: default/web: endpoint 192.0.2.9 of EndpointSlice web-x7 is in no prefix known: it is left out"}}
	if r.Name != "" {
		m.Services = m.Services[:1]
		m.Services[0].Clients = []*pb.ServiceClient{{Address: "198.51.100.10", Backend: "10.1.0.5:8080", Left: sec(10000)}}
	}
	return m, nil
}

func (f *fake) GetNAT(context.Context, *pb.GetNATRequest) (*pb.GetNATResponse, error) {
	return &pb.GetNATResponse{Active: true, Mapping: "endpoint-independent", Mappings4: 3, Mappings6: 2, Own: []string{"192.0.2.10", "2001:db8::10"}, PortRanges: []string{"1024-29999", "61000-65535"},
		Pools:       []*pb.NATPool{{Prefix: "10.1.0.0/16", Outgoing: true, Source: "static"}, {Prefix: "2001:db8:1::/48", Source: "api"}},
		Excluded:    []string{"10.96.0.0/12", "2001:db8:96::/112"},
		Statics:     []*pb.NATStatic{{Mapping: "tcp local 10.1.0.5 8080 external 192.0.2.1 80", Source: "api"}},
		Exhausted:   []*pb.NATExhausted{{Family: "ip4", Tcp: 3, Last: "10.1.0.5 to 198.51.100.10:443"}, {Family: "ip6"}},
		Translated4: 12, Translated6: 3}, nil
}

func (f *fake) ChangeNAT(_ context.Context, r *pb.ChangeNATRequest) (*pb.ChangeNATResponse, error) {
	f.asked(r)
	return &pb.ChangeNATResponse{}, nil
}
