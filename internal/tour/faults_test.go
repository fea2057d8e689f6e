package tour_test

import (
	"context"
	"fmt"
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

// remotes are the remote host's addresses, of each family.
var remotes = []netip.Addr{netip.MustParseAddr(lab.RemoteAddr), netip.MustParseAddr(lab.RemoteAddr6)}

// talks starts a connection of each family to the remote host, which have to
// live until stop is called.
func talks(t *testing.T, ctx context.Context, from, to *lab.Namespace) (stop func()) {
	t.Helper()
	var all []*lab.Talk
	for _, addr := range remotes {
		talk, err := lab.StartTalk(ctx, from, to, addr)
		lab.Need(t, err)
		all = append(all, talk)
	}
	return func() {
		t.Helper()
		for i, talk := range all {
			if err := talk.Stop(); err != nil {
				t.Errorf("the connection of %s to %s: %v", from.Name(), remotes[i], err)
			}
		}
	}
}

// pulses are one of each family.
type pulses []*lab.Pulse

func pulse(t *testing.T, from, to *lab.Namespace) (all pulses) {
	t.Helper()
	for _, addr := range remotes {
		p, err := lab.StartPulse(from, to, addr, time.Millisecond)
		lab.Need(t, err)
		t.Cleanup(p.Stop)
		all = append(all, p)
	}
	return all
}

// during returns for how long nothing passes, by the family that suffers most,
// while something is done, and whether all of them pass afterwards.
func (all pulses) during(limit time.Duration, do func()) (longest time.Duration, passes bool) {
	for _, p := range all {
		p.Settle(limit)
	}
	for _, p := range all {
		p.Reset()
	}
	do()
	passes = true
	for _, p := range all {
		passes = p.Settle(limit) && passes
		longest = max(longest, p.Longest())
	}
	return longest, passes
}

// outage measures for how long nothing passes while something is done.
func (all pulses) outage(t *testing.T, what string, do func()) {
	t.Helper()
	d, passes := all.during(5*time.Second, do)
	if t.Logf("%s: nothing passed for %v", what, d.Round(time.Millisecond)); d > backIn || !passes {
		t.Errorf("%s: that is more than %v", what, backIn)
	}
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
			t.Cleanup(talks(t, ctx, tr.Node, tr.Remote))
			host := pulse(t, tr.Node, tr.Remote)
			lab.Need(t, tr.Start(ctx))
			t.Cleanup(talks(t, ctx, tr.PodA, tr.Remote))
			first, err := tr.DataPlane()
			lab.Need(t, err)
			for range 2 {
				host.outage(t, "replaced", func() { lab.Need(t, tr.Upgrade(ctx)) })
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
			for _, f := range families {
				if tr.PodA.Reaches(ctx, f.remote, lab.Ping{Timeout: 200 * time.Millisecond}) == nil {
					t.Errorf("a pod passes without a daemon by %s", f.name)
				}
			}
			lab.Need(t, tr.Start(ctx))
			for _, f := range families {
				lab.Need(t, tr.PodA.Reaches(ctx, f.remote, lab.Ping{Count: 3}))
			}
			host.outage(t, "killed", func() { lab.Need(t, tr.Crash(ctx)) })
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
	lab.Need(t, tr.KillSupervisor(ctx))
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

// A supervisor that is told to stop while it becomes of a new binary, which does
// not listen yet, dies of it. The data plane sees that, and gives the uplink
// back.
func TestStopWhileRenewed(t *testing.T) {
	tr := newTour(t, tour.Options{Driver: "af_packet", Daemon: filepath.Join(t.TempDir(), "skeind")})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	daemon := filepath.Join(bin, "skeind")
	lab.Need(t, os.Link(daemon, tr.Daemon()))
	before := hostView(t, ctx, tr.Node)
	lab.Need(t, tr.Start(ctx))
	// The new binary takes its time to listen, but for the data plane's.
	slow := fmt.Sprintf("#!/bin/sh\n[ \"$1\" = daemon ] || { echo it has begun >&2; exec sleep 10; }\nexec %s \"$@\"\n", daemon)
	lab.Need(t, os.WriteFile(tr.Daemon()+".new", []byte(slow), 0o755))
	lab.Need(t, os.Rename(tr.Daemon()+".new", tr.Daemon()))
	lab.Need(t, tr.Signal(syscall.SIGHUP))
	for !strings.Contains(tr.Log(), "it has begun") {
		if ctx.Err() != nil {
			t.Fatal("the supervisor is never renewed")
		}
		time.Sleep(5 * time.Millisecond)
	}
	pid, err := tr.DataPlane()
	lab.Need(t, err)
	if err := tr.Stop(ctx); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("stopped with %v", err)
	}
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
	text, err := os.ReadFile(tr.Config)
	lab.Need(t, err)
	own := filepath.Join(t.TempDir(), "own.yaml")
	dir := filepath.Dir(own)
	lab.Need(t, os.WriteFile(own, []byte(strings.ReplaceAll(string(text), filepath.Dir(tr.Config), dir)), 0o600))
	pulse(t, tr.Node, tr.Remote).outage(t, "others started", func() {
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
	})
}

// A dry run says what would be done, in the words of ip, and does nothing.
func TestDryRun(t *testing.T) {
	tr := newTour(t, tour.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	before := hostView(t, ctx, tr.Node)
	out, err := tr.Node.Exec(ctx, filepath.Join(bin, "skeind"), "takeover", "--dry-run", "--config", tr.Config)
	lab.Need(t, err)
	for _, want := range []string{"ok       driver af_packet", "- addr 10.0.0.21/24 dev enp0s3", "- addr 2001:db8::21/64 dev enp0s3", "+ tap enp0s3 mac ",
		"+ route default via 10.0.0.254 dev enp0s3", "+ route default via 2001:db8::254 metric 1024 dev enp0s3",
		"+ route 10.244.0.0/16 dev enp0s3 proto 115", "+ route 2001:db8:244::/64 dev enp0s3 proto 115"} {
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
