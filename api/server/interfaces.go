package server

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nodes"
)

func (s *service) ListInterfaces(ctx context.Context, r *pb.ListInterfacesRequest) (*pb.ListInterfacesResponse, error) {
	all, err := s.control.Interfaces(ctx, r.Names...)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b control.Interface) int { return int(a.Index) - int(b.Index) })
	all = slices.CompactFunc(all, func(a, b control.Interface) bool { return a.Index == b.Index })
	m := &pb.ListInterfacesResponse{}
	for i := range all {
		m.Interfaces = append(m.Interfaces, interfaceMessage(&all[i]))
	}
	return m, nil
}

func (s *service) SetInterface(_ context.Context, r *pb.SetInterfaceRequest) (*pb.SetInterfaceResponse, error) {
	ch := control.Change{Up: r.AdminUp, MTU: r.Mtu}
	var err error
	if ch.Add, err = addresses(r.AddAddresses); err != nil {
		return nil, err
	}
	if ch.Del, err = addresses(r.RemoveAddresses); err != nil {
		return nil, err
	}
	for _, f := range r.Features {
		ch.Features = append(ch.Features, control.FeatureChange{Arc: f.GetArc(), Feature: f.GetFeature(), Enable: f.GetEnable()})
	}
	ch.RxLimit, ch.TxLimit = rateLimit(r.RxLimit), rateLimit(r.TxLimit)
	if err := s.control.Change(r.Name, ch); err != nil {
		return nil, err
	}
	return &pb.SetInterfaceResponse{}, nil
}

func (s *service) CreateTun(ctx context.Context, r *pb.CreateTunRequest) (*pb.CreateTunResponse, error) {
	if err := checkTun(r); err != nil {
		return nil, err
	}
	if n := s.control.NumWorkers(); r.Queues != 0 && int(r.Queues) != n {
		return nil, invalid("%d queues where %d were expected, one for each worker, or 0", r.Queues, n)
	}
	made, err := s.control.CreateTun(ctx, podOf(r))
	if errors.Is(err, control.ErrExists) {
		if there := s.sameTun(ctx, r); there != nil {
			return &pb.CreateTunResponse{Interface: there}, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return &pb.CreateTunResponse{Interface: interfaceMessage(made)}, nil
}

func (s *service) SetTunAddresses(ctx context.Context, r *pb.SetTunAddressesRequest) (*pb.SetTunAddressesResponse, error) {
	addrs, err := addresses(r.Addresses)
	if err != nil {
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, invalid("no address: what a pod has stays as it is")
	}
	if err := checkRoutes(r.Routes); err != nil {
		return nil, err
	}
	made, err := s.control.SetTunAddresses(ctx, r.Name, r.Addresses, podRoutes(r.Routes))
	if err != nil {
		return nil, err
	}
	return &pb.SetTunAddressesResponse{Interface: interfaceMessage(made)}, nil
}

// maxTunMTU is the kernel's bound for a TUN, in bytes (IP_MAX_MTU).
const maxTunMTU = 65535

// checkTun refuses what makes no sense whatever the state.
func checkTun(r *pb.CreateTunRequest) error {
	if r.Name != "" && !configs.ValidIfName(r.Name) {
		return invalid("%q is not the name of an interface: at most 15 of A-Z a-z 0-9 _ . @ - were expected", r.Name)
	}
	if r.Ifname != "" && !configs.ValidIfName(r.Ifname) {
		return invalid("%q is not the name of an interface: at most 15 of A-Z a-z 0-9 _ . @ - were expected", r.Ifname)
	}
	if r.Netns == "" {
		return invalid("the path of a network namespace is missing")
	}
	if r.Mtu != 0 && (r.Mtu < 68 || r.Mtu > maxTunMTU) { // RFC 791, section 3.2
		return invalid("an MTU of %d: from 68 to %d bytes are possible", r.Mtu, maxTunMTU)
	}
	if err := checkWorkload(r.Workload); err != nil {
		return err
	}
	if err := checkExtras(r); err != nil {
		return err
	}
	_, err := addresses(r.Addresses)
	return err
}

// sameTun returns the interface that was asked for, if it is there already.
func (s *service) sameTun(ctx context.Context, r *pb.CreateTunRequest) *pb.Interface {
	all, err := s.control.Interfaces(ctx, r.Name)
	if err != nil {
		return nil
	}
	has, wanted := &all[0], r.Ifname
	if wanted == "" {
		wanted = "eth0"
	}
	addrs, err := addresses(r.Addresses)
	if err != nil || has.Kind != iface.Tun || has.Peer.Name != wanted || has.Peer.NetNS != r.Netns ||
		!slices.Equal(has.Peer.Addrs, addrs) || r.Mtu != 0 && r.Mtu != has.MTU ||
		(r.Offload == nil || *r.Offload) != (has.Offload != 0) || !sameExtras(&has.Peer, podOf(r)) {
		return nil
	}
	return interfaceMessage(has)
}

func sameExtras(has *control.Peer, wants configs.Pod) bool {
	return reflect.DeepEqual(has.Workload, wants.Workload) && reflect.DeepEqual(has.Attachment, wants.Attachment) &&
		slices.Equal(has.Routes, wants.Routes) && has.Bandwidth == wants.Bandwidth &&
		(has.MAC != nil) == (wants.Type == configs.TypeVeth)
}

func (s *service) DeleteInterface(ctx context.Context, r *pb.DeleteInterfaceRequest) (*pb.DeleteInterfaceResponse, error) {
	if err := s.control.DeleteInterface(ctx, r.Name); err != nil {
		return nil, err
	}
	return &pb.DeleteInterfaceResponse{}, nil
}

// addresses reads addresses with their prefix lengths.
func addresses(texts []string) (out []netip.Prefix, err error) {
	for _, t := range texts {
		p, err := netip.ParsePrefix(t)
		if err != nil || p.Addr().Is4In6() {
			return nil, invalid("%q is not an address with a prefix length, such as 10.244.0.2/32", t)
		}
		out = append(out, p)
	}
	return out, nil
}

var kinds = map[iface.Kind]pb.InterfaceKind{
	iface.Uplink: pb.InterfaceKind_INTERFACE_KIND_UPLINK,
	iface.Tap:    pb.InterfaceKind_INTERFACE_KIND_TAP,
	iface.Tun:    pb.InterfaceKind_INTERFACE_KIND_TUN,
}

func interfaceMessage(i *control.Interface) *pb.Interface {
	m := &pb.Interface{Index: i.Index, Name: i.Name, Kind: kinds[i.Kind], AdminUp: i.Up, LinkUp: i.LinkUp, Mtu: i.MTU,
		Addresses: texts(i.Addrs), Driver: driverMessage(i), Counters: counterMessage(&i.Counters.PortCounters),
		RxLimit: rateLimitMessage(i.RxRate), TxLimit: rateLimitMessage(i.TxRate)}
	if i.Ethernet {
		m.Mac = macText(i.MAC)
	}
	if i.Peer.Name != "" {
		m.Peer = &pb.Peer{Name: i.Peer.Name, Netns: i.Peer.NetNS, Mirrors: i.Peer.Mirrors, Addresses: texts(i.Peer.Addrs),
			Workload: workloadMessage(&i.Peer.Workload), Attachment: attachmentMessage(&i.Peer.Attachment),
			Routes: podRouteMessages(i.Peer.Routes), Bandwidth: bandwidthMessage(i.Peer.Bandwidth), Mac: i.Peer.MAC.String()}
	}
	for _, arc := range nodes.FeatureArcs() {
		if names := i.Features(arc); len(names) > 0 {
			m.Features = append(m.Features, &pb.EnabledFeatures{Arc: arc.Name, Features: names})
		}
	}
	return m
}

func counterMessage(c *graph.PortCounters) *pb.InterfaceCounters {
	return &pb.InterfaceCounters{RxPackets: c.RxPackets, RxBytes: c.RxBytes, TxPackets: c.TxPackets, TxBytes: c.TxBytes,
		Drops: c.Drops, TxDrops: c.TxFull}
}

func driverMessage(i *control.Interface) *pb.Driver {
	d := &pb.Driver{Name: i.Info.Driver, Detail: i.Info.Detail, Queues: uint32(i.Queues), Offloads: offloads(i.Info.Offload)}
	for _, c := range i.Candidates {
		d.Candidates = append(d.Candidates, &pb.DriverCandidate{Name: c.Driver, Chosen: c.Chosen, Reason: plain(c.Reason)})
	}
	sum := queueSum(i.Counters.Queues)
	d.Counters = &pb.DriverCounters{RxErrors: sum.RxErrors, RxDropped: sum.RxDropped, RxNoBuffers: sum.RxNoBufs,
		TxErrors: sum.TxErrors, TxFull: sum.TxFull, Syscalls: sum.Syscalls, RxDenied: sum.RxDenied, RxLimited: sum.RxLimited}
	return d
}

func queueSum(queues []drivers.Stats) (sum drivers.Stats) {
	for _, q := range queues {
		sum.RxErrors += q.RxErrors
		sum.RxDropped += q.RxDropped
		sum.RxNoBufs += q.RxNoBufs
		sum.TxErrors += q.TxErrors
		sum.TxFull += q.TxFull
		sum.Syscalls += q.Syscalls
		sum.RxDenied += q.RxDenied
		sum.RxLimited += q.RxLimited
	}
	return sum
}

func offloads(o drivers.Offload) (names []string) {
	for _, x := range []struct {
		bit  drivers.Offload
		name string
	}{{drivers.Checksum, "checksum"}, {drivers.ChecksumTCP, "checksum-tcp"}, {drivers.TSO4, "tso4"}, {drivers.TSO6, "tso6"}, {drivers.USO, "uso"}} {
		if o&x.bit != 0 {
			names = append(names, x.name)
		}
	}
	return names
}

func texts(all []netip.Prefix) (out []string) {
	for _, p := range all {
		out = append(out, p.String())
	}
	return out
}

// exists refuses the name of an interface that is not there.
func (s *service) exists(name string) error {
	if !s.control.Has(name) {
		return status.Errorf(codes.NotFound, "interface %q: not found", name)
	}
	return nil
}

// offloadSwitch turns what a request says, or leaves out, into configuration.
func offloadSwitch(on *bool) configs.Switch {
	if on != nil && !*on {
		return "off"
	}
	return "on"
}
