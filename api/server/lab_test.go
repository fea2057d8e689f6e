package server

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/skein-dataplane/skein/api"
	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
)

// TestPodsLife goes through a pod's life with the real kernel at its end.
func TestPodsLife(t *testing.T) {
	l := lab.ForTest(t)
	pod := l.Add(t, "pod")
	c, _ := daemon(t)
	ctx := t.Context()
	tun := &pb.CreateTunRequest{Name: "tun0", Netns: pod.Path(), Addresses: []string{lab.PodAddr + "/32"}, Mtu: 1400,
		Workload: &pb.Workload{Namespace: "default", Name: "web", Labels: map[string]string{"app": "web"}, Ports: []*pb.NamedPort{{Name: "http", Port: 80}}}}
	made := need[*pb.CreateTunResponse](t)(c.CreateTun(ctx, tun)).Interface
	if made.Name != "tun0" || made.Kind != pb.InterfaceKind_INTERFACE_KIND_TUN || !made.AdminUp || !made.LinkUp || made.Mtu != 1400 ||
		made.Mac != "" || made.Driver.GetName() != "tun" || made.Peer.GetName() != "eth0" || made.Peer.GetNetns() != pod.Path() || !proto.Equal(made.Peer.GetWorkload(), tun.Workload) {
		t.Errorf("%v", made)
	}
	again := need[*pb.CreateTunResponse](t)(c.CreateTun(ctx, tun)).Interface
	if again.Index != made.Index {
		t.Errorf("asked for again, it is another: %v", again)
	}
	_, err := c.CreateTun(ctx, &pb.CreateTunRequest{Name: "tun0", Netns: pod.Path(), Addresses: []string{lab.OtherPodAddr + "/32"}})
	refused(t, err, codes.AlreadyExists, "interface tun0: exists already")
	_, err = c.CreateTun(ctx, &pb.CreateTunRequest{Name: "tun1", Netns: "/run/netns/no-such-space"})
	refused(t, err, codes.NotFound, `pod tun1: create tun "eth0": open namespace /run/netns/no-such-space: no such file or directory`)
	ownAddress(t, c)
	ping(t, c)
	traced(t, c)
	losses(t, c, pod)
	features(t, c)

	need[*pb.DeleteInterfaceResponse](t)(c.DeleteInterface(ctx, &pb.DeleteInterfaceRequest{Name: "tun0"}))
	if m := need[*pb.ListInterfacesResponse](t)(c.ListInterfaces(ctx, &pb.ListInterfacesRequest{})); len(m.Interfaces) != 0 {
		t.Errorf("left: %v", m.Interfaces)
	}
	if got := routes(t, c, &pb.ListRoutesRequest{}); len(got) != 1 {
		t.Errorf("left: %v", got)
	}
	if links, err := pod.Links(); err != nil || slices.Contains(links, "eth0") {
		t.Errorf("the pod has %v (%v)", links, err)
	}
}

func set(t *testing.T, c *api.Client, r *pb.SetInterfaceRequest) {
	t.Helper()
	need[*pb.SetInterfaceResponse](t)(c.SetInterface(t.Context(), r))
}

func show(t *testing.T, c *api.Client) *pb.Interface {
	t.Helper()
	return need[*pb.ListInterfacesResponse](t)(c.ListInterfaces(t.Context(), &pb.ListInterfacesRequest{Names: []string{"tun0"}})).Interfaces[0]
}

// ownAddress gives Skein addresses on the TUN, and takes one away again.
func ownAddress(t *testing.T, c *api.Client) {
	set(t, c, &pb.SetInterfaceRequest{Name: "tun0", AddAddresses: []string{"10.9.0.1/24", "10.9.0.2/24", "10.9.9.9/32"}})
	set(t, c, &pb.SetInterfaceRequest{Name: "tun0", AddAddresses: []string{"10.9.0.1/24"}, RemoveAddresses: []string{"10.9.0.2/24"}})
	if got := strings.Join(show(t, c).Addresses, " "); got != "10.9.0.1/24 10.9.9.9/32" {
		t.Errorf("addresses: %s", got)
	}
	want := "10.9.0.0/24 unicast connected best, 10.9.0.1/32 local connected best, 10.9.9.9/32 local connected best, " +
		"10.244.0.2/32 unicast pod best, 203.0.113.0/24 blackhole static best"
	if got := strings.Join(routes(t, c, &pb.ListRoutesRequest{}), ", "); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	down, mtu := false, uint32(100_000)
	for _, x := range []struct {
		r        *pb.SetInterfaceRequest
		code     codes.Code
		sentence string
	}{
		{&pb.SetInterfaceRequest{AddAddresses: []string{lab.PodAddr + "/24"}}, codes.AlreadyExists, "address 10.244.0.2: exists already at tun0"},
		{&pb.SetInterfaceRequest{AddAddresses: []string{"224.0.0.1/32"}}, codes.InvalidArgument, "224.0.0.1 is no address of a host"},
		{&pb.SetInterfaceRequest{RemoveAddresses: []string{"10.9.0.3/24"}}, codes.NotFound, "address 10.9.0.3/24 on tun0: not found"},
		{&pb.SetInterfaceRequest{Mtu: &mtu, AdminUp: &down}, codes.InvalidArgument, "the device of tun0 takes an MTU from 68 to 1400"},
		{&pb.SetInterfaceRequest{AdminUp: &down, Features: []*pb.FeatureChange{{Arc: "nope"}}}, codes.NotFound, `feature arc "nope": not found`},
	} {
		x.r.Name = "tun0"
		_, err := c.SetInterface(t.Context(), x.r)
		refused(t, err, x.code, x.sentence)
	}
	if i := show(t, c); !i.AdminUp || i.Mtu != 1400 {
		t.Errorf("what was refused as a whole has changed it: %v", i)
	}
}

// ping asks the pod for echoes, from the address that Skein has there.
func ping(t *testing.T, c *api.Client) {
	s := need[interface {
		Recv() (*pb.PingResponse, error)
	}](t)(c.Ping(t.Context(), &pb.PingRequest{Address: lab.PodAddr, Count: 2, Interval: durationpb.New(time.Millisecond)}))
	for range 2 {
		m, err := s.Recv()
		if err != nil || m.Result != pb.PingResult_PING_RESULT_REPLY || m.From != lab.PodAddr || m.Bytes != 64 || m.Ttl != 64 || m.RoundTrip.AsDuration() <= 0 {
			t.Errorf("%v, %v", m, err)
		}
	}
	i := show(t, c)
	if n := i.Counters; n.RxPackets < 2 || n.TxPackets < 2 || n.TxBytes < 2*84 {
		t.Errorf("%v", n)
	}
}

// traced follows an echo to a blackhole, and reads why it died.
func traced(t *testing.T, c *api.Client) {
	ctx := t.Context()
	need[*pb.AddTraceResponse](t)(c.AddTrace(ctx, &pb.AddTraceRequest{Count: 2, At: &pb.AddTraceRequest_Node{Node: "ip4-lookup"}}))
	for _, to := range []string{"203.0.113.5", "198.51.100.5"} {
		s := need[interface {
			Recv() (*pb.PingResponse, error)
		}](t)(c.Ping(ctx, &pb.PingRequest{Address: to, Source: "10.9.0.1", Count: 1, Wait: durationpb.New(10 * time.Millisecond)}))
		if m, err := s.Recv(); err != nil || m.Result == pb.PingResult_PING_RESULT_REPLY {
			t.Errorf("%v, %v", m, err)
		}
	}
	packets := need[*pb.GetTraceResponse](t)(c.GetTrace(ctx, &pb.GetTraceRequest{})).Packets
	if len(packets) != 1 { // the second has no route: it was not sent
		t.Fatalf("%d packets: %v", len(packets), packets)
	}
	first, last := packets[0].Records[0], packets[0].Records[len(packets[0].Records)-1]
	if first.Node != "ip4-lookup" || !slices.ContainsFunc(first.Details, func(s string) bool {
		return strings.HasPrefix(s, "10.9.0.1 > 203.0.113.5: icmp echo-request")
	}) {
		t.Errorf("%v", first)
	}
	if last.Node != "drop" || strings.Join(last.Details, "|") != "dropped: ip4 destination blackholed by route, at ip4-lookup" {
		t.Errorf("%v", last)
	}
	need[*pb.ClearTraceResponse](t)(c.ClearTrace(ctx, &pb.ClearTraceRequest{}))
	if n := len(need[*pb.GetTraceResponse](t)(c.GetTrace(ctx, &pb.GetTraceRequest{})).Packets); n != 0 {
		t.Errorf("%d packets after clearing", n)
	}
}

// lost returns how many packets ended for a reason.
func lost(t *testing.T, c *api.Client, reason string) uint64 {
	t.Helper()
	for _, e := range need[*pb.GetErrorsResponse](t)(c.GetErrors(t.Context(), &pb.GetErrorsRequest{})).Errors {
		if e.Reason == reason {
			return e.Count
		}
	}
	return 0
}

// losses checks that a reason survives what clears other counters, and that
// the pod is told of what has no route.
func losses(t *testing.T, c *api.Client, pod *lab.Namespace) {
	const reason = "ip4 destination blackholed by route"
	ctx := t.Context()
	clear := func(r *pb.ClearCountersRequest) {
		t.Helper()
		need[*pb.ClearCountersResponse](t)(c.ClearCounters(ctx, r))
	}
	n := lost(t, c, reason)
	if n == 0 {
		t.Error("the blackhole has no count")
	}
	clear(&pb.ClearCountersRequest{Runtime: true, Interfaces: true})
	if got := lost(t, c, reason); got != n {
		t.Errorf("%d after clearing something else, want %d", got, n)
	}
	if i := show(t, c); i.Counters.RxPackets != 0 {
		t.Errorf("interfaces were cleared, and have %v", i.Counters)
	}
	clear(&pb.ClearCountersRequest{Errors: true})
	if got := lost(t, c, reason); got != 0 {
		t.Errorf("%d after clearing, want none", got)
	}
	replies, err := pod.Ping(ctx, netip.MustParseAddr("198.51.100.5"), lab.Ping{})
	if err != nil || len(replies) != 1 || replies[0].What != "destination unreachable" {
		t.Errorf("%v, %v", replies, err)
	}
	if got := lost(t, c, "ip4 no route"); got != 1 {
		t.Errorf("%d packets without a route, want 1", got)
	}
	w := need[*pb.GetRuntimeResponse](t)(c.GetRuntime(ctx, &pb.GetRuntimeRequest{})).Workers[0]
	if w.Drops != 1 || w.TxPackets != 1 || w.RxPackets == 0 || w.Punts != 0 || w.Elapsed.AsDuration() <= 0 {
		t.Errorf("%d drops, %d sent, %d received, %d punts", w.Drops, w.TxPackets, w.RxPackets, w.Punts)
	}
}

// features takes the source checks and gro off, which every pod has, and sets
// the interface down.
func features(t *testing.T, c *api.Client) {
	has := ""
	for _, f := range show(t, c).Features {
		has += f.Arc + ": " + strings.Join(f.Features, " ") + "; "
	}
	if has != "ip4-unicast: ip4-source-check; ip6-unicast: ip6-source-check; interface-output: gro; " {
		t.Errorf("a new pod has the features %s", has)
	}
	down, mtu := false, uint32(1000)
	set(t, c, &pb.SetInterfaceRequest{Name: "tun0", AdminUp: &down, Mtu: &mtu,
		Features: []*pb.FeatureChange{{Arc: "ip4-unicast", Feature: "ip4-source-check"}, {Arc: "ip6-unicast", Feature: "ip6-source-check"},
			{Arc: "interface-output", Feature: "gro"}}})
	if i := show(t, c); i.AdminUp || i.Mtu != 1000 || len(i.Features) != 0 {
		t.Errorf("%v", i)
	}
	_, err := c.AddNeighbor(t.Context(), &pb.AddNeighborRequest{Ip: "10.9.0.7", Interface: "tun0", Mac: "02:00:00:00:00:01"})
	refused(t, err, codes.InvalidArgument, "tun0 has no link addresses")
}

// TestPodsComeAndGo attaches and detaches pods while somebody looks, for the
// race detector. Nothing may be left of them.
func TestPodsComeAndGo(t *testing.T) {
	l := lab.ForTest(t)
	pod := l.Add(t, "pods")
	c, _ := daemon(t)
	ctx := t.Context()
	before := need[*pb.GetBuffersResponse](t)(c.GetBuffers(ctx, &pb.GetBuffersRequest{})).String()
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			name := "tun" + strconv.Itoa(i)
			for range 5 {
				_, e1 := c.CreateTun(ctx, &pb.CreateTunRequest{Name: name, Netns: pod.Path(), Ifname: "eth" + strconv.Itoa(i),
					Addresses: []string{"10.244.1." + strconv.Itoa(i) + "/32"}})
				_, e2 := c.ListInterfaces(ctx, &pb.ListInterfacesRequest{})
				_, e3 := c.GetErrors(ctx, &pb.GetErrorsRequest{All: true})
				_, e4 := c.DeleteInterface(ctx, &pb.DeleteInterfaceRequest{Name: name})
				if err := errors.Join(e1, e2, e3, e4); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if after := need[*pb.GetBuffersResponse](t)(c.GetBuffers(ctx, &pb.GetBuffersRequest{})).String(); after != before {
		t.Errorf("buffers before %s, after %s", before, after)
	}
	if got := routes(t, c, &pb.ListRoutesRequest{}); len(got) != 1 {
		t.Errorf("left: %v", got)
	}
}

// BenchmarkListInterfaces measures what a look at many pods costs: each asks
// the kernel for the state of a link in a namespace.
func BenchmarkListInterfaces(b *testing.B) {
	const pods = 50
	l := lab.ForTest(b)
	pod := l.Add(b, "pods")
	c, _ := daemon(b)
	for i := range pods {
		_, err := c.CreateTun(b.Context(), &pb.CreateTunRequest{Name: "tun" + strconv.Itoa(i), Netns: pod.Path(), Ifname: "eth" + strconv.Itoa(i)})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Run("pods="+strconv.Itoa(pods), func(b *testing.B) {
		for b.Loop() {
			if _, err := c.ListInterfaces(b.Context(), &pb.ListInterfacesRequest{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
