package tour_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// A family is what the reference topology has of one.
type family struct {
	name    string
	ip      string // ip(8)'s option
	flush   string // takes it away from the host, behind ip
	headers int    // of an echo request, in bytes: IP's and ICMP's

	remote, node, gateway, pod, otherPod string
	block                                string // the node's pods, at the router
	network, host                        string // prefix lengths of the LAN and of one address
}

var families = []family{
	{"IPv4", "-4", "-4 addr flush dev enp0s3", 28,
		lab.RemoteAddr, lab.NodeAddr, lab.GatewayAddr, lab.PodAddr, lab.OtherPodAddr, lab.PodBlock, "/24", "/32"},
	{"IPv6", "-6", "-6 addr flush dev enp0s3 scope global", 48,
		lab.RemoteAddr6, lab.NodeAddr6, lab.GatewayAddr6, lab.PodAddr6, lab.OtherPodAddr6, lab.PodBlock6, "/64", "/128"},
}

// named returns the family's own of two things.
func (f family) named(ip4, ip6 string) string {
	if f.ip == "-6" {
		return ip6
	}
	return ip4
}

// addr adds an address, which is good at once.
func (h *host) addr(n *lab.Namespace, addr, dev string) {
	h.t.Helper()
	line := "addr add " + addr + " dev " + dev
	if strings.Contains(addr, ":") {
		line += " nodad"
	}
	h.ip(n, line)
}

// Uplinks with both families, and with one alone: taken over, killed, restored,
// taken over again, replaced and given back, and the host has what it had.
func TestFamilies(t *testing.T) {
	for _, driver := range []string{"af_packet", "af_xdp"} {
		for without := range len(families) + 1 {
			has, name := families, "both"
			if without < len(families) {
				has = families[1-without : 2-without]
				name = has[0].name + " alone"
			}
			t.Run(driver+" "+name, func(t *testing.T) {
				var before string
				h := startHost(t, tour.Options{Driver: driver}, func(h *host) {
					if without < len(families) {
						h.ip(h.Node, families[without].flush)
					}
					before = hostView(t, h.ctx, h.Node)
				})
				h.alive(has)
				lab.Need(t, h.Crash(h.ctx))
				h.sameView(before)
				for _, f := range has {
					h.reaches("the world after a crash", h.Node, f.remote)
				}
				lab.Need(t, h.Start(h.ctx))
				h.alive(has)
				lab.Need(t, h.Upgrade(h.ctx))
				h.shows(h.Log, "a data plane runs already") // the supervisor is itself again
				h.alive(has)
				lab.Need(t, h.Stop(h.ctx))
				h.sameView(before)
				for _, f := range has {
					h.reaches("the world after the end", h.Node, f.remote)
				}
			})
		}
	}
}

// alive looks whether the host and a pod reach and are reached by the families
// that the host has, and the host by no other.
func (h *host) alive(has []family) {
	h.t.Helper()
	for _, f := range has {
		h.reaches("the world from the host", h.Node, f.remote)
		h.reaches("the host", h.Remote, f.node)
		h.reaches("the world from a pod", h.PodA, f.remote)
		h.reaches("a pod", h.Remote, f.pod)
		h.reaches("a pod from the host", h.Node, f.pod)
	}
	for _, f := range families {
		if len(has) == 1 && has[0] != f && h.Node.Reaches(h.ctx, f.remote, lab.Ping{Timeout: 100 * time.Millisecond}) == nil {
			h.t.Errorf("the host reaches the world by %s, which it has not", f.name)
		}
	}
}

// advertised starts a router that advertises itself and its prefix, or, if
// stateful, itself and a DHCPv6 server with one address (RFC 4861, RFC 8415).
func advertised(h *host, stateful string) *lab.Process {
	h.t.Helper()
	ranges := "--dhcp-range=2001:db8::,ra-only,64,2m"
	if stateful != "" {
		ranges = "--dhcp-range=" + stateful + "," + stateful + ",64,2m"
	}
	p, err := h.Router.Start(h.ctx, "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--interface=lan", "--bind-interfaces",
		"--user=root", "--pid-file=", "--dhcp-leasefile="+h.t.TempDir()+"/leases", "--dhcp-authoritative", "--enable-ra", "--ra-param=lan,4,120", ranges)
	lab.Need(h.t, err)
	h.shows(p.Output, "router advertisement on")
	return p
}

// A host that has its IPv6 address and default route from router
// advertisements, and no IPv4: it keeps both over the TAP, pods use the route,
// and after a crash and after the end they are there again.
func TestAutoconfigured(t *testing.T) {
	for _, driver := range []string{"af_packet", "af_xdp"} {
		t.Run(driver, func(t *testing.T) {
			var own string
			h := startHost(t, tour.Options{Driver: driver}, func(h *host) {
				h.ip(h.Node, "-4 addr flush dev enp0s3", "-6 addr flush dev enp0s3 scope global", "-6 route flush default")
				advertised(h, "")
				h.until("an address", func() (err error) { own, err = global6(h); return err })
				h.reaches("the world before anything", h.Node, lab.RemoteAddr6)
			})
			look := func(when string) {
				t.Helper()
				h.shows(func() string { return h.tap("-6", "route", "show", "default") }, "proto ra")
				h.ip(h.Router, "-6 route replace "+lab.PodBlock6+" via "+own)
				h.reaches("the world from the host "+when, h.Node, lab.RemoteAddr6)
				h.reaches("the host "+when, h.Remote, own)
			}
			look("taken over")
			h.reaches("the world from a pod", h.PodA, lab.RemoteAddr6)
			h.reaches("a pod", h.Remote, lab.PodAddr6)
			lab.Need(t, h.Crash(h.ctx))
			look("after a crash")
			lab.Need(t, h.Start(h.ctx))
			look("taken over again")
			h.reaches("the world from a pod again", h.PodA, lab.RemoteAddr6)
			lab.Need(t, h.Stop(h.ctx))
			look("after the end")
		})
	}
}

// global6 returns the host's global address.
func global6(h *host) (string, error) {
	addrs, err := h.Node.Netlink().AddrList(nil, 10) // AF_INET6
	if err != nil {
		return "", err
	}
	for _, a := range addrs {
		if a.IP.IsGlobalUnicast() {
			return a.IP.String(), nil
		}
	}
	return "", errors.New("there is none")
}
