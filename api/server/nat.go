package server

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control"
	"github.com/skein-dataplane/skein/nat"
)

func (s *service) ApplyServices(ctx context.Context, r *pb.ApplyServicesRequest) (*pb.ApplyServicesResponse, error) {
	applied, err := s.control.ApplyServices(ctx, r.Name, r.Text)
	if err != nil {
		return nil, err
	}
	return &pb.ApplyServicesResponse{Applied: applied}, nil
}

func (s *service) DeleteServices(ctx context.Context, r *pb.DeleteServicesRequest) (*pb.DeleteServicesResponse, error) {
	if err := s.control.DeleteServices(ctx, r.Objects...); err != nil {
		return nil, err
	}
	return &pb.DeleteServicesResponse{}, nil
}

func (s *service) ListServices(ctx context.Context, r *pb.ListServicesRequest) (*pb.ListServicesResponse, error) {
	all, alarms, err := s.control.Services(ctx, r.Name)
	if err != nil {
		return nil, err
	}
	m := &pb.ListServicesResponse{}
	for i := range all {
		m.Services = append(m.Services, serviceMessage(&all[i]))
	}
	for _, a := range alarms {
		m.Alarms = append(m.Alarms, a.String())
	}
	return m, nil
}

func serviceMessage(v *control.ServiceView) *pb.ServicePort {
	m := &pb.ServicePort{Name: v.Name, Balancing: "hash", ExternalPolicy: trafficPolicy(v.ExternalLocal), InternalPolicy: trafficPolicy(v.InternalLocal), DirectReturn: v.DSR}
	if v.Maglev {
		m.Balancing = "maglev"
	}
	if v.Affinity > 0 {
		m.Affinity = durationpb.New(time.Duration(v.Affinity) * time.Second)
	}
	for _, r := range v.Sources {
		m.Sources = append(m.Sources, fmt.Sprintf("%s-%s", r.First.Addr().Unmap(), r.Last.Addr().Unmap()))
	}
	for i := range v.Fronts {
		k := &v.Fronts[i].Key
		a := netip.AddrPortFrom(k.Addr.Addr().Unmap(), k.Port).String()
		if k.Addr == nat.AnyAddr(k.Addr) {
			a = fmt.Sprintf("*:%d", k.Port)
		}
		m.Addresses = append(m.Addresses, &pb.ServiceAddress{Kind: v.Fronts[i].Kind.String(), Address: a, Protocol: control.ProtoName(k.Proto)})
	}
	for i := range v.Backends {
		b := &v.Backends[i]
		node := ""
		if !b.Node.IsUnspecified() {
			node = b.Node.Addr().Unmap().String()
		}
		m.Backends = append(m.Backends, &pb.ServiceBackend{Address: netip.AddrPortFrom(b.Addr.Addr().Unmap(), b.Port).String(),
			Weight: uint32(max(b.Weight, 1)), Local: b.Local, InUse: b.InUse, Hits: b.Flows, Node: node})
	}
	for _, e := range v.Clients {
		m.Clients = append(m.Clients, &pb.ServiceClient{Address: e.Client.Addr().Unmap().String(),
			Backend: netip.AddrPortFrom(e.Backend.Addr().Unmap(), e.Port).String(), Left: durationpb.New(time.Duration(e.Left) * time.Second)})
	}
	return m
}

// trafficPolicy writes a traffic policy as Kubernetes does.
func trafficPolicy(local bool) string {
	if local {
		return "Local"
	}
	return "Cluster"
}

func (s *service) GetNAT(ctx context.Context, _ *pb.GetNATRequest) (*pb.GetNATResponse, error) {
	v, err := s.control.NAT(ctx)
	if err != nil {
		return nil, err
	}
	m := &pb.GetNATResponse{Active: v.Active, Translated4: uint64(v.Translated[0]), Translated6: uint64(v.Translated[1])}
	for _, p := range v.Pools {
		m.Pools = append(m.Pools, &pb.NATPool{Prefix: p.Prefix.String(), Outgoing: p.Outgoing, Source: natSource(p.Configured)})
	}
	for _, x := range v.Excluded {
		m.Excluded = append(m.Excluded, x.String())
	}
	for _, x := range v.Statics {
		m.Statics = append(m.Statics, &pb.NATStatic{Mapping: configs.StaticLine(x.Static), Source: natSource(x.Configured)})
	}
	for _, a := range v.Own {
		m.Own = append(m.Own, a.String())
	}
	m.Mapping, m.Mappings4, m.Mappings6 = v.Mapping, uint64(v.Mapped[0]), uint64(v.Mapped[1])
	for _, r := range v.Ports {
		m.PortRanges = append(m.PortRanges, fmt.Sprintf("%d-%d", r.First, r.Last))
	}
	for i, family := range []string{"ip4", "ip6"} {
		m.Exhausted = append(m.Exhausted, exhaustedMessage(family, &v.Exhausted[i]))
	}
	return m, nil
}

// natSource says who has asked for an entry, as routes have it.
func natSource(configured bool) string {
	if configured {
		return "static"
	}
	return "api"
}

func exhaustedMessage(family string, s *nat.PortStats) *pb.NATExhausted {
	m := &pb.NATExhausted{Family: family, Tcp: s.Exhausted[nat.PortsTCP], Udp: s.Exhausted[nat.PortsUDP],
		Icmp: s.Exhausted[nat.PortsICMP], Other: s.Exhausted[nat.PortsOther]}
	if f := &s.Last; *f != (nat.PortFlow{}) {
		m.Last = fmt.Sprintf("%s to %s", f.Inside.Addr().Unmap(), netip.AddrPortFrom(f.Remote.Addr().Unmap(), f.RemotePort))
	}
	return m
}

func (s *service) ChangeNAT(ctx context.Context, r *pb.ChangeNATRequest) (*pb.ChangeNATResponse, error) {
	var err error
	switch what := r.What.(type) {
	case *pb.ChangeNATRequest_Pool:
		err = s.changePool(ctx, what.Pool, r.Delete)
	case *pb.ChangeNATRequest_Static:
		err = s.changeStatic(ctx, what.Static, r.Delete)
	default:
		err = invalid("a pool or a static mapping was expected")
	}
	if err != nil {
		return nil, err
	}
	return &pb.ChangeNATResponse{}, nil
}

func (s *service) changePool(ctx context.Context, m *pb.NATPool, del bool) error {
	p, err := prefix(m.GetPrefix())
	switch {
	case err != nil:
		return err
	case del:
		return s.control.DeletePool(ctx, p)
	}
	return s.control.SetPool(ctx, p, m.Outgoing)
}

func (s *service) changeStatic(ctx context.Context, line string, del bool) error {
	m, err := configs.ParseStatic(line)
	switch {
	case err != nil:
		return invalid("%v", err)
	case del:
		return s.control.DeleteStatic(ctx, m)
	}
	return s.control.AddStatic(ctx, m)
}
