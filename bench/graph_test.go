package bench

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/drivers/mem"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
	"golang.org/x/sys/unix"
)

const buffers = 16 << 10

var (
	uplinkMAC = hdr.MAC{2, 0, 0, 0, 0, 0x10}
	routerMAC = hdr.MAC{2, 0, 0, 0, 0, 0x01}
)

// BenchmarkGraph sends 64-byte UDP packets from an uplink through
// ethernet-input, ip4-input, ip4-lookup, ip4-rewrite and the output nodes to
// another uplink, both in memory. ns/packet is all of it, as CPU time;
// ns/device is what the devices in memory take of that, receiving and
// forgetting.
//
// routes=1 is a default route. The others are random prefixes of the lengths
// of the Internet's table, each with an address within it, and the flows'
// destinations are all of these addresses in random order, as far as they go:
// flows=1000000 over 1,000,000 routes leaves the caches no two packets alike.
func BenchmarkGraph(b *testing.B) {
	for _, c := range graphCases {
		b.Run(fmt.Sprintf("vector=%d/routes=%d/flows=%d", c.vector, c.routes, c.flows), func(b *testing.B) {
			table, addrs := tableOf(b, c.routes)
			forward(b, c.vector, packets(addrs, c.flows), func(next *state.State) { next.FIB4 = table })
		})
	}
}

var graphCases = []struct{ vector, routes, flows int }{
	{256, 1, 1},
	{256, 1, 10_000},
	{256, 1, 1_000_000},
	{256, 1_000, 10_000},
	{256, 100_000, 1},
	{256, 100_000, 10_000},
	{256, 100_000, 1_000_000},
	{256, 1_000_000, 1},
	{256, 1_000_000, 10_000},
	{256, 1_000, 1_000_000},
	{256, 1_000_000, 1_000_000},
	{64, 1_000, 10_000},
	{16, 1_000, 10_000},
	{4, 1_000, 10_000},
	{1, 1_000, 10_000},
	{1, 1, 10_000},
}

// forward sends packets round and round through a node whose table route puts
// into the State.
func forward(b *testing.B, vector int, in []mem.Packet, route func(next *state.State)) {
	w, rx, tx := newNode(b, route, in, vector)
	for range 2 * buffers / vector {
		turn(b, w)
	}
	answered(w)
	w.ClearNodes()
	w.ClearPorts()
	b.ReportAllocs()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := threadTime()
	for b.Loop() {
		turn(b, w)
	}
	took := threadTime() - start
	b.StopTimer()
	stats := w.Stats()
	device := deviceCost(w.Pool, rx, tx, vector)
	got, sent := w.Ports()[1].RxPackets, w.Ports()[2].TxPackets
	if got != uint64(b.N*vector) || sent != got {
		b.Errorf("%d rounds of %d packets: %d in, %d out", b.N, vector, got, sent)
	}
	report(b, stats, float64(took)/float64(b.N*vector), device)
}

func turn(b *testing.B, w *graph.Worker) {
	if err := w.Round(-1); err != nil {
		b.Fatal(err)
	}
}

// newNode makes a worker with two uplinks in memory, of which the first
// receives packets in bursts of the given size, for ever.
func newNode(b *testing.B, route func(next *state.State), in []mem.Packet, vector int) (w *graph.Worker, rx, tx drivers.Queue) {
	b.Helper()
	return newNodeSessions(b, route, in, vector, nil)
}

// newNodeSessions is newNode with a table of sessions.
func newNodeSessions(b *testing.B, route func(next *state.State), in []mem.Packet, vector int, sessions *session.Table) (w *graph.Worker, rx, tx drivers.Queue) {
	b.Helper()
	pub := state.NewPublisher()
	err := pub.Update(func(next *state.State) error {
		next.Ifaces = []iface.Iface{{}, uplinkOf(uplinkMAC), uplinkOf(hdr.MAC{2, 0, 0, 0, 0, 0x11})}
		route(next)
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	pool, err := buf.NewPool(buffers, 0)
	if err != nil {
		b.Fatal(err)
	}
	cycle(pool)
	w, err = graph.New(graph.Config{Specs: nodes.All(), Input: nodes.DeviceInputArc, Ether: nodes.EtherEntry,
		IP: nodes.IPEntry, Pool: pool, Publisher: pub, Sessions: sessions})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := w.Close(); err != nil {
			b.Error(err)
		}
		if err := pool.Arena().Close(); err != nil {
			b.Error(err)
		}
	})
	rx = &burst{mem.New(mem.Config{Rx: [][]mem.Packet{in}, Loop: mem.Forever}).Queues()[0], vector}
	tx = &ring{Queue: mem.New(mem.Config{}).Queues()[0], held: make([]*buf.Buffer, 0, buffers), fd: quietFD(b)}
	for i, q := range []drivers.Queue{rx, tx} {
		if err := w.AddPort(uint32(i+1), []drivers.Queue{q}); err != nil {
			b.Fatal(err)
		}
	}
	return w, rx, tx
}

// uplinkOf returns an uplink that is up.
func uplinkOf(mac hdr.MAC) iface.Iface {
	i := iface.Iface{Kind: iface.Uplink, Up: true, Ethernet: true, MTU: 1500, MAC: mac,
		LinkLocal: hdr.Addr6{Hi: hdr.LinkLocalHi, Lo: uint64(mac[5])}}
	for arc := range i.Feat {
		i.Feat[arc] = iface.FeatEnd
	}
	return i
}

// cycle has touched all frames, so that no page fault is measured.
func cycle(pool *buf.Pool) {
	all := make([]*buf.Buffer, buffers)
	n := pool.Get(all)
	for _, x := range all[:n] {
		clear(x.Room())
	}
	pool.Put(all[:n])
}

// A burst is a queue that gives so many packets at a time.
type burst struct {
	drivers.Queue
	size int
}

func (q *burst) Rx(p *buf.Pool, into []*buf.Buffer) int {
	return q.Queue.Rx(p, into[:min(len(into), q.size)])
}

// A ring is a queue that holds what is sent until it is full, as a NIC does:
// all buffers go round, and not the same few.
type ring struct {
	drivers.Queue
	held []*buf.Buffer
	fd   int
}

func (q *ring) FD() int { return q.fd }

// quietFD returns a descriptor that never polls readable: nothing comes in
// there.
func quietFD(b *testing.B) int {
	b.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

func (q *ring) Tx(p *buf.Pool, bufs []*buf.Buffer) int {
	if keep := cap(q.held) / 2; len(q.held)+len(bufs) > keep {
		p.Put(q.held)
		q.held = q.held[:0]
	}
	q.held = append(q.held, bufs...)
	return len(bufs)
}

func (q *ring) Close(p *buf.Pool) error {
	p.Put(q.held)
	q.held = nil
	return q.Queue.Close(p)
}

// deviceCost returns the nanoseconds per packet that receiving and forgetting
// take without a graph: the median of nine tries.
func deviceCost(pool *buf.Pool, rx, tx drivers.Queue, vector int) float64 {
	bufs := make([]*buf.Buffer, vector)
	turns := 1 + 100_000/vector
	var tries [9]float64
	for i := range tries {
		start := threadTime()
		for range turns {
			tx.Tx(pool, bufs[:rx.Rx(pool, bufs)])
		}
		tries[i] = float64(threadTime()-start) / float64(turns*vector)
	}
	slices.Sort(tries[:])
	return tries[len(tries)/2]
}

// threadTime returns the nanoseconds that the thread has run. A worker that is
// busy runs all the time; whoever else uses the machine is not measured.
func threadTime() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) // every Linux has it
	return t.Nano()
}

func report(b *testing.B, stats []graph.NodeStats, all, device float64) {
	b.ReportMetric(all, "ns/packet")
	b.ReportMetric(device, "ns/device")
	b.ReportMetric(all-device, "ns/graph")
	clocks(b, stats)
}

// clocks reports what the nodes have taken of the time stamp counter.
func clocks(b *testing.B, stats []graph.NodeStats) {
	sum := 0.0
	for _, st := range stats {
		if st.Clocks > 0 {
			b.ReportMetric(st.Clocks, "clk-"+st.Name)
			sum += st.Clocks
		}
	}
	b.ReportMetric(sum, "clk-sum")
	b.ReportMetric(0, "ns/op")
}

// packets makes a packet of each of so many flows. All are 64 bytes long, as
// Ethernet counts without its checksum: 60 bytes and 4 that the NIC takes off.
// They lie one after the other, as a NIC's ring would have them.
func packets(dst []hdr.Addr4, flows int) []mem.Packet {
	const size = 64
	rnd := rand.New(rand.NewPCG(3, 4))
	order := rnd.Perm(len(dst))
	out := make([]mem.Packet, flows)
	bytes := make([]byte, flows*size)
	for i := range out {
		p := bytes[i*size:][:size:size]
		(*hdr.Ether)(p).Fill(uplinkMAC, routerMAC, hdr.TypeIPv4)
		h := (*hdr.IPv4)(p[hdr.EtherLen:])
		*h = hdr.IPv4{0: 0x45, 8: 64, 9: hdr.ProtoUDP}
		h.SetLen(size - hdr.EtherLen)
		h.SetSrc(0x0a000000 + hdr.Addr4(rnd.Uint32N(1<<16)))
		h.SetDst(dst[order[i%len(order)]])
		h.SetChecksum(hdr.Checksum(h[:]))
		u := (*hdr.UDP)(p[hdr.EtherLen+hdr.IPv4Len:])
		u[0], u[1], u[3] = byte(rnd.Uint32()), byte(rnd.Uint32()), 53
		u.SetLen(size - hdr.EtherLen - hdr.IPv4Len)
		out[i].Data = p
	}
	return out
}

// A made is a table, and an address that lies in each of its routes.
type made[A fib.Address, T fib.Table4 | fib.Table6] struct {
	table *T
	addrs []A
}

// made4 and made6 keep what was made, by number of routes: it takes seconds to
// make the large ones.
var made4, made6 sync.Map

// tableOf returns an IPv4 table of so many routes, and an address that lies in
// each.
func tableOf(b *testing.B, n int) (*fib.Table4, []hdr.Addr4) {
	b.Helper()
	return tableBy(b, &made4, n, fib.NewRIB4, "192.0.2.1", func(rnd *rand.Rand) (hdr.Addr4, netip.Prefix, bool) {
		bits := 0
		if n > 1 {
			bits = prefixLen(rnd)
		}
		a := hdr.Addr4(rnd.Uint32N(223<<24-1<<24) + 1<<24)
		return a, netip.PrefixFrom(a.Addr(), bits).Masked(), a>>24 != 127
	})
}

// tableBy makes a table of n different prefixes from draw, which also says
// whether what it has drawn is of use, unless kept has one already. The routes
// go by 16 neighbours, from router on.
func tableBy[A fib.Address, T fib.Table4 | fib.Table6](b *testing.B, kept *sync.Map, n int, newRIB func() *fib.RIB[A, T],
	router string, draw func(*rand.Rand) (A, netip.Prefix, bool)) (*T, []A) {
	b.Helper()
	if m, ok := kept.Load(n); ok {
		return m.(made[A, T]).table, m.(made[A, T]).addrs
	}
	rnd := rand.New(rand.NewPCG(1, uint64(n)))
	rib, via := newRIB(), netip.MustParseAddr(router)
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	must(rib.SetIface(fib.Iface{Index: 2, MTU: 1500, MAC: hdr.MAC{2, 0, 0, 0, 0, 0x11}, Up: true}))
	var routes []fib.Route
	hops := make([]fib.NextHop, 16)
	for i := range hops {
		hops[i] = fib.NextHop{Iface: 2, Via: via}
		must(rib.SetNeighbor(2, via, hdr.MAC{2, 0, 0, 0, 1, byte(i)}))
		via = via.Next()
	}
	seen := map[netip.Prefix]bool{}
	var addrs []A
	for len(routes) < n {
		a, p, ok := draw(rnd)
		if !ok || seen[p] {
			continue
		}
		seen[p] = true
		routes = append(routes, fib.Route{Prefix: p, Type: fib.TypeUnicast, Source: fib.SourceBGP, NextHops: hops[len(routes)%16:][:1]})
		addrs = append(addrs, a)
	}
	must(rib.Add(routes...))
	m := made[A, T]{rib.Commit(), addrs}
	kept.Store(n, m)
	return m.table, m.addrs
}

// prefixLen returns a length as they are spread in the Internet's table: most
// are /24, some /16 to /23, few others.
func prefixLen(rnd *rand.Rand) int {
	switch n := rnd.IntN(100); {
	case n < 60:
		return 24
	case n < 90:
		return 16 + rnd.IntN(8)
	case n < 95:
		return 8 + rnd.IntN(8)
	}
	return 25 + rnd.IntN(8)
}
