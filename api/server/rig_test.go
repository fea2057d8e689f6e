package server

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control"
)

// config is one that needs no root: no uplink, no pod.
func config(t testing.TB) configs.Config {
	dir, err := os.MkdirTemp("", "skein") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg := configs.Default()
	cfg.RunDir, cfg.API.Socket = dir, filepath.Join(dir, "api.sock")
	cfg.Buffers = configs.Buffers{Small: 1024, Large: 64}
	cfg.Routes = []string{"blackhole 203.0.113.0/24"}
	return cfg
}

// newControl returns a Control that does not run yet.
func newControl(t testing.TB, cfg configs.Config) *control.Control {
	t.Helper()
	c, err := control.New(cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// running runs c until the test ends.
func running(t testing.TB, c *control.Control) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done, ready := make(chan error, 1), make(chan struct{})
	go func() { done <- c.Run(ctx, func() { close(ready) }) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	select {
	case <-ready:
	case <-time.After(10 * time.Second):
		t.Fatal("the data plane does not come up")
	}
}

// serve answers at the socket of cfg until the test ends.
func serve(t testing.TB, cfg configs.Config, c *control.Control) *Server {
	t.Helper()
	s, err := Listen(cfg.API, c, "/etc/skein/test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

func dial(t testing.TB, cfg configs.Config) *api.Client {
	t.Helper()
	c, err := api.Dial(t.Context(), cfg.API.Socket, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// daemon is all of it: a client of a running daemon without interfaces.
func daemon(t testing.TB) (*api.Client, *control.Control) {
	t.Helper()
	cfg := config(t)
	c := newControl(t, cfg)
	running(t, c)
	serve(t, cfg, c)
	return dial(t, cfg), c
}

// refused checks the code and the sentence of an error.
func refused(t *testing.T, err error, code codes.Code, sentence string) {
	t.Helper()
	if status.Code(err) != code || err.Error() != sentence {
		t.Errorf("got %v: %v\nwant %v: %s", status.Code(err), err, code, sentence)
	}
}

func need[M any](t testing.TB) func(M, error) M {
	return func(m M, err error) M {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
}
