package cli

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
)

func (e *env) showGraphCmd() *cobra.Command {
	var dot bool
	cmd := &cobra.Command{
		Use:   "graph [--dot]",
		Short: "Nodes, their ways out, and how many packets took them",
		Args:  between(0, 0),
		RunE: ask(e, getGraph, func(w *bytes.Buffer, m *skeinpb.GetGraphResponse) {
			if dot {
				textDot(w, m)
			} else {
				textGraph(w, m)
			}
		}),
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().BoolVar(&dot, "dot", false, "draw it for Graphviz")
	return cmd
}

func getGraph(ctx context.Context, c *api.Client, _ []string) (*skeinpb.GetGraphResponse, error) {
	return c.GetGraph(ctx, &skeinpb.GetGraphRequest{})
}

// textGraph leaves out the ways to features that no packet took: each node on
// a feature arc has one to every feature.
func textGraph(w *bytes.Buffer, m *skeinpb.GetGraphResponse) {
	wide := widest(m.Nodes...)
	for _, n := range m.Nodes {
		fmt.Fprintf(w, "%s\n", n.Name)
		textArcs(w, n, wide, func(a *skeinpb.GraphArc) bool { return !a.Feature || a.Packets > 0 })
	}
	for _, a := range m.FeatureArcs {
		fmt.Fprintf(w, "\narc %s:\n", a.Name)
		for _, f := range a.Features {
			fmt.Fprintf(w, "  %s\n", f)
		}
		fmt.Fprintf(w, "  %s (end)\n", a.End)
	}
}

// widest returns the width of a column of reasons.
func widest(nodes ...*skeinpb.GraphNode) int {
	wide := 38 // of most
	for _, n := range nodes {
		for _, a := range n.Arcs {
			wide = max(wide, utf8.RuneCountInString(a.Reason))
		}
	}
	return wide
}

func textArcs(w *bytes.Buffer, n *skeinpb.GraphNode, wide int, wanted func(*skeinpb.GraphArc) bool) {
	for _, a := range n.Arcs {
		if wanted(a) {
			fmt.Fprintf(w, "  %-*s -> %-24s %12d\n", wide, a.Reason, a.Node, a.Packets)
		}
	}
}

// textDot draws the graph; the ways along feature arcs are dashed.
func textDot(w *bytes.Buffer, m *skeinpb.GetGraphResponse) {
	fmt.Fprintf(w, "digraph skein {\n\trankdir=LR\n\tnode [shape=box]\n")
	for _, n := range m.Nodes {
		if len(n.Arcs) == 0 {
			fmt.Fprintf(w, "\t%q\n", n.Name)
		}
		for _, to := range targets(n) {
			fmt.Fprintf(w, "\t%q -> %q", n.Name, to)
			if label := dotLabel(n, to); label != "" {
				fmt.Fprintf(w, " [label=%q]", label)
			}
			w.WriteByte('\n')
		}
	}
	for _, a := range m.FeatureArcs {
		stops := append(slices.Clone(a.Features), a.End)
		for _, n := range m.Nodes {
			if n.FeatureArc == a.Name && !slices.Contains(stops, n.Name) {
				fmt.Fprintf(w, "\t%q -> %q [label=%q style=dashed]\n", n.Name, stops[0], a.Name)
			}
		}
		for i := range a.Features {
			fmt.Fprintf(w, "\t%q -> %q [style=dashed]\n", stops[i], stops[i+1])
		}
	}
	fmt.Fprintf(w, "}\n")
}

// targets returns the nodes that a node's own arcs lead to, each once. Those of
// its feature arc are drawn once for all nodes.
func targets(n *skeinpb.GraphNode) (names []string) {
	for _, a := range n.Arcs {
		if !a.Feature && !slices.Contains(names, a.Node) {
			names = append(names, a.Node)
		}
	}
	return names
}

// dotLabel names the reasons to go from a node to another, and how many
// packets had them. Of several, those without a packet are left out: a line
// for each of ten ways to be malformed hides the graph.
func dotLabel(n *skeinpb.GraphNode, to string) string {
	var all, taken []string
	for _, a := range n.Arcs {
		if a.Feature || a.Node != to {
			continue
		}
		line := fmt.Sprintf("%s\n%d", a.Reason, a.Packets)
		all = append(all, line)
		if a.Packets > 0 {
			taken = append(taken, line)
		}
	}
	if len(all) == 1 {
		return all[0]
	}
	return strings.Join(taken, "\n")
}

func (e *env) showNodeCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "node <name>",
		Short:             "One node: where its packets come from and go to",
		Args:              between(1, 1),
		ValidArgsFunction: sequence(e.nodeNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.call(cmd, func(ctx context.Context, c *api.Client) error {
				m, err := getGraph(ctx, c, nil)
				if err != nil {
					return err
				}
				n := findNode(m, args[0])
				if n == nil {
					return fmt.Errorf("no node %q: see show graph", args[0])
				}
				return e.print(proto.Message(n), func(w *bytes.Buffer) { textNode(w, n, m) })
			})
		},
	}
}

func findNode(m *skeinpb.GetGraphResponse, name string) *skeinpb.GraphNode {
	for _, n := range m.Nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

func textNode(w *bytes.Buffer, n *skeinpb.GraphNode, m *skeinpb.GetGraphResponse) {
	fmt.Fprintf(w, "node %s\n  next nodes:\n", n.Name)
	textIndented(w, func(w *bytes.Buffer) { textArcs(w, n, widest(n), func(*skeinpb.GraphArc) bool { return true }) })
	fmt.Fprintf(w, "  known previous nodes: %s\n", or(strings.Join(previous(n.Name, m), ", "), "none"))
	for _, a := range m.FeatureArcs {
		if i := slices.Index(a.Features, n.Name); i >= 0 {
			fmt.Fprintf(w, "  feature %d of %d on arc %s\n", i+1, len(a.Features), a.Name)
		}
	}
}

func textIndented(w *bytes.Buffer, text func(*bytes.Buffer)) {
	var inner bytes.Buffer
	text(&inner)
	for line := range strings.Lines(inner.String()) {
		w.WriteString("  " + line)
	}
}

// previous returns the nodes with a way to the one named.
func previous(name string, m *skeinpb.GetGraphResponse) []string {
	var names []string
	for _, n := range m.Nodes {
		if slices.ContainsFunc(n.Arcs, func(a *skeinpb.GraphArc) bool { return a.Node == name }) {
			names = append(names, n.Name)
		}
	}
	return names
}
