package tour_test

import (
	"bytes"
	"cmp"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// bin holds the programs, built as a user builds them.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "skein-bin-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		bin = dir
		if err := tour.Build(context.Background(), dir); err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

// newTour builds the topology and takes it down when the test ends.
func newTour(t *testing.T, opts tour.Options) *tour.Tour {
	t.Helper()
	lab.NeedRoot(t)
	opts.Daemon = cmp.Or(opts.Daemon, filepath.Join(bin, "skeind"))
	if n, err := strconv.Atoi(os.Getenv(envWorkers)); err == nil && opts.Workers == 0 {
		opts.Workers = n
	}
	tr, err := tour.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", tr.Log())
		}
	})
	return tr
}

// envWorkers runs all tours with so many workers.
const envWorkers = "SKEIN_TEST_WORKERS"

// hostView is what the host's own tools say of its uplink. Names and order of
// indices change with a move; everything else must not.
func hostView(t *testing.T, ctx context.Context, n *lab.Namespace) string {
	t.Helper()
	var all strings.Builder
	for _, args := range [][]string{
		{"-o", "addr", "show", "dev", lab.Uplink},
		{"-o", "link", "show", "dev", lab.Uplink},
		{"-4", "route", "show", "table", "all", "dev", lab.Uplink},
		{"-6", "route", "show", "table", "main", "dev", lab.Uplink},
	} {
		out, err := n.Exec(ctx, "ip", args...)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			if _, rest, ok := strings.Cut(line, ": "); ok && args[1] != "route" {
				line = rest // behind the index
			}
			all.WriteString(strings.ReplaceAll(line, " nodad", "") + "\n")
		}
	}
	return all.String()
}

// The main promise: everybody reaches everybody, over each driver, and
// a clean stop leaves the host as it was.
func TestWalk(t *testing.T) {
	for _, driver := range []string{"af_packet", "af_xdp"} {
		t.Run(driver, func(t *testing.T) {
			tr := newTour(t, tour.Options{Driver: driver, Bytes: 32 << 20})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			before := hostView(t, ctx, tr.Node)
			if err := tr.Start(ctx); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := tr.Walk(ctx, &out); err != nil {
				t.Errorf("%v\n%s", err, &out)
			}
			if err := tr.Stop(ctx); err != nil {
				t.Fatal(err)
			}
			if after := hostView(t, ctx, tr.Node); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			for _, f := range families {
				if err := tr.Node.Reaches(ctx, f.remote, lab.Ping{Count: 3}); err != nil {
					t.Errorf("the host after the stop: %v", err)
				}
			}
		})
	}
}

// A daemon that can't do what its configuration says leaves everything as it
// was and says why.
func TestRefuses(t *testing.T) {
	tr := newTour(t, tour.Options{Config: "routes: [10.9.0.0/16 via 10.0.0.1 dev nowhere]\n"})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	before := hostView(t, ctx, tr.Node)
	err := tr.Start(ctx)
	if err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Fatalf("started with a route over an interface that is not there: %v", err)
	}
	if after := hostView(t, ctx, tr.Node); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}
