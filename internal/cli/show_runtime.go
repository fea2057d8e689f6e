package cli

import (
	"bytes"
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
)

func (e *env) showRuntimeCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "runtime",
		Short: "Load of the workers, and cost of each node",
		Args:  between(0, 0),
		RunE: ask(e, func(ctx context.Context, c *api.Client, _ []string) (*skeinpb.GetRuntimeResponse, error) {
			return c.GetRuntime(ctx, &skeinpb.GetRuntimeRequest{})
		}, textRuntime),
	}
}

func textRuntime(w *bytes.Buffer, m *skeinpb.GetRuntimeResponse) {
	for i, r := range m.Workers {
		if i > 0 {
			w.WriteByte('\n')
		}
		textWorker(w, r)
	}
}

// textWorker leaves out the nodes that were never called: they are dozens, and
// say nothing.
func textWorker(w *bytes.Buffer, r *skeinpb.WorkerRuntime) {
	sec := r.Elapsed.AsDuration().Seconds()
	rate := func(n uint64) float64 {
		if sec <= 0 {
			return 0
		}
		return float64(n) / sec
	}
	share := func(d *durationpb.Duration) float64 {
		if sec <= 0 {
			return 0
		}
		return 100 * d.AsDuration().Seconds() / sec
	}
	fmt.Fprintf(w, "Worker %d: time %.1f s, busy %.1f %%, asleep %.1f %%, vector rate %s, loops/sec %.2f\n",
		r.Worker, sec, share(r.Busy), share(r.Slept), ratio(r.RxPackets, r.BusyLoops), rate(r.Loops))
	fmt.Fprintf(w, "  packets/sec in %.1f, out %.1f, drop %.1f, punt %.1f\n",
		rate(r.RxPackets), rate(r.TxPackets), rate(r.Drops), rate(r.Punts))
	var rows [][]string
	for _, n := range r.Nodes {
		if n.Calls == 0 {
			continue
		}
		clocks := "-"
		if n.ClocksPerPacket > 0 {
			clocks = fmt.Sprintf("%.1f", n.ClocksPerPacket)
		}
		rows = append(rows, []string{n.Name, num(n.Calls), num(n.Packets), clocks, ratio(n.Packets, n.Calls)})
	}
	table(w, 0, []column{{"Name", 24, false}, {"Calls", 14, true}, {"Packets", 16, true},
		{"Packet-Clocks", 0, true}, {"Packets/Call", 0, true}}, rows)
}
