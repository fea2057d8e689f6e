package bench

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
)

// BenchmarkStall measures what garbage collection does to a worker with few
// sessions and with a million: the longest round, by the clock on the wall, of 256
// packets of established flows. gc=loop collects again and again on another
// thread, gc=off never. Packets come of 10,000 of the flows, so that the Go heap is
// as small as a daemon's. Other programs on the machine show in both; the collector
// also takes cores from the worker where there are few.
func BenchmarkStall(b *testing.B) {
	for _, flows := range []int{10_240, 1 << 20} {
		for _, gc := range []string{"off", "loop"} {
			b.Run(fmt.Sprintf("vector=256/sessions=%d/gc=%s", flows, gc), func(b *testing.B) { stall(b, flows, gc == "loop") })
		}
	}
}

func stall(b *testing.B, flows int, collect bool) {
	const live, vector = 10_240, 256
	table, addrs := tableOf(b, 1)
	sessions, err := session.New(session.Config{Capacity: flows + vector})
	if err != nil {
		b.Fatal(err)
	}
	w, _, _ := newNodeSessions(b, func(next *state.State) {
		next.FIB4 = table
		ruled(b, next, "1")
	}, distinct(packets(addrs, live)), vector, sessions)
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for range live / vector {
		turn(b, w)
	}
	for i := range flows - live {
		fwd := session.MakeKey4(0x0b000000+hdr.Addr4(i), 0x0c000001, 1, 2, hdr.ProtoUDP, 0)
		if _, r := sessions.Insert4(fwd, fwd.Swap(), sessions.Hash4(fwd), 1, 0, w.Second()); r != session.Inserted {
			b.Fatal(r)
		}
	}
	answered(w)
	if n := sessions.Stats().Sessions; n != flows {
		b.Fatalf("%d sessions of %d flows", n, flows)
	}
	var before, after debug.GCStats
	debug.ReadGCStats(&before)
	stop := collector(collect)
	took := make([]time.Duration, 0, 1<<20) // rounds; the longest of the first so many
	for b.Loop() {
		start := time.Now()
		turn(b, w)
		if len(took) < cap(took) {
			took = append(took, time.Since(start))
		}
	}
	stop()
	debug.ReadGCStats(&after)
	slices.Sort(took)
	n := len(took)
	b.ReportMetric(float64(took[n/2].Nanoseconds())/1e3, "µs-median")
	b.ReportMetric(float64(took[n-1-n/1000].Nanoseconds())/1e3, "µs-p99.9")
	b.ReportMetric(float64(took[n-1].Nanoseconds())/1e3, "µs-max")
	b.ReportMetric(float64(after.NumGC-before.NumGC), "collections")
	if cycles := min(int(after.NumGC-before.NumGC), len(after.Pause)); cycles > 0 {
		b.ReportMetric(float64(slices.Max(after.Pause[:cycles]).Nanoseconds())/1e3, "µs-pause-max")
	}
}

// collector collects garbage until the function that it returns is called.
func collector(on bool) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	if on {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					runtime.GC()
				}
			}
		})
	}
	return func() { close(done); wg.Wait() }
}
