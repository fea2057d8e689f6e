package cni_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
)

// The pods' subnet, and the little of it that the server has: both of its
// addresses are in use in the test, so that none may be kept.
const leaseFirst, leaseLast = "10.244.3.10", "10.244.3.11"

// dhcpIPAM is the plugin of containernetworking, which asks its daemon.
const dhcpIPAM = `{"type": "dhcp", "daemonSocketPath": "DIR/dhcp.sock"}`

// newLeasing is a rig with containernetworking's DHCP daemon, which gives up
// after some time, and a server behind the gateway.
func newLeasing(t *testing.T, patience string) (*rig, *lab.Reference, *lab.Process) {
	t.Helper()
	l := lab.ForTest(t)
	ref, err := l.Reference(lab.Wanted{StaticRoutes: true})
	lab.Need(t, err)
	r := rigOn(t, l, ref.Node)
	r.config("uplinks: [{interface: enp0s3, driver: af_packet, host_routes: [10.244.0.0/16], confirm: {timeout: 5s}}]\n" +
		"cni: {dhcp_server: " + lab.RemoteAddr + ", dhcp_subnet: 10.244.3.0}\n")
	r.start()
	t.Cleanup(func() { r.kill(15) }) // and so gives the uplink back
	r.startProcess(ref.Node, "dhcp", "daemon", "-socketpath", filepath.Join(r.dir, "dhcp.sock"), "-timeout", "1s", "-resendtimeout", patience)
	server := r.serveDHCP(ref.Remote)
	r.eventually("the DHCP daemon listens", func() bool { _, err := os.Stat(filepath.Join(r.dir, "dhcp.sock")); return err == nil })
	return r, ref, server
}

// serveDHCP starts a server that assigns from the pods' subnet, which it has no
// interface in.
func (r *rig) serveDHCP(at *lab.Namespace) *lab.Process {
	r.t.Helper()
	p := r.startProcess(at, "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--user=root", "--pid-file=", "--no-ping",
		"--dhcp-leasefile="+filepath.Join(r.dir, "leases"), "--dhcp-authoritative", "--log-dhcp",
		"--dhcp-range="+leaseFirst+","+leaseLast+",255.255.255.0,2m", "--dhcp-option=option:router,10.244.3.1", "--dhcp-option=option:T1,3s")
	r.eventually("the DHCP server is up", func() bool { return strings.Contains(p.Output(), "IP range "+leaseFirst) })
	return p
}

// startProcess starts a command that is ended with the test.
func (r *rig) startProcess(n *lab.Namespace, name string, args ...string) *lab.Process {
	r.t.Helper()
	if path := filepath.Join(os.Getenv(envBin), name); !strings.Contains(name, "/") {
		if _, err := os.Stat(path); err == nil {
			name = path
		}
	}
	p, err := n.Start(r.ctx, name, args...)
	lab.Need(r.t, err)
	r.t.Cleanup(func() {
		lab.Need(r.t, p.Signal(15))
		_ = p.Wait() // it was ended
		if r.t.Failed() {
			r.t.Logf("%s:\n%s", name, p.Output())
		}
	})
	return p
}

func ethernet(id string, pod *lab.Namespace) *libcni.RuntimeConf {
	rt := runtime(id, pod)
	rt.CapabilityArgs = map[string]any{"io.kubernetes.cri.pod-annotations": map[string]string{"skein.dev/interface-type": "veth"}}
	return rt
}

// TestDHCP: pods with Ethernet devices have their addresses from a DHCP server
// behind a router, renew them, and give them back.
func TestDHCP(t *testing.T) {
	r, ref, server := newLeasing(t, "30s")
	list := r.list("1.0.0", dhcpIPAM, "", "")
	fds := 0
	for round := range 2 {
		seen := map[string]bool{}
		for id, pod := range map[string]*lab.Namespace{"a": ref.PodA, "b": ref.PodB} {
			res := r.add(list, ethernet(id, pod))
			addr := res.IPs[0].Address.IP.String()
			if seen[addr] || addr != leaseFirst && addr != leaseLast {
				t.Fatalf("%s has %s", id, addr)
			}
			seen[addr] = true
			if len(res.Routes) != 1 || res.Routes[0].Dst.String() != "0.0.0.0/0" || res.Interfaces[0].Mac == "" {
				t.Errorf("%v", res)
			}
			lab.Need(t, ref.Node.Reaches(r.ctx, addr, ping()))
			lab.Need(t, r.cni.CheckNetworkList(r.ctx, list, ethernet(id, pod)))
		}
		r.relayed(2)
		lab.Need(t, ref.PodA.Reaches(r.ctx, leaseFirst, ping()))
		lab.Need(t, ref.PodA.Reaches(r.ctx, leaseLast, ping()))
		if round == 0 {
			renewed := strings.Count(server.Output(), "DHCPACK")
			r.eventually("a lease is renewed", func() bool { return strings.Count(server.Output(), "DHCPACK") > renewed })
			r.kill(9) // leases are renewed by the next daemon too
			r.start()
			renewed = strings.Count(server.Output(), "DHCPACK")
			r.eventually("a lease is renewed after a restart", func() bool { return strings.Count(server.Output(), "DHCPACK") > renewed })
		}
		r.del(list, ethernet("a", ref.PodA))
		r.del(list, ethernet("b", ref.PodB))
		r.eventually("both leases are back", func() bool { return strings.Count(server.Output(), "DHCPRELEASE") == 2*(round+1) })
		r.nothingLeft(ref.PodA, ref.PodB)
		r.nothingElse(t, ref.PodA)
		if n := r.holdings().fds; round > 0 && n > fds+2 {
			t.Errorf("%d descriptors, %d a round before", n, fds)
		} else {
			fds = n
		}
	}
}

// relayed wants the relay to have served so many pods, each with an exchange of
// two questions and their answers, which the graph has seen.
func (r *rig) relayed(pods int) {
	r.t.Helper()
	c, err := api.Dial(r.ctx, r.socket(), 0)
	lab.Need(r.t, err)
	defer func() { lab.Need(r.t, c.Close()) }()
	m, err := c.GetDHCPRelay(r.ctx, &skeinpb.GetDHCPRelayRequest{})
	lab.Need(r.t, err)
	if len(m.Links) != pods || m.Server != lab.RemoteAddr || m.Address != lab.NodeAddr || m.Subnet != "10.244.3.0" {
		r.t.Errorf("relayed: %v", m)
	}
	for _, l := range m.Links {
		if l.Asked < 2 || l.Answered < 2 || l.Refused+l.Unsent > 0 {
			r.t.Errorf("relayed: %v", l)
		}
	}
	e, err := c.GetErrors(r.ctx, &skeinpb.GetErrorsRequest{})
	lab.Need(r.t, err)
	taken := uint64(0)
	for _, x := range e.Errors {
		if x.Reason == "dhcp taken by the relay" {
			taken += x.Count
		}
	}
	if taken < uint64(2*pods) {
		r.t.Errorf("the graph has seen %d questions to the relay", taken)
	}
}

// TestDHCPRefused: what can't be leased is refused before anything is made, or
// undone.
func TestDHCPRefused(t *testing.T) {
	r, ref, server := newLeasing(t, "6s")
	list := r.list("1.0.0", dhcpIPAM, "", "")
	_, err := r.cni.AddNetworkList(r.ctx, list, runtime("a", ref.PodA))
	refused(t, "a TUN", err, types.ErrInvalidNetworkConfig)
	if strings.Contains(server.Output(), "DHCPDISCOVER") {
		t.Error("the server was asked for a TUN")
	}
	r.nothingLeft(ref.PodA)

	// Another client on the pod's device gets no lease: there is one for each pod.
	r.add(list, ethernet("a", ref.PodA))
	ctx, cancel := context.WithTimeout(r.ctx, 20*time.Second)
	defer cancel()
	if out, err := ref.PodA.Exec(ctx, "udhcpc", "-f", "-i", "eth0", "-n", "-q", "-s", "/bin/true", "-t", "3", "-T", "1", "-A", "1", "-x", "0x3d:0062"); err == nil {
		t.Errorf("a second client has a lease:\n%s", out)
	}
	m, err := r.client().GetDHCPRelay(r.ctx, &skeinpb.GetDHCPRelayRequest{})
	lab.Need(t, err)
	if len(m.Links) != 1 || m.Links[0].Refused == 0 || !strings.Contains(m.Links[0].Why, "a second client") {
		t.Errorf("relayed: %v", m)
	}
	r.del(list, ethernet("a", ref.PodA))

	// A server that says nothing: the plugin gives up, and all is undone.
	lab.Need(t, server.Signal(19)) // SIGSTOP
	_, err = r.cni.AddNetworkList(r.ctx, list, ethernet("a", ref.PodA))
	if err == nil {
		t.Error("an ADD without an answer succeeds")
	}
	t.Logf("no answer: %v", err)
	lab.Need(t, server.Signal(18)) // SIGCONT
	r.nothingLeft(ref.PodA)
	r.nothingElse(t, ref.PodA)

	// A daemon that knows no server says so at once.
	r.kill(15)
	r.config("")
	r.start()
	_, err = r.cni.AddNetworkList(r.ctx, list, ethernet("a", ref.PodA))
	refused(t, "no dhcp_server", err, types.ErrInvalidNetworkConfig)
	var e *types.Error
	if !errors.As(err, &e) || !strings.Contains(e.Error(), "cni.dhcp_server") {
		t.Errorf("%v", err)
	}
	r.nothingLeft(ref.PodA)
}
