package tour_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/boot"
	"github.com/skein-dataplane/skein/internal/lab"
)

// A booted is a node that runs skeind as a service of a real systemd, by the
// project's own unit.
type booted struct {
	*lab.Reference
	*boot.Machine
	t   *testing.T
	ctx context.Context
}

const daemonPath = "/usr/local/bin/skeind"

// bootNode boots a node with files besides skeind's, which is not started.
func bootNode(t *testing.T, driver string, files map[string]string) *booted {
	t.Helper()
	l := lab.ForTest(t)
	ref, err := l.Reference(lab.Wanted{StaticRoutes: true})
	lab.Need(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	n := &booted{Reference: ref, t: t, ctx: ctx}
	unit, err := os.ReadFile("../../configs/systemd/skeind.service")
	lab.Need(t, err)
	link, err := os.ReadFile("../../configs/systemd/10-skein.link")
	lab.Need(t, err)
	all := map[string]string{
		"etc/systemd/system/skeind.service":   string(unit),
		"etc/systemd/network/10-skein.link":   string(link),
		"etc/skein/skeind.yaml":               n.yaml(driver),
		"etc/systemd/system/network.target":   "[Unit]\nDescription=Network\n",
		"etc/systemd/system.conf.d/test.conf": "[Manager]\nDefaultTimeoutStartSec=30s\n",
	}
	for path, text := range files {
		all[path] = text
	}
	n.Machine, err = boot.Start(ctx, n.Node, all)
	lab.Need(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the machine's log:\n%s", n.Log())
		}
		if err := n.Machine.Close(); err != nil {
			t.Error(err)
		}
	})
	n.install(filepath.Join(bin, "skeind"))
	n.shell("udevadm settle --timeout=10") // it gives a veth another MAC
	return n
}

func (n *booted) yaml(driver string) string {
	return fmt.Sprintf(`uplinks: [{interface: %s, driver: %s, host_routes: [10.244.0.0/16, %s]}]
pods: [{netns: %s, interface: eth0, addresses: [%s/32, %s/128]}]
buffers: {small: 4096, large: 256}
`, lab.Uplink, driver, lab.PodBlock6, n.PodA.Path(), lab.PodAddr, lab.PodAddr6)
}

// install puts another skeind in place, as a package manager does.
func (n *booted) install(from string) {
	n.t.Helper()
	text, err := os.ReadFile(from)
	lab.Need(n.t, err)
	n.replace(text)
}

func (n *booted) replace(text []byte) {
	n.t.Helper()
	next := n.Path(daemonPath + ".new")
	lab.Need(n.t, os.WriteFile(next, text, 0o755))
	lab.Need(n.t, os.Rename(next, n.Path(daemonPath)))
}

// ctl runs systemctl, which has to succeed.
func (n *booted) ctl(args ...string) {
	n.t.Helper()
	if _, err := n.Exec(n.ctx, "systemctl", args...); err != nil {
		n.t.Fatalf("%v\n%s", err, n.Log())
	}
}

// shell returns what a line of a shell prints in the machine.
func (n *booted) shell(line string) string {
	n.t.Helper()
	out, err := n.Exec(n.ctx, "sh", "-c", line)
	lab.Need(n.t, err)
	return strings.TrimSpace(string(out))
}

// processes returns the supervisor and its child, and the binary of each: the
// number of its file. One that is not there is "".
func (n *booted) processes() (pids [2]string, binaries [2]string) {
	n.t.Helper()
	main, err := n.Show(n.ctx, "skeind", "MainPID")
	lab.Need(n.t, err)
	child, _, _ := strings.Cut(n.shell("cat /proc/"+main+"/task/*/children 2>/dev/null || true"), " ")
	pids = [2]string{main, child}
	for i, pid := range pids {
		binaries[i] = n.shell("stat -Lc %i /proc/" + pid + "/exe 2>/dev/null || true")
	}
	return pids, binaries
}

func (n *booted) installed() string { return n.shell("stat -c %i " + daemonPath) }

// uplink is what stands for the uplink on the node: its kind, and its index.
func (n *booted) uplink() (kind string, index int) {
	n.t.Helper()
	link, err := n.Node.Netlink().LinkByName(lab.Uplink)
	if err != nil {
		return "", 0
	}
	return link.Type(), link.Attrs().Index
}

// becomes waits until the uplink is of a kind, and returns how long that took.
func (n *booted) becomes(kind string) time.Duration {
	n.t.Helper()
	start := time.Now()
	for {
		if is, _ := n.uplink(); is == kind {
			return time.Since(start)
		}
		if n.ctx.Err() != nil || time.Since(start) > 30*time.Second {
			n.t.Fatalf("the uplink never becomes a %s\n%s", kind, n.Log())
		}
		time.Sleep(time.Millisecond)
	}
}

// outage measures for how long nothing passes while something is done.
func (n *booted) outage(p pulses, what string, limit time.Duration, do func()) {
	n.t.Helper()
	d, passes := p.during(10*time.Second, do)
	if !passes {
		n.t.Fatalf("%s: nothing passes any more\n%s", what, n.Log())
	}
	n.t.Logf("%s: nothing passed for %v", what, d.Round(time.Millisecond))
	if d > limit {
		n.t.Errorf("%s: that is more than %v", what, limit)
	}
}

// Under a real systemd: start, restart with a newer binary, reload with yet
// another, kill, and stop. Connections of the host and of a pod live through
// all of it; the uplink is never given back but where it has to be.
func TestSystemd(t *testing.T) {
	for _, driver := range []string{"af_packet", "af_xdp"} {
		t.Run(driver, func(t *testing.T) {
			n := bootNode(t, driver, nil)
			before := hostView(t, n.ctx, n.Node)
			host := pulse(t, n.Node, n.Remote)
			hostTalks := talks(t, n.ctx, n.Node, n.Remote)

			n.ctl("start", "skeind")
			_, tap := n.uplink()
			first, _ := n.processes()
			podTalks := talks(t, n.ctx, n.PodA, n.Remote)

			n.install(filepath.Join(bin, "skeind"))
			n.outage(host, "restart", backIn, func() { n.ctl("restart", "skeind") })
			second, are := n.processes()
			if is := n.installed(); first[0] == second[0] || first[1] == second[1] || are != [2]string{is, is} {
				t.Errorf("processes %v became %v, of %v and not %v", first, second, are, is)
			}

			n.install(filepath.Join(bin, "skeind"))
			n.outage(host, "reload", backIn, func() {
				n.ctl("reload", "skeind")
				n.renewed(second[1])
			})
			third, are := n.processes()
			if is := n.installed(); third[0] != second[0] || third[1] == second[1] || are != [2]string{is, is} {
				t.Errorf("processes %v became %v, of %v and not %v", second, third, are, is)
			}
			if kind, index := n.uplink(); kind != "tuntap" || index != tap {
				t.Errorf("the uplink was given back in between: it is a %s, %d and not %d", kind, index, tap)
			}
			podTalks()

			n.outage(host, "kill -9 of both", backIn, func() {
				n.ctl("kill", "--signal=KILL", "skeind")
				n.becomes("veth")
			})
			n.becomes("tuntap") // Restart=on-failure
			n.ctl("stop", "skeind")
			if after := hostView(t, n.ctx, n.Node); after != before {
				t.Errorf("before:\n%s\nafter a stop:\n%s", before, after)
			}
			hostTalks()
		})
	}
}

// renewed waits until the service has another data plane, and a supervisor that
// listens again.
func (n *booted) renewed(was string) {
	n.t.Helper()
	for {
		log := n.Log()
		if now, is := n.processes(); now[1] != was && is == [2]string{n.installed(), n.installed()} && strings.Contains(log, "a data plane runs already") {
			return
		}
		if n.ctx.Err() != nil {
			n.t.Fatalf("never renewed\n%s", log)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A restart with a skeind that can't start cuts nobody off: the old data plane
// moves packets until systemd gives up, and then gives the uplink back by
// itself, though the new binary could not.
func TestSystemdRestartFails(t *testing.T) {
	n := bootNode(t, "af_packet", nil)
	before := hostView(t, n.ctx, n.Node)
	host := pulse(t, n.Node, n.Remote)
	for _, text := range []string{"#!/bin/sh\nexit 1\n", "no program at all\n"} {
		n.install(filepath.Join(bin, "skeind"))
		n.ctl("start", "skeind")
		n.replace([]byte(text))
		n.outage(host, "restart with "+strings.TrimSpace(text), backIn, func() {
			if _, err := n.Exec(n.ctx, "systemctl", "restart", "skeind"); err == nil {
				t.Error("it has started")
			}
			n.failed()
			if d := n.becomes("veth"); d > backIn {
				t.Errorf("the uplink is back only %v after the failure", d)
			}
		})
		n.calm(before)
		n.ctl("reset-failed", "skeind")
	}
}

// A restart with a configuration that is wrong fails and gives the uplink back;
// so does one with a configuration that can't be had.
func TestSystemdRestartRefused(t *testing.T) {
	n := bootNode(t, "af_packet", nil)
	before := hostView(t, n.ctx, n.Node)
	for _, text := range []string{
		"uplinks: [{interface: enp0s3, driver: dpdk}]\n",
		strings.Replace(n.yaml("af_packet"), n.PodA.Path(), "/run/netns/nobody", 1),
	} {
		lab.Need(t, os.WriteFile(n.Path("/etc/skein/skeind.yaml"), []byte(n.yaml("af_packet")), 0o644))
		n.ctl("start", "skeind")
		lab.Need(t, os.WriteFile(n.Path("/etc/skein/skeind.yaml"), []byte(text), 0o644))
		if _, err := n.Exec(n.ctx, "systemctl", "restart", "skeind"); err == nil {
			t.Error("it has started")
		}
		n.failed()
		if d := n.becomes("veth"); d > backIn {
			t.Errorf("the uplink is back only %v after the failure", d)
		}
		n.calm(before)
		n.ctl("reset-failed", "skeind")
	}
}

// failed waits until systemd has given the service up.
func (n *booted) failed() {
	n.t.Helper()
	for {
		state, err := n.Show(n.ctx, "skeind", "ActiveState")
		lab.Need(n.t, err)
		if state == "failed" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// calm waits until the host is as it was before.
func (n *booted) calm(before string) {
	n.t.Helper()
	after := ""
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if after = hostView(n.t, n.ctx, n.Node); after == before {
			return
		}
	}
	n.t.Errorf("before:\n%s\nafter:\n%s", before, after)
}

// A data plane that hangs when its supervisor is gone is killed, and the
// uplink given back.
func TestSystemdHangs(t *testing.T) {
	n := bootNode(t, "af_packet", nil)
	before := hostView(t, n.ctx, n.Node)
	n.ctl("start", "skeind")
	pids, _ := n.processes()
	n.shell("mkdir -p /run/systemd/system/skeind.service.d; printf '[Service]\\nRestart=no\\n' >/run/systemd/system/skeind.service.d/no.conf")
	n.ctl("daemon-reload")
	n.shell("kill -STOP " + pids[1] + " && kill -KILL " + pids[0])
	n.t.Logf("the uplink is back after %v", n.becomes("veth").Round(time.Millisecond))
	n.calm(before)
}

// slow is a skeind whose supervisor does not yet listen to signals, as in the
// first milliseconds of each.
const slow = `#!/bin/sh
if [ "$1" = --config ] || [ $# = 0 ]; then touch /run/slow; exec sleep 60; fi
exec ` + daemonPath + `.real "$@"
`

// A stop that comes while the supervisor is becoming of a newer binary is a
// clean one.
func TestSystemdStopWhileRenewed(t *testing.T) {
	n := bootNode(t, "af_packet", nil)
	before := hostView(t, n.ctx, n.Node)
	n.ctl("start", "skeind")
	n.shell("mv " + daemonPath + " " + daemonPath + ".real")
	n.replace([]byte(slow))
	n.ctl("reload", "skeind")
	n.shell("until [ -e /run/slow ]; do sleep 0.01; done")
	n.ctl("stop", "skeind")
	if result, err := n.Show(n.ctx, "skeind", "Result"); err != nil || result != "success" {
		t.Errorf("the service ends with %s, %v", result, err)
	}
	n.calm(before)
}
