package tour_test

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// These are endpoints of the reference topology: pod-b here, and
// the second node itself, as a pod of the host's network there would be.
var (
	here   = endpoint(lab.OtherPodAddr, "node")
	here6  = endpoint(lab.OtherPodAddr6, "node")
	there  = endpoint(lab.SecondAddr, "second")
	there6 = endpoint(lab.SecondAddr6, "second")
)

func ports(node int) string {
	return fmt.Sprintf("  ports: [{name: t, protocol: TCP, port: 80, nodePort: %d}, {name: u, protocol: UDP, port: 80, nodePort: %d}]", node, node)
}

// Each row of the table of services: who answers, and which source it sees.
func TestServiceRows(t *testing.T) {
	for _, opts := range []tour.Options{{}, {Workers: 2}, {Workers: 2, Driver: "af_xdp"}} {
		t.Run(fmt.Sprintf("%s workers=%d", cmp.Or(opts.Driver, "af_packet"), max(1, opts.Workers)), func(t *testing.T) { serviceRows(t, opts) })
	}
}

func serviceRows(t *testing.T, opts tour.Options) {
	opts.Wanted = lab.Wanted{Second: true}
	objects := twoFamilies("here", "10.96.0.1", "2001:db8:96::1", "  type: NodePort\n"+ports(30001), here, here6, 8080) +
		twoFamilies("there", "10.96.0.2", "2001:db8:96::2", "  type: NodePort\n"+ports(30002), there, there6, 8080) +
		twoFamilies("local", "10.96.0.3", "2001:db8:96::3", "  type: NodePort\n  externalTrafficPolicy: Local\n"+ports(30003), here+","+there, here6+","+there6, 8080) +
		twoFamilies("nowhere", "10.96.0.4", "2001:db8:96::4", "  type: NodePort\n  externalTrafficPolicy: Local\n"+ports(30004), there, there6, 8080) +
		twoFamilies("empty", "10.96.0.5", "2001:db8:96::5", "  type: NodePort\n"+ports(30005), "", "", 8080) +
		twoFamilies("inside", "10.96.0.6", "2001:db8:96::6", "  type: ClusterIP\n  internalTrafficPolicy: Local\n"+ports80, there+","+here, there6+","+here6, 8080) +
		twoFamilies("external", "10.96.0.7", "2001:db8:96::7", "  type: ClusterIP\n  externalIPs: [10.244.0.100, '2001:db8:244::100']\n"+ports80, here, here6, 8080) +
		twoFamilies("loaded", "10.96.0.8", "2001:db8:96::8", "  type: LoadBalancer\n  loadBalancerSourceRanges: [10.0.0.0/24, '2001:db8::/64']\n  externalTrafficPolicy: Local\n  healthCheckNodePort: 30108\n"+
			ports(30008)+"\nstatus: {loadBalancer: {ingress: [{ip: 10.244.0.101}, {ip: '2001:db8:244::101'}]}}", here, here6, 8080) +
		twoFamilies("away", "10.96.0.9", "2001:db8:96::9", "  type: LoadBalancer\n  externalTrafficPolicy: Local\n  healthCheckNodePort: 30109\n"+
			ports(30009), there, there6, 8080) +
		twoFamilies("host", "10.96.0.11", "2001:db8:96::11", "  type: ClusterIP\n"+ports80, endpoint(lab.NodeAddr, "node"), endpoint(lab.NodeAddr6, "node"), 8081)
	w := newServices(t, opts, objects)
	w.tell(t, w.PodB, "b", 8080)
	w.tell(t, w.Second, "second", 8080)
	w.tell(t, w.Node, "node", 8081)
	at := func(a string, port int) string {
		return netip.AddrPortFrom(netip.MustParseAddr(a), uint16(port)).String()
	}
	for _, f := range []struct{ vip, ext, lb, node, pod, other, remote, gateway string }{
		{"10.96.0.", "10.244.0.100", "10.244.0.101", lab.NodeAddr, lab.PodAddr, lab.OtherPodAddr, lab.RemoteAddr, lab.GatewayAddr},
		{"2001:db8:96::", "2001:db8:244::100", "2001:db8:244::101", lab.NodeAddr6, lab.PodAddr6, lab.OtherPodAddr6, lab.RemoteAddr6, lab.GatewayAddr6},
	} {
		for _, row := range []struct {
			name       string
			from       *lab.Namespace
			addr, want string // "!" is refused at once, "" is dropped
		}{
			{"ClusterIP from a pod", w.PodA, at(f.vip+"1", 80), "b " + f.pod},
			{"ClusterIP from the host", w.Node, at(f.vip+"1", 80), "b " + f.node},
			{"ClusterIP to another node", w.PodA, at(f.vip+"2", 80), "second " + f.pod},
			{"ClusterIP from the host to another node", w.Node, at(f.vip+"2", 80), "second " + f.node},
			{"ClusterIP from a pod to the host", w.PodA, at(f.vip+"11", 80), "node " + f.pod},
			{"ClusterIP to itself (hairpin)", w.PodB, at(f.vip+"1", 80), "b " + f.node},
			{"NodePort from outside", w.Remote, at(f.node, 30001), "b " + f.remote},
			{"NodePort from outside to another node", w.Remote, at(f.node, 30002), "second " + f.node},
			{"NodePort from a pod", w.PodA, at(f.node, 30001), "b " + f.pod},
			{"NodePort of its own", w.PodB, at(f.node, 30001), "b " + f.node},
			{"externalTrafficPolicy Local", w.Remote, at(f.node, 30003), "b " + f.remote},
			{"externalTrafficPolicy Local, nobody here", w.Remote, at(f.node, 30004), ""},
			{"no endpoints, ClusterIP", w.PodA, at(f.vip+"5", 80), "!"},
			{"no endpoints, NodePort", w.Remote, at(f.node, 30005), "!"},
			{"no endpoints, from the host", w.Node, at(f.vip+"5", 80), "!"},
			{"internalTrafficPolicy Local", w.PodA, at(f.vip+"6", 80), "b " + f.pod},
			{"ExternalIP from outside", w.Remote, at(f.ext, 80), "b " + f.remote},
			{"ExternalIP from a pod", w.PodA, at(f.ext, 80), "b " + f.pod},
			{"LoadBalancer, from where it may", w.Router, at(f.lb, 80), "b " + f.gateway},
			{"LoadBalancer, from where it may not", w.Remote, at(f.lb, 80), ""},
		} {
			t.Run(fmt.Sprintf("%s/%s", familyOf(f.node), row.name), func(t *testing.T) {
				switch row.want {
				case "!", "":
					w.refuses(t, row.from, row.addr, row.want == "!")
				default:
					w.wants(t, row.from, row.addr, row.want)
				}
			})
		}
	}
	w.eventually(t, "health check", func() error { return w.healthIs(30108, http.StatusOK) })
	w.eventually(t, "health check, nobody here", func() error { return w.healthIs(30109, http.StatusServiceUnavailable) })
}

func familyOf(addr string) string {
	if strings.Contains(addr, ":") {
		return "IPv6"
	}
	return "IPv4"
}

// refuses wants nobody to answer, and the asker to be told at once or never.
func (w *servicesWorld) refuses(t *testing.T, n *lab.Namespace, addr string, told bool) {
	t.Helper()
	for _, network := range []string{"tcp", "udp"} {
		start, patience := time.Now(), 3*time.Second
		if !told {
			patience = time.Second / 2 // the first answer would be here long before
		}
		got, err := w.askFor(n, network, addr, patience)
		refused := errors.Is(err, syscall.ECONNREFUSED)
		if err == nil || refused != told {
			t.Errorf("%s asks %s %s: %q, %v after %v; told at once: %v", n.Name(), network, addr, got, err, time.Since(start), told)
		}
	}
}
