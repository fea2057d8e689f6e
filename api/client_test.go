package api

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/skein-dataplane/skein/api/skeinpb"
)

// server answers GetVersion with err, or never if hang is set.
type server struct {
	skeinpb.UnimplementedSkeinServer
	err  error
	hang bool
}

func (s *server) GetVersion(ctx context.Context, _ *skeinpb.GetVersionRequest) (*skeinpb.GetVersionResponse, error) {
	if s.hang { // the caller's deadline comes with the call: to answer then is to race with it
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	return &skeinpb.GetVersionResponse{Version: "v1"}, s.err
}

func (s *server) Ping(_ *skeinpb.PingRequest, out grpc.ServerStreamingServer[skeinpb.PingResponse]) error {
	if s.hang {
		<-out.Context().Done()
	}
	if err := out.Send(&skeinpb.PingResponse{Sequence: 1}); err != nil {
		return err
	}
	return s.err
}

// serve listens on a socket of the test's own.
func serve(t *testing.T, s *server) (socket string, stop func()) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "api.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	skeinpb.RegisterSkeinServer(g, s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = g.Serve(l) // says only that it was stopped
	}()
	stop = func() { g.Stop(); <-done }
	t.Cleanup(stop)
	return socket, stop
}

func dial(t *testing.T, socket string, timeout time.Duration) *Client {
	t.Helper()
	c, err := Dial(t.Context(), socket, timeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestCall(t *testing.T) {
	socket, _ := serve(t, &server{})
	got, err := dial(t, socket, 0).GetVersion(t.Context(), nil)
	if err != nil || got.Version != "v1" {
		t.Fatalf("GetVersion = %v, %v", got, err)
	}
}

func TestErrorsAreSentences(t *testing.T) {
	for _, tc := range []struct {
		code          codes.Code
		message, want string
	}{
		{codes.NotFound, `no interface "x"`, `no interface "x"`},
		{codes.InvalidArgument, "mtu 9: too small", "mtu 9: too small"},
		{codes.Internal, "netlink: EIO", "skeind failed: netlink: EIO"},
		{codes.Unimplemented, "unknown method", "skeind does not know this call: it is of another version (see show version)"},
	} {
		t.Run(tc.code.String(), func(t *testing.T) {
			socket, _ := serve(t, &server{err: status.Error(tc.code, tc.message)})
			c := dial(t, socket, 0)
			_, unary := c.GetVersion(t.Context(), nil)
			s, err := c.Ping(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Recv(); err != nil {
				t.Fatalf("first result: %v", err)
			}
			_, stream := s.Recv()
			for _, err := range []error{unary, stream} {
				if err == nil || err.Error() != tc.want || status.Code(err) != tc.code {
					t.Errorf("error %v (%v), want %q", err, status.Code(err), tc.want)
				}
			}
		})
	}
}

func TestEveryCallHasADeadline(t *testing.T) {
	socket, _ := serve(t, &server{hang: true})
	c := dial(t, socket, 50*time.Millisecond)
	start := time.Now()
	_, unary := c.GetVersion(context.Background(), nil)
	s, err := c.Ping(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, stream := s.Recv()
	for _, err := range []error{unary, stream} {
		if status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), socket) {
			t.Errorf("error %v, want one that names %s", err, socket)
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// ListRoutes sends parts that are each quick and together are not; the last one
// never comes if hang is set.
func (s *server) ListRoutes(_ *skeinpb.ListRoutesRequest, out grpc.ServerStreamingServer[skeinpb.ListRoutesResponse]) error {
	for range 10 {
		time.Sleep(150 * time.Millisecond)
		if err := out.Send(&skeinpb.ListRoutesResponse{}); err != nil {
			return err
		}
	}
	if s.hang {
		<-out.Context().Done()
	}
	return nil
}

// TestStreamMayBeLong checks that it is the wait for each part that counts.
func TestStreamMayBeLong(t *testing.T) {
	for _, hang := range []bool{false, true} {
		socket, _ := serve(t, &server{hang: hang})
		s, err := dial(t, socket, 1200*time.Millisecond).ListRoutes(t.Context(), nil)
		parts := 0
		for ; err == nil; parts++ {
			_, err = s.Recv()
		}
		if want := map[bool]codes.Code{false: codes.Unknown, true: codes.DeadlineExceeded}[hang]; parts != 11 || status.Code(err) != want {
			t.Errorf("hang %v: %d parts, then %v; want 10, and code %v", hang, parts-1, err, want)
		}
		if !hang && !errors.Is(err, io.EOF) {
			t.Errorf("%v, want the end of the stream", err)
		}
	}
}

func TestUnreachable(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	mute := filepath.Join(dir, "mute.sock")
	m, err := net.Listen("unix", mute)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, tc := range []struct {
		socket, want string
		wait         time.Duration // longer than it takes to be refused, however busy the machine is
	}{
		{filepath.Join(dir, "none.sock"), "no such socket", 10 * time.Second},
		{stale, "nobody listens", 10 * time.Second},
		{mute, "does not answer", 100 * time.Millisecond},
	} {
		_, err := Dial(t.Context(), tc.socket, tc.wait)
		var u *Unreachable
		if !errors.As(err, &u) || !strings.Contains(err.Error(), tc.socket) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("Dial(%s) = %v, want it to say %q", tc.socket, err, tc.want)
		}
	}
	if err := (&Unreachable{"s", os.ErrPermission}).Error(); !strings.Contains(err, "group") {
		t.Errorf("%q does not say what to do", err)
	}
}

// TestDaemonRestarts has the daemon go away under a client that stays.
func TestDaemonRestarts(t *testing.T) {
	socket, stop := serve(t, &server{})
	c := dial(t, socket, time.Second)
	stop()
	var u *Unreachable
	if _, err := c.GetVersion(t.Context(), nil); !errors.As(err, &u) {
		t.Fatalf("error %v, want Unreachable", err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	skeinpb.RegisterSkeinServer(g, &server{})
	go func() { _ = g.Serve(l) }() // says only that it was stopped
	t.Cleanup(g.Stop)
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err = c.GetVersion(t.Context(), nil); err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("still %v after the daemon is back", err)
		}
	}
}
