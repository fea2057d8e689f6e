package tour_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// script does for udhcpc what is needed here, and nothing to the machine.
const script = `#!/bin/sh
case $1 in
deconfig) ip -4 addr flush dev $interface ;;
bound|renew)
	ip -4 addr show dev $interface | grep -q "inet $ip/" || ip -4 addr flush dev $interface
	ip addr replace $ip/$mask dev $interface valid_lft $lease preferred_lft $lease
	ip route replace default via $router dev $interface ;;
esac
`

// A host that gets its address by DHCP gets it over the TAP, by unicast
// answers; a renewal that brings another one is followed; and the last one is
// what it keeps.
func TestDHCP(t *testing.T) {
	for _, driver := range []string{"af_packet", "af_xdp"} {
		t.Run(driver, func(t *testing.T) {
			h := startHost(t, tour.Options{Driver: driver}, func(h *host) {
				h.ip(h.Node, "-4 addr flush dev enp0s3")
			})
			server := dhcpServer(h, "10.0.0.50,10.0.0.50")
			path := filepath.Join(t.TempDir(), "script")
			if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			client, err := h.Node.Start(h.ctx, "udhcpc", "-f", "-i", lab.Uplink, "-s", path, "-t", "10", "-T", "1", "-A", "1")
			if err != nil {
				t.Fatal(err)
			}
			addr := func() string { return h.tap("-4", "addr", "show") }
			h.shows(addr, "inet 10.0.0.50/24")
			h.ip(h.Router, "route replace "+lab.PodBlock+" via 10.0.0.50")
			h.reaches("the world from the host", h.Node, lab.RemoteAddr)
			h.reaches("the world from a pod", h.PodA, lab.RemoteAddr)
			h.reaches("the host", h.Remote, "10.0.0.50")

			if err := server.Stop(); err != nil {
				t.Log("dnsmasq:", err)
			}
			dhcpServer(h, "10.0.0.60,10.0.0.60")
			if err := client.Signal(syscall.SIGUSR1); err != nil { // renew
				t.Fatal(err)
			}
			h.shows(addr, "inet 10.0.0.60/24")
			h.ip(h.Router, "route replace "+lab.PodBlock+" via 10.0.0.60")
			h.reaches("the host at its new address", h.Remote, "10.0.0.60")
			h.reaches("the world from a pod", h.PodA, lab.RemoteAddr)
			h.misses("the host at its old address", h.PodA, "10.0.0.50")
			if t.Failed() {
				t.Logf("udhcpc:\n%s", client.Output())
			}
			if err := client.Stop(); err != nil {
				t.Log("udhcpc:", err)
			}
			if err := h.Stop(h.ctx); err != nil {
				t.Fatal(err)
			}
			h.shows(addr, "inet 10.0.0.60/24")
			h.reaches("the host after the end", h.Remote, "10.0.0.60")
		})
	}
}

// dhcpServer starts one on the router, and waits until it listens.
func dhcpServer(h *host, addrs string) *lab.Process {
	h.t.Helper()
	p, err := h.Router.Start(h.ctx, "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--interface=lan", "--bind-interfaces",
		"--user=root", "--pid-file=", "--dhcp-leasefile="+filepath.Join(h.t.TempDir(), "leases"), "--dhcp-authoritative", "--no-ping",
		"--dhcp-range="+addrs+",255.255.255.0,2m", "--dhcp-option=option:router,"+lab.GatewayAddr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.shows(p.Output, "DHCP")
	return p
}
