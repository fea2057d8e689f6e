package server

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/skein-dataplane/skein/api"
	pb "github.com/skein-dataplane/skein/api/skeinpb"
)

func TestVersionAndBuffers(t *testing.T) {
	c, _ := daemon(t)
	v := need[*pb.GetVersionResponse](t)(c.GetVersion(t.Context(), &pb.GetVersionRequest{}))
	if v.Version == "" || v.Commit == "" || v.GoVersion == "" || v.Pid == 0 || v.Uptime.AsDuration() <= 0 || v.ConfigPath != "/etc/skein/test.yaml" {
		t.Errorf("%v", v)
	}
	b := need[*pb.GetBuffersResponse](t)(c.GetBuffers(t.Context(), &pb.GetBuffersRequest{}))
	if len(b.Pools) != 2 || b.Pools[0].Name != "small" || b.Pools[0].Total != 1024 || b.Pools[1].Total != 64 {
		t.Errorf("%v", b)
	}
	for _, p := range b.Pools {
		if p.Total != p.Free+p.Used || p.FrameSize == 0 {
			t.Errorf("%v", p)
		}
	}
}

// routes returns a table as text: prefix, type, source, best.
func routes(t *testing.T, c *api.Client, r *pb.ListRoutesRequest) (out []string) {
	t.Helper()
	parts := need[interface {
		Recv() (*pb.ListRoutesResponse, error)
	}](t)(c.ListRoutes(t.Context(), r))
	for {
		m, err := parts.Recv()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range m.Routes {
			s := x.Prefix + " " + strings.ToLower(strings.TrimPrefix(x.Type.String(), "ROUTE_TYPE_")) + " " + x.Source
			if x.Best {
				s += " best"
			}
			out = append(out, s)
		}
	}
}

func TestRoutes(t *testing.T) {
	c, _ := daemon(t)
	ctx := t.Context()
	add := func(r *pb.Route, replace bool) error {
		_, err := c.AddRoute(ctx, &pb.AddRouteRequest{Route: r, Replace: replace})
		return err
	}
	del := func(r *pb.Route) error {
		_, err := c.DeleteRoute(ctx, &pb.DeleteRouteRequest{Route: r})
		return err
	}
	hole := pb.RouteType_ROUTE_TYPE_BLACKHOLE
	prohibit := pb.RouteType_ROUTE_TYPE_PROHIBIT
	for range 2 { // what is so already is not an error
		if err := add(&pb.Route{Prefix: "10.1.0.0/16", Type: hole}, false); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, add(&pb.Route{Prefix: "10.1.0.0/16", Type: prohibit}, false), codes.AlreadyExists,
		"route 10.1.0.0/16: exists already, as blackhole 10.1.0.0/16 proto api")
	if err := add(&pb.Route{Prefix: "10.1.0.0/16", Type: prohibit}, true); err != nil {
		t.Error(err)
	}
	if err := add(&pb.Route{Prefix: "203.0.113.0/24", Type: hole, Metric: 7}, false); err != nil {
		t.Error(err)
	}
	for _, x := range []struct {
		req  *pb.ListRoutesRequest
		want string
	}{
		{&pb.ListRoutesRequest{}, "10.1.0.0/16 prohibit api best, 203.0.113.0/24 blackhole static best, 203.0.113.0/24 blackhole api"},
		{&pb.ListRoutesRequest{Filter: &pb.ListRoutesRequest_Prefix{Prefix: "10.1.0.0/16"}}, "10.1.0.0/16 prohibit api best"},
		{&pb.ListRoutesRequest{Filter: &pb.ListRoutesRequest_Prefix{Prefix: "10.1.0.0/17"}}, ""},
		{&pb.ListRoutesRequest{Filter: &pb.ListRoutesRequest_Address{Address: "203.0.113.9"}}, "203.0.113.0/24 blackhole static best"},
		{&pb.ListRoutesRequest{Filter: &pb.ListRoutesRequest_Address{Address: "192.0.2.1"}}, ""},
	} {
		if got := strings.Join(routes(t, c, x.req), ", "); got != x.want {
			t.Errorf("%v:\n got %s\nwant %s", x.req, got, x.want)
		}
	}
	refused(t, del(&pb.Route{Prefix: "10.1.0.0/16", Type: hole}), codes.NotFound,
		"route 10.1.0.0/16 like that, of the API or the configuration: not found")
	refused(t, del(&pb.Route{Prefix: "203.0.113.0/24", Metric: 8}), codes.NotFound,
		"route 203.0.113.0/24 like that, of the API or the configuration: not found")
	for _, p := range []string{"10.1.0.0/16", "203.0.113.0/24"} { // of the second, the API's goes first
		if err := del(&pb.Route{Prefix: p}); err != nil {
			t.Error(err)
		}
	}
	if got := strings.Join(routes(t, c, &pb.ListRoutesRequest{}), ", "); got != "203.0.113.0/24 blackhole static best" {
		t.Errorf("left: %s", got)
	}
}

// TestManyRoutes checks that a long table comes in parts and in order.
func TestManyRoutes(t *testing.T) {
	c, _ := daemon(t)
	for i := range 2*partRoutes + 1 {
		p := "10." + string(rune('0'+i/1000)) + "." + itoa(i/250%250) + "." + itoa(i%250) + "/32"
		_, err := c.AddRoute(t.Context(), &pb.AddRouteRequest{Route: &pb.Route{Prefix: p, Type: pb.RouteType_ROUTE_TYPE_BLACKHOLE}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := len(routes(t, c, &pb.ListRoutesRequest{})); got != 2*partRoutes+2 {
		t.Errorf("%d routes, want %d", got, 2*partRoutes+2)
	}
}

func itoa(i int) string {
	if i < 10 {
		return string(rune('0' + i))
	}
	return itoa(i/10) + string(rune('0'+i%10))
}

// TestRefusals goes through what must not be taken, with code and sentence.
func TestRefusals(t *testing.T) {
	c, _ := daemon(t)
	ctx := t.Context()
	u32 := func(n uint32) *uint32 { return &n }
	unicast := pb.RouteType_ROUTE_TYPE_UNICAST
	route := func(r *pb.Route) error {
		_, err := c.AddRoute(ctx, &pb.AddRouteRequest{Route: r})
		return err
	}
	tun := func(r *pb.CreateTunRequest) error { _, err := c.CreateTun(ctx, r); return err }
	set := func(r *pb.SetInterfaceRequest) error { _, err := c.SetInterface(ctx, r); return err }
	trace := func(r *pb.AddTraceRequest) error { _, err := c.AddTrace(ctx, r); return err }
	ping := func(r *pb.PingRequest) error {
		s, err := c.Ping(ctx, r)
		if err == nil {
			_, err = s.Recv()
		}
		return err
	}
	list := func(name string) error {
		_, err := c.ListInterfaces(ctx, &pb.ListInterfacesRequest{Names: []string{name}})
		return err
	}
	neighbor := func(r *pb.AddNeighborRequest) error { _, err := c.AddNeighbor(ctx, r); return err }
	forget := func(r *pb.DeleteNeighborRequest) error { _, err := c.DeleteNeighbor(ctx, r); return err }
	_, neighbors := c.ListNeighbors(ctx, &pb.ListNeighborsRequest{Interface: "nope"})
	_, deleted := c.DeleteInterface(ctx, &pb.DeleteInterfaceRequest{Name: "nope"})
	_, cleared := c.ClearCounters(ctx, &pb.ClearCountersRequest{})
	for _, x := range []struct {
		err      error
		code     codes.Code
		sentence string
	}{
		{list("nope"), codes.NotFound, `interface "nope": not found`},
		{set(&pb.SetInterfaceRequest{Name: "nope"}), codes.NotFound, `interface "nope": not found`},
		{set(&pb.SetInterfaceRequest{Name: "nope", AddAddresses: []string{"10.0.0.1"}}), codes.InvalidArgument,
			`"10.0.0.1" is not an address with a prefix length, such as 10.244.0.2/32`},
		{deleted, codes.NotFound, `interface "nope": not found`},
		{cleared, codes.InvalidArgument, "nothing to clear is named: interfaces, runtime or errors"},
		{tun(&pb.CreateTunRequest{Name: "tun0"}), codes.InvalidArgument, "the path of a network namespace is missing"},
		{tun(&pb.CreateTunRequest{Name: "a/b", Netns: "x"}), codes.InvalidArgument,
			`"a/b" is not the name of an interface: at most 15 of A-Z a-z 0-9 _ . @ - were expected`},
		{tun(&pb.CreateTunRequest{Name: "tun0", Netns: "x", Queues: 2}), codes.InvalidArgument,
			"2 queues where 1 were expected, one for each worker, or 0"},
		{tun(&pb.CreateTunRequest{Name: "tun0", Netns: "x", Mtu: 67}), codes.InvalidArgument,
			"an MTU of 67: from 68 to 65535 bytes are possible"},
		{tun(&pb.CreateTunRequest{Name: "tun0", Netns: "x", Addresses: []string{"::ffff:10.0.0.1/128"}}), codes.InvalidArgument,
			`"::ffff:10.0.0.1/128" is not an address with a prefix length, such as 10.244.0.2/32`},
		{tun(&pb.CreateTunRequest{Name: "tun0", Netns: "x", Workload: &pb.Workload{Ports: []*pb.NamedPort{{Name: "http"}}}}), codes.InvalidArgument,
			`a port of 0 with the name "http": a name and a number from 1 to 65535 were expected`},
		{route(nil), codes.InvalidArgument, "the route is missing"},
		{route(&pb.Route{Prefix: "10.0.0.1/8", Type: unicast}), codes.InvalidArgument,
			"10.0.0.1/8 has bits beyond its length: 10.0.0.0/8 was meant, or another length"},
		{route(&pb.Route{Prefix: "2001:db8::1/64", Type: unicast}), codes.InvalidArgument,
			"2001:db8::1/64 has bits beyond its length: 2001:db8::/64 was meant, or another length"},
		{route(&pb.Route{Prefix: "10.0.0.0/8"}), codes.InvalidArgument, "a type is missing, or not one that there is: 0"},
		{route(&pb.Route{Prefix: "10.0.0.0/8", Type: unicast, NextHops: []*pb.NextHop{{Interface: "nope"}}}), codes.NotFound, `interface "nope": not found`},
		{route(&pb.Route{Prefix: "10.0.0.0/8", Type: unicast, NextHops: []*pb.NextHop{{Via: "10.0.0.x"}}}), codes.InvalidArgument,
			`"10.0.0.x" is not an address, such as 10.0.0.1`},
		{route(&pb.Route{Prefix: "10.0.0.0/8", Type: unicast}), codes.InvalidArgument, "route 10.0.0.0/8: no next hop"},
		{route(&pb.Route{Prefix: "10.0.0.0/8", Type: pb.RouteType_ROUTE_TYPE_PUNT}), codes.InvalidArgument,
			"a punt route names the tap that the host is behind, and nothing else"},
		{trace(&pb.AddTraceRequest{Count: 1}), codes.InvalidArgument, "neither a node nor an interface is named"},
		{trace(&pb.AddTraceRequest{Count: 801, At: &pb.AddTraceRequest_Node{Node: "ip4-input"}}), codes.InvalidArgument,
			"801 packets: from 1 to 800 can be traced"},
		{trace(&pb.AddTraceRequest{Count: 1, At: &pb.AddTraceRequest_Node{Node: "nope"}}), codes.NotFound,
			`there is no such node: "nope"`},
		{trace(&pb.AddTraceRequest{Count: 1, At: &pb.AddTraceRequest_Interface{Interface: "nope"}}), codes.NotFound, `interface "nope": not found`},
		{neighbors, codes.NotFound, `interface "nope": not found`},
		{neighbor(&pb.AddNeighborRequest{Ip: "10.0.0.1", Interface: "nope", Mac: "02:00:00:00:00:01"}), codes.NotFound, `interface "nope": not found`},
		{neighbor(&pb.AddNeighborRequest{Ip: "10.0.0.1", Interface: "nope", Mac: "x"}), codes.InvalidArgument,
			`"x" is not a link address, such as 02:fe:00:00:00:01`},
		{neighbor(&pb.AddNeighborRequest{Ip: "fe80::1%eth0", Interface: "nope"}), codes.InvalidArgument,
			`"fe80::1%eth0" is not an address, such as 10.0.0.1 or 2001:db8::1`},
		{forget(&pb.DeleteNeighborRequest{Ip: "10.0.0.1", Interface: "nope"}), codes.NotFound, `interface "nope": not found`},
		{ping(&pb.PingRequest{Address: "nope"}), codes.InvalidArgument, `"nope" is not an address, such as 10.0.0.1 or 2001:db8::1`},
		{ping(&pb.PingRequest{Address: "10.0.0.1%eth0"}), codes.InvalidArgument, `"10.0.0.1%eth0" is not an address with a zone, such as fe80::1%eth0`},
		{ping(&pb.PingRequest{Address: "fe80::1"}), codes.InvalidArgument, "fe80::1: a link-local address and an uplink as its zone go together: fe80::1%eth0"},
		{ping(&pb.PingRequest{Address: "fe80::1%nope"}), codes.NotFound, "uplink nope: not found"},
		{ping(&pb.PingRequest{Address: "10.0.0.1", Count: 70000}), codes.InvalidArgument, "70000 requests: at most 65535 are possible"},
		{ping(&pb.PingRequest{Address: "10.0.0.1", Interval: durationpb.New(-1)}), codes.InvalidArgument,
			"an interval of -1ns: from 1ms to 1h0m0s are possible"},
		{ping(&pb.PingRequest{Address: "10.0.0.1", Size: u32(1 << 31)}), codes.InvalidArgument, "a size from 0 to 1808 bytes was expected"},
	} {
		refused(t, x.err, x.code, x.sentence)
	}
}

func TestPingWithoutRoute(t *testing.T) {
	c, _ := daemon(t)
	s := need[interface {
		Recv() (*pb.PingResponse, error)
	}](t)(c.Ping(t.Context(), &pb.PingRequest{Address: "192.0.2.1", Count: 2, Interval: durationpb.New(time.Millisecond)}))
	for seq := uint32(1); seq <= 2; seq++ {
		m, err := s.Recv()
		if err != nil || m.Sequence != seq || m.Result != pb.PingResult_PING_RESULT_NOT_SENT || m.Message != "no route to 192.0.2.1" {
			t.Errorf("%v, %v", m, err)
		}
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("%v, want the end", err)
	}
}

func TestGraph(t *testing.T) {
	c, _ := daemon(t)
	g := need[*pb.GetGraphResponse](t)(c.GetGraph(t.Context(), &pb.GetGraphRequest{}))
	names := map[string]bool{}
	for _, n := range g.Nodes {
		names[n.Name] = true
	}
	for _, n := range g.Nodes {
		for _, a := range n.Arcs {
			if !names[a.Node] {
				t.Errorf("%s leads to %q, which is not a node", n.Name, a.Node)
			}
			if a.Feature && n.FeatureArc == "" {
				t.Errorf("%s: %q is a feature, and the node is on no arc", n.Name, a.Reason)
			}
		}
	}
	for _, n := range g.Nodes {
		for _, a := range n.Arcs {
			if a.Reason == "undecided" || a.Reason == "too many passes" {
				t.Errorf("%s has %v", n.Name, a)
			}
		}
	}
	at := slices.IndexFunc(g.Nodes, func(n *pb.GraphNode) bool { return n.Name == "ip4-input" })
	if at < 0 || g.Nodes[at].FeatureArc != "ip4-unicast" || !slices.ContainsFunc(g.Nodes[at].Arcs, func(a *pb.GraphArc) bool {
		return a.Feature && a.Node == "ip4-source-check"
	}) {
		t.Errorf("ip4-input: %v", g.Nodes[at])
	}
	if len(g.FeatureArcs) == 0 || g.FeatureArcs[0].Name != "device-input" {
		t.Errorf("%v", g.FeatureArcs)
	}
	for node := range keptWords {
		if !names[node] {
			t.Errorf("there are words for %q, which is not a node", node)
		}
	}
}

func TestErrorsAll(t *testing.T) {
	c, _ := daemon(t)
	m := need[*pb.GetErrorsResponse](t)(c.GetErrors(t.Context(), &pb.GetErrorsRequest{All: true}))
	seen := map[pb.Severity]int{}
	for i, e := range m.Errors {
		seen[e.Severity]++
		if i > 0 && (m.Errors[i-1].Node > e.Node || m.Errors[i-1].Node == e.Node && m.Errors[i-1].Reason >= e.Reason) {
			t.Errorf("%v stands before %v", m.Errors[i-1], e)
		}
	}
	if seen[pb.Severity_SEVERITY_INFO] == 0 || seen[pb.Severity_SEVERITY_WARNING] == 0 || seen[pb.Severity_SEVERITY_ERROR] == 0 {
		t.Errorf("severities: %v", seen)
	}
	if m = need[*pb.GetErrorsResponse](t)(c.GetErrors(t.Context(), &pb.GetErrorsRequest{})); len(m.Errors) != 0 {
		t.Errorf("%v, want none", m.Errors)
	}
}

// TestDeadline asks a data plane that does not run yet: the call waits for it
// as long as the client does, and no longer.
func TestDeadline(t *testing.T) {
	cfg := config(t)
	c := newControl(t, cfg)
	serve(t, cfg, c)
	client := dial(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := client.GetRuntime(ctx, &pb.GetRuntimeRequest{})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("%v, want that the deadline has passed", err)
	}
	running(t, c) // and so is closed
	need[*pb.GetRuntimeResponse](t)(client.GetRuntime(t.Context(), &pb.GetRuntimeRequest{}))
}

// TestConcurrentCalls is for the race detector.
func TestConcurrentCalls(t *testing.T) {
	c, _ := daemon(t)
	ctx := t.Context()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			p := "10." + itoa(i) + ".0.0/16"
			for range 20 {
				r := &pb.Route{Prefix: p, Type: pb.RouteType_ROUTE_TYPE_UNREACHABLE}
				_, e1 := c.AddRoute(ctx, &pb.AddRouteRequest{Route: r})
				_, e2 := c.GetErrors(ctx, &pb.GetErrorsRequest{All: true})
				_, e3 := c.ClearCounters(ctx, &pb.ClearCountersRequest{Runtime: true, Interfaces: true, Errors: i%2 == 0})
				_, e4 := c.GetRuntime(ctx, &pb.GetRuntimeRequest{})
				_, e5 := c.GetTrace(ctx, &pb.GetTraceRequest{})
				_, e6 := c.DeleteRoute(ctx, &pb.DeleteRouteRequest{Route: r})
				if err := errors.Join(e1, e2, e3, e4, e5, e6); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestNotReady: what would be changed has to wait for a daemon that starts.
func TestNotReady(t *testing.T) {
	cfg := config(t)
	c := newControl(t, cfg)
	serve(t, cfg, c)
	client := dial(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r := &pb.Route{Prefix: "10.0.0.0/8", Type: pb.RouteType_ROUTE_TYPE_BLACKHOLE}
	if _, err := client.AddRoute(ctx, &pb.AddRouteRequest{Route: r}); err == nil {
		t.Error("a route is added to a daemon that has not started")
	}
	running(t, c)
	need[*pb.AddRouteResponse](t)(client.AddRoute(t.Context(), &pb.AddRouteRequest{Route: r}))
}
