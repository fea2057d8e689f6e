package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// rounds is how often each rival is measured, in turns.
const rounds = 7

// unitNice is what the daemon's unit has (configs/systemd/skeind.service).
const unitNice = -5

// startSkein returns the reference topology with a daemon at work.
func startSkein(b *testing.B, opts tour.Options) *tour.Tour {
	b.Helper()
	return startPrepared(b, opts, func(*lab.Reference) {})
}

// startPrepared is startSkein, but prepare may change the topology before the
// daemon finds it.
func startPrepared(b *testing.B, opts tour.Options, prepare func(*lab.Reference)) *tour.Tour {
	b.Helper()
	lab.NeedRoot(b)
	dir := b.TempDir()
	if err := tour.Build(b.Context(), dir); err != nil {
		b.Fatal(err)
	}
	opts.Daemon, opts.Nice = filepath.Join(dir, "skeind"), unitNice
	t, err := tour.New(opts)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := t.Close(); err != nil {
			b.Error(err)
		}
	})
	prepare(t.Reference)
	if err := t.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	return t
}

// BenchmarkPodToPod measures TCP between two pods, over Skein's TUNs and over
// the kernel's veth pairs and routing, in turns. It reports the medians in
// Gbit/s, and of the ratio of each pair the median, the least and the most.
func BenchmarkPodToPod(b *testing.B) {
	skein, kernel := pairs(b, "")
	betweenPods(b, skein, kernel, lab.OtherPodAddr, bulk)
}

// rivals measures two ways in turns and reports the medians of both in a unit,
// the other by its name, and of the ratio of each pair the median, the least and
// the most.
func rivals(b *testing.B, unit, other string, one, two func() float64) {
	b.Helper()
	var ours, theirs, ratios []float64
	for range rounds {
		s, k := one(), two()
		ours, theirs, ratios = append(ours, s), append(theirs, k), append(ratios, s/k)
	}
	b.ReportMetric(median(ours), unit)
	b.ReportMetric(median(theirs), other+"-"+unit)
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(slices.Min(ratios), "ratio-min")
	b.ReportMetric(slices.Max(ratios), "ratio-max")
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}

// BenchmarkIdle measures what a daemon with many pods costs when nobody sends:
// its share of a core, and its resident memory.
func BenchmarkIdle(b *testing.B) {
	const pods = 100
	l := lab.ForTest(b)
	ns := l.Add(b, "pods")
	var extra []tour.Pod
	for i := range pods {
		extra = append(extra, tour.Pod{NetNS: ns.Path(), Interface: fmt.Sprintf("pod%d", i), Addrs: fmt.Sprintf("10.245.0.%d/32", i+1)})
	}
	t := startSkein(b, tour.Options{Pods: extra})
	time.Sleep(2 * time.Second) // the pods' router solicitations are over
	for b.Loop() {
		before := cpuTime(b, t.PID())
		start := time.Now()
		time.Sleep(5 * time.Second)
		share := (cpuTime(b, t.PID()) - before).Seconds() / time.Since(start).Seconds()
		b.ReportMetric(100*share, "%-of-a-core")
		b.ReportMetric(float64(residentKiB(b, t.PID()))/1024, "MiB-resident")
	}
}

// cpuTime returns the time that a process has run (proc(5), /proc/pid/stat,
// fields 14 and 15, in clock ticks of 10 ms).
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(after)
	return ticks(b, f[11:13])
}

// busyTime returns the time that all CPUs of the machine have been busy, with
// interrupts (proc(5), /proc/stat, in clock ticks of 10 ms).
func busyTime(b *testing.B) time.Duration {
	b.Helper()
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		b.Fatal(err)
	}
	f := strings.Fields(string(text)) // cpu, user, nice, system, idle, iowait, irq, softirq
	return ticks(b, f[1:4]) + ticks(b, f[6:8])
}

// ticks returns the sum of times in clock ticks.
func ticks(b *testing.B, fields []string) (sum time.Duration) {
	b.Helper()
	for _, s := range fields {
		n, err := strconv.Atoi(s)
		if err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(n) * 10 * time.Millisecond
	}
	return sum
}

// residentKiB returns a process's resident memory (proc(5), VmRSS).
func residentKiB(b *testing.B, pid int) int {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	n, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		b.Fatal(err)
	}
	return n
}
