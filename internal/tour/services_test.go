package tour_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/api"
	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// A servicesWorld is a node with services and NAT, and who answers for them.
type servicesWorld struct {
	*tour.Tour
	ctx context.Context
}

// servicesConfig switches NAT on: pods leave with the node's address, but for
// the LAN of the nodes.
const servicesConfig = `routes: [blackhole ` + lab.PodBlock + `, blackhole ` + lab.PodBlock6 + `]
policy: {node_name: node}
services:
  files: [%s]
  cidrs: [10.96.0.0/16, '2001:db8:96::/112']
  endpoints: [10.0.0.0/8, 198.51.100.0/24, '2001:db8::/32']
  zone: zone-a
nat:
  pools: [{cidr: 10.244.0.0/16, outgoing: true}, {cidr: '2001:db8:244::/56', outgoing: true}]
  exclude: [10.0.0.0/24, '2001:db8::/64']
`

// newServices starts a daemon that knows the objects of a YAML text.
func newServices(t *testing.T, opts tour.Options, objects string) *servicesWorld {
	t.Helper()
	file := filepath.Join(t.TempDir(), "services.yaml")
	if err := os.WriteFile(file, []byte(objects), 0o644); err != nil {
		t.Fatal(err)
	}
	opts.Config = fmt.Sprintf(servicesConfig, file) + opts.Config
	return startServices(t, opts)
}

// startServices starts a daemon that knows what its options say.
func startServices(t *testing.T, opts tour.Options) *servicesWorld {
	t.Helper()
	opts.Driver = cmp.Or(opts.Driver, "af_packet")
	w := &servicesWorld{Tour: newTour(t, opts)}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	w.ctx = ctx
	if err := w.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return w
}

// tell has somebody answer on a port, TCP and UDP, with its name and who has
// asked.
func (w *servicesWorld) tell(t *testing.T, n *lab.Namespace, name string, port uint16) {
	t.Helper()
	at := netip.AddrPortFrom(netip.IPv6Unspecified(), port) // of both families
	ln, err := n.ListenTCP(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(c, "%s %s", name, asker(c.RemoteAddr()))
			_ = c.Close()
		}
	}()
	udp, err := n.ListenUDP(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = udp.Close() })
	go func() {
		question := make([]byte, 1<<16)
		for {
			_, from, err := udp.ReadFromUDPAddrPort(question)
			if err != nil {
				return
			}
			_, _ = udp.WriteToUDPAddrPort(fmt.Appendf(nil, "%s %s", name, from.Addr().Unmap()), from)
		}
	}()
}

func asker(a net.Addr) string {
	ap, _ := netip.ParseAddrPort(a.String())
	return ap.Addr().Unmap().String()
}

// ask returns who answers, and as whom it has seen the asker.
func (w *servicesWorld) ask(n *lab.Namespace, network, addr string) (string, error) {
	return w.askFor(n, network, addr, 3*time.Second)
}

// client connects to the daemon that runs now.
func (w *servicesWorld) client(t *testing.T) *api.Client {
	t.Helper()
	c, err := w.Client(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// apply has the daemon take services.
func (w *servicesWorld) apply(t *testing.T, c *api.Client, objects string) {
	t.Helper()
	if _, err := c.ApplyServices(w.ctx, &skeinpb.ApplyServicesRequest{Name: "test.yaml", Text: []byte(objects)}); err != nil {
		t.Fatal(err)
	}
}

// eventually tries until something holds: what follows from a change shortly.
func (w *servicesWorld) eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%s: %v", what, err)
			return
		}
	}
}

func (w *servicesWorld) askFor(n *lab.Namespace, network, addr string, patience time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return "", err
	}
	var conn net.Conn
	if network == "udp" {
		conn, err = n.DialUDP(at)
	} else {
		conn, err = n.DialTCP(ctx, at)
	}
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if network == "udp" {
		if _, err := conn.Write([]byte("who?")); err != nil {
			return "", err
		}
		answer := make([]byte, 1500)
		got, err := conn.Read(answer)
		return string(answer[:got]), err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

// wants asks over TCP and UDP and compares the answers.
func (w *servicesWorld) wants(t *testing.T, n *lab.Namespace, addr, want string) {
	t.Helper()
	for _, network := range []string{"tcp", "udp"} {
		got, err := w.ask(n, network, addr)
		if err != nil || got != want {
			t.Errorf("%s asks %s %s: %q, %v; want %q", n.Name(), network, addr, got, err, want)
		}
	}
}

// twoFamilies is a service with slices of both families: end and end6 are lists
// of endpoints in YAML, which have a port for TCP (t), UDP (u) and SCTP (s).
func twoFamilies(name, vip, vip6, spec, end, end6 string, port int) string {
	text := fmt.Sprintf(`
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: default}
spec:
  clusterIPs: [%[2]s, '%[3]s']
  ipFamilies: [IPv4, IPv6]
  ipFamilyPolicy: RequireDualStack
%[4]s`, name, vip, vip6, spec)
	for _, f := range []struct{ family, ends string }{{"IPv4", end}, {"IPv6", end6}} {
		text += fmt.Sprintf(`
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %s-%s, namespace: default, labels: {kubernetes.io/service-name: %[1]s}}
addressType: %[3]s
endpoints: [%[4]s]
ports: [{name: t, protocol: TCP, port: %[5]d}, {name: u, protocol: UDP, port: %[5]d}, {name: s, protocol: SCTP, port: %[5]d}]`, name, strings.ToLower(f.family), f.family, f.ends, port)
	}
	return text
}

// endpoint is a ready one at a node.
func endpoint(addr, node string) string {
	return fmt.Sprintf("{addresses: ['%s'], nodeName: %s, conditions: {ready: true}}", addr, node)
}

const ports80 = "  ports: [{name: t, protocol: TCP, port: 80}, {name: u, protocol: UDP, port: 80}]"

// A pod reaches a service, and so does the node's host. What leaves for the
// world has the node's address; what goes to the node's LAN keeps its own.
func TestServiceAndMasquerade(t *testing.T) {
	w := newServices(t, tour.Options{}, twoFamilies("web", "10.96.0.10", "2001:db8:96::10", "  type: ClusterIP\n"+ports80,
		endpoint(lab.OtherPodAddr, "node"), endpoint(lab.OtherPodAddr6, "node"), 8080))
	w.tell(t, w.PodB, "b", 8080)
	w.tell(t, w.Remote, "remote", 8080)
	w.tell(t, w.Router, "router", 8080)
	for _, x := range []struct {
		from       *lab.Namespace
		addr, want string
	}{
		{w.PodA, "10.96.0.10:80", "b " + lab.PodAddr},
		{w.PodA, "[2001:db8:96::10]:80", "b " + lab.PodAddr6},
		{w.Node, "10.96.0.10:80", "b " + lab.NodeAddr},
		{w.Node, "[2001:db8:96::10]:80", "b " + lab.NodeAddr6},
		{w.PodA, lab.RemoteAddr + ":8080", "remote " + lab.NodeAddr},
		{w.PodA, "[" + lab.RemoteAddr6 + "]:8080", "remote " + lab.NodeAddr6},
		{w.PodA, lab.GatewayAddr + ":8080", "router " + lab.PodAddr},
		{w.PodA, "[" + lab.GatewayAddr6 + "]:8080", "router " + lab.PodAddr6},
	} {
		w.wants(t, x.from, x.addr, x.want)
	}
	// Answers of pods leave as what was asked, not as flows of their own.
	w.tell(t, w.PodA, "a", 8080)
	w.wants(t, w.Remote, lab.PodAddr+":8080", "a "+lab.RemoteAddr)
	w.wants(t, w.Remote, "["+lab.PodAddr6+"]:8080", "a "+lab.RemoteAddr6)
}
