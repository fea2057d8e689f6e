package server

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/control"
)

func (s *service) ListWorkers(ctx context.Context, _ *pb.ListWorkersRequest) (*pb.ListWorkersResponse, error) {
	all, err := s.control.Threads(ctx)
	if err != nil {
		return nil, err
	}
	m := &pb.ListWorkersResponse{}
	if limit, held := s.control.WakeLatency(); limit != nil {
		m.WakeLatency, m.WakeLatencyHeld = durationpb.New(*limit), held
	}
	for i := range all {
		m.Workers = append(m.Workers, workerMessage(i, &all[i]))
	}
	return m, nil
}

func workerMessage(worker int, t *control.Thread) *pb.Worker {
	m := &pb.Worker{Worker: uint32(worker), Thread: uint32(t.TID), Cpu: uint32(t.CPU), NumaNode: uint32(t.Node),
		Elapsed: durationpb.New(t.Since), Busy: durationpb.New(t.Load.BusyFor), Slept: durationpb.New(t.Load.Slept),
		RxPackets: t.Load.Packets, Handed: t.Load.Handed}
	if t.Pinned {
		m.Stays = &m.Cpu
	}
	for _, q := range t.Queues {
		m.Queues = append(m.Queues, &pb.Placement{Interface: q.Interface, Driver: q.Driver, Queue: uint32(q.Queue)})
	}
	return m
}

func (s *service) SetPlacement(ctx context.Context, r *pb.SetPlacementRequest) (*pb.SetPlacementResponse, error) {
	if err := s.control.PlaceQueue(ctx, r.Interface, int(r.Queue), int(r.Worker)); err != nil {
		return nil, err
	}
	return &pb.SetPlacementResponse{}, nil
}
