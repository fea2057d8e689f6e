package api

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"

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
// Dial itself and each call on the client, streams as a whole, are bounded by
// timeout where their context has no deadline; 0 means DefaultTimeout. Their
// errors are *Unreachable where no daemon was to be had, else *Error.
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
		grpc.WithStreamInterceptor(t.stream))
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
				return errNoAnswer
			}
		}
	}
}

func (t *target) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	ctx, cancel := bounded(ctx, t.timeout)
	defer cancel()
	return t.explain(invoke(ctx, method, req, reply, cc, opts...))
}

func (t *target) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	ctx, cancel := bounded(ctx, t.timeout)
	s, err := open(ctx, desc, cc, method, append(opts, grpc.OnFinish(func(error) { cancel() }))...)
	if err != nil {
		cancel()
		return nil, t.explain(err)
	}
	return explained{s, t}, nil
}

// An explained stream is one whose errors are.
type explained struct {
	grpc.ClientStream
	t *target
}

func (s explained) RecvMsg(m any) error { return s.t.explain(s.ClientStream.RecvMsg(m)) }

// bounded returns ctx with a deadline, its own if it has one.
func bounded(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}
