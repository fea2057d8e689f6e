package takeover_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/control/takeover"
	"github.com/skein-dataplane/skein/internal/lab"
)

// A host is a namespace with an uplink that a router answers on.
type host struct {
	*lab.Namespace
	t      *testing.T
	ctx    context.Context
	router *lab.Namespace
	opts   takeover.Options
}

const uplink = "enp0s3"

func newHost(t *testing.T) *host {
	t.Helper()
	l := lab.ForTest(t)
	h := &host{Namespace: l.Add(t, "node"), router: l.Add(t, "router"), t: t}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	h.ctx = ctx
	lab.Need(t, lab.Join(lab.End{NS: h.Namespace, Link: uplink, Addrs: []string{"10.0.0.21/24", "2001:db8::21/64"}},
		lab.End{NS: h.router, Link: "lan", Addrs: []string{"10.0.0.254/24", "2001:db8::254/64"}}))
	lab.Need(t, h.Route("default", "10.0.0.254", ""))
	lab.Need(t, h.AwaitAddrs(ctx))
	// The kernel makes the link-local address when there is a carrier, in its
	// own time.
	for !strings.Contains(h.ip("-6 addr show "+uplink+" scope link"), "fe80") {
		time.Sleep(time.Millisecond)
	}
	h.opts = takeover.Options{Dir: t.TempDir(), Uplink: uplink, Queues: 1}
	t.Cleanup(func() { lab.Need(t, h.Do(func() error { return takeover.Restore(h.opts) })) })
	return h
}

// ip runs ip with a line of words.
func (h *host) ip(line string) string {
	h.t.Helper()
	out, err := h.Exec(h.ctx, "ip", strings.Fields(line)...)
	lab.Need(h.t, err)
	return string(out)
}

// view is what the host has. Whether there is a carrier, and whether addresses
// are still looked for twice, shows later, in its own time.
func (h *host) view() string {
	h.t.Helper()
	all := h.ip("-o addr") + h.ip("-o link") + h.ip("route show table all") + h.ip("-6 route show table all") + h.ip("neigh show nud permanent")
	return passing.ReplaceAllString(all, "")
}

var passing = regexp.MustCompile(`NO-CARRIER,|state (UP|DOWN)| linkdown| tentative|(?m)^local fe80.*\n`)

// take takes the uplink over and closes the TAP, as a daemon that has died.
func (h *host) take() error {
	return h.Do(func() error {
		t, err := takeover.Take(h.opts)
		if err == nil {
			err = errors.Join(t.Commit(), t.Tap.Queues()[0].Close(nil))
		}
		return err
	})
}

func (h *host) restore() error { return h.Do(func() error { return takeover.Restore(h.opts) }) }

// What the host has is on the TAP while it stands, and the same as ever
// afterwards; both as often as one likes.
func TestTakeAndRestore(t *testing.T) {
	h := newHost(t)
	before := h.view()
	lab.Need(t, h.restore())
	for range 3 {
		lab.Need(t, h.take())
		if kind := h.ip("-d link show " + uplink); !strings.Contains(kind, "tun type tap") || !strings.Contains(kind, "skein: stands for enp0s3") {
			t.Errorf("not a TAP of ours: %s", kind)
		}
		for _, want := range []string{"10.0.0.21/24", "2001:db8::21/64"} {
			if addrs := h.ip("addr show " + uplink); !strings.Contains(addrs, want) {
				t.Errorf("the TAP has no %s: %s", want, addrs)
			}
		}
		if err := h.take(); !errors.Is(err, takeover.ErrRefused) {
			t.Errorf("taken twice: %v", err)
		}
		lab.Need(t, h.restore())
		lab.Need(t, h.restore())
		if after := h.view(); after != before {
			t.Fatalf("before:\n%s\nafter:\n%s", before, after)
		}
	}
}

// Whatever can't be mirrored is refused in words, and nothing is changed.
func TestRefuses(t *testing.T) {
	tests := []struct {
		name, uplink string
		setup        []string // lines of a shell
		want         string
	}{
		{"no such interface", "nowhere", nil, "there is no interface"},
		{"loopback", "lo", nil, "loopback"},
		{"tap", "t0", []string{"ip tuntap add dev t0 mode tap"}, "itself a TUN or TAP"},
		{"tun", "t1", []string{"ip tuntap add dev t1 mode tun"}, "itself a TUN or TAP"},
		{"bridge member", uplink, []string{"ip link add br0 type bridge", "ip link set enp0s3 master br0"}, "belongs to the bridge br0"},
		{"bridge", "br0", []string{"ip link add br0 type bridge"}, "is a bridge"},
		{"bond slave", uplink, []string{"ip link add bond0 type bond", "ip link set enp0s3 down", "ip link set enp0s3 master bond0"}, "belongs to the bond bond0"},
		{"VLAN", uplink, []string{"ip link add link enp0s3 name enp0s3.5 type vlan id 5"}, "vlan interface enp0s3.5"},
		{"macvlan", uplink, []string{"ip link add link enp0s3 name mv type macvlan"}, "macvlan interface mv"},
		{"qdisc", uplink, []string{"tc qdisc add dev enp0s3 root tbf rate 1gbit burst 32k latency 10ms"}, "tbf"},
		{"clsact", uplink, []string{"tc qdisc add dev enp0s3 clsact"}, "clsact"},
		{"nft", uplink, []string{"nft add table netdev t", "nft 'add chain netdev t c { type filter hook ingress device enp0s3 priority 0; }'"}, "netdev t c"},
		{"link-layer group", uplink, []string{"ip maddr add 01:00:5e:00:00:77 dev enp0s3"}, "01005e000077"},
		{"nexthop object", uplink, []string{"ip nexthop add id 42 via 10.0.0.254 dev enp0s3"}, "42"},
		{"multipath", uplink, []string{"ip route add 192.0.2.0/24 nexthop via 10.0.0.254 dev enp0s3 nexthop via 10.0.0.253 dev enp0s3"}, "several next hops"},
		{"multipath, half", uplink, []string{"ip link add d0 type veth peer name d1",
			"ip link set d0 addrgenmode none up", "ip link set d1 addrgenmode none up",
			"until ip -br link show d1 | grep -q ' UP '; do sleep 0.01; done", // it hears of its carrier later
			"ip addr add 10.1.0.1/24 dev d0",
			"ip route add 192.0.2.0/24 nexthop via 10.0.0.254 dev enp0s3 nexthop via 10.1.0.2 dev d0"}, "several next hops"},
		{"via inet6", uplink, []string{"ip route add 192.0.2.0/24 via inet6 2001:db8::254"}, "another address family"},
		{"encapsulation", uplink, []string{"ip -6 route add 2001:db8:9::/48 encap seg6 mode encap segs 2001:db8::1 dev enp0s3"}, "encapsulates"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			for _, line := range test.setup {
				_, err := h.Exec(h.ctx, "sh", "-c", line)
				if err != nil && strings.Contains(err.Error(), "Unknown device type") {
					t.Logf("this kernel can't have it: %v", err)
					return
				}
				lab.Need(t, err)
			}
			h.opts.Uplink = test.uplink
			before := h.view()
			err := h.take()
			if !errors.Is(err, takeover.ErrRefused) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v; want %q", err, test.want)
			}
			if after := h.view(); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			if left, err := takeover.Records(h.opts.Dir); err != nil || len(left) > 0 {
				t.Errorf("records are left: %v, %v", left, err)
			}
		})
	}
}

// A record that is not whole, or not ours, is an error, and touches nothing.
func TestRecords(t *testing.T) {
	h := newHost(t)
	lab.Need(t, h.take())
	path := filepath.Join(h.opts.Dir, "uplink-"+uplink+".json")
	good, err := os.ReadFile(path)
	lab.Need(t, err)
	standing := h.ip("-o addr") // the carrier goes in its own time
	for name, text := range map[string]string{
		"truncated":  string(good[:len(good)/2]),
		"empty":      "",
		"foreign":    `{"name": "somebody else's"}`,
		"not JSON":   "hello",
		"version 99": strings.Replace(string(good), `"version": 2`, `"version": 99`, 1),
		"checksum":   strings.Replace(string(good), "10.0.0.21", "10.0.0.22", 1),
	} {
		lab.Need(t, os.WriteFile(path, []byte(text), 0o600))
		err := h.restore()
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
		if after := h.ip("-o addr"); after != standing {
			t.Errorf("%s: the host was changed:\n%s", name, after)
		}
	}
	lab.Need(t, os.WriteFile(path, good, 0o600))
	// A good one under another's name.
	other := h.opts
	other.Uplink = "other"
	lab.Need(t, os.WriteFile(filepath.Join(h.opts.Dir, "uplink-other.json"), good, 0o600))
	if err := h.Do(func() error { return takeover.Restore(other) }); err == nil {
		t.Error("another's record was accepted")
	}
}

// A disk that is full refuses the takeover before the first change.
func TestFullDisk(t *testing.T) {
	h := newHost(t)
	h.opts.Dir = t.TempDir()
	lab.Need(t, unix.Mount("tmpfs", h.opts.Dir, "tmpfs", 0, "size=4k"))
	defer func() { lab.Need(t, unix.Unmount(h.opts.Dir, unix.MNT_DETACH)) }()
	_ = os.WriteFile(filepath.Join(h.opts.Dir, "filler"), make([]byte, 64<<10), 0o600)
	before := h.view()
	if err := h.take(); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("%v; want %v", err, unix.ENOSPC)
	}
	if after := h.view(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// Restore deletes nothing that is not marked as ours, and says what is in its
// way.
func TestRestoreLeavesOthersAlone(t *testing.T) {
	h := newHost(t)
	lab.Need(t, h.take())
	h.ip("link set " + uplink + " alias somebody-elses")
	if err := h.restore(); err == nil || !strings.Contains(err.Error(), "not Skein's") {
		t.Errorf("%v", err)
	}
	h.ip("link delete " + uplink)
	lab.Need(t, h.restore())
	if err := h.Reaches(h.ctx, "10.0.0.254", lab.Ping{}); err != nil {
		t.Error(err)
	}
}

// The probe tells a gateway that answers from one that does not.
func TestProbe(t *testing.T) {
	h := newHost(t)
	before, err := h.snapshot()
	lab.Need(t, err)
	err = h.Do(func() error {
		ctx, cancel := context.WithTimeout(h.ctx, 5*time.Second)
		defer cancel()
		if got := takeover.Reachable(ctx, uplink, before.Gateways()); !slices.Equal(got, before.Gateways()) || len(got) != 1 {
			return fmt.Errorf("reachable: %v of %v", got, before.Gateways())
		}
		return takeover.Probe{Gateways: before.Gateways()}.Run(ctx, uplink)
	})
	lab.Need(t, err)
	lab.Need(t, h.router.Down("lan"))
	err = h.Do(func() error {
		ctx, cancel := context.WithTimeout(h.ctx, 300*time.Millisecond)
		defer cancel()
		return takeover.Probe{Gateways: before.Gateways(), TCP: "10.0.0.254:9"}.Run(ctx, uplink)
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a link that is down: %v", err)
	}
}

func (h *host) snapshot() (s *takeover.Snapshot, err error) {
	err = h.Do(func() (err error) { s, err = takeover.Read(uplink); return err })
	return s, err
}

// One daemon at a time.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	first, err := takeover.Acquire(dir, 0)
	lab.Need(t, err)
	if _, err := takeover.Acquire(dir, 5*time.Millisecond); !errors.Is(err, takeover.ErrLocked) {
		t.Errorf("locked twice: %v", err)
	}
	lab.Need(t, first.Release())
	second, err := takeover.Acquire(dir, 0)
	lab.Need(t, err)
	lab.Need(t, second.Release())
}

// A host whose MAC has changed since its link-local address was made keeps that
// address, and gets no other.
func TestLinkLocalOfAnotherMAC(t *testing.T) {
	h := newHost(t)
	h.ip("link set " + uplink + " address 02:00:00:00:00:77")
	before := h.ip("-6 -o addr show " + uplink + " scope link")
	lab.Need(t, h.take())
	if on := h.ip("-6 -o addr show " + uplink + " scope link"); fields(on) != fields(before) {
		t.Errorf("on the TAP: %s; before: %s", on, before)
	}
	lab.Need(t, h.restore())
	if after := h.ip("-6 -o addr show " + uplink + " scope link"); fields(after) != fields(before) {
		t.Errorf("after: %s; before: %s", after, before)
	}
}

// fields returns the addresses of lines of ip -o.
func fields(lines string) (out string) {
	for line := range strings.Lines(lines) {
		if f := strings.Fields(line); len(f) > 3 {
			out += f[3] + " "
		}
	}
	return out
}

// A program that has joined a group on the uplink is told of before it loses
// it; the kernel's own groups are not worth a word.
func TestJoinedGroups(t *testing.T) {
	h := newHost(t)
	groups := func() (found takeover.Check) {
		lab.Need(t, h.Do(func() error {
			for _, c := range takeover.Preflight(h.opts).Checks {
				if c.What == "groups" {
					found = c
				}
			}
			return nil
		}))
		return found
	}
	if c := groups(); c.Verdict != takeover.Passed {
		t.Errorf("%v", c)
	}
	lab.Need(t, h.Do(func() error {
		link, err := net.InterfaceByName(uplink)
		if err != nil {
			return err
		}
		for network, group := range map[string]string{"udp4": "224.0.0.251", "udp6": "ff02::fb"} {
			conn, err := net.ListenMulticastUDP(network, link, &net.UDPAddr{IP: net.ParseIP(group), Port: 5353})
			if err != nil {
				return err
			}
			t.Cleanup(func() { _ = conn.Close() })
		}
		return nil
	}))
	if c := groups(); c.Verdict != takeover.Noted || !strings.Contains(c.Reason, "224.0.0.251") || !strings.Contains(c.Reason, "ff02::fb") {
		t.Errorf("%v", c)
	}
}
