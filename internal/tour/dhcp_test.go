package tour_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// A dhcp is a family's protocol: RFC 2131, or RFC 8415 with a router that says
// so (RFC 4861, section 4.2).
type dhcp struct {
	family
	first, second string // the address, and the one that another server gives later
	server        func(h *host, addr string) *lab.Process
	client        func(h *host, dir string) *lab.Process
	// again has a client ask again, now that there is another server, and
	// returns the one that runs then.
	again func(h *host, client *lab.Process, dir string) *lab.Process
}

var dhcps = []dhcp{
	{families[0], "10.0.0.50", "10.0.0.60", server4, client4, again4},
	{families[1], "2001:db8::50", "2001:db8::60", advertised, client6, again6},
}

// A host that gets its address by DHCP gets it over the TAP, by unicast
// answers; another address that comes later is followed; and the last one is
// what it keeps.
func TestDHCP(t *testing.T) {
	for _, driver := range []string{"af_packet", "af_xdp"} {
		for _, d := range dhcps {
			t.Run(driver+" "+d.name, func(t *testing.T) { leased(t, driver, d) })
		}
	}
}

func leased(t *testing.T, driver string, d dhcp) {
	h := startHost(t, tour.Options{Driver: driver}, func(h *host) {
		h.ip(h.Node, d.flush, d.ip+" route flush default")
	})
	dir := t.TempDir()
	server := d.server(h, d.first)
	client := d.client(h, dir)
	addr := func() string { return h.tap(d.ip, "addr", "show") }
	h.shows(addr, " "+d.first+"/")
	h.ip(h.Router, "route replace "+d.block+" via "+d.first)
	h.reaches("the world from the host", h.Node, d.remote)
	h.reaches("the world from a pod", h.PodA, d.remote)
	h.reaches("the host", h.Remote, d.first)

	if err := server.Stop(); err != nil {
		t.Log("dnsmasq:", err)
	}
	d.server(h, d.second)
	client = d.again(h, client, dir)
	h.shows(addr, " "+d.second+"/")
	h.ip(h.Router, "route replace "+d.block+" via "+d.second)
	h.reaches("the host at its new address", h.Remote, d.second)
	h.reaches("the world from a pod", h.PodA, d.remote)
	h.misses("the host at its old address", h.PodA, d.first)
	if t.Failed() {
		t.Logf("the client:\n%s", client.Output())
	}
	if err := client.Stop(); err != nil {
		t.Log("the client:", err)
	}
	lab.Need(t, h.Stop(h.ctx))
	h.shows(addr, " "+d.second+"/")
	h.reaches("the host after the end", h.Remote, d.second)
}

// script4 does for udhcpc what is needed here, and nothing to the machine.
const script4 = `#!/bin/sh
case $1 in
deconfig) ip -4 addr flush dev $interface ;;
bound|renew)
	ip -4 addr show dev $interface | grep -q "inet $ip/" || ip -4 addr flush dev $interface
	ip addr replace $ip/$mask dev $interface valid_lft $lease preferred_lft $lease
	ip route replace default via $router dev $interface ;;
esac
`

// script6 does so for dhclient. The route is the router's to advertise.
const script6 = `#!/bin/sh
case $reason in
BOUND6|RENEW6|REBIND6)
	ip -6 addr replace $new_ip6_address/128 dev $interface valid_lft $new_max_life preferred_lft $new_preferred_life ;;
RELEASE6|EXPIRE6) ip -6 addr del $old_ip6_address/128 dev $interface ;;
esac
`

func writeScript(h *host, dir, text string) (path string) {
	h.t.Helper()
	path = filepath.Join(dir, "script")
	lab.Need(h.t, os.WriteFile(path, []byte(text), 0o755))
	return path
}

func client4(h *host, dir string) *lab.Process {
	h.t.Helper()
	p, err := h.Node.Start(h.ctx, "udhcpc", "-f", "-i", lab.Uplink, "-s", writeScript(h, dir, script4), "-t", "10", "-T", "1", "-A", "1")
	lab.Need(h.t, err)
	return p
}

// again4 has it renew its lease.
func again4(h *host, client *lab.Process, _ string) *lab.Process {
	h.t.Helper()
	lab.Need(h.t, client.Signal(syscall.SIGUSR1))
	return client
}

// dhclient6 are the arguments that keep dhclient to files of its own.
func dhclient6(h *host, dir string, more ...string) []string {
	h.t.Helper()
	return append(more, "-6", "-cf", "/dev/null", "-lf", filepath.Join(dir, "leases"), "-pf", filepath.Join(dir, "pid"),
		"-sf", writeScript(h, dir, script6), lab.Uplink)
}

func client6(h *host, dir string) *lab.Process {
	h.t.Helper()
	p, err := h.Node.Start(h.ctx, "dhclient", dhclient6(h, dir, "-d")...)
	lab.Need(h.t, err)
	return p
}

// again6 gives the lease back, which ends the client, and starts another.
func again6(h *host, client *lab.Process, dir string) *lab.Process {
	h.t.Helper()
	_, err := h.Node.Exec(h.ctx, "dhclient", dhclient6(h, dir, "-r")...)
	lab.Need(h.t, err)
	h.until("the client has ended", func() error {
		select {
		case <-client.Done():
			return nil
		default:
			return os.ErrDeadlineExceeded
		}
	})
	// Of what it has given back it would think once more.
	lab.Need(h.t, os.Remove(filepath.Join(dir, "leases")))
	return client6(h, dir)
}

// server4 starts one on the router, and waits until it listens.
func server4(h *host, addr string) *lab.Process {
	h.t.Helper()
	p, err := h.Router.Start(h.ctx, "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--interface=lan", "--bind-interfaces",
		"--user=root", "--pid-file=", "--dhcp-leasefile="+filepath.Join(h.t.TempDir(), "leases"), "--dhcp-authoritative", "--no-ping",
		"--dhcp-range="+addr+","+addr+",255.255.255.0,2m", "--dhcp-option=option:router,"+lab.GatewayAddr)
	lab.Need(h.t, err)
	h.shows(p.Output, "DHCP")
	return p
}
