package server

import (
	"cmp"
	"context"
	"slices"
	"sync"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/control"
	"github.com/skein-dataplane/skein/graph"
)

// A loss is a reason that packets ended for, and how many.
type loss struct {
	lossKey
	severity pb.Severity
	count    uint64
}

// A lossKey tells losses apart. An interface's index keeps the losses of two
// that had the same name, one after the other, apart.
type lossKey struct {
	worker       int
	port         uint32 // 0: a node of the graph
	node, reason string
}

// A ledger lets the losses be cleared apart from the counters that they are
// read from: the nodes' are the runtime's as well, the interfaces' are shown
// with them, and the drivers' are never cleared.
type ledger struct {
	mu     sync.Mutex
	offset map[lossKey]uint64 // added to what is counted, modulo 2^64
}

func (s *service) GetErrors(ctx context.Context, r *pb.GetErrorsRequest) (*pb.GetErrorsResponse, error) {
	all, err := s.losses.read(ctx, s.control)
	if err != nil {
		return nil, err
	}
	m := &pb.GetErrorsResponse{}
	for _, l := range all {
		if l.count > 0 || r.All {
			m.Errors = append(m.Errors, &pb.ErrorCount{Count: l.count, Node: l.node, Reason: l.reason, Severity: l.severity, Worker: uint32(l.worker)})
		}
	}
	return m, nil
}

// read returns all losses since they were cleared, by node and reason.
func (g *ledger) read(ctx context.Context, c *control.Control) ([]loss, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	all, err := counted(ctx, c)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].count += g.offset[all[i].lossKey]
	}
	slices.SortStableFunc(all, func(a, b loss) int {
		return cmp.Or(cmp.Compare(a.node, b.node), cmp.Compare(a.reason, b.reason), cmp.Compare(a.worker, b.worker))
	})
	return all, nil
}

// clear clears the counters that are named, and leaves the losses as they are
// unless they are.
func (g *ledger) clear(ctx context.Context, c *control.Control, r *pb.ClearCountersRequest) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.offset == nil {
		g.offset = map[lossKey]uint64{}
	}
	if r.Runtime {
		was, err := c.ClearNodes(ctx)
		if err != nil {
			return err
		}
		for worker, all := range was {
			g.keep(nodeLosses(worker, all))
		}
	}
	if r.Interfaces {
		was, err := c.ClearPorts(ctx)
		if err != nil {
			return err
		}
		for worker, ports := range was {
			for i, st := range ports {
				g.keep([]loss{fullLoss(worker, i, c.Name(i), st)})
			}
		}
	}
	if !r.Errors {
		return nil
	}
	all, err := counted(ctx, c)
	if err != nil {
		return err
	}
	clear(g.offset) // also of interfaces that have gone
	for _, l := range all {
		g.offset[l.lossKey] = -l.count
	}
	return nil
}

// keep remembers losses whose counters were set to zero.
func (g *ledger) keep(all []loss) {
	for _, l := range all {
		g.offset[l.lossKey] += l.count
	}
}

// counted returns the losses as the counters have them.
func counted(ctx context.Context, c *control.Control) (all []loss, err error) {
	workers, err := c.Runtime(ctx)
	if err != nil {
		return nil, err
	}
	ports, err := c.WorkerPorts(ctx)
	if err != nil {
		return nil, err
	}
	for worker, r := range workers {
		all = append(all, nodeLosses(worker, r.Nodes)...)
		for i, st := range ports[worker] {
			if name := c.Name(i); name != "" { // else it is going
				all = append(all, fullLoss(worker, i, name, st))
				all = append(all, driverLosses(worker, i, name, st)...)
			}
		}
	}
	return all, nil
}

func nodeLosses(worker int, all []graph.NodeStats) (out []loss) {
	for _, n := range all {
		for _, a := range n.Arcs {
			if a.Drop {
				out = append(out, loss{lossKey{worker, 0, n.Name, a.Reason}, severity(a), a.Count})
			}
		}
	}
	return out
}

// severity is how much somebody should care. A sender that is told can help
// itself; what the graph itself drops is a fault of the graph.
func severity(a graph.ArcStats) pb.Severity {
	switch {
	case a.Node != graph.Drop:
		return pb.Severity_SEVERITY_INFO
	case ownReason(a):
		return pb.Severity_SEVERITY_ERROR
	}
	return pb.Severity_SEVERITY_WARNING
}

// ownReason reports whether the graph itself, and no node, drops on an arc.
func ownReason(a graph.ArcStats) bool {
	return a.Drop && (a.Reason == "undecided" || a.Reason == "too many passes")
}

// fullLoss is what was to be sent and found no room.
func fullLoss(worker int, i uint32, name string, st graph.PortStats) loss {
	return loss{lossKey{worker, i, name + "-tx", "device has no room"}, pb.Severity_SEVERITY_ERROR, st.TxFull}
}

// driverLosses are what has ended outside the graph.
func driverLosses(worker int, i uint32, name string, st graph.PortStats) []loss {
	sum := queueSum(st.Queues)
	of := func(reason string, n uint64) loss {
		return loss{lossKey{worker, i, name, reason}, pb.Severity_SEVERITY_ERROR, n}
	}
	wanted := func(reason string, n uint64) loss { // as the nodes of that name drop
		return loss{lossKey{worker, i, name, reason}, pb.Severity_SEVERITY_WARNING, n}
	}
	return []loss{
		of("packet could not be received whole", sum.RxErrors),
		of("kernel dropped before reception", sum.RxDropped),
		of("no free buffer to receive into", sum.RxNoBufs),
		of("kernel refused to send", sum.TxErrors),
		wanted("source is on the deny list (XDP)", sum.RxDenied),
		wanted("receive rate limit exceeded (XDP)", sum.RxLimited),
	}
}
