package nodes_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/mem"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/graph/graphtest"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/state"
)

// Three workers at once, on threads of their own, with policy, services, source
// NAT and mappings, while the world changes: no packet and no buffer is lost
// without a reason, and each flow is one worker's. The race detector looks on.
func TestWorkersRun(t *testing.T) {
	const n, flows, loops = 3, 600, 4
	for _, a := range crewNAT {
		pub := state.NewPublisher()
		pools, err := buf.NewPools(n, 4096*n, 64*n)
		if err != nil {
			t.Fatal(err)
		}
		ws, err := graph.NewWorkers(graph.Config{Specs: nodes.All(), Input: nodes.DeviceInputArc,
			Ether: nodes.EtherEntry, IP: nodes.IPEntry, Publisher: pub}, pools)
		if err != nil {
			t.Fatal(err)
		}
		world := newWorld(t, "")
		world.state.Workers = n
		st := world.edit(t, a.config())
		graphtest.Publish(t, pub, st)
		rng := rand.New(rand.NewPCG(9, 9))
		for i := 1; i < len(st.Ifaces); i++ {
			in := make([][]mem.Packet, n)
			for range flows {
				d := a.random(rng)
				d.len = 100
				if world.index[d.at] == uint32(i) {
					q := rng.IntN(n)
					in[q] = append(in[q], mem.Packet{Data: line(t, d.line())})
				}
			}
			for id, q := range mem.New(mem.Config{Rx: in, Loop: loops}).Queues() {
				if err := ws.All()[id].AddPort(uint32(i), []drivers.Queue{q}); err != nil {
					t.Fatal(err)
				}
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- ws.Run(ctx) }()
		rx, before := runningPackets(t, ws), uint64(1)
		for deadline := time.Now().Add(20 * time.Second); rx != before && time.Now().Before(deadline); {
			graphtest.Publish(t, pub, world.edit(t, "policy node-passes")) // another generation
			ws.Wake()
			time.Sleep(20 * time.Millisecond)
			before, rx = rx, runningPackets(t, ws)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		c := &crew{Workers: ws, world: world, pub: pub, rng: rng, drops: map[string]uint64{}, now: ws.All()[0].Now}
		c.advance(t, 0)
		if sent, reasons := runningSent(c), c.newDrops(); sent == 0 || rx == 0 {
			t.Errorf("%d packets received, %d sent; drops %q", rx, sent, reasons)
		} else if rest := rx - sent; contains(reasons, "behind") == 0 && rest != 0 {
			t.Errorf("%d packets received, %d sent; drops %q", rx, sent, reasons)
		}
		if got := checkOwned(t, c); got == 0 || c.handed() == 0 {
			t.Errorf("%d sessions, %d packets handed over", got, c.handed())
		}
		if err := errors.Join(ws.Close(), pools[0].Arena().Close()); err != nil {
			t.Error(err)
		}
	}
}

// runningPackets returns how many packets workers have received that run.
func runningPackets(t *testing.T, ws *graph.Workers) (n uint64) {
	t.Helper()
	err := ws.Do(t.Context(), func(w *graph.Worker) {
		for _, p := range w.Ports() {
			n += p.RxPackets
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// runningSent returns how many have been sent, but for questions of neighbors.
func runningSent(c *crew) (n uint64) {
	for _, w := range c.All() {
		for _, p := range w.Ports() {
			n += p.TxPackets
		}
		for _, st := range w.Stats() {
			for _, a := range st.Arcs {
				if strings.HasPrefix(a.Reason, "ask") {
					n -= a.Count
				}
			}
		}
	}
	return n
}
