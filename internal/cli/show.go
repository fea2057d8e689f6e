package cli

import (
	"bytes"
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
)

func (e *env) showCmd() *cobra.Command {
	return group("show", "Look at the daemon",
		e.showACLCmd(),
		e.showBuffersCmd(),
		e.showCNICmd(),
		e.showDenyCmd(),
		e.showDHCPCmd(),
		e.showErrorsCmd(),
		e.showGraphCmd(),
		e.showHardwareCmd(),
		e.showInterfaceCmd(),
		group("ip", "IPv4 routes and neighbors", e.showFIBCmd(skeinpb.Family_FAMILY_IP4), e.showNeighborsCmd(skeinpb.Family_FAMILY_IP4)),
		group("ip6", "IPv6 routes and neighbors", e.showFIBCmd(skeinpb.Family_FAMILY_IP6), e.showNeighborsCmd(skeinpb.Family_FAMILY_IP6)),
		e.showNATCmd(natFamilies()[0]),
		e.showNATCmd(natFamilies()[1]),
		e.showNodeCmd(),
		e.showPodsCmd(),
		e.showPolicyCmd(),
		e.showRuntimeCmd(),
		e.showServiceCmd(),
		e.showServicesCmd(),
		e.showSessionsCmd(),
		e.showThreadsCmd(),
		e.showTraceCmd(),
		e.showVersionCmd(),
	)
}

// ask makes the RunE of a command that makes one call and prints its answer.
func ask[M proto.Message](e *env, call func(context.Context, *api.Client, []string) (M, error), text func(*bytes.Buffer, M)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		return e.call(cmd, func(ctx context.Context, c *api.Client) error {
			m, err := call(ctx, c, args)
			if err != nil {
				return err
			}
			return e.print(m, func(w *bytes.Buffer) { text(w, m) })
		})
	}
}

func (e *env) showVersionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Version of the daemon",
		Args:  between(0, 0),
		RunE: ask(e, func(ctx context.Context, c *api.Client, _ []string) (*skeinpb.GetVersionResponse, error) {
			return c.GetVersion(ctx, &skeinpb.GetVersionRequest{})
		}, textVersion),
	}
}

func textVersion(w *bytes.Buffer, m *skeinpb.GetVersionResponse) {
	fmt.Fprintf(w, "skein %s (commit %s, %s)\n", m.Version, or(m.Commit, "unknown"), m.GoVersion)
	fmt.Fprintf(w, "  pid %d, up %s\n", m.Pid, span(m.Uptime))
	fmt.Fprintf(w, "  config %s\n", or(m.ConfigPath, "none"))
}

func (e *env) showBuffersCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "buffers",
		Short: "Memory for packets",
		Args:  between(0, 0),
		RunE: ask(e, func(ctx context.Context, c *api.Client, _ []string) (*skeinpb.GetBuffersResponse, error) {
			return c.GetBuffers(ctx, &skeinpb.GetBuffersRequest{})
		}, textBuffers),
	}
}

func textBuffers(w *bytes.Buffer, m *skeinpb.GetBuffersResponse) {
	columns := []column{{"Pool Name", 16, false}, {"Size", 6, true}, {"Total", 9, true},
		{"Free", 9, true}, {"Used", 9, true}, {"Misses", 9, true}}
	rows := make([][]string, len(m.Pools))
	for i, p := range m.Pools {
		rows[i] = []string{p.Name, num(p.FrameSize), num(p.Total), num(p.Free), num(p.Used), num(p.Misses)}
		for worker, n := range p.WorkerFree {
			if len(p.WorkerFree) == 1 { // the usual case: it has all of them
				break
			}
			if i == 0 {
				columns = append(columns, column{fmt.Sprintf("Free at %d", worker), 9, true})
			}
			rows[i] = append(rows[i], num(n))
		}
	}
	table(w, 0, columns, rows)
}

func (e *env) showErrorsCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "errors [all]",
		Short: "Why packets were dropped; all: reasons that never applied as well",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] != "all" {
				return usagef("show errors: unknown word %q. Usage: %s", args[0], usage(cmd))
			}
			return between(0, 1)(cmd, args)
		},
		ValidArgsFunction: sequence(oneOf("all")),
		RunE: ask(e, func(ctx context.Context, c *api.Client, args []string) (*skeinpb.GetErrorsResponse, error) {
			return c.GetErrors(ctx, &skeinpb.GetErrorsRequest{All: len(args) == 1})
		}, textErrors),
	}
}

func textErrors(w *bytes.Buffer, m *skeinpb.GetErrorsResponse) {
	rows := make([][]string, len(m.Errors))
	workers := false
	for i, c := range m.Errors {
		rows[i] = []string{num(c.Count), c.Node, c.Reason, enum(c.Severity, "SEVERITY_"), num(c.Worker)}
		workers = workers || c.Worker > 0
	}
	columns := []column{{"Count", 10, true}, {"Node", 24, false}, {"Reason", 32, false}, {"Severity", 8, false}, {"Worker", 0, true}}
	if !workers { // the usual case: one
		columns = columns[:4]
		for i := range rows {
			rows[i] = rows[i][:4]
		}
	}
	table(w, 0, columns, rows)
}
