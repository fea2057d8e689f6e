// Package graphdot answers one question: what does the graph of nodes look
// like?
//
// It draws what graph.New links, so that the picture in docs is that of the
// running graph. Maturity: stable.
package graphdot

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/skein-dataplane/skein/graph"
)

// A Graph is what is to be drawn.
type Graph struct {
	Specs     []graph.Spec // in the order in which packets visit them
	Arcs      []*graph.FeatureArc
	Input     *graph.FeatureArc // that packets start on
	Ether, IP string            // the nodes that follow it
}

// answers is the node that tells senders what has become of their packets:
// arcs to it are drawn as faintly as drops.
const answers = "icmp4-error"

// Dot returns the graph in Graphviz' language. Solid arrows are the ways of
// packets, several arcs between two nodes one arrow; dashed ones lead along a
// feature arc, dotted ones backward. What only drops is not drawn but counted
// in the node; what the sender is told about is grey.
func (g *Graph) Dot() string {
	var w bytes.Buffer
	w.WriteString(`// Generated from the nodes: go generate ./docs
digraph skein {
	rankdir=TB
	nodesep=0.3
	ranksep=0.45
	fontname="Helvetica"
	node [shape=box style="rounded,filled" fillcolor="#eef3f8" color="#52708f" fontname="Helvetica" fontsize=11 height=0.35]
	edge [color="#33516e" fontname="Helvetica" fontsize=9 arrowsize=0.7]
`)
	g.ends(&w)
	g.features(&w)
	for i := range g.Specs {
		g.node(&w, &g.Specs[i])
	}
	g.starts(&w)
	for i := range g.Specs {
		g.ways(&w, i)
	}
	w.WriteString("}\n")
	return w.String()
}

// ends draws the kernel's side.
func (g *Graph) ends(w *bytes.Buffer) {
	fmt.Fprintf(w, "\t%q [shape=oval fillcolor=white]\n", rx)
	for _, end := range outputs {
		fmt.Fprintf(w, "\t%q [shape=oval fillcolor=white]\n", end.device)
	}
}

const rx = "packets from uplink, host and pods"

// outputs are the nodes that hand packets to devices.
var outputs = []struct{ node, device string }{
	{"uplink-output", "uplink"}, {"tap-output", "host"}, {"tun-output", "pod"},
}

// features draws a frame around the features of each arc that has some.
func (g *Graph) features(w *bytes.Buffer) {
	for i, a := range g.Arcs {
		if len(a.Features) == 0 {
			continue
		}
		fmt.Fprintf(w, "\tsubgraph cluster_%d {\n\t\tlabel=\"feature arc %s\" fontsize=10 color=\"#b0bec5\" style=dashed\n", i, a.Name)
		for _, f := range a.Features {
			fmt.Fprintf(w, "\t\t%q\n", f)
		}
		w.WriteString("\t}\n")
	}
}

// node draws a node, with how many reasons to drop it has.
func (g *Graph) node(w *bytes.Buffer, s *graph.Spec) {
	drops := 0
	for _, to := range s.Arcs {
		if to.Node == graph.Drop {
			drops++
		}
	}
	label := s.Name
	switch {
	case drops == 1:
		label += "\n1 way to drop"
	case drops > 1:
		label += fmt.Sprintf("\n%d ways to drop", drops)
	}
	fmt.Fprintf(w, "\t%q [label=%q]\n", s.Name, label)
}

// starts draws where packets come from.
func (g *Graph) starts(w *bytes.Buffer) {
	fmt.Fprintf(w, "\t%q -> %q [label=\"Ethernet\"]\n", rx, g.Ether)
	fmt.Fprintf(w, "\t%q -> %q [label=\"IP\"]\n", rx, g.IP)
	fmt.Fprintf(w, "\t%q -> %q [label=%q style=dashed]\n", rx, stops(g.Input)[0], g.Input.Name)
}

// ways draws the arrows that leave the i-th node.
func (g *Graph) ways(w *bytes.Buffer, i int) {
	s := &g.Specs[i]
	reasons, order := map[string][]string{}, []string(nil)
	for _, to := range s.Arcs {
		if to == (graph.To{}) || to.Node == graph.Drop {
			continue
		}
		if reasons[to.Node] == nil {
			order = append(order, to.Node)
		}
		reasons[to.Node] = append(reasons[to.Node], to.Reason)
	}
	for _, to := range order {
		fmt.Fprintf(w, "\t%q -> %q [%s]\n", s.Name, to, g.look(i, to, reasons[to]))
	}
	if s.On != nil {
		g.along(w, s)
	}
	for _, end := range outputs {
		if end.node == s.Name {
			fmt.Fprintf(w, "\t%q -> %q\n", s.Name, end.device)
		}
	}
}

// look says how the arrow from the i-th node to another is drawn.
func (g *Graph) look(i int, to string, reasons []string) string {
	label := strings.Join(reasons, "\n")
	switch at := slices.IndexFunc(g.Specs, func(s graph.Spec) bool { return s.Name == to }); {
	case to == answers:
		return fmt.Sprintf("label=%q color=\"#b8bec4\" fontcolor=\"#8a9299\"", label)
	case at >= 0 && at <= i:
		return fmt.Sprintf("label=%q style=dotted constraint=false", label)
	}
	return fmt.Sprintf("label=%q", label)
}

// along draws where a feature arc leads from a node: to the next feature, and
// past those that an interface has not enabled to the end.
func (g *Graph) along(w *bytes.Buffer, s *graph.Spec) {
	all := stops(s.On)
	next := slices.Index(all, s.Name) + 1 // 0 for the node that starts the arc
	fmt.Fprintf(w, "\t%q -> %q [label=%q style=dashed]\n", s.Name, all[next], s.On.Name)
	if end := len(all) - 1; next < end {
		fmt.Fprintf(w, "\t%q -> %q [label=\"no features\"]\n", s.Name, all[end])
	}
}

// stops returns the nodes of a feature arc, its end included.
func stops(a *graph.FeatureArc) []string { return append(slices.Clone(a.Features), a.End) }
