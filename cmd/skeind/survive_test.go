package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
)

// A node is a host with a rich configuration, and a daemon that can be killed.
type node struct {
	*lab.Reference
	t      *testing.T
	ctx    context.Context
	dir    string
	config string
}

// hostConfig is what the host has on its uplink beyond the reference topology.
const hostConfig = `
ip link set enp0s3 mtu 1400 txqueuelen 900 promisc on allmulticast on alias wan group 7
ip link property add dev enp0s3 altname lan-side
ip addr add 10.0.0.31/24 dev enp0s3 label enp0s3:1
ip addr add 10.9.9.1 peer 10.9.9.2 dev enp0s3
ip addr add 10.0.0.41/24 dev enp0s3 valid_lft 3600 preferred_lft 1800
ip addr add 10.77.0.1/24 dev enp0s3 noprefixroute
ip addr add 2001:db8::31/64 dev enp0s3 valid_lft 3600 preferred_lft 1800
ip addr add 10.78.0.1/24 dev enp0s3 metric 1024
ip addr add 2001:db8:ff78::1/64 dev enp0s3 metric 1024
ip route add 10.77.0.0/24 dev enp0s3 proto kernel scope link src 10.77.0.1 metric 77
ip route add 192.0.2.0/24 via 10.0.0.254 mtu 1300 advmss 1200 initcwnd 20
ip route add default via 10.0.0.254 metric 500
ip route add 203.0.113.0/24 via 172.16.0.1 dev enp0s3 onlink
ip route add 198.18.0.0/15 via 10.0.0.254 dev enp0s3 table 100
ip route add 2001:db8:7::/48 via 2001:db8::254
ip rule add iif enp0s3 lookup 100 pref 1000
ip neigh add 10.0.0.99 lladdr 02:00:00:00:00:99 dev enp0s3 nud permanent
ip neigh add proxy 10.0.0.98 dev enp0s3
sysctl -qw net.ipv4.conf.enp0s3.rp_filter=2
sysctl -qw net.ipv4.conf.enp0s3.arp_ignore=1
sysctl -qw net.ipv6.conf.enp0s3.accept_ra=2
`

func newNode(t *testing.T, driver string) *node {
	t.Helper()
	l := lab.ForTest(t)
	ref, err := l.Reference(lab.Wanted{StaticRoutes: true})
	lab.Need(t, err)
	n := &node{Reference: ref, t: t, dir: t.TempDir()}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	n.ctx = ctx
	t.Cleanup(cancel)
	n.config = filepath.Join(n.dir, "skeind.yaml")
	lab.Need(t, os.WriteFile(n.config, fmt.Appendf(nil, `run_dir: %s/run
uplinks: [{interface: enp0s3, driver: %s, host_routes: [10.244.0.0/16, %s], confirm: {timeout: 5s}}]
pods: [{netns: %s, addresses: [%s/32, %s/128]}]
api: {socket: %s/api.sock}
buffers: {small: 4096, large: 256}
`, n.dir, driver, lab.PodBlock6, n.PodA.Path(), lab.PodAddr, lab.PodAddr6, n.dir), 0o600))
	for line := range strings.Lines(hostConfig) {
		if f := strings.Fields(line); len(f) > 0 {
			_, err := n.Node.Exec(ctx, f[0], f[1:]...)
			lab.Need(t, err)
		}
	}
	lab.Need(t, ref.Node.AwaitAddrs(ctx))
	// Whatever the test has left: the namespace's mount would keep the
	// directory.
	t.Cleanup(func() {
		if err := n.restore(); err != nil {
			t.Errorf("restore at the end: %v", err)
		}
	})
	return n
}

// view is what the host's own tools say of its network. What passes by itself,
// such as seconds of life, is left out.
func (n *node) view() string {
	n.t.Helper()
	var all strings.Builder
	for _, args := range []string{"-o addr show", "-d -o link show enp0s3", "-4 route show table all", "-6 route show table all",
		"rule", "-6 rule", "neigh show nud permanent", "neigh show proxy"} {
		out, err := n.Node.Exec(n.ctx, "ip", strings.Fields(args)...)
		lab.Need(n.t, err)
		all.Write(out)
	}
	out, err := n.Node.Exec(n.ctx, "sh", "-c", "cd /proc/sys/net; grep . ipv[46]/conf/enp0s3/* ipv[46]/neigh/enp0s3/* 2>/dev/null || true")
	lab.Need(n.t, err)
	all.Write(out)
	out, err = n.Node.Exec(n.ctx, "sh", "-c", "ethtool -k enp0s3 | grep vlan")
	lab.Need(n.t, err)
	all.Write(out)
	return passing.ReplaceAllString(all.String(), "")
}

var passing = regexp.MustCompile(`NO-CARRIER,|state (UP|DOWN)| linkdown|\d+sec|expires \d+|min_mtu.*|numtxqueues.*|link-netns\S* \S+|stable_secret.*`)

// start runs the test binary as a role, to be killed at a step.
func (n *node) start(role string, killAt int) *lab.Process {
	n.t.Helper()
	p, err := n.Node.Start(n.ctx, "env", envRole+"="+role, envConfig+"="+n.config, fmt.Sprintf("%s=%d", envKillAt, killAt), os.Args[0])
	lab.Need(n.t, err)
	return p
}

// await waits until a daemon is ready or has ended, and reports whether it is
// ready.
func (n *node) await(p *lab.Process) bool {
	n.t.Helper()
	for !strings.Contains(p.Output(), "ready") {
		select {
		case <-p.Done():
			return false
		case <-n.ctx.Done():
			n.t.Fatalf("neither ready nor dead:\n%s", p.Output())
		case <-time.After(2 * time.Millisecond):
		}
	}
	return true
}

// killed reports whether a process has died of SIGKILL; any other failure ends
// the test.
func (n *node) killed(p *lab.Process) bool {
	n.t.Helper()
	err := p.Wait()
	if err == nil {
		return false
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		n.t.Fatalf("%v\n%s", err, p.Output())
	}
	return true
}

// crash starts a daemon, stops it if it comes up, and reports whether it was
// killed on its way.
func (n *node) crash(killAt int) bool {
	n.t.Helper()
	p := n.start(roleDaemon, killAt)
	if n.await(p) {
		lab.Need(n.t, p.Signal(syscall.SIGTERM))
	}
	return n.killed(p)
}

func (n *node) restore() error {
	return n.Node.Do(func() error { return restore(io.Discard, n.config, restoring{}) })
}

func (n *node) compare(what, before string) {
	n.t.Helper()
	if after := n.view(); after != before {
		n.t.Fatalf("%s: not as before:\n%s", what, diffLines(before, after))
	}
	for _, gateway := range []string{lab.GatewayAddr, lab.GatewayAddr6} {
		if err := n.Node.Reaches(n.ctx, gateway, lab.Ping{Count: 1, Timeout: 2 * time.Second}); err != nil {
			n.t.Fatalf("%s: %v", what, err)
		}
	}
	for _, left := range []string{"netns/enp0s3", "uplink-enp0s3.json"} {
		if _, err := os.Stat(filepath.Join(n.dir, "run", left)); err == nil {
			n.t.Fatalf("%s: %s is left", what, left)
		}
	}
}

// diffLines returns the lines that only one of two texts has.
func diffLines(a, b string) string {
	var out strings.Builder
	for line := range strings.Lines(a) {
		if !strings.Contains(b, line) {
			out.WriteString("- " + line)
		}
	}
	for line := range strings.Lines(b) {
		if !strings.Contains(a, line) {
			out.WriteString("+ " + line)
		}
	}
	if out.Len() == 0 { // another order
		return a + "\nafterwards\n" + b
	}
	return out.String()
}

// maxSteps is more than there are, so that a test that does not come to an end
// fails.
const maxSteps = 40

// The promise of the whole: wherever a daemon is killed while it takes the
// uplink over or gives it back, and wherever the restore is killed that
// follows, another restore makes the host what it was.
func TestKilledThenRestored(t *testing.T) {
	t.Parallel()
	eachDriver(t, func(t *testing.T, n *node) {
		before := n.view()
		step := 1
		for ; n.crash(step); step++ {
			n.killed(n.start(roleRestore, 1+step%5))
			lab.Need(t, n.restore())
			n.compare(fmt.Sprintf("killed at step %d, restored", step), before)
			if step == maxSteps {
				t.Fatal("it never ends")
			}
		}
		lab.Need(t, n.restore()) // nothing to do
		n.compare("a clean stop", before)
		t.Logf("%d steps", step-1)
	})
}

// The same without a restore: the next daemon puts it right by itself.
func TestKilledThenRestarted(t *testing.T) {
	t.Parallel()
	eachDriver(t, func(t *testing.T, n *node) {
		before := n.view()
		for step := 1; n.crash(step); step++ {
			p := n.start(roleDaemon, 0)
			if !n.await(p) {
				t.Fatalf("killed at step %d: the next does not come up: %v\n%s", step, p.Wait(), p.Output())
			}
			for _, w := range []struct {
				from *lab.Namespace
				to   string
			}{
				{n.Node, lab.RemoteAddr}, {n.PodA, lab.RemoteAddr}, {n.Node, lab.PodAddr},
				{n.Node, lab.RemoteAddr6}, {n.PodA, lab.RemoteAddr6}, {n.Node, lab.PodAddr6},
			} {
				lab.Need(t, w.from.Reaches(n.ctx, w.to, lab.Ping{Count: 1, Timeout: 3 * time.Second}))
			}
			lab.Need(t, p.Signal(syscall.SIGTERM))
			lab.Need(t, p.Wait())
			n.compare(fmt.Sprintf("killed at step %d, restarted and stopped", step), before)
			if step == maxSteps {
				t.Fatal("it never ends")
			}
		}
	})
}

func eachDriver(t *testing.T, test func(*testing.T, *node)) {
	for _, driver := range []string{"af_packet", "af_xdp"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel() // most of the time the kernel waits for itself
			test(t, newNode(t, driver))
		})
	}
}
