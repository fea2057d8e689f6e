package kerneldiff

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/internal/lab"
)

// A kernel is a namespace in which Linux routes, and one with the other ends
// of its links, of which nothing but a packet socket makes use.
type kernel struct {
	fd       int
	links    [numPorts]int // interface indices at the other ends
	sentinel []byte
	noise    int // frames that the kernel has sent on its own
	router   *lab.Namespace
}

// quiet keeps Linux from doing what a test can't repeat: limits of rates,
// redirects, reverse path filters, messages of its own accord.
var quiet = strings.Fields(`
net.ipv4.ip_forward=1
net.ipv4.icmp_ratemask=0
net.ipv4.icmp_ratelimit=0
net.ipv4.icmp_errors_use_inbound_ifaddr=1
net.ipv4.conf.all.rp_filter=0
net.ipv4.conf.default.rp_filter=0
net.ipv4.conf.all.send_redirects=0
net.ipv4.conf.default.send_redirects=0
net.ipv4.conf.all.accept_redirects=0
net.ipv4.conf.default.accept_redirects=0
net.ipv4.conf.all.accept_source_route=0
net.ipv6.conf.all.forwarding=1
net.ipv6.conf.all.accept_redirects=0
net.ipv6.conf.default.accept_redirects=0
net.ipv6.conf.default.accept_ra=0
net.ipv6.conf.default.addr_gen_mode=1
net.ipv6.conf.default.router_solicitations=0
net.ipv6.icmp.ratelimit=0
net.ipv6.icmp.ratemask=255
net.ipv6.auto_flowlabels=0
`)

func newKernel(t *testing.T) *kernel {
	t.Helper()
	l := lab.ForTest(t)
	router, wire := l.Add(t, "router"), l.Add(t, "wire")
	for _, s := range quiet {
		key, value, _ := strings.Cut(s, "=")
		lab.Need(t, router.Sysctl(key, value))
	}
	lab.Need(t, wire.Sysctl("net.ipv6.conf.default.disable_ipv6", "1"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ip := func(n *lab.Namespace, words ...string) {
		t.Helper()
		_, err := n.Exec(ctx, "ip", strings.Fields(strings.Join(words, " "))...)
		lab.Need(t, err)
	}
	for _, p := range ports {
		lab.Need(t, lab.Join(
			lab.End{NS: router, Link: p.name, MAC: hardware(p.mac), MTU: p.mtu, Addrs: []string{p.addr.String(), p.addr6.String(), p.linkLocal.String()}},
			lab.End{NS: wire, Link: p.name, MAC: hardware(p.station), MTU: p.mtu}))
		ip(wire, "link set", p.name, "arp off")
		for _, a := range p.neighbors {
			ip(router, "neigh replace", a, "lladdr", hardware(p.station).String(), "dev", p.name, "nud permanent")
		}
	}
	lab.Need(t, router.AwaitAddrs(ctx))
	for _, r := range routes {
		if ipv6(r) {
			ip(router, "-6 route add", r)
		} else {
			ip(router, "route add", r)
		}
	}
	k := &kernel{sentinel: sentinel(), router: router}
	lab.Need(t, wire.Do(k.open))
	t.Cleanup(func() { _ = unix.Close(k.fd) })
	return k
}

// open opens the packet socket, in the namespace of the caller.
func (k *kernel) open() (err error) {
	for i, p := range ports {
		link, err := net.InterfaceByName(p.name)
		if err != nil {
			return err
		}
		k.links[i] = link.Index
	}
	all := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8)
	if k.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all)); err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	if err := unix.SetsockoptInt(k.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return fmt.Errorf("PACKET_IGNORE_OUTGOING: %w", err)
	}
	return unix.SetsockoptTimeval(k.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2})
}

// pin keeps the caller on one CPU until the test ends, so that the kernel
// takes its frames in order: each CPU has a backlog of its own.
func pin(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	var before, one unix.CPUSet
	lab.Need(t, unix.SchedGetaffinity(0, &before))
	for cpu := range 1024 {
		if before.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	lab.Need(t, unix.SchedSetaffinity(0, &one))
	t.Cleanup(func() {
		lab.Need(t, unix.SchedSetaffinity(0, &before))
		runtime.UnlockOSThread()
	})
}

// sentinel is a frame that is forwarded for sure: what has come out before it
// is what came of the frame before it.
func sentinel() []byte {
	p := make([]byte, hdr.EtherLen+hdr.IPv4Len+hdr.UDPLen+16)
	(*hdr.Ether)(p).Fill(ports[left].mac, ports[left].station, hdr.TypeIPv4)
	h := (*hdr.IPv4)(p[hdr.EtherLen:])
	*h = hdr.IPv4{0: 0x45, 8: 7, 9: hdr.ProtoUDP, 12: 10, 13: 1, 14: 255, 15: 255, 16: 10, 17: 2, 18: 255, 19: 255}
	h.SetLen(len(p) - hdr.EtherLen)
	h.SetChecksum(hdr.Checksum(h[:]))
	copy(p[len(p)-16:], "that was the one")
	return p
}

// route sends a frame to the router and returns what it sends because of it.
func (k *kernel) route(f frame) (out []frame, err error) {
	for _, x := range []frame{f, {left, k.sentinel}} {
		if err := unix.Sendto(k.fd, x.bytes, 0, &unix.SockaddrLinklayer{Ifindex: k.links[x.port], Halen: 6}); err != nil {
			return nil, fmt.Errorf("send %d bytes to %s: %w", len(x.bytes), ports[x.port].name, err)
		}
	}
	var room [2048]byte
	for {
		n, from, err := unix.Recvfrom(k.fd, room[:], 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("the sentinel has not come: %w", err)
		}
		p := room[:n]
		if bytes.HasSuffix(p, []byte("that was the one")) && n == len(k.sentinel) {
			return out, nil
		}
		at := left
		if from.(*unix.SockaddrLinklayer).Ifindex == k.links[right] {
			at = right
		}
		if ownAccord(p) {
			k.noise++
			continue
		}
		out = append(out, frame{at, bytes.Clone(p)})
	}
}

// ownAccord reports whether a frame is one that Linux sends because its
// interfaces are new: a report of the groups that it has joined (RFC 3810).
func ownAccord(p []byte) bool {
	at := hdr.EtherLen + hdr.IPv6Len + hdr.ExtLen
	return (*hdr.Ether)(p).Type() == hdr.TypeIPv6 && len(p) > at && p[hdr.EtherLen+6] == hdr.ProtoHopByHop && p[at] == hdr.ICMP6MLDv2Report &&
		p[hdr.EtherLen+24] == 0xff
}
