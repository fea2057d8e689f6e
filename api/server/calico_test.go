package server

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/skein-dataplane/skein/api/calicopb"
	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
)

// TestCalico drives the service as Calico's CNI plugin does.
func TestCalico(t *testing.T) {
	l := lab.ForTest(t)
	pod, other := l.Add(t, "pod"), l.Add(t, "other")
	cfg := config(t)
	cfg.CNI.CalicoSocket = filepath.Join(cfg.RunDir, "calico.sock")
	c := newControl(t, cfg)
	running(t, c)
	serve(t, cfg, c)
	srv, err := ListenCalico(cfg.CNI, c)
	lab.Need(t, err)
	done := make(chan error, 1)
	go func() { done <- srv.Serve() }()
	t.Cleanup(func() { srv.Stop(); lab.Need(t, <-done) })
	conn, err := grpc.NewClient("unix://"+cfg.CNI.CalicoSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	lab.Need(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	calico, skein := calicopb.NewCniDataplaneClient(conn), dial(t, cfg)
	ctx := t.Context()

	ask := &calicopb.AddRequest{InterfaceName: "eth0", Netns: pod.Path(), DesiredHostInterfaceName: "cali0123456789a",
		Settings:        &calicopb.ContainerSettings{Mtu: 1400, AllowIpForwarding: true},
		ContainerIps:    []*calicopb.IPConfig{{Address: lab.PodAddr + "/32", Gateway: "<nil>"}, {Address: lab.PodAddr6 + "/128", Gateway: "<nil>"}},
		ContainerRoutes: []string{"0.0.0.0/0", "::/0"},
		Workload: &calicopb.WorkloadIDs{Name: "n1-k8s-web-eth0", Namespace: "default", Pod: "web", Orchestrator: "k8s",
			Labels: map[string]string{"app": "web", "projectcalico.org/serviceaccount": "web-sa"}, Annotations: map[string]string{"kubernetes.io/ingress-bandwidth": "10M"},
			Ports: []*calicopb.Port{{Name: "http", Protocol: "TCP", Port: 80}, {Protocol: "TCP", Port: 81}}}}
	for range 2 { // asked again, it is the same
		reply, err := calico.Add(ctx, ask)
		if err != nil || !reply.Successful || reply.HostInterfaceName != "cali0123456789a" || reply.ContainerMac != containerMAC {
			t.Fatalf("%v, %v", reply, err)
		}
	}
	m := need[*pb.ListInterfacesResponse](t)(skein.ListInterfaces(ctx, &pb.ListInterfacesRequest{}))
	want := &pb.Workload{Namespace: "default", Name: "web", ServiceAccount: "web-sa", Labels: ask.Workload.Labels,
		Ports: []*pb.NamedPort{{Name: "http", Protocol: "TCP", Port: 80}}}
	if p := m.Interfaces[0].GetPeer(); !proto.Equal(p.Workload, want) || p.Bandwidth.GetIngressRate() != 10e6 || m.Interfaces[0].Mtu != 1400 || len(p.Addresses) != 2 {
		t.Errorf("%v", m.Interfaces[0])
	}
	if got, err := pod.GetSysctl("net.ipv4.ip_forward"); got != "1" {
		t.Errorf("ip_forward: %s (%v)", got, err)
	}

	for what, change := range map[string]func(*calicopb.AddRequest){
		"exists already": func(r *calicopb.AddRequest) { r.DesiredHostInterfaceName, r.Netns = "", other.Path() },
		"no such file": func(r *calicopb.AddRequest) {
			r.DesiredHostInterfaceName, r.Netns, r.ContainerIps = "cali1", "/run/netns/none", ips("10.9.9.9")
		},
		"is not an address":    func(r *calicopb.AddRequest) { r.ContainerIps = ips("10.9.9") },
		"no address":           func(r *calicopb.AddRequest) { r.ContainerIps = nil },
		"is not a prefix":      func(r *calicopb.AddRequest) { r.ContainerRoutes = []string{"default"} },
		"is not a rate":        func(r *calicopb.AddRequest) { r.Workload.Annotations["kubernetes.io/egress-bandwidth"] = "fast" },
		"name of an interface": func(r *calicopb.AddRequest) { r.InterfaceName = "a/b" },
	} {
		r := proto.CloneOf(ask)
		change(r)
		if reply, err := calico.Add(ctx, r); err != nil || reply.Successful || !strings.Contains(reply.ErrorMessage, what) {
			t.Errorf("%s: %v, %v", what, reply, err)
		}
	}
	for _, r := range []*calicopb.DelRequest{{InterfaceName: "eth0"}, {InterfaceName: "eth0", Netns: "/run/netns/none"},
		{InterfaceName: "eth0", Netns: pod.Path()}, {InterfaceName: "eth0", Netns: pod.Path()}} {
		if reply, err := calico.Del(ctx, r); err != nil || !reply.Successful {
			t.Errorf("%v: %v, %v", r, reply, err)
		}
	}
	if m := need[*pb.ListInterfacesResponse](t)(skein.ListInterfaces(ctx, &pb.ListInterfacesRequest{})); len(m.Interfaces) != 0 {
		t.Errorf("left: %v", m.Interfaces)
	}
	for _, n := range []*lab.Namespace{pod, other} {
		if links, err := n.Links(); err != nil || slices.Contains(links, "eth0") {
			t.Errorf("%s has %v (%v)", n, links, err)
		}
	}
}

func ips(all ...string) (out []*calicopb.IPConfig) {
	for _, a := range all {
		out = append(out, &calicopb.IPConfig{Address: a})
	}
	return out
}
