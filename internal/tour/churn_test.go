package tour_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// A thousand pods come, speak and go, and nothing is left of them: no buffer,
// no descriptor, no route, no device.
func TestChurn(t *testing.T) {
	const churns = 1000
	tr := newTour(t, tour.Options{Driver: "af_packet"})
	ns := lab.ForTest(t).Add(t, "pods")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := tr.Start(ctx); err != nil {
		t.Fatal(err)
	}
	c, err := tr.Client(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// The uplink's driver keeps buffers ready from its first packet on.
	for _, pod := range []string{lab.PodAddr, lab.PodAddr6} {
		if err := tr.Remote.Reaches(ctx, pod, lab.Ping{Count: 3}); err != nil {
			t.Fatal(err)
		}
	}
	before := holdings(t, ctx, tr, c)
	for i := range churns {
		name, addrs := fmt.Sprintf("pod%d", i%7), []string{fmt.Sprintf("10.244.7.%d/32", i%250+1), fmt.Sprintf("2001:db8:244::7:%x/128", i%250+1)}
		_, err := c.CreateTun(ctx, &pb.CreateTunRequest{Name: name, Netns: ns.Path(), Ifname: name, Addresses: addrs})
		if err != nil {
			t.Fatalf("pod %d: %v", i, err)
		}
		if i%50 == 0 {
			for _, pod := range []string{lab.PodAddr, lab.PodAddr6} {
				replies, err := ns.Ping(ctx, netip.MustParseAddr(pod), lab.Ping{})
				if err != nil || !replies[0].OK() {
					t.Fatalf("pod %d speaks to %s: %v %v", i, pod, replies, err)
				}
			}
		}
		if _, err := c.DeleteInterface(ctx, &pb.DeleteInterfaceRequest{Name: name}); err != nil {
			t.Fatalf("pod %d: %v", i, err)
		}
	}
	// There may have been more before: a packet that waited for its neighbour, a
	// connection that was being closed.
	after := holdings(t, ctx, tr, c)
	if after.buffers > before.buffers || after.descriptors > before.descriptors || after.interfaces != before.interfaces {
		t.Errorf("before %+v\nafter  %+v", before, after)
	}
	if links, err := ns.Links(); err != nil || len(links) != 0 {
		t.Errorf("left in the namespace: %v %v", links, err)
	}
}

// held is what a daemon holds.
type held struct {
	buffers     uint64
	descriptors int
	interfaces  int
}

func holdings(t *testing.T, ctx context.Context, tr *tour.Tour, c pb.SkeinClient) (h held) {
	t.Helper()
	b, err := c.GetBuffers(ctx, &pb.GetBuffersRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range b.Pools {
		h.buffers += p.Used
	}
	all, err := c.ListInterfaces(ctx, &pb.ListInterfacesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	h.interfaces = len(all.Interfaces)
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", tr.PID()))
	if err != nil {
		t.Fatal(err)
	}
	h.descriptors = len(fds)
	return h
}
