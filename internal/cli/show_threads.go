package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
)

func (e *env) showThreadsCmd() *cobra.Command {
	cmd := e.workers("threads", "The workers: where they run, and how busy they are", textThreads)
	cmd.Aliases = []string{"workers"}
	return cmd
}

// workers makes a command that shows some side of the workers.
func (e *env) workers(use, short string, text func(*bytes.Buffer, *skeinpb.ListWorkersResponse)) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  between(0, 0),
		RunE: ask(e, func(ctx context.Context, c *api.Client, _ []string) (*skeinpb.ListWorkersResponse, error) {
			return c.ListWorkers(ctx, &skeinpb.ListWorkersRequest{})
		}, text),
	}
}

func textThreads(w *bytes.Buffer, m *skeinpb.ListWorkersResponse) {
	var rows [][]string
	for _, t := range m.Workers {
		share := func(d *durationpb.Duration) string {
			if t.Elapsed.AsDuration() <= 0 {
				return "-"
			}
			return fmt.Sprintf("%.1f %%", 100*d.AsDuration().Seconds()/t.Elapsed.AsDuration().Seconds())
		}
		stays := "any"
		if t.Stays != nil {
			stays = num(*t.Stays)
		}
		rows = append(rows, []string{num(t.Worker), num(t.Thread), num(t.Cpu), stays, num(t.NumaNode), num(uint32(len(t.Queues))),
			share(t.Busy), share(t.Slept), num(t.RxPackets), num(t.Handed)})
	}
	table(w, 0, []column{{"ID", 2, true}, {"LWP", 7, true}, {"CPU", 4, true}, {"Stays on", 0, true}, {"Node", 0, true}, {"Queues", 0, true},
		{"Busy", 7, true}, {"Asleep", 7, true}, {"Packets", 14, true}, {"Handed over", 14, true}}, rows)
	if m.WakeLatency != nil {
		when := "once there are packets"
		if m.WakeLatencyHeld {
			when = "now"
		}
		fmt.Fprintf(w, "CPUs wake within %v %s\n", m.WakeLatency.AsDuration(), when)
	}
}

// textPlacement writes which worker serves which queue, as VPP does.
func textPlacement(w *bytes.Buffer, m *skeinpb.ListWorkersResponse) {
	for _, t := range m.Workers {
		fmt.Fprintf(w, "Worker %d:\n", t.Worker)
		queues := slices.Clone(t.Queues)
		slices.SortStableFunc(queues, func(a, b *skeinpb.Placement) int { return bytes.Compare([]byte(a.Driver), []byte(b.Driver)) })
		driver := ""
		for _, q := range queues {
			if q.Driver != driver {
				driver = q.Driver
				fmt.Fprintf(w, "  %s:\n", driver)
			}
			fmt.Fprintf(w, "    %s queue %d\n", q.Interface, q.Queue)
		}
	}
}

func (e *env) setPlacementCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "rx-placement <interface> [queue <n>] worker <n>",
		Short:             "Have a worker receive from a queue; the first one if none is named",
		Args:              between(3, 5),
		ValidArgsFunction: cycle([]arg{e.interfaceNames}, oneOf("queue", "worker"), nothing),
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := parsePlacement(args)
			if err != nil {
				return usagef("%s: %w", path(cmd), err)
			}
			return e.change(cmd, func(ctx context.Context, c *api.Client) (message, error) { return c.SetPlacement(ctx, req) })
		},
	}
}

func parsePlacement(args []string) (*skeinpb.SetPlacementRequest, error) {
	req, named := &skeinpb.SetPlacementRequest{Interface: args[0]}, false
	err := pairs(args[1:], pair{word: "queue", set: number(&req.Queue, 0)}, pair{word: "worker", set: func(s string) error {
		named = true
		return number(&req.Worker, 0)(s)
	}})
	if err == nil && !named {
		err = errors.New("worker missing")
	}
	return req, err
}
