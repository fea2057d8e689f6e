package server

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
)

// TestSetTunAddresses: a pod is numbered after it was made, as a whole or not
// at all.
func TestSetTunAddresses(t *testing.T) {
	l := lab.ForTest(t)
	cfg := config(t)
	c := newControl(t, cfg)
	running(t, c)
	serve(t, cfg, c)
	client := dial(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	spaces := map[string]*lab.Namespace{}
	for _, name := range []string{"tun1", "tun2"} {
		spaces[name] = l.Add(t, name)
		m, err := client.CreateTun(ctx, &pb.CreateTunRequest{Name: name, Netns: spaces[name].Path()})
		lab.Need(t, err)
		if len(m.Interface.Peer.Addresses) != 0 {
			t.Errorf("%s has %v", name, m.Interface.Peer.Addresses)
		}
	}
	set := func(name string, routes []*pb.PodRoute, addrs ...string) error {
		_, err := client.SetTunAddresses(ctx, &pb.SetTunAddressesRequest{Name: name, Addresses: addrs, Routes: routes})
		return err
	}
	first := []string{"10.244.0.2/32", "2001:db8:244::2/128"}
	lab.Need(t, set("tun1", []*pb.PodRoute{{Prefix: "10.96.0.0/12", Mtu: 1300}}, first...))
	for _, x := range []struct {
		err  error
		code codes.Code
		text string
	}{
		{set("tun9", nil, "10.244.0.9/32"), codes.NotFound, ""},
		{set("tun2", nil), codes.InvalidArgument, "no address"},
		{set("tun2", nil, "10.244.0"), codes.InvalidArgument, ""},
		{set("tun2", []*pb.PodRoute{{Prefix: "x"}}, "10.244.0.3/32"), codes.InvalidArgument, ""},
		{set("tun2", nil, "10.244.0.3/32", first[0]), codes.AlreadyExists, "at tun1"},
		{set("tun1", nil, "10.244.0.9/32"), codes.AlreadyExists, "addresses of pod tun1"},
		// It has come as far as the pod's side before it failed.
		{set("tun2", []*pb.PodRoute{{Prefix: "2001:db8:1::/64"}}, "10.244.0.3/32"), codes.InvalidArgument, "no address of its family"},
	} {
		if status.Code(x.err) != x.code || !strings.Contains(status.Convert(x.err).Message(), x.text) {
			t.Errorf("%v, want %v: %s", x.err, x.code, x.text)
		}
	}
	m, err := client.ListInterfaces(ctx, &pb.ListInterfacesRequest{})
	lab.Need(t, err)
	for _, i := range m.Interfaces {
		if want := map[string][]string{"tun1": first}[i.Name]; !slices.Equal(i.Peer.Addresses, want) {
			t.Errorf("%s has %v, want %v", i.Name, i.Peer.Addresses, want)
		}
	}
	lab.Need(t, set("tun2", nil, "10.244.0.3/32", "2001:db8:244::3/128"))
	for _, a := range []string{"10.244.0.2", "2001:db8:244::2"} {
		lab.Need(t, spaces["tun2"].Reaches(ctx, a, lab.Ping{Count: 2, Timeout: time.Second}))
	}
	for name := range spaces {
		_, err := client.DeleteInterface(ctx, &pb.DeleteInterfaceRequest{Name: name})
		lab.Need(t, err)
	}
}
