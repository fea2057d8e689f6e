package kerneldiff

import (
	"bytes"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/drivers"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/graph/graphtest"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/state"
)

// A skein is the whole graph, with a queue in memory for each link.
type skein struct {
	*graph.Worker
	queues [numPorts]*queue
	sent   []frame
}

func newSkein(t *testing.T) *skein {
	t.Helper()
	return newSkeinOf(t, world(t))
}

// newSkeinOf is newSkein for another world.
func newSkeinOf(t *testing.T, st state.State) *skein {
	t.Helper()
	pool, err := buf.NewPool(1024, 64)
	if err != nil {
		t.Fatal(err)
	}
	pub := state.NewPublisher()
	graphtest.Publish(t, pub, st)
	s := &skein{}
	s.Worker, err = graph.New(graph.Config{Specs: nodes.All(), Input: nodes.DeviceInputArc,
		Ether: nodes.EtherEntry, IP: nodes.IPEntry, Pool: pool, Publisher: pub})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := pool.Arena().Close(); err != nil {
			t.Error(err)
		}
	})
	for i := range s.queues {
		s.queues[i] = &queue{skein: s, port: i}
		if err := s.AddPort(index(i), []drivers.Queue{s.queues[i]}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// index is the interface of a port.
func index(port int) uint32 { return uint32(port) + 1 }

// world is the topology as control would publish it.
func world(t *testing.T) state.State {
	t.Helper()
	rib, rib6 := fib.NewRIB4(), fib.NewRIB6()
	st := state.State{Ifaces: make([]iface.Iface, 1+numPorts)}
	names := map[string]uint32{}
	for i, p := range ports {
		in := &st.Ifaces[index(i)]
		*in = iface.Iface{Kind: iface.Uplink, Up: true, Ethernet: true, MTU: uint32(p.mtu), MAC: p.mac, Name: p.name,
			Addr4: hdr.Addr4From(p.addr.Addr()), Addr6: hdr.Addr6From(p.addr6.Addr()), LinkLocal: hdr.Addr6From(p.linkLocal.Addr())}
		for arc := range in.Feat {
			in.Feat[arc] = iface.FeatEnd
		}
		names[p.name] = index(i)
		link := fib.Iface{Index: index(i), MTU: in.MTU, MAC: p.mac, Up: true}
		need(t, rib.SetIface(link), rib6.SetIface(link))
	}
	for _, line := range append(implied(), routes...) {
		r, err := fib.ParseRoute(line, func(name string) (uint32, bool) { i, ok := names[name]; return i, ok })
		need(t, err)
		if r.Prefix.Addr().Is6() {
			need(t, rib6.Add(r))
		} else {
			need(t, rib.Add(r))
		}
	}
	for i, p := range ports {
		for _, a := range p.neighbors {
			if ipv6(a) {
				need(t, rib6.SetNeighbor(index(i), addr(a), p.station))
			} else {
				need(t, rib.SetNeighbor(index(i), addr(a), p.station))
			}
		}
	}
	st.FIB4, st.FIB6 = rib.Commit(), rib6.Commit()
	return st
}

func need(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// gap is the time between two frames: long enough for the limits of ICMP
// errors to forget the one before.
const gap = 200e6 // ns

// route has the graph take a frame and returns what it sends because of it.
func (s *skein) route(t *testing.T, f frame) []frame {
	t.Helper()
	return s.routeAfter(t, f, gap)
}

// routeAfter does so some nanoseconds after the frame before.
func (s *skein) routeAfter(t *testing.T, f frame, gap int64) []frame {
	t.Helper()
	s.sent = nil
	s.queues[f.port].rx = f.bytes
	if err := s.RoundAt(s.Now + gap); err != nil {
		t.Fatal(err)
	}
	return s.sent
}

// drop returns where the graph drops a frame, and why.
func (s *skein) drop(t *testing.T, f frame) string {
	t.Helper()
	before := s.drops()
	s.route(t, f)
	var out []string
	for key, n := range s.drops() {
		if n > before[key] {
			out = append(out, key)
		}
	}
	return strings.Join(out, ", ")
}

func (s *skein) drops() map[string]uint64 {
	all := map[string]uint64{}
	for _, st := range s.Stats() {
		for _, a := range st.Arcs {
			if a.Drop {
				all[st.Name+": "+a.Reason] = a.Count
			}
		}
	}
	return all
}

// A queue is a device in memory with room for one frame to receive.
type queue struct {
	skein *skein
	port  int
	rx    []byte
}

func (q *queue) Rx(p *buf.Pool, into []*buf.Buffer) int {
	if q.rx == nil || p.Get(into[:1]) == 0 {
		return 0
	}
	into[0].Set(q.rx)
	q.rx = nil
	return 1
}

func (q *queue) Tx(p *buf.Pool, bufs []*buf.Buffer) int {
	for _, b := range bufs {
		q.skein.sent = append(q.skein.sent, frame{q.port, bytes.Clone(b.Bytes())})
	}
	p.Put(bufs)
	return len(bufs)
}

func (q *queue) FD() int               { return -1 }
func (q *queue) Stats() drivers.Stats  { return drivers.Stats{} }
func (q *queue) Close(*buf.Pool) error { return nil }
