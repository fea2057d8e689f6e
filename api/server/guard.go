package server

import (
	"context"
	"net/netip"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/configs"
)

func (s *service) ListDeny(context.Context, *pb.ListDenyRequest) (*pb.ListDenyResponse, error) {
	m := &pb.ListDenyResponse{}
	for _, d := range s.control.Denied() {
		source := "api"
		if d.Configured {
			source = "static"
		}
		m.Entries = append(m.Entries, &pb.DenyEntry{Prefix: d.Prefix.String(), Source: source})
	}
	return m, nil
}

func (s *service) AddDeny(_ context.Context, r *pb.AddDenyRequest) (*pb.AddDenyResponse, error) {
	return &pb.AddDenyResponse{}, changeDeny(r.Prefixes, s.control.Deny)
}

func (s *service) DeleteDeny(_ context.Context, r *pb.DeleteDenyRequest) (*pb.DeleteDenyResponse, error) {
	return &pb.DeleteDenyResponse{}, changeDeny(r.Prefixes, s.control.Undeny)
}

// changeDeny has all prefixes of a request changed, or none.
func changeDeny(texts []string, change func(...netip.Prefix) error) error {
	prefixes := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		p, err := prefix(text)
		if err != nil {
			return err
		}
		prefixes = append(prefixes, p)
	}
	return change(prefixes...)
}

// rateLimit reads a message. What is not there is left as it is.
func rateLimit(m *pb.RateLimit) *configs.RateLimit {
	if m == nil {
		return nil
	}
	return &configs.RateLimit{Packets: m.Packets, Bandwidth: m.Bandwidth, Burst: m.Burst}
}

func rateLimitMessage(r configs.RateLimit) *pb.RateLimit {
	if r == (configs.RateLimit{}) {
		return nil
	}
	return &pb.RateLimit{Packets: r.Packets, Bandwidth: r.Bandwidth, Burst: r.Burst}
}
