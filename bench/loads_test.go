package bench

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/bench/traffic"
	"github.com/skein-dataplane/skein/internal/lab"
)

// burstTime is how long a load lasts.
const burstTime = 400 * time.Millisecond

// smallPayload is what a datagram of the smallest frames carries, of either
// family: 64 bytes with IPv4's and Ethernet's headers.
const smallPayload = 22

// A path is from one station to another, to the address at or to what stands for
// it.
type path struct {
	from, to *lab.Namespace
	at, by   netip.AddrPort // by zero: at
}

// pathTo is a path to an address, to a port that is chosen.
func pathTo(from, to *lab.Namespace, addr string) path {
	return path{from: from, to: to, at: netip.AddrPortFrom(netip.MustParseAddr(addr), 0)}
}

// A load is what is sent along a path, and the units of what is measured then.
// The first of them decides the ratio.
type load struct {
	name  string
	units []string
	run   func(b *testing.B, p path) []float64
}

// facing measures loads along two paths, by Skein and by the kernel, in turns.
func facing(b *testing.B, skein, kernel path, loads []load) {
	for _, l := range loads {
		b.Run("load="+l.name, func(b *testing.B) {
			for b.Loop() {
				l.compare(b, skein, kernel)
			}
		})
	}
}

func (l load) compare(b *testing.B, skein, kernel path) {
	b.Helper()
	var ratios []float64
	ours, theirs := make([][]float64, len(l.units)), make([][]float64, len(l.units))
	for range rounds {
		s, k := l.run(b, skein), l.run(b, kernel)
		for i := range l.units {
			ours[i], theirs[i] = append(ours[i], s[i]), append(theirs[i], k[i])
		}
		if k[0] > 0 { // else nothing arrived, and there is no ratio
			ratios = append(ratios, s[0]/k[0])
		}
	}
	for i, unit := range l.units {
		b.ReportMetric(median(ours[i]), unit)
		b.ReportMetric(median(theirs[i]), "kernel-"+unit)
	}
	if len(ratios) == 0 {
		b.Fatalf("%s: the kernel has carried nothing", l.name)
	}
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(slices.Min(ratios), "ratio-min")
	b.ReportMetric(slices.Max(ratios), "ratio-max")
}

// bulk is TCP of one stream and of several.
var bulk = []load{tcp(1), tcp(4)}

// tcp is a second of a transfer: its rate, and what all CPUs of the machine were
// busy for, both ends included. The congestion control is the one that Linux comes
// with, whatever this machine's is: with bbr the pace of the sender's timers is
// what is measured.
func tcp(streams int) load {
	return load{fmt.Sprintf("tcp/streams=%d", streams), []string{"Gbit/s", "cpu-µs/MiB"}, func(b *testing.B, p path) []float64 {
		before := busyTime(b)
		rate, err := lab.Transfer{From: p.from, To: p.to, Addr: p.at, By: p.by, Duration: time.Second, Streams: streams,
			Congestion: "cubic", Blind: true}.Run(b.Context())
		lab.Need(b, err)
		return []float64{rate.Gbps(), micros(busyTime(b)-before) / (float64(rate.Bytes) / (1 << 20))}
	}}
}

// awake has CPUs with nothing to do wait awake until the benchmark ends, beside
// Skein and the kernel alike: as workers.wake_latency: 0s does while there are
// packets.
func awake(b *testing.B) {
	b.Helper()
	f, err := os.OpenFile("/dev/cpu_dma_latency", os.O_WRONLY, 0)
	lab.Need(b, err)
	b.Cleanup(func() { lab.Need(b, f.Close()) })
	_, err = f.Write(make([]byte, 4)) // µs
	lab.Need(b, err)
}

// small is a flood of small datagrams, as fast as so many threads can send them:
// how many arrive.
func small(senders int) load {
	return load{fmt.Sprintf("small/senders=%d", senders), []string{"kpps"}, func(b *testing.B, p path) []float64 {
		return []float64{flood(b, p, traffic.UDP{Size: smallPayload, Senders: senders}).PerSecond() / 1000}
	}}
}

// segments is a flood of datagrams of 1,400 bytes that are given to the kernel 40
// at a time, as one superpacket.
var segments = load{"segments", []string{"Gbit/s"}, func(b *testing.B, p path) []float64 {
	return []float64{flood(b, p, traffic.UDP{Size: 1400, Segment: 40, Batch: 1}).Gbps()}
}}

// flood floods a path.
func flood(b *testing.B, p path, u traffic.UDP) traffic.Flooded {
	b.Helper()
	u.From, u.To, u.Addr, u.By = p.from, p.to, p.at, p.by
	u.Duration = cmp.Or(u.Duration, burstTime)
	f, err := u.Run(b.Context())
	lab.Need(b, err)
	return f
}

// connects is four threads that connect and close.
var connects = load{"connects", []string{"kconn/s", "p99-µs"}, func(b *testing.B, p path) []float64 {
	t, err := traffic.Connects{From: p.from, To: p.to, Addr: p.at, By: p.by, Clients: 4, Duration: burstTime}.Run(b.Context())
	lab.Need(b, err)
	return []float64{t.PerSecond() / 1000, micros(t.Times.Quantile(0.99))}
}}

// asks is questions of a byte on 16 connections.
var asks = load{"asks/conns=16", []string{"kreq/s", "p99-µs"}, func(b *testing.B, p path) []float64 {
	t, err := traffic.Requests{From: p.from, To: p.to, Addr: p.at, By: p.by, Conns: 16, Duration: burstTime}.Run(b.Context())
	lab.Need(b, err)
	return []float64{t.PerSecond() / 1000, micros(t.Times.Quantile(0.99))}
}}

// roundTrip is a question of a byte at a time.
var roundTrip = load{"round-trip", []string{"µs", "p99-µs"}, func(b *testing.B, p path) []float64 {
	t, err := asking(p).Run(b.Context())
	lab.Need(b, err)
	return took(t)
}}

// loadedKpps is the flood beside which loaded asks, in thousand datagrams a
// second: what either rival carries without loss.
const loadedKpps = 50

// loaded is roundTrip beside a flood of small datagrams.
var loaded = load{fmt.Sprintf("round-trip/flood=%dk", loadedKpps), []string{"µs", "p99-µs"}, func(b *testing.B, p path) []float64 {
	at := netip.AddrPortFrom(p.at.Addr(), 0)
	t, _, err := asking(p).Beside(b.Context(), traffic.UDP{From: p.from, To: p.to, Addr: at, Size: smallPayload, Rate: loadedKpps * 1000, Duration: burstTime})
	lab.Need(b, err)
	return took(t)
}}

func asking(p path) traffic.Requests {
	return traffic.Requests{From: p.from, To: p.to, Addr: p.at, By: p.by, Duration: burstTime}
}

// took is the median and the 99th percentile, in µs. What was never answered has
// taken all the time there was.
func took(t *traffic.Taken) []float64 {
	if t.Times.Count() == 0 {
		return []float64{micros(burstTime), micros(burstTime)}
	}
	return []float64{micros(t.Times.Quantile(0.5)), micros(t.Times.Quantile(0.99))}
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
