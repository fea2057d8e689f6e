package control_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control"
	"github.com/skein-dataplane/skein/fib"
	"github.com/skein-dataplane/skein/internal/lab"
)

// life runs a Control while f uses it.
func life(t *testing.T, cfg configs.Config, f func(*control.Control)) {
	t.Helper()
	c, err := control.New(cfg, zap.NewNop())
	lab.Need(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- c.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
		f(c)
	case err := <-ended:
		t.Fatal(err)
	case <-time.After(10 * time.Second):
		t.Fatal("not ready")
	}
	stop()
	lab.Need(t, <-ended)
}

func route(line string) func(func(string) (uint32, bool)) (fib.Route, error) {
	return func(index func(string) (uint32, bool)) (fib.Route, error) { return fib.ParseRoute(line, index) }
}

// What the API was asked for is there again after a restart, and what was
// deleted is not.
func TestRemembers(t *testing.T) {
	l := lab.ForTest(t)
	pod, gone := l.Add(t, "pod"), l.Add(t, "gone")
	cfg := configs.Default()
	cfg.RunDir = t.TempDir()
	down, dst := false, netip.MustParsePrefix("192.0.2.0/24")
	life(t, cfg, func(c *control.Control) {
		for name, n := range map[string]*lab.Namespace{"a": pod, "b": gone} {
			addr := map[string]string{"a": "10.244.0.2/32", "b": "10.244.0.3/32"}[name]
			_, err := c.CreateTun(t.Context(), configs.Pod{Name: name, NetNS: n.Path(), Addresses: []string{addr}})
			lab.Need(t, err)
		}
		lab.Need(t, c.AddRoute(false, route("192.0.2.0/24 dev a")))
		lab.Need(t, c.AddRoute(false, route("198.51.100.0/24 dev a")))
		lab.Need(t, c.DelRoute(netip.MustParsePrefix("198.51.100.0/24"), func(fib.Route, func(uint32) string) bool { return true }))
		lab.Need(t, c.AddRoute(false, route("203.0.113.0/24 dev b")))
		lab.Need(t, c.Change("a", control.Change{Up: &down, Add: []netip.Prefix{netip.MustParsePrefix("10.9.0.1/24")}}))
		lab.Need(t, c.DeleteInterface(t.Context(), "b"))
	})
	if links, err := gone.Links(); err != nil || len(links) > 0 {
		t.Errorf("a deleted TUN is left: %v, %v", links, err)
	}
	for range 2 {
		life(t, cfg, func(c *control.Control) {
			all, err := c.Interfaces(t.Context())
			lab.Need(t, err)
			if len(all) != 1 || all[0].Name != "a" || all[0].Up || len(all[0].Addrs) != 1 {
				t.Errorf("interfaces after a restart: %+v", all)
			}
			if got := c.RoutesTo(dst); len(got) != 1 || got[0].Route.Source != fib.SourceAPI {
				t.Errorf("routes after a restart: %+v", got)
			}
			for _, none := range []string{"198.51.100.0/24", "203.0.113.0/24"} {
				if got := c.RoutesTo(netip.MustParsePrefix(none)); len(got) != 0 {
					t.Errorf("%s is there again: %+v", none, got)
				}
			}
		})
	}
	names, err := control.RemovePods(cfg.RunDir)
	lab.Need(t, err)
	if links, err := pod.Links(); err != nil || len(links) > 0 || len(names) != 1 {
		t.Errorf("removed %v; left %v, %v", names, links, err)
	}
	life(t, cfg, func(c *control.Control) {
		if got := c.RoutesTo(dst); len(got) != 0 {
			t.Errorf("not forgotten: %+v", got)
		}
	})
}

// A store that is damaged is an error, and touches nothing.
func TestDamagedStore(t *testing.T) {
	cfg := configs.Default()
	cfg.RunDir = t.TempDir()
	lab.Need(t, os.WriteFile(filepath.Join(cfg.RunDir, "state.db"), []byte("not a store"), 0o600))
	c, err := control.New(cfg, zap.NewNop())
	lab.Need(t, err)
	if err := c.Run(t.Context(), func() {}); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("started with it: %v", err)
	}
}
