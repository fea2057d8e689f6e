package tour_test

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// backIn is the time within which the host has its network again, whatever
// has happened.
const backIn = time.Second

var remote = netip.MustParseAddr(lab.RemoteAddr)

// talks starts a connection from the host and one from a pod, which have to
// live until the test ends.
func talks(t *testing.T, ctx context.Context, tr *tour.Tour, from ...*lab.Namespace) {
	t.Helper()
	for _, n := range from {
		talk, err := lab.StartTalk(ctx, n, tr.Remote, remote)
		lab.Need(t, err)
		t.Cleanup(func() {
			if err := talk.Stop(); err != nil {
				t.Errorf("the connection of %s: %v", n.Name(), err)
			}
		})
	}
}

func pulse(t *testing.T, from *lab.Namespace, tr *tour.Tour) *lab.Pulse {
	t.Helper()
	p, err := lab.StartPulse(from, tr.Remote, remote, time.Millisecond)
	lab.Need(t, err)
	t.Cleanup(p.Stop)
	return p
}

// The life of a node: its data plane is replaced twice, stopped, started again
// and killed. Connections of the host and of a pod live through all of it but
// the last, which the pod's does not have to.
func TestLife(t *testing.T) {
	for _, driver := range []string{"af_packet", "af_xdp"} {
		t.Run(driver, func(t *testing.T) {
			tr := newTour(t, tour.Options{Driver: driver})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			before := hostView(t, ctx, tr.Node)
			talks(t, ctx, tr, tr.Node)
			host := pulse(t, tr.Node, tr)
			lab.Need(t, tr.Start(ctx))
			talks(t, ctx, tr, tr.PodA)
			first, err := tr.DataPlane()
			lab.Need(t, err)
			for range 2 {
				host.Settle(5 * time.Second)
				host.Reset()
				lab.Need(t, tr.Upgrade(ctx))
				host.Settle(5 * time.Second)
				if d := host.Longest(); d > backIn {
					t.Errorf("replaced: nothing passed for %v", d)
				} else {
					t.Logf("replaced: nothing passed for %v", d.Round(time.Millisecond))
				}
			}
			if next, err := tr.DataPlane(); err != nil || next == first {
				t.Errorf("the data plane was %d and is %d, %v", first, next, err)
			}
			lab.Need(t, tr.Stop(ctx))
			if after := hostView(t, ctx, tr.Node); after != before {
				t.Errorf("before:\n%s\nafter a stop:\n%s", before, after)
			}
			if links, err := tr.PodA.Links(); err != nil || len(links) != 1 {
				t.Errorf("the pod's interface has gone with the daemon: %v, %v", links, err)
			}
			if tr.PodA.Reaches(ctx, lab.RemoteAddr, lab.Ping{Timeout: 200 * time.Millisecond}) == nil {
				t.Error("a pod passes without a daemon")
			}
			lab.Need(t, tr.Start(ctx))
			lab.Need(t, tr.PodA.Reaches(ctx, lab.RemoteAddr, lab.Ping{Count: 3}))
			host.Settle(5 * time.Second)
			host.Reset()
			lab.Need(t, tr.Crash(ctx))
			host.Settle(5 * time.Second)
			if d := host.Longest(); d > backIn {
				t.Errorf("killed: nothing passed for %v", d)
			} else {
				t.Logf("killed: nothing passed for %v", d.Round(time.Millisecond))
			}
			if after := hostView(t, ctx, tr.Node); after != before {
				t.Errorf("before:\n%s\nafter a crash:\n%s", before, after)
			}
			lab.Need(t, tr.Start(ctx)) // for the pod's connection
		})
	}
}

// A supervisor that is killed does not leave the data plane alone: it stops,
// and gives the uplink back.
func TestSupervisorKilled(t *testing.T) {
	tr := newTour(t, tour.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	before := hostView(t, ctx, tr.Node)
	lab.Need(t, tr.Start(ctx))
	pid, err := tr.DataPlane()
	lab.Need(t, err)
	lab.Need(t, tr.Kill(ctx))
	for syscall.Kill(pid, 0) == nil {
		if ctx.Err() != nil {
			t.Fatal("the data plane lives on")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if after := hostView(t, ctx, tr.Node); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// One uplink, one daemon: another is refused, with the same run directory or
// one of its own, and disturbs nothing. Nor does a restore.
func TestSecondDaemon(t *testing.T) {
	tr := newTour(t, tour.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	lab.Need(t, tr.Start(ctx))
	host := pulse(t, tr.Node, tr)
	host.Settle(5 * time.Second)
	host.Reset()
	text, err := os.ReadFile(tr.Config)
	lab.Need(t, err)
	own := filepath.Join(t.TempDir(), "own.yaml")
	dir := filepath.Dir(own)
	lab.Need(t, os.WriteFile(own, []byte(strings.ReplaceAll(string(text), filepath.Dir(tr.Config), dir)), 0o600))
	for _, x := range []struct {
		want, config string
		args         []string
	}{
		{"runs already", tr.Config, nil},
		{"another skeind has it", own, nil},
		{"a daemon is running", tr.Config, []string{"restore"}},
	} {
		_, err := tr.Node.Exec(ctx, filepath.Join(bin, "skeind"), append(x.args, "--config", x.config)...)
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%v; want %q", err, x.want)
		}
	}
	host.Settle(5 * time.Second)
	if d := host.Longest(); d > backIn {
		t.Errorf("nothing passed for %v", d)
	}
}

// A dry run says what would be done, in the words of ip, and does nothing.
func TestDryRun(t *testing.T) {
	tr := newTour(t, tour.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	before := hostView(t, ctx, tr.Node)
	out, err := tr.Node.Exec(ctx, filepath.Join(bin, "skeind"), "takeover", "--dry-run", "--config", tr.Config)
	lab.Need(t, err)
	for _, want := range []string{"ok       driver af_packet", "- addr 10.0.0.21/24 dev enp0s3", "+ tap enp0s3 mac ", "+ route default via 10.0.0.254 dev enp0s3",
		"+ route 10.244.0.0/16 dev enp0s3 proto 115"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if after := hostView(t, ctx, tr.Node); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	_, err = tr.Node.Exec(ctx, "tc", "qdisc", "add", "dev", lab.Uplink, "clsact")
	lab.Need(t, err)
	out, err = tr.Node.Exec(ctx, filepath.Join(bin, "skeind"), "takeover", "--dry-run", "--config", tr.Config)
	if err == nil || !strings.Contains(string(out), "refused  traffic control") {
		t.Errorf("%v\n%s", err, out)
	}
}
