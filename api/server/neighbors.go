package server

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/control"
)

func (s *service) ListNeighbors(_ context.Context, r *pb.ListNeighborsRequest) (*pb.ListNeighborsResponse, error) {
	if r.Interface != "" {
		if err := s.exists(r.Interface); err != nil {
			return nil, err
		}
	}
	m := &pb.ListNeighborsResponse{}
	for _, n := range s.control.Neighbors() {
		if (r.Interface == "" || r.Interface == n.Interface) && wants(r.Family, n.IP) {
			m.Neighbors = append(m.Neighbors, neighborMessage(n))
		}
	}
	return m, nil
}

func (s *service) AddNeighbor(_ context.Context, r *pb.AddNeighborRequest) (*pb.AddNeighborResponse, error) {
	ip, err := address(r.Ip)
	if err != nil {
		return nil, err
	}
	mac, err := linkAddress(r.Mac)
	if err != nil {
		return nil, err
	}
	if err := s.control.AddNeighbor(r.Interface, ip, mac); err != nil {
		return nil, err
	}
	return &pb.AddNeighborResponse{}, nil
}

func (s *service) DeleteNeighbor(_ context.Context, r *pb.DeleteNeighborRequest) (*pb.DeleteNeighborResponse, error) {
	ip, err := address(r.Ip)
	if err != nil {
		return nil, err
	}
	if err := s.control.DelNeighbor(r.Interface, ip); err != nil {
		return nil, err
	}
	return &pb.DeleteNeighborResponse{}, nil
}

var neighborStates = map[control.NeighborState]pb.NeighborState{
	control.Incomplete: pb.NeighborState_NEIGHBOR_STATE_INCOMPLETE,
	control.Reachable:  pb.NeighborState_NEIGHBOR_STATE_REACHABLE,
	control.Stale:      pb.NeighborState_NEIGHBOR_STATE_STALE,
	control.Failed:     pb.NeighborState_NEIGHBOR_STATE_FAILED,
}

// neighborMessage leaves out what is not known: a link address that nobody has
// told, and the age of what nobody has confirmed.
func neighborMessage(n control.Neighbor) *pb.Neighbor {
	m := &pb.Neighbor{Ip: n.IP.String(), Interface: n.Interface, Static: n.Static, State: neighborStates[n.State]}
	if n.State == control.Reachable || n.State == control.Stale {
		m.Mac = macText(n.MAC)
		if !n.Static {
			m.Age = durationpb.New(n.Age)
		}
	}
	return m
}
