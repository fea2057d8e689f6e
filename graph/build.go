package graph

import (
	"fmt"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
)

// A Config is what a Worker is made from.
type Config struct {
	Specs []Spec // in the order in which packets visit them
	// Input is the feature arc that packets start on, if any, and Ether and
	// IP name the nodes that follow it for frames that start at an Ethernet
	// and at an IP header.
	Input     *FeatureArc
	Ether, IP string
	Pool      *buf.Pool
	Publisher *state.Publisher
	// Sessions is the table of flows, and stays the caller's to close. nil: the
	// worker makes one of its own, in memory, for DefaultSessions.
	Sessions *session.Table
	// Sharding says which of several workers flows belong to. nil: NewWorkers
	// makes a new one, by which sessions of a file belong to others than before.
	Sharding *session.Sharding
}

// DefaultSessions is how many sessions a worker has room for that was not
// given a table.
const DefaultSessions = 1 << 16

// Drop is the name of the node where packets end that no node wanted. Every
// graph has it.
const Drop = "drop"

// New links the nodes of a config into a graph. It fails if a node is named
// twice, or an arc leads nowhere.
func New(cfg Config) (*Worker, error) {
	w := &Worker{Pool: cfg.Pool, pub: cfg.Publisher, index: make(map[string]*slot)}
	specs := append(cfg.Specs[:len(cfg.Specs):len(cfg.Specs)], dropSpec)
	if len(specs) > maxSpecs {
		return nil, fmt.Errorf("graph: %d nodes, at most %d are possible", len(specs), maxSpecs)
	}
	for i, spec := range specs {
		if w.index[spec.Name] != nil {
			return nil, fmt.Errorf("graph: two nodes named %q", spec.Name)
		}
		s := &slot{Spec: spec, node: spec.New(), order: i}
		s.ticker, _ = s.node.(Ticker)
		w.index[spec.Name] = s
		w.slots = append(w.slots, s)
	}
	w.drop = w.index[Drop]
	for _, s := range w.slots {
		if err := w.link(s); err != nil {
			return nil, err
		}
	}
	if err := w.entries(cfg); err != nil {
		return nil, err
	}
	w.makeVectors(len(w.slots))
	w.State = w.pub.Load()
	if err := w.openFlows(cfg.Sessions); err != nil {
		return nil, err
	}
	return w, w.openLoop()
}

// openFlows makes what the worker knows of flows.
func (w *Worker) openFlows(t *session.Table) (err error) {
	w.epoch = session.Now()
	if t == nil {
		if t, err = session.New(session.Config{Capacity: DefaultSessions, Midstream: true}); err != nil {
			return fmt.Errorf("graph: sessions: %w", err)
		}
		w.ownTable = t
	}
	if w.Flows, err = session.NewFlows(t); err != nil {
		return fmt.Errorf("graph: sessions: %w", err)
	}
	return nil
}

// UseSessions has the worker keep its sessions in t, which its caller closes
// after the worker. The worker's goroutine calls it between sweeps, or anybody
// before Run.
func (w *Worker) UseSessions(t *session.Table) error {
	flows, err := session.NewFlows(t)
	if err != nil {
		return fmt.Errorf("graph: sessions: %w", err)
	}
	w.Flows = flows
	if own := w.ownTable; own != nil {
		w.ownTable = nil
		return own.Close()
	}
	return nil
}

// link finds the nodes that the arcs of s lead to.
func (w *Worker) link(s *slot) error {
	for i := range s.next {
		s.next[i] = w.drop
	}
	s.next[Kept], s.next[Handed] = nil, nil
	for arc, to := range s.Arcs {
		switch {
		case arc == 0 && to != (To{}):
			return fmt.Errorf("graph: %s: arc 0 is for undecided packets, not for %q", s.Name, to.Reason)
		case arc == 0:
			continue
		case arc >= int(Again):
			return fmt.Errorf("graph: %s: %d arcs, at most %d are possible", s.Name, len(s.Arcs), Again)
		case w.index[to.Node] == nil:
			return fmt.Errorf("graph: %s: arc %q leads to %q, which is not a node", s.Name, to.Reason, to.Node)
		}
		s.next[arc] = w.index[to.Node]
	}
	if s.On == nil {
		return nil
	}
	return w.linkFeatures(s)
}

func (w *Worker) linkFeatures(s *slot) error {
	const end = numArcs - 1
	for bit, name := range s.On.Features {
		if s.next[int(featureArc)+bit] = w.index[name]; w.index[name] == nil {
			return fmt.Errorf("graph: %s: feature %q is not a node", s.On.Name, name)
		}
	}
	if s.next[end] = w.index[s.On.End]; w.index[s.On.End] == nil {
		return fmt.Errorf("graph: %s: ends at %q, which is not a node", s.On.Name, s.On.End)
	}
	return nil
}

// sourceDown is the way of packets that a device has received before the State
// shows its interface, or while it is down.
const sourceDown Arc = 1

// sourceEntry is where the ways of packets to the first node begin that have no
// feature to visit: by framing, IP and then Ethernet.
const sourceEntry Arc = 2

// entries finds the nodes at which packets enter the graph.
func (w *Worker) entries(cfg Config) error {
	if cfg.Input == nil {
		return nil
	}
	if w.index[cfg.IP] == nil || w.index[cfg.Ether] == nil {
		return fmt.Errorf("graph: no node %q or no node %q to take packets in", cfg.IP, cfg.Ether)
	}
	w.input = cfg.Input.ID
	w.source = &slot{Spec: Spec{Name: cfg.Input.Name, On: cfg.Input,
		Arcs: []To{sourceDown: {Reason: "receiving interface is down", Node: Drop},
			sourceEntry: {Reason: "ip", Node: cfg.IP}, sourceEntry + 1: {Reason: "ethernet", Node: cfg.Ether}}}}
	return w.link(w.source)
}

// makeVectors makes as many vectors as can ever be in use. In the queue of a
// node only the last one is not full, so there are no more than one for each
// node, one for each MaxVector buffers, and the one that is being processed.
func (w *Worker) makeVectors(slots int) {
	n := slots + w.Pool.Arena().Buffers()/MaxVector + 2
	all := make([]Vector, n)
	w.free = make([]*Vector, n)
	for i := range all {
		w.free[i] = &all[i]
	}
}

var dropSpec = Spec{Name: Drop, New: func() Node { return dropNode{} }}

// dropNode is where packets end. The arc that led here was the reason.
type dropNode struct{}

func (dropNode) Process(w *Worker, v *Vector) {
	for _, b := range v.Bufs() {
		if p := w.port(b.RxIf); p != nil {
			p.Drops++
		}
	}
	w.Pool.Put(v.Bufs())
}
