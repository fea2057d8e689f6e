package server

import (
	"context"
	"os"
	"path"
	"runtime"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/control"
	"github.com/skein-dataplane/skein/internal/version"
)

// longest bounds a call whose client has set no deadline.
const longest = 10 * time.Second

// service is the contract over a Control.
type service struct {
	pb.UnimplementedSkeinServer
	control    *control.Control
	configPath string
	losses     ledger
}

// bounded gives every call a deadline, and its error a gRPC code.
func bounded(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	ctx, cancel := deadline(ctx)
	defer cancel()
	reply, err := handle(ctx, req)
	if err != nil {
		return nil, explain(err)
	}
	return reply, nil
}

// ready has calls that change something wait for a daemon that starts: until
// then nothing can be remembered, and what was there before is not there again.
func (s *service) ready(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	verb := path.Base(info.FullMethod)
	for _, changes := range []string{"Set", "Create", "Delete", "Apply", "AddRoute", "AddNeighbor"} {
		if strings.HasPrefix(verb, changes) {
			if err := s.control.AwaitReady(ctx); err != nil {
				return nil, err
			}
		}
	}
	return handle(ctx, req)
}

// explained gives the errors of streams a gRPC code. Streams bound themselves:
// a ping may take its time.
func explained(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	return explain(handle(srv, s))
}

func deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, longest)
}

func (s *service) GetVersion(context.Context, *pb.GetVersionRequest) (*pb.GetVersionResponse, error) {
	return &pb.GetVersionResponse{Version: version.Version, Commit: version.Commit(), GoVersion: runtime.Version(),
		Pid: uint32(os.Getpid()), Uptime: durationpb.New(s.control.Uptime()), ConfigPath: s.configPath}, nil
}

func (s *service) GetBuffers(ctx context.Context, _ *pb.GetBuffersRequest) (*pb.GetBuffersResponse, error) {
	all, err := s.control.Buffers(ctx)
	if err != nil {
		return nil, err
	}
	small, large := &pb.BufferPool{Name: "small", FrameSize: buf.SmallStride}, &pb.BufferPool{Name: "large", FrameSize: buf.LargeStride}
	for _, st := range all {
		addPool(small, st.Small, st.SmallFree, st.Misses)
		addPool(large, st.Large, st.LargeFree, st.LargeMisses)
	}
	return &pb.GetBuffersResponse{Pools: []*pb.BufferPool{small, large}}, nil
}

// addPool adds a worker's buffers of one size. What crosses to another one while
// they are asked, one after the other, may be counted twice.
func addPool(m *pb.BufferPool, total, free int, misses uint64) {
	m.Total += uint64(total)
	m.Free += uint64(free)
	m.Used = m.Total - min(m.Free, m.Total)
	m.Misses += misses
	m.WorkerFree = append(m.WorkerFree, uint64(free))
}
