package cli

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
)

func (e *env) showTraceCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "trace [max <n>]",
		Short: "Ways of the packets traced",
		Args: func(_ *cobra.Command, args []string) error {
			_, err := traceMax(args)
			return err
		},
		ValidArgsFunction: sequence(oneOf("max")),
		RunE: ask(e, func(ctx context.Context, c *api.Client, args []string) (*skeinpb.GetTraceResponse, error) {
			n, err := traceMax(args)
			if err != nil {
				return nil, err
			}
			return c.GetTrace(ctx, &skeinpb.GetTraceRequest{Max: n})
		}, textTrace),
	}
}

func traceMax(args []string) (n uint32, err error) {
	if err = pairs(args, pair{word: "max", set: number(&n, 1)}); err != nil {
		return 0, usagef("show trace: %w", err)
	}
	return n, nil
}

func textTrace(w *bytes.Buffer, m *skeinpb.GetTraceResponse) {
	if len(m.Packets) == 0 {
		fmt.Fprintf(w, "No packets traced. Ask for some: trace add <node|interface> <n>\n")
	}
	for i, p := range m.Packets {
		if i == 0 || p.Worker != m.Packets[i-1].Worker {
			fmt.Fprintf(w, "------------------- Start of worker %d -------------------\n", p.Worker)
		}
		fmt.Fprintf(w, "Packet %d, received on %s\n\n", p.Id, or(p.Interface, "no interface"))
		for _, r := range p.Records {
			textRecord(w, p.Start.AsDuration(), r)
		}
		w.WriteByte('\n')
	}
	if m.Missed > 0 {
		fmt.Fprintf(w, "The trace is full: %d packets more were not recorded. Make room: clear trace\n", m.Missed)
	}
}

func textRecord(w *bytes.Buffer, start time.Duration, r *skeinpb.TraceRecord) {
	fmt.Fprintf(w, "%s: %s", clock(start+time.Duration(r.OffsetNs)), r.Node)
	switch {
	case r.Next == "" && r.Reason == "":
	case r.Next == "":
		fmt.Fprintf(w, " (%s)", r.Reason)
	case r.Reason == r.Next: // along a feature arc
		fmt.Fprintf(w, " -> %s", r.Next)
	default:
		fmt.Fprintf(w, " (%s) -> %s", r.Reason, r.Next)
	}
	w.WriteByte('\n')
	for _, line := range r.Details {
		fmt.Fprintf(w, "  %s\n", line)
	}
}

func (e *env) traceCmd() *cobra.Command {
	add := &cobra.Command{
		Use:               "add <node|interface> <n>",
		Short:             "Trace the next n packets that come to a node, or in by an interface",
		Args:              between(2, 2),
		ValidArgsFunction: sequence(either(e.nodeNames, e.interfaceNames)),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := &skeinpb.AddTraceRequest{}
			if err := number(&req.Count, 1)(args[1]); err != nil {
				return usagef("trace add: number of packets: %w", err)
			}
			return e.call(cmd, func(ctx context.Context, c *api.Client) error { return e.addTrace(ctx, c, args[0], req) })
		},
	}
	return group("trace", "Follow packets through the graph", add)
}

// addTrace asks for a trace at the node of that name, or else the interface.
func (e *env) addTrace(ctx context.Context, c *api.Client, at string, req *skeinpb.AddTraceRequest) error {
	g, err := c.GetGraph(ctx, &skeinpb.GetGraphRequest{})
	if err != nil {
		return err
	}
	req.At = &skeinpb.AddTraceRequest_Interface{Interface: at}
	if findNode(g, at) != nil {
		req.At = &skeinpb.AddTraceRequest_Node{Node: at}
	}
	m, err := c.AddTrace(ctx, req)
	if err != nil {
		return err
	}
	return e.done(m)
}
