package tour_test

import (
	"context"
	"encoding/binary"
	"io"
	"net/netip"
	"os"
	"testing"
	"time"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// TestWakeLatency has the kernel keep CPUs awake while there are packets, and not
// when there are none any more, nor when the daemon has crashed.
func TestWakeLatency(t *testing.T) {
	const limit = 7 * time.Microsecond
	tr := newTour(t, tour.Options{Driver: "af_packet", WakeLatency: limit.String()})
	ctx, c := start(t, tr)
	shown := func() bool {
		m, err := c.ListWorkers(ctx, &pb.ListWorkersRequest{})
		if err != nil || m.WakeLatency.AsDuration() != limit {
			t.Fatalf("%v, %v", m, err)
		}
		return m.WakeLatencyHeld
	}
	until := func(want bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); shown() != want || (cpuLatency(t) == limit) != want; {
			if time.Now().After(end) {
				t.Fatalf("a limit for waking: wanted %v, shown %v, the kernel's is %v", want, shown(), cpuLatency(t))
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	pinged := func() (stop func()) {
		ctx, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = tr.PodA.Ping(ctx, netip.MustParseAddr(lab.OtherPodAddr), lab.Ping{Count: 10_000, Interval: 20 * time.Millisecond})
		}()
		return func() { cancel(); <-done }
	}
	stop := pinged()
	until(true)
	stop()
	until(false)

	stop = pinged()
	defer stop()
	until(true)
	if err := tr.Crash(ctx); err != nil {
		t.Fatal(err)
	}
	if got := cpuLatency(t); got == limit {
		t.Errorf("a limit of %v outlives the daemon", got)
	}
}

// cpuLatency returns what the kernel keeps to, of all that asked for something.
func cpuLatency(t *testing.T) time.Duration {
	t.Helper()
	f, err := os.Open("/dev/cpu_dma_latency")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var us [4]byte
	if _, err := io.ReadFull(f, us[:]); err != nil {
		t.Fatal(err)
	}
	return time.Duration(binary.NativeEndian.Uint32(us[:])) * time.Microsecond
}
