package tour_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/api"
	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// hostUplink is the uplink's name in Skein.
const hostUplink = "host-" + lab.Uplink

// place has a worker serve a queue.
func place(t *testing.T, ctx context.Context, c *api.Client, name string, queue, worker int) {
	t.Helper()
	if _, err := c.SetPlacement(ctx, &pb.SetPlacementRequest{Interface: name, Queue: uint32(queue), Worker: uint32(worker)}); err != nil {
		t.Fatal(err)
	}
}

// placements returns the workers, and which of them serves each queue: "tap0 1" is
// the second one of tap0.
func placements(t *testing.T, ctx context.Context, c *api.Client) ([]*pb.Worker, map[string]int) {
	t.Helper()
	m, err := c.ListWorkers(ctx, &pb.ListWorkersRequest{})
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	for i, w := range m.Workers {
		for _, q := range w.Queues {
			at[fmt.Sprint(q.Interface, " ", q.Queue)] = i
		}
	}
	return m.Workers, at
}

// Queues of all kinds of devices move between two workers under traffic, until
// one has all of them and the other none. No packet finds no device, connections
// go on, and a new data plane places the queues alike.
func TestPlacement(t *testing.T) {
	for _, driver := range []string{"af_packet", "af_xdp"} {
		t.Run(driver, func(t *testing.T) {
			tr := newTour(t, tour.Options{Driver: driver, Workers: 2, Wanted: lab.Wanted{Queues: 2}})
			ctx, c := start(t, tr)
			talks := append(converse(t, ctx, tr.PodA, tr.PodB, lab.OtherPodAddr, lab.OtherPodAddr6),
				converse(t, ctx, tr.PodA, tr.Remote, lab.RemoteAddr, lab.RemoteAddr6)...)
			talks = append(talks, converse(t, ctx, tr.Node, tr.Remote, lab.RemoteAddr, lab.RemoteAddr6)...)
			if _, err := c.ClearCounters(ctx, &pb.ClearCountersRequest{Errors: true}); err != nil { // of the start
				t.Fatal(err)
			}
			_, at := placements(t, ctx, c)
			if len(at) != 8 { // two of the uplink, of tap0, tun0 and tun1
				t.Fatalf("queues: %v", at)
			}
			for round := range 4 {
				for name := range at {
					iface, queue, _ := strings.Cut(name, " ")
					to := []int{1, 0, 1, 1}[round]
					place(t, ctx, c, iface, int(queue[0]-'0'), to)
					if _, now := placements(t, ctx, c); now[name] != to {
						t.Errorf("%s is at worker %d, not %d", name, now[name], to)
					}
				}
				for i, talk := range talks {
					progress(t, fmt.Sprint("pair ", i), talk)
				}
			}
			wantNoErrors(t, ctx, c, "no device", "has no room", "vanished")
			if err := tr.Upgrade(ctx); err != nil {
				t.Fatal(err)
			}
			if ws, at := placements(t, ctx, c); len(ws[0].Queues) != 0 || len(at) != 8 {
				t.Errorf("after a replacement worker 0 has %v", ws[0].Queues)
			}
			for i, talk := range talks {
				progress(t, fmt.Sprint("pair ", i, " after a replacement"), talk)
			}
			refusesPlacement(t, ctx, c)
		})
	}
}

// wantNoErrors wants no packet to have been dropped for a reason that holds one
// of some words.
func wantNoErrors(t *testing.T, ctx context.Context, c *api.Client, words ...string) {
	t.Helper()
	m, err := c.GetErrors(ctx, &pb.GetErrorsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range m.Errors {
		for _, w := range words {
			if e.Count > 0 && strings.Contains(e.Reason, w) {
				t.Errorf("%d packets: %s: %s", e.Count, e.Node, e.Reason)
			}
		}
	}
}

func refusesPlacement(t *testing.T, ctx context.Context, c *api.Client) {
	t.Helper()
	for _, x := range []struct {
		iface         string
		queue, worker uint32
		want          string
	}{
		{hostUplink, 2, 0, "queue 2 of host-enp0s3: it has queues 0 to 1"},
		{hostUplink, 0, 2, "worker 2: there are workers 0 to 1"},
		{"tun9", 0, 0, `interface "tun9"`},
	} {
		_, err := c.SetPlacement(ctx, &pb.SetPlacementRequest{Interface: x.iface, Queue: x.queue, Worker: x.worker})
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s queue %d at worker %d: %v, want %q", x.iface, x.queue, x.worker, err, x.want)
		}
	}
}

// One worker serves all queues, and says so.
func TestPlacementOfOne(t *testing.T) {
	tr := newTour(t, tour.Options{Driver: "af_packet", Workers: 1})
	ctx, c := start(t, tr)
	_, err := c.SetPlacement(ctx, &pb.SetPlacementRequest{Interface: hostUplink})
	if err == nil || !strings.Contains(err.Error(), "there is one worker, which serves all queues") {
		t.Error(err)
	}
}

// With fewer workers than a queue was placed by, it is dealt out as any, and the
// log says so.
func TestPlacementWithFewer(t *testing.T) {
	tr := newTour(t, tour.Options{Driver: "af_packet", Workers: 2})
	ctx, c := start(t, tr)
	for queue := range 2 {
		place(t, ctx, c, "tap0", queue, 1)
	}
	w := &servicesWorld{Tour: tr, ctx: ctx}
	w.setWorkers(t, "count: 2", "count: 1")
	if err := tr.Upgrade(ctx); err != nil {
		t.Fatal(err)
	}
	if ws, at := placements(t, ctx, c); len(ws) != 1 || at["tap0 0"] != 0 {
		t.Errorf("%d workers, queues %v", len(ws), at)
	}
	if !strings.Contains(tr.Log(), "there is one worker, which serves all queues") {
		t.Error("the log does not say that a queue is elsewhere")
	}
	for _, talk := range converse(t, ctx, tr.Node, tr.Remote, lab.RemoteAddr, lab.RemoteAddr6) {
		progress(t, "the host", talk)
	}
}
