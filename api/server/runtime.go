package server

import (
	"context"
	"slices"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/control"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/nodes"
)

func (s *service) GetRuntime(ctx context.Context, _ *pb.GetRuntimeRequest) (*pb.GetRuntimeResponse, error) {
	all, err := s.control.Runtime(ctx)
	if err != nil {
		return nil, err
	}
	m := &pb.GetRuntimeResponse{}
	for i := range all {
		m.Workers = append(m.Workers, workerRuntime(i, &all[i]))
	}
	return m, nil
}

func workerRuntime(worker int, r *control.Runtime) *pb.WorkerRuntime {
	m := &pb.WorkerRuntime{Worker: uint32(worker), Elapsed: durationpb.New(r.Elapsed), Busy: durationpb.New(r.Load.BusyFor), Slept: durationpb.New(r.Load.Slept),
		Loops: r.Load.Rounds, BusyLoops: r.Load.Busy, RxPackets: r.Load.Packets, Drops: died(r.Nodes)}
	for _, n := range r.Nodes {
		m.Nodes = append(m.Nodes, &pb.NodeRuntime{Name: n.Name, Calls: n.Calls, Packets: n.Packets, ClocksPerPacket: n.Clocks})
		switch n.Name {
		case nodes.TapOutput.Name:
			m.Punts += sent(n)
			m.TxPackets += sent(n)
		case nodes.UplinkOutput.Name, nodes.TunOutput.Name:
			m.TxPackets += sent(n)
		}
	}
	return m
}

// sent returns how many packets an output node has handed to devices.
func sent(n graph.NodeStats) uint64 {
	packets := n.Packets
	for _, a := range n.Arcs {
		packets -= a.Count
	}
	return packets
}

// died returns how many packets have ended with a reason. An answer to a
// sender may die as well; its packet was counted where it was answered.
func died(all []graph.NodeStats) (n uint64) {
	for _, st := range all {
		if answers(all, st.Name) {
			continue
		}
		for _, a := range st.Arcs {
			if a.Drop {
				n += a.Count
			}
		}
	}
	return n
}

// answers reports whether a node turns packets that died into answers.
func answers(all []graph.NodeStats, node string) bool {
	return node != graph.Drop && slices.ContainsFunc(all, func(st graph.NodeStats) bool {
		return slices.ContainsFunc(st.Arcs, func(a graph.ArcStats) bool { return a.Drop && a.Node == node })
	})
}

func (s *service) ClearCounters(ctx context.Context, r *pb.ClearCountersRequest) (*pb.ClearCountersResponse, error) {
	if !r.Interfaces && !r.Runtime && !r.Errors {
		return nil, invalid("nothing to clear is named: interfaces, runtime or errors")
	}
	if err := s.losses.clear(ctx, s.control, r); err != nil {
		return nil, err
	}
	return &pb.ClearCountersResponse{}, nil
}

func (s *service) GetGraph(ctx context.Context, _ *pb.GetGraphRequest) (*pb.GetGraphResponse, error) {
	all, err := s.control.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	m := &pb.GetGraphResponse{}
	for _, n := range all {
		m.Nodes = append(m.Nodes, graphNode(n))
	}
	for _, a := range nodes.FeatureArcs() {
		m.FeatureArcs = append(m.FeatureArcs, &pb.FeatureArc{Name: a.Name, Features: a.Features, End: a.End})
	}
	return m, nil
}

func graphNode(n graph.NodeStats) *pb.GraphNode {
	on := arcOf(n.Name)
	m := &pb.GraphNode{Name: n.Name}
	if on != nil {
		m.FeatureArc = on.Name
	}
	for _, a := range n.Arcs {
		if ownReason(a) && a.Count == 0 {
			continue // each node has these, and they are faults
		}
		m.Arcs = append(m.Arcs, &pb.GraphArc{Reason: a.Reason, Node: a.Node, Packets: a.Count, Drop: a.Drop,
			Feature: on != nil && (a.Reason == "feature "+a.Node || a.Reason == "end of "+on.Name)})
	}
	return m
}

// arcOf returns the feature arc that a node sends its packets along. The first
// one begins at the devices, where there is no node.
func arcOf(node string) *graph.FeatureArc {
	if node == nodes.DeviceInputArc.Name {
		return nodes.DeviceInputArc
	}
	for _, spec := range nodes.All() {
		if spec.Name == node {
			return spec.On
		}
	}
	return nil
}
