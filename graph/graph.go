// Package graph answers one question: how do vectors of packets move from node
// to node?
//
// Nodes are declared by Specs and do one thing each: they set the arc by which
// each packet leaves. The graph does the rest: it hands packets on, counts,
// times and traces. Maturity: stable.
package graph

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/iface"
)

// MaxVector is the most packets that one sweep takes in and that a node gets
// at once. It is VPP's VLIB_FRAME_SIZE.
const MaxVector = 256

// MaxHops is how often a packet may go backward in one sweep: once for an ICMP
// error that answers it, once for the decapsulation before, and twice to spare.
const MaxHops = 4

// An Arc is one of the ways out of a node, in the order in which its Spec
// lists them. The zero Arc means that the node has not decided; such packets
// are dropped and counted.
type Arc uint8

const (
	undecided Arc = 0
	// Again, to Cross, is the node that hands the packet over itself.
	Again Arc = 61
	// Handed means that Cross has handed the packet over to another worker.
	Handed Arc = 62
	// Kept means that the node has taken the packet over: it waits in the
	// node, or has been freed or sent on by Emit.
	Kept Arc = 63
	// Arcs from featureArc up lead to the features of a feature arc.
	featureArc Arc = 64

	numArcs  = 128
	maxSpecs = 127
)

// A Vector is a batch of packets at one node, with the arc each leaves by.
type Vector struct {
	Arc  [MaxVector]Arc
	bufs [MaxVector]*buf.Buffer
	n    int
	next *Vector // waiting behind this one, which is full
}

// Bufs returns the packets, in the order in which they arrived.
func (v *Vector) Bufs() []*buf.Buffer { return v.bufs[:v.n] }

// All sends every packet of the vector out by one arc.
func (v *Vector) All(a Arc) {
	for i := range v.Arc[:v.n] {
		v.Arc[i] = a
	}
}

// A Node does one thing to packets. It neither allocates nor locks, logs,
// blocks or asks for the time, whatever the packets hold.
type Node interface {
	Process(w *Worker, v *Vector)
}

// A Ticker is a node that has to act when no packet arrives.
type Ticker interface {
	// Tick is called between sweeps, at the time that it last asked for and
	// after each new State, and returns when it wants to be called again, by
	// Worker.Now; 0 is never.
	Tick(w *Worker) (next int64)
}

// A To is where an arc leads, and why packets take it.
type To struct {
	Reason, Node string
	// Dies: the packet ends here for Reason, although Node is not drop: what
	// goes on is an answer to its sender.
	Dies bool
}

// A Spec declares a node.
type Spec struct {
	Name string
	Arcs []To        // the ways out; a node without any keeps its packets
	On   *FeatureArc // the feature arc that the node sends packets along, if any
	New  func() Node // makes one instance for each worker

	// Describe says in words what the node has decided about a traced
	// packet; it may be nil. It runs outside the data plane.
	Describe func(r *Record) string
}

// A FeatureArc is a stretch of the graph where each interface chooses which
// nodes its packets visit. The order is the same for all.
type FeatureArc struct {
	Name     string
	ID       iface.Arc
	Features []string // at most 63 nodes, in the order in which packets visit them
	End      string   // the node that follows the last feature
}

// Mask returns the value of Buffer.Feat that visits the named features.
func (a *FeatureArc) Mask(names ...string) (mask uint64, err error) {
	mask = iface.FeatEnd
	for _, name := range names {
		bit := slices.Index(a.Features, name)
		if bit < 0 {
			return 0, fmt.Errorf("graph: no feature %q on %s: it has %q", name, a.Name, a.Features)
		}
		mask |= 1 << bit
	}
	return mask, nil
}

// Names returns the features that a mask visits, in order.
func (a *FeatureArc) Names(mask uint64) (names []string) {
	for i, name := range a.Features {
		if mask&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// NextFeature returns the arc to the packet's next feature and takes the
// feature off its list. The packet is on a feature arc: a node that starts one
// has set b.Feat to the interface's mask.
func NextFeature(b *buf.Buffer) (next Arc) {
	next, b.Feat = FirstFeature(b.Feat)
	return next
}

// FirstFeature returns the arc to the first feature of an interface's mask, and
// the mask of the rest, for nodes that start many packets on the same arc.
func FirstFeature(mask uint64) (first Arc, rest uint64) {
	return featureArc + Arc(bits.TrailingZeros64(mask)), mask & (mask - 1)
}
