package api

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/skein-dataplane/skein/api/skeinpb"
)

const (
	// DefaultSocket is where a daemon listens if nobody says otherwise. Its
	// mode is 0660: root and the socket's group may call.
	DefaultSocket = "/run/skein/api.sock"
	// DefaultTimeout bounds a call that has no deadline of its own.
	DefaultTimeout = 5 * time.Second
	// maxAnswer is the most bytes that one message may have. A full trace, the
	// largest, has some 5 MB; a table of routes comes in parts.
	maxAnswer = 64 << 20
)

// A Client calls one daemon. It is safe for use by several goroutines.
type Client struct {
	skeinpb.SkeinClient
	conn *grpc.ClientConn
}

// Dial connects to the daemon at socket, a path, and waits until it answers or
// ctx is done. A connection that breaks later is made anew by the next call.
//
// Where a context has no deadline, timeout is the longest wait for Dial, for a
// call, and for each message of a stream; 0 means DefaultTimeout. Errors are
// *Unreachable where no daemon was to be had, else *Error.
func Dial(ctx context.Context, socket string, timeout time.Duration) (*Client, error) {
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := bounded(ctx, timeout)
	defer cancel()
	t := &target{socket: socket, timeout: timeout}
	conn, err := grpc.NewClient("passthrough:///skein",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(t.dial),
		grpc.WithConnectParams(grpc.ConnectParams{
			// A daemon that restarts is back within a second.
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, MaxDelay: time.Second},
			MinConnectTimeout: timeout,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithUnaryInterceptor(t.unary),
		grpc.WithStreamInterceptor(t.open))
	if err != nil {
		return nil, &Unreachable{Socket: socket, Err: err}
	}
	if err := t.connect(ctx, conn); err != nil {
		_ = conn.Close() // never connected: nothing can be lost
		return nil, &Unreachable{Socket: socket, Err: err}
	}
	return &Client{skeinpb.NewSkeinClient(conn), conn}, nil
}

// Close ends the connection, and all calls on it.
func (c *Client) Close() error { return c.conn.Close() }

// A target is what a connection is to, and why it last failed.
type target struct {
	socket  string
	timeout time.Duration
	refused atomic.Pointer[error]
}

func (t *target) dial(ctx context.Context, _ string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", t.socket)
	if err != nil {
		t.refused.Store(&err)
		return nil, err
	}
	t.refused.Store(nil)
	return conn, nil
}

// why returns the reason that there is no connection.
func (t *target) why() error {
	if err := t.refused.Load(); err != nil {
		return *err
	}
	return errNoAnswer
}

// connect waits for conn to be ready, or for the first reason why not.
func (t *target) connect(ctx context.Context, conn *grpc.ClientConn) error {
	conn.Connect()
	for {
		switch s := conn.GetState(); s {
		case connectivity.Ready:
			return nil
		case connectivity.TransientFailure:
			return t.why()
		default:
			if !conn.WaitForStateChange(ctx, s) {
				return t.why()
			}
		}
	}
}

func (t *target) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	ctx, cancel := bounded(ctx, t.timeout)
	defer cancel()
	return t.explain(invoke(ctx, method, req, reply, cc, opts...))
}

func (t *target) open(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s := &stream{target: t}
	_, s.bounded = ctx.Deadline()
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	err := s.wait(func() (err error) {
		s.ClientStream, err = open(s.ctx, desc, cc, method, append(opts, grpc.OnFinish(s.cancel))...)
		return err
	})
	if err != nil {
		s.cancel(err)
		return nil, err
	}
	return s, nil
}

// A stream bounds the wait for each message, and explains errors.
type stream struct {
	grpc.ClientStream
	*target
	ctx     context.Context
	cancel  context.CancelCauseFunc
	bounded bool // ctx has a deadline of its own
}

func (s *stream) RecvMsg(m any) error {
	return s.wait(func() error { return s.ClientStream.RecvMsg(m) })
}

// wait does what waits for the daemon, and ends the stream if that takes too long.
func (s *stream) wait(do func() error) error {
	if !s.bounded {
		defer time.AfterFunc(s.timeout, func() { s.cancel(context.DeadlineExceeded) }).Stop()
	}
	err := s.explain(do())
	if status.Code(err) == codes.Canceled && errors.Is(context.Cause(s.ctx), context.DeadlineExceeded) {
		return s.silent()
	}
	return err
}

// bounded returns ctx with a deadline, its own if it has one.
func bounded(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}
