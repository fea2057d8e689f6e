package cni_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
)

// BenchmarkAdd measures an ADD as a runtime sees it: from the exec of the
// plugin to its result, host-local's and the library's own work included. The
// namespace is made before. Beside the mean it reports the median and the
// slowest in a hundred.
func BenchmarkAdd(b *testing.B) {
	for _, pods := range []int{0, 100} {
		b.Run(fmt.Sprintf("pods=%d", pods), func(b *testing.B) {
			r := newRig(b)
			list := r.list("1.1.0", dualStack, "", "")
			r.crowd(pods)
			pod := r.pod("pod")
			var took []time.Duration
			for b.Loop() {
				rt := runtime("pod", pod)
				start := time.Now()
				r.add(list, rt)
				took = append(took, time.Since(start))
				b.StopTimer()
				r.del(list, rt)
				b.StartTimer()
			}
			slices.Sort(took)
			ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
			b.ReportMetric(ms(took[len(took)/2]), "median-ms")
			b.ReportMetric(ms(took[len(took)*99/100]), "p99-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// crowd attaches that many pods.
func (r *rig) crowd(n int) {
	r.t.Helper()
	list := r.list("1.1.0", dualStack, "", "")
	var wg sync.WaitGroup
	turns := make(chan struct{}, 8)
	for i := range n {
		p := r.pod(fmt.Sprint("crowd", i))
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			if _, err := r.cni.AddNetworkList(r.ctx, list, runtime(p.Name(), p)); err != nil {
				r.t.Errorf("%s: %v", p, err)
			}
		})
	}
	wg.Wait()
}

// BenchmarkRest measures what pods cost while nothing happens: memory of the
// daemon, of the kernel as far as it says so, and CPU.
func BenchmarkRest(b *testing.B) {
	const pods = 500
	r := newRig(b)
	proc := fmt.Sprintf("/proc/%d/", r.daemon.PID())
	time.Sleep(2 * time.Second)
	before, slabBefore := statusOf(b, proc, "VmRSS:"), slab(b)
	heapBefore := statusOf(b, proc, "RssAnon:")
	r.crowd(pods)
	time.Sleep(2 * time.Second)
	after, slabAfter := statusOf(b, proc, "VmRSS:"), slab(b)
	const watch = 10 * time.Second
	for b.Loop() {
		cpu := ticks(b, proc)
		time.Sleep(watch)
		// USER_HZ is 100 on all of Linux' architectures that Go knows.
		b.ReportMetric(float64(ticks(b, proc)-cpu)/100/watch.Seconds()*100, "cpu-%")
	}
	b.ReportMetric(float64(after-before)/pods, "daemon-KiB/pod")
	b.ReportMetric(float64(statusOf(b, proc, "RssAnon:")-heapBefore)/pods, "heap-KiB/pod")
	b.ReportMetric(float64(slabAfter-slabBefore)/pods, "kernel-KiB/pod")
	b.ReportMetric(float64(before), "daemon-KiB")
	b.ReportMetric(0, "ns/op")
}

// ticks returns the CPU time of a process, in USER_HZ (proc_pid_stat(5)).
func ticks(b *testing.B, proc string) int {
	b.Helper()
	text, err := os.ReadFile(proc + "stat")
	lab.Need(b, err)
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, err := strconv.Atoi(f[11])
	lab.Need(b, err)
	system, err := strconv.Atoi(f[12])
	lab.Need(b, err)
	return user + system
}

// slab returns the kernel's own memory in KiB, namespaces and devices of all
// processes among it: meaningful on a machine that rests.
func slab(b *testing.B) int {
	b.Helper()
	text, err := os.ReadFile("/proc/meminfo")
	lab.Need(b, err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "Slab:"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			lab.Need(b, err)
			return n
		}
	}
	b.Fatal("/proc/meminfo has no Slab")
	return 0
}
