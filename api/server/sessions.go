package server

import (
	"context"
	"net/netip"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/control"
	"github.com/skein-dataplane/skein/session"
)

// sessionPart is how many sessions go into one part of an answer: some 200 KiB.
const sessionPart = 1000

func (s *service) ListSessions(r *pb.ListSessionsRequest, out grpc.ServerStreamingServer[pb.ListSessionsResponse]) error {
	f, err := flowFilter(r.Filter)
	if err != nil {
		return err
	}
	ctx, cancel := deadline(out.Context())
	defer cancel()
	limit := int(r.Limit)
	if r.CountOnly {
		limit = -1
	}
	all, st, err := s.control.Flows(ctx, f, limit)
	if err != nil {
		return err
	}
	m := &pb.ListSessionsResponse{}
	for i := range all {
		if m.Sessions = append(m.Sessions, sessionMessage(&all[i])); len(m.Sessions) == sessionPart {
			if err := out.Send(m); err != nil {
				return err
			}
			m = &pb.ListSessionsResponse{}
		}
	}
	m.Stats = sessionStats(&st)
	return out.Send(m)
}

func sessionStats(st *control.FlowStats) *pb.SessionStats {
	m := &pb.SessionStats{Capacity: uint64(st.Capacity), Sessions: uint64(st.Sessions), Matching: uint64(st.Matching),
		Inserted: st.Results[session.Inserted], Expired: st.Expired, Evicted: st.Evicted, Refused: map[string]uint64{}}
	for i, n := range st.Results {
		if r := session.Result(i); n > 0 && r != session.Inserted && r != session.Exists {
			m.Refused[r.String()] = n
		}
	}
	return m
}

func sessionMessage(f *control.Flow) *pb.Session {
	m := &pb.Session{Protocol: f.ProtoName(), Src: f.Src.String(), Dst: f.Dst.String(), State: f.Class.String(),
		Verdict: "to be judged", Rule: f.Rule, OpenedBy: f.OpenedBy, Idle: durationpb.New(f.Idle), Timeout: durationpb.New(f.Timeout),
		ForwardPackets: uint64(f.Counts.Packets[0]), ForwardBytes: f.Counts.Bytes[0],
		ReversePackets: uint64(f.Counts.Packets[1]), ReverseBytes: f.Counts.Bytes[1], Worker: uint32(f.Worker)}
	switch {
	case f.Judged:
		m.Verdict = "allow"
	case f.Denied:
		m.Verdict = "deny"
	}
	if f.Tunnel.IsValid() {
		m.Tunnel = f.Tunnel.String()
	}
	if f.OutSrc.IsValid() {
		m.TranslatedSrc = f.OutSrc.String()
	}
	if f.OutDst.IsValid() {
		m.TranslatedDst = f.OutDst.String()
	}
	return m
}

func (s *service) ClearSessions(ctx context.Context, r *pb.ClearSessionsRequest) (*pb.ClearSessionsResponse, error) {
	f, err := flowFilter(r.Filter)
	if err != nil {
		return nil, err
	}
	n, err := s.control.ClearFlows(ctx, f)
	if err != nil {
		return nil, err
	}
	return &pb.ClearSessionsResponse{Cleared: uint64(n)}, nil
}

// flowFilter reads a message, which may be nil.
func flowFilter(m *pb.SessionFilter) (f control.FlowFilter, err error) {
	if m.GetPort() > 65535 {
		return f, invalid("%d is not a port", m.GetPort())
	}
	f.Port, f.Endpoint = uint16(m.GetPort()), m.GetEndpoint()
	if name := m.GetProtocol(); name != "" {
		if f.Proto, err = control.ParseProto(name); err != nil {
			return f, err
		}
	}
	for _, x := range []struct {
		text string
		to   *netip.Prefix
	}{{m.GetSrc(), &f.Src}, {m.GetDst(), &f.Dst}} {
		if x.text == "" {
			continue
		}
		if *x.to, err = addrOrPrefix(x.text); err != nil {
			return f, err
		}
	}
	return f, nil
}

// addrOrPrefix reads an address as the prefix of itself alone.
func addrOrPrefix(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return prefix(text)
}
