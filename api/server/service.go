package server

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/control"
)

// longest bounds a call whose client has set no deadline.
const longest = 10 * time.Second

// service is the contract over a Control.
type service struct {
	skeinpb.UnimplementedSkeinServer
	control    *control.Control
	configPath string
}

// bounded gives every call a deadline, and makes its error one of gRPC.
func bounded(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, longest)
		defer cancel()
	}
	return handle(ctx, req)
}
