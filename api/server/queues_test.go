package server

import (
	"context"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/api"
	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/internal/lab"
)

// TestQueues: a pod's TUN has a queue for each worker, but for one that was made
// with one queue: that keeps it, over restarts, until the pod is made anew.
func TestQueues(t *testing.T) {
	l := lab.ForTest(t)
	cfg := config(t)
	cfg.Buffers = configs.Buffers{Small: 4096, Large: 256}
	spaces := map[string]*lab.Namespace{"tun1": l.Add(t, "tun1"), "tun2": l.Add(t, "tun2")}
	create := func(ctx context.Context, client *api.Client, name string, addrs ...string) {
		t.Helper()
		_, err := client.CreateTun(ctx, &pb.CreateTunRequest{Name: name, Netns: spaces[name].Path(), Addresses: addrs})
		lab.Need(t, err)
	}
	one := []string{"10.244.0.1/32", "2001:db8:244::1/128"}
	two := []string{"10.244.0.2/32", "2001:db8:244::2/128"}
	for _, step := range []struct {
		workers int
		do      func(context.Context, *api.Client)
		want    map[string]uint32
	}{
		{1, func(ctx context.Context, c *api.Client) { create(ctx, c, "tun1", one...) }, map[string]uint32{"tun1": 1}},
		{2, func(ctx context.Context, c *api.Client) { create(ctx, c, "tun2", two...) }, map[string]uint32{"tun1": 1, "tun2": 2}},
		{1, nil, map[string]uint32{"tun1": 1, "tun2": 1}},
		{4, nil, map[string]uint32{"tun1": 1, "tun2": 4}},
		{4, func(ctx context.Context, c *api.Client) {
			_, err := c.DeleteInterface(ctx, &pb.DeleteInterfaceRequest{Name: "tun1"})
			lab.Need(t, err)
			create(ctx, c, "tun1", one...)
		}, map[string]uint32{"tun1": 4, "tun2": 4}},
	} {
		cfg.Workers.Count = step.workers
		t.Run("", func(t *testing.T) { // at whose end all stops
			c := newControl(t, cfg)
			running(t, c)
			serve(t, cfg, c)
			client := dial(t, cfg)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if step.do != nil {
				step.do(ctx, client)
			}
			m, err := client.ListInterfaces(ctx, &pb.ListInterfacesRequest{})
			lab.Need(t, err)
			for _, i := range m.Interfaces {
				if i.Driver.Queues != step.want[i.Name] {
					t.Errorf("%d workers: %s has %d queues, want %d: %s", step.workers, i.Name, i.Driver.Queues, step.want[i.Name], i.Driver.Detail)
				}
			}
		})
	}
}
