package graph

import (
	"slices"

	"github.com/skein-dataplane/skein/drivers"
)

// counters are what a node of one worker has done.
type counters struct {
	Calls   uint64
	Packets uint64
	Clocks  uint64 // spent on Timed packets
	Timed   uint64
	Looped  uint64 // dropped: more than MaxHops backward arcs
	Taken   [numArcs]uint64
}

// NodeStats is what one node has done.
type NodeStats struct {
	Name    string
	Calls   uint64
	Packets uint64
	Clocks  float64 // per packet, over the packets that were timed; 0 if none was
	Arcs    []ArcStats
}

// Add adds what the same node has done at another worker.
func (n *NodeStats) Add(o *NodeStats) {
	if all := n.Packets + o.Packets; all > 0 {
		n.Clocks = (n.Clocks*float64(n.Packets) + o.Clocks*float64(o.Packets)) / float64(all)
	}
	n.Calls += o.Calls
	n.Packets += o.Packets
	for _, a := range o.Arcs {
		i := slices.IndexFunc(n.Arcs, func(b ArcStats) bool { return a.Reason == b.Reason && a.Node == b.Node })
		if i < 0 { // packets have been handed over there only
			n.Arcs = append(n.Arcs, a)
			continue
		}
		n.Arcs[i].Count += a.Count
	}
}

// ArcStats is how many packets have left a node one way.
type ArcStats struct {
	Reason string
	Node   string // where the arc leads
	Count  uint64
	Drop   bool // the packets died here, for Reason
}

// Reasons that the graph itself drops for.
const (
	reasonUndecided = "undecided"
	reasonLooped    = "too many passes"
	reasonHanded    = "to another worker"
	reasonNoDevice  = "interface has no device"
)

// Stats returns what each node has done, in the order of the graph. The first
// is the input arc, if there is one: what has become of packets as they came.
func (w *Worker) Stats() []NodeStats {
	all := make([]NodeStats, 0, len(w.slots)+1)
	if w.source != nil {
		all = append(all, w.source.stats())
	}
	if w.peers != nil {
		all = append(all, w.arrivalStats())
	}
	for _, s := range w.slots {
		all = append(all, s.stats())
	}
	return all
}

func (s *slot) stats() NodeStats {
	st := NodeStats{Name: s.Name, Calls: s.Calls, Packets: s.Packets}
	if s.Timed > 0 {
		st.Clocks = float64(s.Clocks) / float64(s.Timed)
	}
	rest := -s.Taken[Kept]
	for _, n := range s.Taken {
		rest += n
	}
	add := func(a ArcStats) {
		st.Arcs = append(st.Arcs, a)
		rest -= a.Count // what is left over has left by no arc that is declared
	}
	for arc, to := range s.Arcs {
		if arc > 0 && to != (To{}) {
			add(ArcStats{to.Reason, to.Node, s.Taken[arc], to.Node == Drop || to.Dies})
		}
	}
	if s.On != nil {
		for bit, name := range s.On.Features {
			add(ArcStats{"feature " + name, name, s.Taken[int(featureArc)+bit], false})
		}
		add(ArcStats{"end of " + s.On.Name, s.On.End, s.Taken[numArcs-1], false})
	}
	if n := s.Taken[Handed]; n > 0 {
		add(ArcStats{reasonHanded, WorkerInput, n, false})
	}
	if len(s.Arcs) > 0 || s.On != nil {
		st.Arcs = append(st.Arcs, ArcStats{reasonUndecided, Drop, rest, true}, ArcStats{reasonLooped, Drop, s.Looped, true})
	}
	return st
}

// WorkerInput is where packets come in that another worker has handed over. It
// stands among the nodes that Stats returns, if there are several workers.
const WorkerInput = "worker-input"

func (w *Worker) arrivalStats() NodeStats {
	a := &w.arrived
	st := NodeStats{Name: WorkerInput, Calls: a.calls, Packets: a.device}
	for _, s := range w.slots {
		if n := a.nodes[s.order]; n > 0 {
			st.Packets += n
			st.Arcs = append(st.Arcs, ArcStats{"handed over to " + s.Name, s.Name, n, false})
		}
	}
	if n := a.device - a.gone; n > 0 {
		st.Arcs = append(st.Arcs, ArcStats{"handed over to be sent", "device", n, false})
	}
	st.Arcs = append(st.Arcs, ArcStats{reasonNoDevice, Drop, a.gone, true})
	return st
}

// Ports returns what the interfaces have seen at this worker, by index.
func (w *Worker) Ports() map[uint32]PortStats {
	all := make(map[uint32]PortStats)
	for i, p := range w.ports {
		if p == nil {
			continue
		}
		st := PortStats{PortCounters: p.PortCounters}
		for _, q := range p.queues {
			st.Queues = append(st.Queues, q.Stats())
		}
		all[uint32(i)] = st
	}
	return all
}

// PortStats is what one interface has seen at one worker.
type PortStats struct {
	PortCounters
	Queues []drivers.Stats
}

// Add adds what the interface has seen at another worker.
func (s *PortStats) Add(o *PortStats) {
	s.RxPackets += o.RxPackets
	s.RxBytes += o.RxBytes
	s.TxPackets += o.TxPackets
	s.TxBytes += o.TxBytes
	s.Drops += o.Drops
	s.TxFull += o.TxFull
	s.Queues = append(s.Queues, o.Queues...)
}

// ClearNodes sets what Stats returns to zero.
func (w *Worker) ClearNodes() {
	for _, s := range w.slots {
		s.counters = counters{}
	}
	if w.source != nil {
		w.source.counters = counters{}
	}
	w.arrived = arrivals{}
	w.load = Load{Since: w.Now}
}

// ClearPorts sets the interfaces' counters to zero, but for the devices' own.
func (w *Worker) ClearPorts() {
	for _, p := range w.ports {
		if p != nil {
			p.PortCounters = PortCounters{}
		}
	}
}

// Nodes returns the names of the nodes in the order of the graph.
func (w *Worker) Nodes() []string {
	names := make([]string, len(w.slots))
	for i, s := range w.slots {
		names[i] = s.Name
	}
	return names
}
