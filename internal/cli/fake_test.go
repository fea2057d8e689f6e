package cli

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
)

// A fake is a daemon with a small world that never changes. It keeps the
// requests for changes, so that a test can see what the words became.
type fake struct {
	pb.UnimplementedSkeinServer
	mu      sync.Mutex
	changes []proto.Message
	hang    bool // GetVersion never answers
}

func (f *fake) asked(m proto.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes = append(f.changes, m)
}

// last returns the last request for a change, on one line.
func (f *fake) last(t *testing.T) string {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.changes) == 0 {
		t.Fatal("the daemon was asked for no change")
	}
	m := f.changes[len(f.changes)-1]
	var w bytes.Buffer
	if err := writeJSON(&w, m); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %s", m.ProtoReflect().Descriptor().Name(), strings.Join(strings.Fields(w.String()), " "))
}

// start serves f on a socket of the test's own.
func start(t testing.TB, f *fake) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "api.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	pb.RegisterSkeinServer(g, f)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = g.Serve(l) // says only that it was stopped
	}()
	t.Cleanup(func() { g.Stop(); <-done })
	return socket
}

// ctl runs one line against the daemon at socket.
func ctl(t testing.TB, socket, in string, args ...string) (out, errs string, rc int) {
	t.Helper()
	var o, e bytes.Buffer
	rc = Main(append([]string{"--socket", socket}, args...), Streams{strings.NewReader(in), &o, &e})
	return o.String(), e.String(), rc
}

func sec(s float64) *durationpb.Duration {
	return durationpb.New(time.Duration(s * float64(time.Second)))
}

func (f *fake) GetVersion(ctx context.Context, _ *pb.GetVersionRequest) (*pb.GetVersionResponse, error) {
	if f.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &pb.GetVersionResponse{Version: "v0.1.0", Commit: "657459e", GoVersion: "go1.26.8", Pid: 4711,
		Uptime: sec(93784.5), ConfigPath: "/etc/skein/skein.yaml"}, nil
}

var fakeInterfaces = []*pb.Interface{
	{
		Index: 1, Name: "host-enp0s3", Kind: pb.InterfaceKind_INTERFACE_KIND_UPLINK, AdminUp: true, LinkUp: true, Mtu: 1500,
		Mac: "02:fe:00:00:00:01", Addresses: []string{"192.0.2.10/24", "2001:db8::10/64"},
		Driver: &pb.Driver{Name: "af_packet", Detail: "TPACKET_V2, offload on", Queues: 2, Offloads: []string{"checksum", "tso4"},
			Candidates: []*pb.DriverCandidate{
				{Name: "af_xdp", Reason: "no native XDP in virtio_net at MTU 9000"},
				{Name: "af_packet", Chosen: true, Reason: "sent and received a frame"},
			},
			Counters: &pb.DriverCounters{RxDropped: 17, Syscalls: 123456, RxDenied: 1000, RxLimited: 7}},
		Counters: &pb.InterfaceCounters{RxPackets: 1005, RxBytes: 46230, TxPackets: 705, TxBytes: 32430, Drops: 300},
		Features: []*pb.EnabledFeatures{{Arc: "ip4-unicast", Features: []string{"acl", "nat44"}}},
	},
	{
		Index: 2, Name: "tap0", Kind: pb.InterfaceKind_INTERFACE_KIND_TAP, AdminUp: true, Mtu: 1500, Mac: "02:ca:11:c0:fd:01",
		Driver: &pb.Driver{Name: "tap", Detail: "offload on", Queues: 1, Offloads: []string{"checksum", "tso4", "tso6", "uso"}},
		Peer:   &pb.Peer{Name: "enp0s3", Mirrors: "host-enp0s3", Addresses: []string{"192.0.2.10/24"}},
	},
	{
		Index: 3, Name: "tun3", Kind: pb.InterfaceKind_INTERFACE_KIND_TUN, LinkUp: true, Mtu: 1450,
		Driver:   &pb.Driver{Name: "tun", Queues: 1},
		Peer:     &pb.Peer{Name: "eth0", Netns: "/run/netns/pod-with-a-long-name", Addresses: []string{"10.1.0.5/32"}},
		Counters: &pb.InterfaceCounters{RxPackets: 18446744073709551615, RxBytes: 1, TxDrops: 3},
		RxLimit:  &pb.RateLimit{Bandwidth: 1e8, Burst: 1e7}, TxLimit: &pb.RateLimit{Packets: 1000},
	},
}

func (f *fake) ListInterfaces(_ context.Context, r *pb.ListInterfacesRequest) (*pb.ListInterfacesResponse, error) {
	m := &pb.ListInterfacesResponse{}
	for _, i := range fakeInterfaces {
		if len(r.Names) == 0 || slices.Contains(r.Names, i.Name) {
			m.Interfaces = append(m.Interfaces, i)
		}
	}
	if len(m.Interfaces) < len(r.Names) {
		return nil, status.Errorf(codes.NotFound, "no interface %q", r.Names[0])
	}
	return m, nil
}

func (f *fake) SetInterface(_ context.Context, r *pb.SetInterfaceRequest) (*pb.SetInterfaceResponse, error) {
	if !slices.ContainsFunc(fakeInterfaces, func(i *pb.Interface) bool { return i.Name == r.Name }) {
		return nil, status.Errorf(codes.NotFound, "no interface %q", r.Name)
	}
	f.asked(r)
	return &pb.SetInterfaceResponse{}, nil
}

func (f *fake) CreateTun(_ context.Context, r *pb.CreateTunRequest) (*pb.CreateTunResponse, error) {
	f.asked(r)
	return &pb.CreateTunResponse{Interface: fakeInterfaces[2]}, nil
}

func (f *fake) DeleteInterface(_ context.Context, r *pb.DeleteInterfaceRequest) (*pb.DeleteInterfaceResponse, error) {
	f.asked(r)
	return &pb.DeleteInterfaceResponse{}, nil
}

func (f *fake) ListAttachments(context.Context, *pb.ListAttachmentsRequest) (*pb.ListAttachmentsResponse, error) {
	return &pb.ListAttachmentsResponse{Attachments: []*pb.AttachedTun{
		{Name: "skein0a1b2c3d4e", Ifname: "eth0", Netns: "/run/netns/cni-1", Mtu: 1450, Addresses: []string{"10.244.0.2/32", "2001:db8::2/128"},
			Workload:   &pb.Workload{Namespace: "default", Name: "web"},
			Attachment: &pb.Attachment{ContainerId: "8f1d2c", Network: "pods", PortMappings: []*pb.PortMapping{{HostPort: 8080, ContainerPort: 80, Protocol: "tcp"}}},
			Bandwidth:  &pb.Bandwidth{IngressRate: 10e6, EgressRate: 2500}},
		{Name: "skein9999999999", Type: "veth", Ifname: "net1", Netns: "/run/netns/cni-2", Mtu: 1500, Attachment: &pb.Attachment{ContainerId: "77"}},
	}}, nil
}

func (f *fake) GetDHCPRelay(context.Context, *pb.GetDHCPRelayRequest) (*pb.GetDHCPRelayResponse, error) {
	return &pb.GetDHCPRelayResponse{Server: "192.0.2.67", Address: "10.0.0.21", Subnet: "10.244.3.0", Stray: 1, Links: []*pb.DHCPRelayLink{
		{Interface: "tun4", Mac: "02:00:00:00:00:05", Asked: 4, Answered: 4},
		{Interface: "tun12", Mac: "02:00:00:00:00:06", Asked: 2, Limited: 31, Refused: 3, Unsent: 1, Why: "too many questions"},
	}}, nil
}

func (f *fake) SetPlacement(_ context.Context, r *pb.SetPlacementRequest) (*pb.SetPlacementResponse, error) {
	f.asked(r)
	return &pb.SetPlacementResponse{}, nil
}

func (f *fake) ListWorkers(context.Context, *pb.ListWorkersRequest) (*pb.ListWorkersResponse, error) {
	two := uint32(2)
	return &pb.ListWorkersResponse{WakeLatency: durationpb.New(10 * time.Microsecond), WakeLatencyHeld: true, Workers: []*pb.Worker{
		{Thread: 4711, Cpu: 2, Stays: &two, Elapsed: sec(10), Busy: sec(1.234), Slept: sec(8), RxPackets: 1005000, Handed: 50,
			Queues: []*pb.Placement{{Interface: "host-enp0s3", Driver: "af_xdp"}, {Interface: "tap0", Driver: "tap", Queue: 1}, {Interface: "tun3", Driver: "tun"}}},
		{Worker: 1, Thread: 4712, Cpu: 3, NumaNode: 1, Elapsed: sec(10), Slept: sec(10),
			Queues: []*pb.Placement{{Interface: "host-enp0s3", Driver: "af_xdp", Queue: 1}, {Interface: "tap0", Driver: "tap"}}},
	}}, nil
}

func (f *fake) GetRuntime(context.Context, *pb.GetRuntimeRequest) (*pb.GetRuntimeResponse, error) {
	return &pb.GetRuntimeResponse{Workers: []*pb.WorkerRuntime{
		{Elapsed: sec(10), Busy: sec(1.234), Slept: sec(8), Loops: 11402736, BusyLoops: 6404, RxPackets: 1005000, TxPackets: 705000,
			Drops: 300000, Nodes: []*pb.NodeRuntime{
				{Name: "ethernet-input", Calls: 6404, Packets: 1005000, ClocksPerPacket: 5.5},
				{Name: "ip4-input", Calls: 6404, Packets: 1005000, ClocksPerPacket: 9.14},
				{Name: "ip4-lookup", Calls: 6500, Packets: 1005000},
				{Name: "never-called"},
			}},
		{Worker: 1, Elapsed: sec(10), Slept: sec(10), Loops: 10},
	}}, nil
}

func (f *fake) GetErrors(_ context.Context, r *pb.GetErrorsRequest) (*pb.GetErrorsResponse, error) {
	m := &pb.GetErrorsResponse{Errors: []*pb.ErrorCount{
		{Count: 192, Node: "ip4-input", Reason: "ttl expired", Severity: pb.Severity_SEVERITY_INFO},
		{Count: 3, Node: "ip4-lookup", Reason: "no route to the destination of the packet", Severity: pb.Severity_SEVERITY_ERROR},
	}}
	if r.All {
		m.Errors = append(m.Errors, &pb.ErrorCount{Node: "nat44", Reason: "no free port", Severity: pb.Severity_SEVERITY_WARNING, Worker: 1})
	}
	return m, nil
}

func (f *fake) GetBuffers(context.Context, *pb.GetBuffersRequest) (*pb.GetBuffersResponse, error) {
	return &pb.GetBuffersResponse{Pools: []*pb.BufferPool{
		{Name: "small", FrameSize: 2112, Total: 33629, Free: 33373, Used: 256, WorkerFree: []uint64{30000, 3373}},
		{Name: "large", FrameSize: 66112, Total: 512, Free: 0, Used: 512, Misses: 9, WorkerFree: []uint64{0, 0}},
	}}, nil
}

func (f *fake) ClearCounters(_ context.Context, r *pb.ClearCountersRequest) (*pb.ClearCountersResponse, error) {
	f.asked(r)
	return &pb.ClearCountersResponse{}, nil
}

func (f *fake) AddTrace(_ context.Context, r *pb.AddTraceRequest) (*pb.AddTraceResponse, error) {
	f.asked(r)
	return &pb.AddTraceResponse{}, nil
}

func (f *fake) GetTrace(_ context.Context, r *pb.GetTraceRequest) (*pb.GetTraceResponse, error) {
	m := &pb.GetTraceResponse{Packets: []*pb.TracedPacket{
		{Id: 1, Interface: "host-enp0s3", Start: sec(0.245860), Records: []*pb.TraceRecord{
			{Node: "ethernet-input", Reason: "ip4", Next: "ip4-input", Details: []string{"host-enp0s3: 98 bytes"}},
			{OffsetNs: 23100, Node: "ip4-input", Reason: "ip4-lookup", Next: "ip4-lookup", Details: []string{
				"UDP: 10.1.159.128 -> 10.2.65.110", "  tos 0x00, ttl 64, length 46, checksum 0x85ce"}},
			{OffsetNs: 164000, Node: "ip4-arp", Reason: "kept"},
			{OffsetNs: 1000164000, Node: "tap-output"},
		}},
		{Id: 2, Interface: "tun3", Worker: 1, Start: sec(3725.5), Records: []*pb.TraceRecord{
			{Node: "ip4-input", Reason: "ip4 bad header checksum", Next: "drop"}}},
	}}
	m.Missed = 12
	if r.Max > 0 {
		m.Packets, m.Missed = m.Packets[:min(int(r.Max), 2)], 0
	}
	return m, nil
}

func (f *fake) ClearTrace(_ context.Context, r *pb.ClearTraceRequest) (*pb.ClearTraceResponse, error) {
	f.asked(r)
	return &pb.ClearTraceResponse{}, nil
}

func (f *fake) ListRoutes(r *pb.ListRoutesRequest, out grpc.ServerStreamingServer[pb.ListRoutesResponse]) error {
	unicast := pb.RouteType_ROUTE_TYPE_UNICAST
	routes := []*pb.Route{
		{Prefix: "0.0.0.0/0", Type: unicast, Source: "host", Metric: 100, Best: true,
			NextHops: []*pb.NextHop{{Via: "192.0.2.1", Interface: "host-enp0s3"}},
			Adjacencies: []*pb.Adjacency{{Kind: "resolve", Interface: "host-enp0s3", Via: "192.0.2.1", Mtu: 1500,
				Description: "resolve 192.0.2.1 on host-enp0s3"}}},
		{Prefix: "10.2.0.0/16", Type: unicast, Source: "api", Best: true,
			NextHops: []*pb.NextHop{{Via: "10.100.0.2", Interface: "tun3", Weight: 2}, {Via: "10.100.0.3", Interface: "tun3", Weight: 1}},
			Adjacencies: []*pb.Adjacency{{Kind: "forward",
				Description: "ipv4 via 10.100.0.2 tun3: mtu:9000 02000000000202fe24cfc8d50800"}, {Kind: "glean"}}},
		{Prefix: "10.2.0.0/16", Type: pb.RouteType_ROUTE_TYPE_BLACKHOLE, Source: "bgp", Metric: 10},
	}
	if r.Family == pb.Family_FAMILY_IP6 {
		routes = []*pb.Route{{Prefix: "2001:db8:244::2/128", Type: unicast, Source: "pod", Best: true,
			NextHops:    []*pb.NextHop{{Interface: "tun3"}},
			Adjacencies: []*pb.Adjacency{{Kind: "forward", Interface: "tun3", Mtu: 1500, Description: "dev tun3"}}}}
	} else if r.GetAddress() != "" || r.GetPrefix() != "" {
		if !strings.HasPrefix(r.GetAddress()+r.GetPrefix(), "10.2.") {
			return nil // no route, no part
		}
		routes = routes[1:]
	}
	for _, route := range routes { // a part each
		if err := out.Send(&pb.ListRoutesResponse{Routes: []*pb.Route{route}}); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) AddRoute(_ context.Context, r *pb.AddRouteRequest) (*pb.AddRouteResponse, error) {
	f.asked(r)
	return &pb.AddRouteResponse{}, nil
}

func (f *fake) DeleteRoute(_ context.Context, r *pb.DeleteRouteRequest) (*pb.DeleteRouteResponse, error) {
	f.asked(r)
	return &pb.DeleteRouteResponse{}, nil
}

func (f *fake) ListNeighbors(_ context.Context, r *pb.ListNeighborsRequest) (*pb.ListNeighborsResponse, error) {
	if r.Family == pb.Family_FAMILY_IP6 {
		return &pb.ListNeighborsResponse{Neighbors: []*pb.Neighbor{
			{Ip: "fe80::1", Interface: "host-enp0s3", Mac: "02:00:00:00:00:13", State: pb.NeighborState_NEIGHBOR_STATE_REACHABLE, Age: sec(2.5)},
		}}, nil
	}
	return &pb.ListNeighborsResponse{Neighbors: []*pb.Neighbor{
		{Ip: "10.100.0.17", Interface: "host-enp0s3", Mac: "02:00:00:00:00:11", Static: true, State: pb.NeighborState_NEIGHBOR_STATE_REACHABLE},
		{Ip: "192.0.2.1", Interface: "host-enp0s3", Mac: "02:00:00:00:00:12", State: pb.NeighborState_NEIGHBOR_STATE_REACHABLE, Age: sec(1.0819)},
		{Ip: "192.0.2.7", Interface: "host-enp0s3", State: pb.NeighborState_NEIGHBOR_STATE_INCOMPLETE},
	}}, nil
}

func (f *fake) AddNeighbor(_ context.Context, r *pb.AddNeighborRequest) (*pb.AddNeighborResponse, error) {
	f.asked(r)
	return &pb.AddNeighborResponse{}, nil
}

func (f *fake) DeleteNeighbor(_ context.Context, r *pb.DeleteNeighborRequest) (*pb.DeleteNeighborResponse, error) {
	f.asked(r)
	return &pb.DeleteNeighborResponse{}, nil
}

func (f *fake) ListDeny(context.Context, *pb.ListDenyRequest) (*pb.ListDenyResponse, error) {
	return &pb.ListDenyResponse{Entries: []*pb.DenyEntry{
		{Prefix: "192.0.2.0/24", Source: "static"}, {Prefix: "198.51.100.7/32", Source: "api"}, {Prefix: "2001:db8:bad::/48", Source: "api"}}}, nil
}

func (f *fake) AddDeny(_ context.Context, r *pb.AddDenyRequest) (*pb.AddDenyResponse, error) {
	f.asked(r)
	return &pb.AddDenyResponse{}, nil
}

func (f *fake) DeleteDeny(_ context.Context, r *pb.DeleteDenyRequest) (*pb.DeleteDenyResponse, error) {
	f.asked(r)
	return &pb.DeleteDenyResponse{}, nil
}

func (f *fake) GetGraph(context.Context, *pb.GetGraphRequest) (*pb.GetGraphResponse, error) {
	return &pb.GetGraphResponse{
		Nodes: []*pb.GraphNode{
			{Name: "ip4-input", FeatureArc: "ip4-unicast", Arcs: []*pb.GraphArc{
				{Reason: "ip4 bad header checksum", Node: "drop", Packets: 192, Drop: true},
				{Reason: "feature acl", Node: "acl", Feature: true},
				{Reason: "end of ip4-unicast", Node: "ip4-lookup", Packets: 5, Feature: true}}},
			{Name: "acl", FeatureArc: "ip4-unicast", Arcs: []*pb.GraphArc{
				{Reason: "denied", Node: "drop", Packets: 1, Drop: true},
				{Reason: "end of ip4-unicast", Node: "ip4-lookup", Feature: true}}},
			{Name: "ip4-lookup", Arcs: []*pb.GraphArc{
				{Reason: "forward", Node: "ip4-rewrite", Packets: 1005}, {Reason: "blackhole", Node: "drop"}}},
			{Name: "ip4-rewrite"},
			{Name: "drop"},
		},
		FeatureArcs: []*pb.FeatureArc{{Name: "ip4-unicast", Features: []string{"acl"}, End: "ip4-lookup"}},
	}, nil
}

func (f *fake) Ping(r *pb.PingRequest, out grpc.ServerStreamingServer[pb.PingResponse]) error {
	f.asked(r)
	results := []*pb.PingResponse{
		{Sequence: 1, Result: pb.PingResult_PING_RESULT_REPLY, From: r.Address, Bytes: *r.Size + 8, Ttl: 64, RoundTrip: sec(0.000321)},
		{Sequence: 2, Result: pb.PingResult_PING_RESULT_TIMEOUT},
		{Sequence: 3, Result: pb.PingResult_PING_RESULT_UNREACHABLE, From: "192.0.2.1", Message: "host unreachable"},
		{Sequence: 4, Result: pb.PingResult_PING_RESULT_NOT_SENT, Message: "no route to " + r.Address},
	}
	if r.Address == "192.0.2.99" {
		results = results[1:2]
	}
	for _, m := range results {
		if err := out.Send(m); err != nil {
			return err
		}
	}
	return nil
}
