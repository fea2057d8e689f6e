package bench

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/mem"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
)

// BenchmarkWorkers is BenchmarkGraph with several workers, each of which has a
// queue of both uplinks and a thread:
//
//   - plain: without sessions, so that packets go through where they came in.
//   - sessions: with policy, and all packets come in at the worker of their flow.
//   - crossing: likewise, but one packet in two is another worker's.
//
// Mpps is the sum of what each has sent in the time that it took, which says
// something only if each has a CPU of its own meanwhile; ns/packet is the time
// that their threads have run, for each packet. lost/% is what found a ring full.
func BenchmarkWorkers(b *testing.B) {
	for _, mode := range []string{"plain", "sessions", "crossing"} {
		for _, n := range []int{1, 2} {
			if mode == "crossing" && n == 1 {
				continue
			}
			b.Run(fmt.Sprintf("mode=%s/vector=256/flows=10000/workers=%d", mode, n), func(b *testing.B) { workers(b, mode, n) })
		}
	}
}

// BenchmarkHandoff is BenchmarkWorkers on one thread, which goes round one worker
// after the other: what it costs to have the sessions of a flow at one of them,
// apart from what two CPUs cost each other.
func BenchmarkHandoff(b *testing.B) {
	for _, c := range []struct {
		mode    string
		workers int
	}{{"sessions", 1}, {"sessions", 2}, {"crossing", 2}} {
		b.Run(fmt.Sprintf("mode=%s/vector=256/flows=10000/workers=%d", c.mode, c.workers), func(b *testing.B) {
			lanes := newLanes(b, c.mode, c.workers)
			inTurns(b, lanes, 4*buffers/256)
			for _, l := range lanes {
				answered(l.w)
				l.w.ClearPorts()
				l.w.ClearNodes()
			}
			b.ReportAllocs()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			start := threadTime()
			for b.Loop() {
				inTurns(b, lanes, 1)
			}
			took := threadTime() - start
			b.ReportMetric(float64(took)/float64(256*b.N*c.workers), "ns/packet")
			clocks(b, lanes[0].w.Stats())
		})
	}
}

func inTurns(b *testing.B, lanes []*lane, vectors int) {
	for range vectors {
		for _, l := range lanes {
			turn(b, l.w)
		}
	}
}

// A lane is one of several workers, and what it receives by.
type lane struct {
	w      *graph.Worker
	rx     *burst
	rounds atomic.Int64
	took   time.Duration
	spent  int64 // nanoseconds of its thread
	sent   uint64
}

// lead is how many vectors a worker may be ahead of another one where they hand
// packets over, so that none is behind only because others have its CPU: half of
// what a ring has room for.
const lead = 4

func workers(b *testing.B, mode string, n int) {
	lanes := newLanes(b, mode, n)
	run(b, lanes, mode, 4*buffers/256)
	for _, l := range lanes {
		answered(l.w)
		l.w.ClearNodes()
	}
	b.ReportAllocs()
	b.ResetTimer()
	run(b, lanes, mode, b.N)
	b.StopTimer()
	var sent, spent, rate float64
	for _, l := range lanes {
		sent += float64(l.sent)
		spent += float64(l.spent)
		rate += float64(l.sent) / l.took.Seconds()
	}
	b.ReportMetric(rate/1e6, "Mpps")
	clocks(b, lanes[0].w.Stats())
	b.ReportMetric(spent/sent, "ns/packet")
	b.ReportMetric(100-100*sent/float64(256*b.N*n), "lost/%")
	b.ReportMetric(0, "ns/op")
}

// run has each worker take in so many vectors.
func run(b *testing.B, lanes []*lane, mode string, vectors int) {
	for _, l := range lanes {
		l.rounds.Store(0)
	}
	var wg sync.WaitGroup
	for _, l := range lanes {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			before := l.w.Ports()[2].TxPackets
			l.rx.size, l.spent = 256, 0
			wait(lanes, 0)
			began, spent := time.Now(), threadTime()
			for i := range vectors {
				if mode == "crossing" {
					wait(lanes, int64(i-lead))
				}
				turn(b, l.w)
				l.rounds.Add(1)
			}
			l.took, l.spent = time.Since(began), threadTime()-spent
			l.rx.size = 0
			for range 2 { // what was handed over last
				wait(lanes, int64(vectors))
				turn(b, l.w)
			}
			l.sent = l.w.Ports()[2].TxPackets - before
		})
	}
	wg.Wait()
}

// wait returns when all workers have gone round so often.
func wait(lanes []*lane, rounds int64) {
	for _, l := range lanes {
		for l.rounds.Load() < rounds {
			_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) // always succeeds
		}
	}
}

// newLanes makes n workers with a queue of two uplinks each.
func newLanes(b *testing.B, mode string, n int) (lanes []*lane) {
	b.Helper()
	pub := state.NewPublisher()
	pools, err := buf.NewPools(n, n*buffers, 0)
	if err != nil {
		b.Fatal(err)
	}
	ws, err := graph.NewWorkers(graph.Config{Specs: nodes.All(), Input: nodes.DeviceInputArc, Ether: nodes.EtherEntry,
		IP: nodes.IPEntry, Publisher: pub}, pools)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := errors.Join(ws.Close(), pools[0].Arena().Close()); err != nil {
			b.Error(err)
		}
	})
	table, addrs := tableOf(b, 1)
	err = pub.Update(func(next *state.State) error {
		next.Ifaces = []iface.Iface{{}, uplinkOf(uplinkMAC), uplinkOf(hdr.MAC{2, 0, 0, 0, 0, 0x11})}
		next.FIB4 = table
		if mode != "plain" {
			nodes.SetPolicy(next, allowing(b, n))
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	in := split(ws.All()[0].Sharding(), packets(addrs, 10_000*n), mode, n)
	for i, w := range ws.All() {
		cycle(w.Pool)
		l := &lane{w: w, rx: &burst{mem.New(mem.Config{Rx: [][]mem.Packet{in[i]}, Loop: mem.Forever}).Queues()[0], 256}}
		tx := &ring{Queue: mem.New(mem.Config{}).Queues()[0], held: make([]*buf.Buffer, 0, buffers), fd: quietFD(b)}
		for j, q := range []drivers.Queue{l.rx, tx} {
			if err := w.AddPort(uint32(j+1), []drivers.Queue{q}); err != nil {
				b.Fatal(err)
			}
		}
		lanes = append(lanes, l)
	}
	return lanes
}

// split deals packets out over n queues: to the worker of their flow, or every
// other one of each queue to another worker.
func split(by *session.Sharding, all []mem.Packet, mode string, n int) [][]mem.Packet {
	out := make([][]mem.Packet, n)
	crossed := make([]int, n)
	for i, p := range all {
		at := i % n
		if by != nil && mode != "plain" {
			h := (*hdr.IPv4)(p.Data[hdr.EtherLen:])
			at = by.Of4(session.PlainKey4(h, h.PlainPorts()))
			if crossed[at]++; mode == "crossing" && crossed[at]%2 == 0 {
				at = (at + 1) % n
			}
		}
		out[at] = append(out[at], slices.Clip(all[i:i+1])...)
	}
	return out
}

// allowing is a policy that allows all that is forwarded.
func allowing(b *testing.B, workers int) *state.Policy {
	b.Helper()
	p := policyOf(b, 1, false)
	p.Ends[1].ForwardTo = state.NewRuled(p.Ends[1].ForwardTo.Program, workers)
	return &state.Policy{Gen: 1, Sets: p.Sets, Ends: []*state.Endpoint{1: {Name: "uplink", ForwardTo: p.Ends[1].ForwardTo}}}
}
