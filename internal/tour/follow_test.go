package tour_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// A host is a tour whose daemon runs, and what a test does to it.
type host struct {
	*tour.Tour
	t   *testing.T
	ctx context.Context
}

// startHost starts the daemon on the reference topology. prepare may change
// the topology before.
func startHost(t *testing.T, opts tour.Options, prepare func(h *host)) *host {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	h := &host{newTour(t, opts), t, ctx}
	if prepare != nil {
		prepare(h)
	}
	if err := h.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return h
}

// ip runs ip(8) in a namespace, the words of each line apart.
func (h *host) ip(n *lab.Namespace, lines ...string) {
	h.t.Helper()
	for _, l := range lines {
		if _, err := n.Exec(h.ctx, "ip", strings.Fields(l)...); err != nil {
			h.t.Fatal(err)
		}
	}
}

// nic runs ip(8) beside the uplink.
func (h *host) nic(words string) string {
	h.t.Helper()
	path := filepath.Join(filepath.Dir(h.Config), "run/netns", lab.Uplink)
	out, err := h.Node.Exec(h.ctx, "nsenter", append([]string{"--net=" + path, "ip"}, strings.Fields(words)...)...)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(out)
}

// tap returns what the host's ip(8) says of its uplink.
func (h *host) tap(words ...string) string {
	h.t.Helper()
	out, err := h.Node.Exec(h.ctx, "ip", append(words, "dev", lab.Uplink)...)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(out)
}

// soon is how long everything gets that takes a few milliseconds by itself, on
// a machine under load; and a DHCP client, which waits 3 s after a refusal.
const soon = 6 * time.Second

// until waits for something to become true.
func (h *host) until(what string, f func() error) {
	h.t.Helper()
	var err error
	for end := time.Now().Add(soon); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	h.t.Errorf("%s: %v", what, err)
}

// reaches waits until pings are answered.
func (h *host) reaches(what string, from *lab.Namespace, to string) {
	h.t.Helper()
	h.until(what, func() error { return from.Reaches(h.ctx, to, lab.Ping{Timeout: 200 * time.Millisecond}) })
}

// misses waits until pings are answered no longer.
func (h *host) misses(what string, from *lab.Namespace, to string) {
	h.t.Helper()
	h.until(what, func() error {
		if from.Reaches(h.ctx, to, lab.Ping{Timeout: 200 * time.Millisecond}) == nil {
			return errors.New("it still answers")
		}
		return nil
	})
}

// shows waits until a text is in what f returns, or, with "!" before it, is not.
func (h *host) shows(f func() string, want string) {
	h.t.Helper()
	text, not := strings.CutPrefix(want, "!")
	h.until(want, func() error {
		if out := f(); strings.Contains(out, text) == not {
			return fmt.Errorf("in\n%s", out)
		}
		return nil
	})
}

func TestFollow(t *testing.T) {
	for _, driver := range []string{"af_packet", "af_xdp"} {
		t.Run(driver, func(t *testing.T) {
			h := startHost(t, tour.Options{Driver: driver}, nil)
			for _, f := range families {
				h.reaches("before anything", h.PodA, f.remote)
				followAddrs(h, f)
				followRoutes(h, f)
			}
			for _, part := range []func(*host){followMTU, followMAC, followUpDown, followCarrier} {
				part(h)
			}
			if driver == "af_xdp" {
				refuseMTU(h)
			}
			followToTheEnd(h)
		})
	}
}

// Addresses that come and go on the TAP.
func followAddrs(h *host, f family) {
	second := f.named("10.0.0.77", "2001:db8::77")
	own, station := f.named("172.20.0.1", "2001:db8:20::1"), f.named("172.20.0.254", "2001:db8:20::fe")
	h.addr(h.Node, second+f.network, "enp0s3")
	h.reaches("a second address", h.Router, second)
	h.reaches("a second address, by a pod", h.PodA, second)
	h.addr(h.Node, own+f.network, "enp0s3")
	h.addr(h.Router, station+f.network, "lan")
	h.reaches("a station of a second network", h.PodA, station)
	h.ip(h.Node, "addr del "+second+f.network+" dev enp0s3", "addr del "+own+f.network+" dev enp0s3")
	h.misses("an address that was deleted", h.PodA, second)
	h.ip(h.Router, "addr del "+station+f.network+" dev lan")
	h.reaches("the first address", h.Router, f.node)
}

// pool is what Skein puts onto the host for the pods of all nodes.
func (f family) pool() string { return f.named("10.244.0.0/16", lab.PodBlock6) }

// Routes of the host are Skein's, and Skein's stay on the host.
func followRoutes(h *host, f family) {
	route := f.ip + " route "
	h.ip(h.Node, route+"del default")
	h.misses("the world without a default route", h.PodA, f.remote)
	h.ip(h.Node, route+"add "+f.remote+f.host+" via "+f.gateway+" dev enp0s3 metric 7")
	h.reaches("the one host with a route", h.PodA, f.remote)
	h.ip(h.Node, route+"add default via "+f.gateway, route+"del "+f.remote+f.host+" metric 7")
	h.reaches("the world again", h.PodA, f.remote)
	h.ip(h.Node, route+"del "+f.pool())
	h.shows(func() string { return h.tap(f.ip, "route", "show") }, f.pool()+" proto 115")
	h.reaches("a pod", h.Node, f.pod)
}

func followMTU(h *host) {
	told := func(mtu int) {
		for _, f := range families {
			h.until(f.name+": what Skein tells a pod", func() error { return tooBig(h, h.PodA, f, f.remote, mtu) })
		}
	}
	h.ip(h.Node, "link set enp0s3 mtu 1400")
	h.shows(func() string { return h.nic("link show enp0s3") }, "mtu 1400")
	told(1400)
	h.nic("link set enp0s3 mtu 1300")
	h.shows(func() string { return h.tap("link", "show") }, "mtu 1300")
	told(1300)
	h.ip(h.Node, "link set enp0s3 mtu 1500")
	h.shows(func() string { return h.nic("link show enp0s3") }, "mtu 1500")
}

// tooBig reports whether a packet of more than mtu bytes that may not be
// fragmented is refused with that MTU, and one of mtu bytes arrives.
func tooBig(h *host, from *lab.Namespace, f family, to string, mtu int) error {
	err := from.Reaches(h.ctx, to, lab.Ping{Size: mtu + 1 - f.headers, DF: true, Timeout: 300 * time.Millisecond})
	if err == nil {
		return fmt.Errorf("a packet of %d bytes crosses", mtu+1)
	}
	if !strings.Contains(err.Error(), fmt.Sprintf("mtu %d)", mtu)) {
		return fmt.Errorf("a packet of %d bytes: %w", mtu+1, err)
	}
	return from.Reaches(h.ctx, to, lab.Ping{Size: mtu - f.headers, DF: true, Timeout: 300 * time.Millisecond})
}

// followMAC changes the host's address on its link, and the NIC's.
func followMAC(h *host) {
	was := strings.Fields(h.tap("-br", "link", "show"))[2]
	h.ip(h.Node, "link set enp0s3 address 02:00:00:00:77:01")
	h.shows(func() string { return h.nic("link show enp0s3") }, "link/ether 02:00:00:00:77:01")
	h.ip(h.Router, "neigh flush dev lan")
	for _, f := range families {
		h.reaches("a pod behind another address", h.Remote, f.pod)
		h.reaches("the host", h.Router, f.node)
	}
	h.nic("link set enp0s3 address " + was)
	h.shows(func() string { return h.tap("link", "show") }, "link/ether "+was)
	h.ip(h.Router, "neigh flush dev lan")
	for _, f := range families {
		h.reaches("a pod behind the first address", h.Remote, f.pod)
	}
}

// followUpDown sets the uplink down and up. The kernel forgets static routes of
// IPv4 then, and of IPv6 the addresses as well.
func followUpDown(h *host) {
	h.ip(h.Node, "link set enp0s3 down")
	h.shows(func() string { return h.nic("link show enp0s3") }, "state DOWN")
	for _, f := range families {
		h.misses("the world while the uplink is down", h.PodA, f.remote)
		h.reaches("a pod by another pod meanwhile", h.PodA, f.otherPod)
	}
	h.ip(h.Node, "link set enp0s3 up")
	h.addr(h.Node, lab.NodeAddr6+"/64", "enp0s3")
	h.shows(func() string { return h.nic("link show enp0s3") }, "state UP")
	for _, f := range families {
		h.ip(h.Node, "route add default via "+f.gateway)
		h.shows(func() string { return h.tap(f.ip, "route", "show") }, f.pool()+" proto 115")
		h.reaches("the world again", h.PodA, f.remote)
		h.reaches("the host", h.Remote, f.node)
	}
}

func followCarrier(h *host) {
	h.ip(h.Router, "link set port1 down")
	h.shows(func() string { return h.tap("link", "show") }, "NO-CARRIER")
	h.ip(h.Router, "link set port1 up")
	h.shows(func() string { return h.tap("link", "show") }, "!NO-CARRIER")
	for _, f := range families {
		h.reaches("the world after the cable is back", h.PodA, f.remote)
		h.reaches("the world from the host", h.Node, f.remote)
	}
}

// What the driver can't do is taken back, and said.
func refuseMTU(h *host) {
	h.ip(h.Node, "link set enp0s3 mtu 9000")
	h.shows(func() string { return h.tap("link", "show") }, "mtu 1500")
	h.shows(h.Log, "AF_XDP carries at most")
	for _, f := range families {
		h.reaches("the world all the while", h.PodA, f.remote)
	}
}

// What the host has changed is what it gets back.
func followToTheEnd(h *host) {
	for _, f := range families {
		h.addr(h.Node, f.named("10.0.0.78/24", "2001:db8::78/64"), "enp0s3")
		h.ip(h.Node, "route add "+f.named("203.0.113.0/24", "2001:db8:113::/48")+" via "+f.gateway+" metric 55")
	}
	h.ip(h.Node, "link set enp0s3 mtu 1450")
	h.shows(func() string { return h.nic("link show enp0s3") }, "mtu 1450")
	before := hostView(h.t, h.ctx, h.Node)
	if err := h.Stop(h.ctx); err != nil {
		h.t.Fatal(err)
	}
	h.sameView(before)
	for _, f := range families {
		h.reaches("the host after the end", h.Router, f.named("10.0.0.78", "2001:db8::78"))
	}
}

// sameView compares the host's view with what it was over the TAP. Routes of
// Skein go with it, and a TAP and a NIC are not the same kind of link.
func (h *host) sameView(before string) {
	h.t.Helper()
	h.sameViews(before, hostView(h.t, h.ctx, h.Node))
}

func (h *host) sameViews(before, after string) {
	h.t.Helper()
	strip := func(view string) string {
		var out []string
		for line := range strings.Lines(view) {
			if !strings.Contains(line, "qdisc") && !strings.Contains(line, "proto 115") && strings.TrimSpace(line) != "" {
				out = append(out, strings.ReplaceAll(line, " onlink", ""))
			}
		}
		return strings.Join(out, "")
	}
	if strip(after) != strip(before) {
		h.t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// The record has what the host has changed, so that restoring after a kill
// gives it back.
func TestFollowKilled(t *testing.T) {
	h := startHost(t, tour.Options{Driver: "af_packet"}, nil)
	h.ip(h.Node, "addr add 10.0.0.79/24 dev enp0s3", "addr del "+lab.NodeAddr6+"/64 dev enp0s3", "route add 203.0.113.0/24 via 10.0.0.254",
		"addr add 2001:db8::79/64 dev enp0s3 nodad", "route add 2001:db8:113::/48 via "+lab.GatewayAddr6)
	h.shows(h.Log, "add route 203.0.113.0/24")
	h.shows(h.Log, "add route 2001:db8:113::/48")
	before := hostView(t, h.ctx, h.Node)
	if err := h.KillAll(h.ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Node.Exec(h.ctx, filepath.Join(bin, "skeind"), "restore", "--config", h.Config); err != nil {
		t.Fatal(err)
	}
	h.sameView(before)
	h.reaches("the host after the end", h.Router, "10.0.0.79")
	h.reaches("the host after the end, by IPv6", h.Router, "2001:db8::79")
}
