package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/runtimecfg"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
	"golang.org/x/sys/unix"
)

// BenchmarkStall measures what garbage collection does to a worker with a million
// sessions, in a process that also holds the state of 10,000 pods: rounds of 256
// packets of established flows, beside no collection, one a second, and one after
// the other, with as many processors (GOMAXPROCS) as Go chooses and as a daemon has.
//
// The longest round by the clock on the wall is no measure of that where others use
// the machine. So all threads of the benchmark have the daemon's priority, and
// each round is told by what the kernel counts for its thread: own is what it
// computed at most, away what it waited for a core, and held the rest, in which it
// slept: the runtime had stopped it or taken its processor. A run's longest says
// little of what is rare: held-100 is how often it was longer than 100 µs, and
// -benchtime 60s a minute's longest. What the runtime counts itself is pause: from the
// wish to stop all until they go on.
func BenchmarkStall(b *testing.B) {
	kept := podsState(10_000)
	given := runtime.GOMAXPROCS(0)
	ours := runtimecfg.Procs(given, 1)
	for _, c := range []struct {
		gc    string
		every time.Duration // between collections; below 0: none
		procs int
	}{{"off", -1, given}, {"off", -1, ours}, {"second", time.Second, given}, {"second", time.Second, ours}, {"loop", 0, given}, {"loop", 0, ours}} {
		b.Run(fmt.Sprintf("vector=256/sessions=%d/pods=10000/gc=%s/procs=%d", 1<<20, c.gc, c.procs), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(c.procs))
			stall(b, 1<<20, c.every)
		})
	}
	runtime.KeepAlive(kept)
}

// podsState returns what so many pods may have the Go heap hold: 12 KiB each, as a
// heap profile of a daemon has shown, in objects of 200 bytes with pointers.
func podsState(pods int) []map[string]*podPart {
	all := make([]map[string]*podPart, pods)
	for i := range all {
		all[i] = map[string]*podPart{}
		var last *podPart
		for n := range 40 {
			last = &podPart{name: fmt.Sprintf("pod-%d-%d", i, n), next: last, addrs: make([]hdr.Addr6, 4), rest: [8]*podPart{last}}
			all[i][last.name] = last
		}
	}
	return all
}

type podPart struct {
	name  string
	next  *podPart
	addrs []hdr.Addr6
	rest  [8]*podPart
}

func stall(b *testing.B, flows int, every time.Duration) {
	const live, vector = 10_240, 256
	table, addrs := tableOf(b, 1)
	sessions, err := session.New(session.Config{Capacity: flows + vector})
	if err != nil {
		b.Fatal(err)
	}
	w, _, _ := newNodeSessions(b, func(next *state.State) {
		next.FIB4 = table
		ruled(b, next, "1", false)
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
	runtime.GC()
	before := readPauses()
	prefer(b, unitNice)
	defer prefer(b, 0)
	r := roundTimes{began: time.Now(), took: make([]time.Duration, 0, 1<<20), stat: openStat(b)}
	r.last = r.read()
	r.asleep = r.last.asleep()
	stop := collector(every)
	for b.Loop() {
		start := time.Now()
		turn(b, w)
		r.add(start)
	}
	stop()
	r.report(b)
	readPauses().report(b, before)
}

// prefer gives all threads of the process a priority. Threads that they make
// inherit it. Before all others (SCHED_FIFO) they would never take turns with each
// other, and the kernel would stop them all for 50 ms of each second.
func prefer(b *testing.B, nice int) {
	b.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	lab.Need(b, err)
	for _, t := range tasks {
		id, err := strconv.Atoi(t.Name())
		lab.Need(b, err)
		if err := unix.Setpriority(unix.PRIO_PROCESS, id, nice); err != nil && !errors.Is(err, unix.ESRCH) {
			b.Fatal(err)
		}
	}
}

// roundTimes is what is known of rounds.
type roundTimes struct {
	began           time.Time
	took            []time.Duration // of the first so many
	held, away, own time.Duration   // the longest of each kind
	slept           time.Duration   // in all
	long            int             // held for longer than the target of 100 µs
	stat            int             // descriptor of the thread's schedstat
	last            threadTimes
	asleep          time.Duration // up to the round before the last
	text            [64]byte
}

// A threadTimes is what is known of a thread at one moment.
type threadTimes struct{ wall, own, off time.Duration } // off: waited for a core

func (t threadTimes) asleep() time.Duration { return t.wall - t.own - t.off }

// openStat opens the counts of the calling thread.
func openStat(b *testing.B) int {
	b.Helper()
	fd, err := unix.Open(fmt.Sprintf("/proc/self/task/%d/schedstat", unix.Gettid()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	lab.Need(b, err)
	b.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// read reads the clocks, and the time in a queue for a core, which is the second
// number (Documentation/scheduler/sched-stats.rst), in ns.
func (r *roundTimes) read() (t threadTimes) {
	n, _ := unix.Pread(r.stat, r.text[:], 0)
	_, after, _ := bytes.Cut(r.text[:max(n, 0)], []byte{' '})
	for _, c := range after {
		if c < '0' || c > '9' {
			break
		}
		t.off = t.off*10 + time.Duration(c-'0')
	}
	t.own = time.Duration(threadTime())
	t.wall = time.Since(r.began)
	return t
}

// add counts a round that began at start. All that is since the last one counts.
//
// Between two of the clocks the thread may have been put off its core. It then
// seems to have slept until the next round tells otherwise, so it has slept what
// both say.
func (r *roundTimes) add(start time.Time) {
	if len(r.took) < cap(r.took) {
		r.took = append(r.took, time.Since(start))
	}
	now := r.read()
	r.own, r.away = max(r.own, now.own-r.last.own), max(r.away, now.off-r.last.off)
	asleep := min(r.last.asleep(), now.asleep())
	held := asleep - r.asleep
	r.held, r.slept = max(r.held, held), r.slept+held
	if held > 100*time.Microsecond {
		r.long++
	}
	r.asleep, r.last = asleep, now
}

func (r *roundTimes) report(b *testing.B) {
	slices.Sort(r.took)
	n := len(r.took)
	b.ReportMetric(micros(r.took[n/2]), "µs-median")
	b.ReportMetric(micros(r.took[n-1-n/1000]), "µs-p99.9")
	b.ReportMetric(micros(r.held), "µs-held-max")
	b.ReportMetric(float64(r.long), "held-100")
	b.ReportMetric(float64(r.slept.Microseconds())/1e3, "ms-held")
	b.ReportMetric(micros(r.away), "µs-away-max")
	b.ReportMetric(micros(r.own), "µs-own-max")
	b.ReportMetric(0, "ns/op")
}

// pauses are all stops of the world for garbage collection up to now.
type pauses struct {
	total  *metrics.Float64Histogram
	cycles uint64
	heap   uint64 // bytes of live objects after the last
}

func readPauses() pauses {
	s := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}, {Name: "/gc/cycles/total:gc-cycles"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return pauses{s[0].Value.Float64Histogram(), s[1].Value.Uint64(), s[2].Value.Uint64()}
}

// report tells what has been since before. A pause is as long as its bucket's end,
// which is at most a quarter above the truth.
func (p pauses) report(b *testing.B, before pauses) {
	b.ReportMetric(float64(p.cycles-before.cycles), "collections")
	b.ReportMetric(float64(p.heap)/(1<<20), "MiB-live")
	var all []float64 // seconds, from the shortest on
	for i, n := range p.total.Counts {
		for range n - before.total.Counts[i] {
			all = append(all, p.total.Buckets[min(i+1, len(p.total.Buckets)-2)]) // the last ends at infinity
		}
	}
	if len(all) > 0 {
		b.ReportMetric(median(all)*1e6, "µs-pause-median")
		b.ReportMetric(all[len(all)-1]*1e6, "µs-pause-max")
	}
}

// collector collects garbage every so often until the function that it returns is
// called; below 0 never.
func collector(every time.Duration) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	if every >= 0 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(every):
					runtime.GC()
				}
			}
		})
	}
	return func() { close(done); wg.Wait() }
}
