package tour_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/api"
	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// A scenePod is a pod of a scenario, with a namespace of its own and servers for
// TCP and UDP on some ports.
type scenePod struct {
	ns     *lab.Namespace
	v4, v6 string
}

// scenePorts are those that each pod listens at.
var scenePorts = []uint16{53, 80, 3306, 8080}

// addPod has the daemon attach a pod by its API. last is the end of its addresses.
func addPod(t *testing.T, tr *tour.Tour, c *api.Client, namespace, name string, last int, labels map[string]string) *scenePod {
	t.Helper()
	ns, err := tr.Lab.Namespace(name)
	if err != nil {
		t.Fatal(err)
	}
	p := &scenePod{ns, fmt.Sprintf("10.244.0.%d", last), fmt.Sprintf("2001:db8:244::%d", last)}
	_, err = c.CreateTun(t.Context(), &pb.CreateTunRequest{Name: "tun-" + name, Netns: ns.Path(), Addresses: []string{p.v4 + "/32", p.v6 + "/128"},
		Workload: &pb.Workload{Namespace: namespace, Name: name, Labels: labels}})
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range scenePorts {
		p.serve(t, port)
	}
	return p
}

// serve answers at a port, both families, until the test ends.
func (p *scenePod) serve(t *testing.T, port uint16) {
	t.Helper()
	at := netip.AddrPortFrom(netip.IPv6Unspecified(), port)
	ln, err := p.ns.ListenTCP(at)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	if _, err := p.ns.Echo(ctx, at); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.AcceptTCP()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_, _ = conn.Write([]byte("hello")) // whoever asks looks for it
				_ = conn.Close()
			}
		}
	}()
}

// A wish is one line of a scenario: whether a port of one pod is open to
// another. Both families and both directions of traffic are meant: an answer
// comes back.
type wish struct {
	from  *lab.Namespace
	to    *scenePod
	proto string
	port  uint16
	open  bool
}

// check tries all wishes at the same time, over both families.
func check(t *testing.T, when string, all []wish) {
	t.Helper()
	var wg sync.WaitGroup
	for _, w := range all {
		for _, addr := range []string{w.to.v4, w.to.v6} {
			wg.Go(func() {
				wait := 500 * time.Millisecond
				if w.open {
					wait = 5 * time.Second
				}
				if err := try(w, addr, wait); (err == nil) != w.open {
					t.Errorf("%s: %s to %s, %s %d: %v, want open: %v", when, w.from.Name(), addr, w.proto, w.port, err, w.open)
				}
			})
		}
	}
	wg.Wait()
}

// try returns an error if nothing comes back in time.
func try(w wish, addr string, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	to := netip.AddrPortFrom(netip.MustParseAddr(addr), w.port)
	switch w.proto {
	case "tcp":
		conn, err := w.from.DialTCP(ctx, to)
		if err != nil {
			return err
		}
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(wait))
		_, err = io.ReadFull(conn, make([]byte, 5))
		return err
	case "udp":
		n, err := w.from.Asks(ctx, to, 1, 8, wait)
		if err == nil && n == 0 {
			err = errors.New("no answer")
		}
		return err
	}
	return w.from.Reaches(ctx, addr, lab.Ping{Timeout: wait})
}

// apply takes the policies of a file.
func apply(t *testing.T, c *api.Client, name string, text string) {
	t.Helper()
	if _, err := c.ApplyPolicy(t.Context(), &pb.ApplyPolicyRequest{Name: name, Text: []byte(text)}); err != nil {
		t.Fatal(err)
	}
}

func readText(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func start(t *testing.T, tr *tour.Tour) (context.Context, *api.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	if err := tr.Start(ctx); err != nil {
		t.Fatal(err)
	}
	c, err := tr.Client(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return ctx, c
}

// TestFrontendBackend is the reference scenario of a frontend that alone may
// reach a backend: with real sockets, in both directions, before a restart of the
// daemon and after it, and in words.
func TestFrontendBackend(t *testing.T) {
	tr := newTour(t, tour.Options{Driver: "af_packet"})
	ctx, c := start(t, tr)
	client := addPod(t, tr, c, "default", "client", 10, map[string]string{"app": "client"})
	frontend := addPod(t, tr, c, "default", "frontend", 11, map[string]string{"app": "frontend"})
	backend := addPod(t, tr, c, "default", "backenddb", 12, map[string]string{"app": "backend"})
	check(t, "without policy", []wish{{client.ns, backend, "tcp", 3306, true}, {backend.ns, client, "udp", 53, true}})

	apply(t, c, "frontend-backend.yaml", readText(t, "../../policy/testdata/frontend-backend.yaml"))
	lines := []wish{
		{client.ns, frontend, "tcp", 80, true},
		{client.ns, frontend, "tcp", 8080, false}, {client.ns, frontend, "udp", 80, false}, {client.ns, frontend, "icmp", 0, false},
		{frontend.ns, backend, "tcp", 3306, true},
		{client.ns, backend, "tcp", 3306, false}, {client.ns, backend, "tcp", 80, false},
		{backend.ns, frontend, "tcp", 80, false}, {backend.ns, client, "tcp", 80, false}, {backend.ns, client, "udp", 53, false},
		{frontend.ns, client, "tcp", 80, false}, {frontend.ns, backend, "udp", 3306, false}, {frontend.ns, backend, "tcp", 80, false},
		{frontend.ns, client, "udp", 53, false}, {frontend.ns, client, "icmp", 0, false},
		{tr.Remote, frontend, "tcp", 80, true}, {tr.Remote, backend, "tcp", 3306, false}, {tr.Node, backend, "tcp", 3306, true},
	}
	check(t, "with policy", lines)
	explains(t, c, frontend, backend, client)
	sceneServices(t, tr, c, frontend, backend, client)
	ends, err := c.ListEndpoints(ctx, &pb.ListEndpointsRequest{Name: "default/backenddb"})
	if err != nil || len(ends.Endpoints) != 1 || len(ends.Endpoints[0].Addresses) != 2 || ends.Endpoints[0].Gates[0].Tiers[0].Policies[0].Rules[0].Hits == 0 {
		t.Errorf("the backend's rules: %v, %v", ends, err)
	}

	if err := errors.Join(c.Close(), tr.Stop(ctx)); err != nil {
		t.Fatal(err)
	}
	ctx, c = start(t, tr)
	kept, err := c.ListSessions(ctx, &pb.ListSessionsRequest{Filter: &pb.SessionFilter{Src: frontend.v6, Dst: backend.v6, Protocol: "tcp"}})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := kept.Recv(); err != nil || len(m.Sessions) == 0 || m.Sessions[0].Verdict != "to be judged" {
		t.Errorf("sessions of before the restart: %v, %v", m, err)
	}
	check(t, "after a restart", lines)
	if _, err := c.SetWorkload(ctx, &pb.SetWorkloadRequest{Interface: "tun-client",
		Workload: &pb.Workload{Namespace: "default", Name: "client", Labels: map[string]string{"app": "frontend"}}}); err != nil {
		t.Fatal(err)
	}
	check(t, "with another label", []wish{{client.ns, backend, "tcp", 3306, true}, {client.ns, backend, "tcp", 80, false}})
	if _, err := c.DeletePolicy(ctx, &pb.DeletePolicyRequest{Refs: []*pb.PolicyRef{
		{Kind: "networkpolicy", Namespace: "default", Name: "allow-mysql"}, {Kind: "NetworkPolicy", Namespace: "default", Name: "allow-web"}}}); err != nil {
		t.Fatal(err)
	}
	check(t, "without policy again", []wish{{client.ns, backend, "tcp", 80, true}, {backend.ns, client, "udp", 53, true}})
}

// sceneServices has the scenario's services: the frontend from outside by the
// node's port 30080, the backend by its ClusterIP. Policy is about the pod that a
// service stands for.
func sceneServices(t *testing.T, tr *tour.Tour, c *api.Client, frontend, backend, client *scenePod) {
	t.Helper()
	web, db := &scenePod{v4: "10.96.0.80", v6: "2001:db8:96::80"}, &scenePod{v4: "10.96.0.33", v6: "2001:db8:96::33"}
	text := twoFamilies("frontend", web.v4, web.v6, "  type: NodePort\n  ports: [{name: t, port: 8080, targetPort: 80, nodePort: 30080}]",
		endpoint(frontend.v4, "node"), endpoint(frontend.v6, "node"), 80) +
		twoFamilies("backend", db.v4, db.v6, "  type: ClusterIP\n  ports: [{name: t, port: 3306}]",
			endpoint(backend.v4, "node"), endpoint(backend.v6, "node"), 3306)
	if _, err := c.ApplyServices(t.Context(), &pb.ApplyServicesRequest{Name: "services.yaml", Text: []byte(text)}); err != nil {
		t.Fatal(err)
	}
	node := &scenePod{v4: lab.NodeAddr, v6: lab.NodeAddr6}
	check(t, "by services", []wish{
		{tr.Remote, node, "tcp", 30080, true}, {client.ns, web, "tcp", 8080, true}, {client.ns, node, "tcp", 30080, true},
		{frontend.ns, db, "tcp", 3306, true}, {client.ns, db, "tcp", 3306, false}, {backend.ns, web, "tcp", 8080, false},
	})
}

// explains compares the words for what has just happened.
func explains(t *testing.T, c *api.Client, frontend, backend, client *scenePod) {
	t.Helper()
	for _, way := range [][3]string{{client.v4, frontend.v4, backend.v4}, {client.v6, frontend.v6, backend.v6}} {
		client, frontend, backend := way[0], way[1], way[2]
		names := strings.NewReplacer(client, "CLIENT", frontend, "FRONTEND", backend, "BACKEND", "/32", "", "/128", "", "ip4 ", "", "ip6 ", "")
		for _, tc := range []struct{ line, want string }{
			{client + " > " + backend + ": tcp 40000 > 3306 flags S", `received: on tun-client (default/client)
source check: CLIENT is behind tun-client
session: none: it opens a flow
route: BACKEND: dev tun-backenddb (default/backenddb)
ingress of default/backenddb: denied: policy default/allow-mysql selects pod backenddb for ingress; rule 1 wants source app == 'frontend', the packet comes from pod client (CLIENT); no other rule matched
dropped: no rule allows: ingress (default deny)`},
			{frontend + " > " + backend + ": tcp 40000 > 3306 flags S", `received: on tun-frontend (default/frontend)
source check: FRONTEND is behind tun-frontend
session: none: it opens a flow
route: BACKEND: dev tun-backenddb (default/backenddb)
egress of default/frontend: allowed: rule 1 of policy default/allow-web allows it for egress of pod frontend: allow tcp to app == 'backend' ports 3306
ingress of default/backenddb: allowed: rule 1 of policy default/allow-mysql allows it for ingress of pod backenddb: allow tcp from app == 'frontend' to ports 3306
passes`},
			{backend + " > " + client + ": udp 40000 > 53", `received: on tun-backenddb (default/backenddb)
source check: BACKEND is behind tun-backenddb
session: none: it opens a flow
route: CLIENT: dev tun-client (default/client)
egress of default/backenddb: denied: rule 1 of policy default/allow-mysql denies it for egress of pod backenddb: deny
dropped: policy denies: egress rule`},
		} {
			m, err := c.Explain(t.Context(), &pb.ExplainRequest{Packet: &pb.ExplainRequest_Line{Line: tc.line}})
			if err != nil {
				t.Fatalf("%s: %v", tc.line, err)
			}
			var got strings.Builder
			for _, s := range m.Steps {
				fmt.Fprintf(&got, "%s: %s\n", s.What, s.Text)
			}
			if text := names.Replace(got.String() + m.Verdict); text != tc.want {
				t.Errorf("explain %s\n%s\nwant\n%s", tc.line, text, tc.want)
			}
		}
	}
	parts, err := c.ListSessions(t.Context(), &pb.ListSessionsRequest{Filter: &pb.SessionFilter{Src: frontend.v4, Port: 3306, Protocol: "tcp"}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := parts.Recv()
	if err != nil || len(m.Sessions) == 0 || m.Sessions[0].Rule != "ingress of default/backenddb: default/allow-mysql, rule 1" || m.Sessions[0].OpenedBy != "tun-frontend" {
		t.Errorf("sessions of the frontend: %v, %v", m, err)
	}
}

// TestAccessNginx is the reference scenario of one namespace in which only pods
// with a label reach another.
func TestAccessNginx(t *testing.T) {
	file := t.TempDir() + "/policy.yaml"
	if err := os.WriteFile(file, []byte(readText(t, "../../policy/testdata/access-nginx.yaml")), 0o644); err != nil {
		t.Fatal(err)
	}
	tr := newTour(t, tour.Options{Driver: "af_packet", Config: "policy: {files: [" + file + "]}\n"})
	_, c := start(t, tr)
	nginx := addPod(t, tr, c, "policy-demo", "nginx", 20, map[string]string{"app": "nginx"})
	access := addPod(t, tr, c, "policy-demo", "access", 21, map[string]string{"run": "access"})
	cant := addPod(t, tr, c, "policy-demo", "cant-access", 22, map[string]string{"run": "cant-access"})
	other := addPod(t, tr, c, "default", "elsewhere", 23, map[string]string{"run": "access"})
	check(t, "policy", []wish{
		{access.ns, nginx, "tcp", 80, true}, {access.ns, nginx, "tcp", 8080, true}, {access.ns, nginx, "udp", 53, true}, {access.ns, nginx, "icmp", 0, true},
		{cant.ns, nginx, "tcp", 80, false}, {cant.ns, nginx, "udp", 53, false}, {cant.ns, nginx, "icmp", 0, false},
		{other.ns, nginx, "tcp", 80, false}, {tr.Remote, nginx, "tcp", 80, false},
		{nginx.ns, access, "tcp", 80, true}, {nginx.ns, cant, "udp", 53, true}, {cant.ns, access, "tcp", 80, true},
	})
}

// guarded has the node's own ports at its uplink, and what passes through it.
const guarded = `
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: uplink, labels: {role: node}}
spec: {node: tour, interfaceName: ` + lab.Uplink + `, profiles: [projectcalico-default-allow]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: node}
spec:
  selector: role == 'node'
  types: [Ingress]
  ingress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: through}
spec:
  selector: role == 'node'
  applyOnForward: true
  order: 5
  types: [Ingress]
  ingress:
    - {action: Allow, protocol: TCP, destination: {ports: [80]}}
    - {action: Deny, protocol: TCP, destination: {nets: ['10.244.0.0/24', '2001:db8:244::/64']}}
`

// TestHostEndpoint: policy of the node's own at its uplink. Failsafe ports, the
// node's own connections and, without policy of what passes through, pods go on.
func TestHostEndpoint(t *testing.T) {
	tr := newTour(t, tour.Options{Driver: "af_packet", Config: "policy: {node_name: tour}\n"})
	ctx, c := start(t, tr)
	pod := addPod(t, tr, c, "default", "web", 30, nil)
	node, remote := &scenePod{tr.Node, lab.NodeAddr, lab.NodeAddr6}, &scenePod{tr.Remote, lab.RemoteAddr, lab.RemoteAddr6}
	for _, port := range []uint16{22, 80, 8080} {
		node.serve(t, port)
		remote.serve(t, port)
	}
	open := []wish{{tr.Remote, node, "tcp", 8080, true}, {tr.Remote, pod, "tcp", 8080, true}}
	check(t, "without policy", open)
	apply(t, c, "guarded.yaml", guarded)
	check(t, "with policy", []wish{
		{tr.Remote, node, "tcp", 80, true}, {tr.Remote, node, "tcp", 8080, false}, {tr.Remote, node, "udp", 80, false}, {tr.Remote, node, "tcp", 22, true},
		{tr.Node, remote, "tcp", 8080, true}, {tr.Node, remote, "udp", 80, true}, {tr.Node, remote, "icmp", 0, true}, {tr.Remote, node, "icmp", 0, false}, {pod.ns, node, "tcp", 8080, true},
		{tr.Remote, pod, "tcp", 80, true}, {tr.Remote, pod, "tcp", 8080, false}, {pod.ns, remote, "tcp", 8080, true},
	})
	m, err := c.Explain(ctx, &pb.ExplainRequest{Packet: &pb.ExplainRequest_Line{Line: lab.RemoteAddr + " > " + lab.NodeAddr + ": tcp 40000 > 8080 flags S"}})
	if err != nil || m.Passes || m.Interface != "host-"+lab.Uplink || !strings.Contains(m.Steps[len(m.Steps)-1].Text, "policy node") {
		t.Errorf("explain: %v, %v", m, err)
	}
	if _, err := c.DeletePolicy(ctx, &pb.DeletePolicyRequest{Refs: []*pb.PolicyRef{{Kind: "hostendpoint", Name: "uplink"}}}); err != nil {
		t.Fatal(err)
	}
	check(t, "without a host endpoint", open)
}
