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
	m := &pb.GetBuffersResponse{}
	for i, st := range all {
		m.Pools = append(m.Pools, pool(i, "small", buf.SmallStride, st.Small, st.SmallFree, st.Misses),
			pool(i, "large", buf.LargeStride, st.Large, st.LargeFree, st.LargeMisses))
	}
	return m, nil
}

// pool describes a worker's buffers of one size. It may hold more than its share
// for a while: others' then.
func pool(worker int, name string, size, total, free int, misses uint64) *pb.BufferPool {
	return &pb.BufferPool{Name: name, Worker: uint32(worker), FrameSize: uint32(size), Total: uint64(total), Free: uint64(free),
		Used: uint64(max(0, total-free)), Misses: misses}
}
