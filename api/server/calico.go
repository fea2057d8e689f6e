package server

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/skein-dataplane/skein/api/calicopb"
	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control"
)

// ListenCalico makes the socket at which Calico's own CNI plugin asks for pods'
// interfaces. Addresses and WorkloadEndpoints are the plugin's business.
func ListenCalico(cfg configs.CNI, c *control.Control) (*Server, error) {
	s, err := bind(cfg.CalicoSocket, "")
	if err != nil {
		return nil, err
	}
	s.grpc = grpc.NewServer()
	calicopb.RegisterCniDataplaneServer(s.grpc, &calico{skein: service{control: c}, turn: make(chan struct{}, 1)})
	return s, nil
}

// calico is Calico's contract, by way of our own. Its failures are answers.
type calico struct {
	calicopb.UnimplementedCniDataplaneServer
	skein service
	// turn is had by one call at a time: a Del names no host's interface, so it
	// can't tell by itself that an Add which its client has given up still runs.
	turn chan struct{}
}

// take waits for the turn.
func (s *calico) take(ctx context.Context) (give func(), err error) {
	select {
	case s.turn <- struct{}{}:
		return func() { <-s.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// containerMAC is what the plugin puts into the WorkloadEndpoint for an
// interface without a link address.
const containerMAC = "02:00:00:00:00:00"

func (s *calico) Add(ctx context.Context, r *calicopb.AddRequest) (*calicopb.AddReply, error) {
	name, err := s.add(ctx, r)
	if err != nil {
		return &calicopb.AddReply{ErrorMessage: status.Convert(explain(err)).Message()}, nil
	}
	return &calicopb.AddReply{Successful: true, HostInterfaceName: name, ContainerMac: containerMAC}, nil
}

func (s *calico) add(ctx context.Context, r *calicopb.AddRequest) (name string, err error) {
	ctx, cancel := deadline(ctx)
	defer cancel()
	req, err := calicoTun(r)
	if err != nil {
		return "", err
	}
	give, err := s.take(ctx)
	if err != nil {
		return "", err
	}
	defer give()
	_, err = s.skein.CreateTun(ctx, req)
	return req.Name, err
}

// calicoTun says in our words what Calico asks for.
func calicoTun(r *calicopb.AddRequest) (*pb.CreateTunRequest, error) {
	b, err := configs.BandwidthOf(r.GetWorkload().GetAnnotations())
	if err != nil {
		return nil, invalid("%s", strings.TrimPrefix(err.Error(), "configs: "))
	}
	req := &pb.CreateTunRequest{Name: r.DesiredHostInterfaceName, Netns: r.Netns, Ifname: r.InterfaceName,
		Mtu: uint32(max(0, r.GetSettings().GetMtu())), Workload: calicoWorkload(r.Workload), Bandwidth: bandwidthMessage(b)}
	if req.Name == "" {
		sum := sha1.Sum([]byte(r.Netns + "." + r.InterfaceName))
		req.Name = "cali" + hex.EncodeToString(sum[:])[:11]
	}
	for _, ip := range r.ContainerIps {
		p, err := alone(ip.GetAddress())
		if err != nil {
			return nil, err
		}
		req.Addresses = append(req.Addresses, p.String())
	}
	if len(req.Addresses) == 0 {
		return nil, invalid("no address: a pod needs one")
	}
	for _, route := range r.ContainerRoutes {
		p, err := netip.ParsePrefix(route)
		if err != nil {
			return nil, invalid("%q is not a prefix, such as 0.0.0.0/0", route)
		}
		req.Routes = append(req.Routes, &pb.PodRoute{Prefix: p.Masked().String()})
	}
	if r.GetSettings().GetAllowIpForwarding() {
		req.Sysctls = map[string]string{"net.ipv4.ip_forward": "1"}
		if slices.ContainsFunc(req.Addresses, func(a string) bool { return strings.Contains(a, ":") }) {
			req.Sysctls["net.ipv6.conf.all.forwarding"] = "1"
		}
	}
	return req, nil
}

// alone reads an address with or without a length, which a pod has no use for:
// what is on its link is Skein.
func alone(text string) (netip.Prefix, error) {
	a, err := netip.ParseAddr(strings.SplitN(text, "/", 2)[0])
	if p, e := netip.ParsePrefix(text); e == nil {
		a, err = p.Addr(), nil
	}
	if err != nil || a.Is4In6() || a.Zone() != "" {
		return netip.Prefix{}, invalid("%q is not an address", text)
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

func calicoWorkload(w *calicopb.WorkloadIDs) *pb.Workload {
	m := &pb.Workload{Namespace: w.GetNamespace(), Name: w.GetPod(), Labels: w.GetLabels(),
		ServiceAccount: w.GetLabels()["projectcalico.org/serviceaccount"]}
	if m.Name == "" {
		m.Name = w.GetName() // of another orchestrator than Kubernetes
	}
	for _, p := range w.GetPorts() {
		if p.Name != "" {
			m.Ports = append(m.Ports, &pb.NamedPort{Name: p.Name, Protocol: strings.ToUpper(p.Protocol), Port: p.Port})
		}
	}
	return m
}

// Del succeeds where there is nothing to delete: no namespace, or no interface
// in it.
func (s *calico) Del(ctx context.Context, r *calicopb.DelRequest) (*calicopb.DelReply, error) {
	if r.Netns == "" {
		return &calicopb.DelReply{Successful: true}, nil
	}
	if err := s.del(ctx, r); err != nil {
		return &calicopb.DelReply{ErrorMessage: status.Convert(explain(err)).Message()}, nil
	}
	return &calicopb.DelReply{Successful: true}, nil
}

func (s *calico) del(ctx context.Context, r *calicopb.DelRequest) error {
	ctx, cancel := deadline(ctx)
	defer cancel()
	give, err := s.take(ctx)
	if err != nil {
		return err
	}
	defer give()
	name, err := s.skein.control.TunAt(ctx, r.Netns, r.InterfaceName)
	if err != nil || name == "" {
		return err
	}
	_, err = s.skein.DeleteInterface(ctx, &pb.DeleteInterfaceRequest{Name: name})
	if status.Code(explain(err)) == codes.NotFound {
		return nil
	}
	return err
}
