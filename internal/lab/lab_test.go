package lab

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// within bounds a test's traffic.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestNamespaceLivesAndDies(t *testing.T) {
	l := ForTest(t)
	n := l.Add(t, "one")
	names, err := exec.Command("ip", "netns", "list").Output()
	if err != nil || !strings.Contains(string(names), n.FullName()) {
		t.Errorf("ip netns list: %v: %q lacks %s", err, names, n.FullName())
	}
	if _, err := l.Namespace("one"); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second namespace of that name: %v, want %v", err, os.ErrExist)
	}
	home, err := identify("/proc/thread-self/ns/net")
	Need(t, err)
	Need(t, n.Do(func() error {
		in, err := identify("/proc/thread-self/ns/net")
		if in != n.id || in == home {
			t.Errorf("Do ran in %v, want %v", in, n.id)
		}
		return err
	}))
	Need(t, n.Sysctl("net.ipv4.ip_forward", "1"))
	if v, err := n.GetSysctl("net.ipv4.ip_forward"); v != "1" || err != nil {
		t.Errorf("ip_forward is %q, %v", v, err)
	}

	again, err := Open(l.Prefix())
	Need(t, err)
	if got := again.Get("one"); got == nil || got.Path() != n.Path() {
		t.Errorf("Open found %v", again.Namespaces())
	}
	Need(t, again.Release())

	Need(t, l.Close())
	Need(t, l.Close())
	if left, err := l.Leftovers(); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestDoSurvivesGoexit(t *testing.T) {
	l := ForTest(t)
	n := l.Add(t, "one")
	if err := n.Do(func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("no error for a function that ended its goroutine")
	}
}

func TestLeftoversAreFound(t *testing.T) {
	NeedRoot(t)
	l, err := New(Unique("skeintest"))
	Need(t, err)
	defer l.Close()
	n, err := l.Namespace("one")
	Need(t, err)
	f, err := os.Open(n.Path())
	Need(t, err)
	defer f.Close()
	if left, _ := l.Leftovers(); len(left) != 1 {
		t.Errorf("before Close: %v, want the name", left)
	}
	Need(t, l.Close())
	if left, _ := l.Leftovers(); len(left) != 1 || !strings.Contains(left[0], "/fd/") {
		t.Errorf("after Close: %v, want the descriptor", left)
	}
}

func TestExec(t *testing.T) {
	l := ForTest(t)
	n := l.Add(t, "one")
	out, err := n.Exec(within(t, 5*time.Second), "ip", "-o", "link")
	if err != nil || !strings.Contains(string(out), "lo:") || strings.Contains(string(out), "eth0") {
		t.Errorf("ip link inside: %v\n%s", err, out)
	}
	if _, err := n.Exec(within(t, 5*time.Second), "ip", "link", "show", "none"); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("error %v does not say what ip said", err)
	}
	start := time.Now()
	if _, err := n.Exec(within(t, 100*time.Millisecond), "sh", "-c", "sleep 30 & wait"); err == nil {
		t.Error("a command outlived its context")
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("the command's group took %v to die", d)
	}
	p, err := n.Start(context.Background(), "sh", "-c", "echo ready; sleep 30")
	Need(t, err)
	Need(t, l.Close())
	select {
	case <-p.Done():
	default:
		t.Error("Close has left the process running")
	}
	if p.Output() != "ready\n" && p.Output() != "" {
		t.Errorf("output %q", p.Output())
	}
}

func TestReference(t *testing.T) {
	l := ForTest(t)
	r, err := l.Reference(Wanted{Second: true, StaticRoutes: true})
	Need(t, err)
	ctx := within(t, 20*time.Second)
	for _, host := range []string{GatewayAddr, SecondAddr, RemoteAddr, GatewayAddr6, SecondAddr6, RemoteAddr6} {
		if err := r.Node.Reaches(ctx, host, Ping{Count: 2}); err != nil {
			t.Error(err)
		}
	}
	for _, host := range []string{RemoteAddr, RemoteAddr6} {
		hops, err := r.Node.Trace(ctx, netip.MustParseAddr(host), 5, time.Second)
		Need(t, err)
		if len(hops) != 2 || hops[0].What != "time exceeded" || !hops[1].OK() || hops[1].From.String() != host {
			t.Errorf("trace to %s: %+v", host, hops)
		}
	}
	if err := r.Node.Reaches(ctx, RemoteAddr, Ping{Size: 1472, DF: true}); err != nil {
		t.Error(err)
	}
	if err := r.Node.Reaches(ctx, RemoteAddr, Ping{Size: 1473, DF: true}); err == nil {
		t.Error("1501 bytes passed with DF set over an MTU of 1500")
	}
	if err := r.Node.Reaches(ctx, RemoteAddr, Ping{Size: 4000}); err != nil {
		t.Error(err)
	}
	if err := r.Node.Reaches(ctx, "10.0.0.99", Ping{Timeout: 100 * time.Millisecond}); err == nil {
		t.Error("nobody answered")
	}
	links, err := r.Node.Links()
	if err != nil || !slices.Equal(links, []string{Uplink}) {
		t.Errorf("the node's links: %v, %v", links, err)
	}
}

func TestPingReportsTheNextHopsMTU(t *testing.T) {
	l := ForTest(t)
	r, err := l.Reference(Wanted{MTU: 9000})
	Need(t, err)
	for _, host := range []string{RemoteAddr, RemoteAddr6} {
		replies, err := r.Node.Ping(within(t, 5*time.Second), netip.MustParseAddr(host), Ping{Size: 4000, DF: true})
		Need(t, err)
		if replies[0].OK() || replies[0].MTU != 1500 {
			t.Errorf("%s: %+v, want a next-hop MTU of 1500", host, replies[0])
		}
	}
}

func TestTraffic(t *testing.T) {
	l := ForTest(t)
	k, err := l.KernelPair()
	Need(t, err)
	for _, host := range []string{OtherPodAddr, OtherPodAddr6} {
		addr := netip.AddrPortFrom(netip.MustParseAddr(host), 0)
		ctx := within(t, 20*time.Second)
		Need(t, k.PodA.Reaches(ctx, host, Ping{}))
		rate, err := Transfer{From: k.PodA, To: k.PodB, Addr: addr, Bytes: 16<<20 + 1, Streams: 2}.Run(ctx)
		Need(t, err)
		if rate.Bytes != 2*(16<<20+1) {
			t.Errorf("%d bytes arrived", rate.Bytes)
		}
		t.Logf("%s: %v", host, rate)
		server, err := k.PodB.Echo(ctx, addr)
		Need(t, err)
		if n, err := k.PodA.Asks(ctx, server, 10, 1000, time.Second); n != 10 || err != nil {
			t.Errorf("%s: %d of 10 datagrams answered, %v", host, n, err)
		}
	}
	Need(t, k.PodA.Offload(within(t, 5*time.Second), "eth0", false, "tso", "gso", "gro"))
	out, err := k.PodA.Exec(within(t, 5*time.Second), "ethtool", "-k", "eth0")
	if err != nil || !strings.Contains(string(out), "tcp-segmentation-offload: off") {
		t.Errorf("tso is still on: %v", err)
	}
}

func TestTransferFailsInTime(t *testing.T) {
	l := ForTest(t)
	k, err := l.KernelPair()
	Need(t, err)
	Need(t, k.PodB.Sysctl("net.ipv4.conf.eth0.arp_ignore", "8"))
	start := time.Now()
	_, err = Transfer{From: k.PodA, To: k.PodB, Addr: netip.MustParseAddrPort(OtherPodAddr + ":0")}.Run(within(t, 300*time.Millisecond))
	if err == nil || time.Since(start) > 5*time.Second {
		t.Errorf("a transfer over a dead link ended after %v with %v", time.Since(start), err)
	}
}

func TestNewRefusesBadNames(t *testing.T) {
	for _, p := range []string{"", "a/b", "a-b", "a b", strings.Repeat("x", 33)} {
		if _, err := New(p); err == nil {
			t.Errorf("prefix %q was accepted", p)
		}
	}
}
