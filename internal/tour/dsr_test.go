package tour_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// The pod on the second node, and addresses of a load balancer.
const (
	farPod, farPod6 = "10.244.1.2", "2001:db8:244:1::2"
	balancer        = "203.0.113.80"
	balancer6       = "2001:db8:80::1"
)

// twoNodes are Nodes as kubectl writes them, as far as they matter.
const twoNodes = `
---
apiVersion: v1
kind: Node
metadata: {name: node}
status: {addresses: [{type: InternalIP, address: ` + lab.NodeAddr + `}, {type: InternalIP, address: '` + lab.NodeAddr6 + `'}, {type: Hostname, address: node}]}
---
apiVersion: v1
kind: Node
metadata: {name: second}
status: {addresses: [{type: InternalIP, address: ` + lab.SecondAddr + `}, {type: InternalIP, address: '` + lab.SecondAddr6 + `'}]}
`

// directService is one with a backend on the second node only.
func directService() string {
	spec := fmt.Sprintf(`  type: LoadBalancer
  ports: [{name: t, protocol: TCP, port: 80, nodePort: 30080}, {name: u, protocol: UDP, port: 80, nodePort: 30080}]
status: {loadBalancer: {ingress: [{ip: %s}, {ip: '%s'}]}}`, balancer, balancer6)
	text := twoFamilies("web", "10.96.0.10", "2001:db8:96::10", spec, endpoint(farPod, "second"), endpoint(farPod6, "second"), 8080)
	return strings.Replace(text, "{name: web, namespace: default}",
		"{name: web, namespace: default, annotations: {skein-dataplane.github.io/forwarding-mode: dsr}}", 1) + twoNodes
}

// secondNode starts a daemon on the second node, with one pod.
func secondNode(t *testing.T, w *servicesWorld, objects string) *lab.Namespace {
	t.Helper()
	pod, err := w.Lab.Namespace("pod-c")
	lab.Need(t, err)
	dir := t.TempDir()
	file, config := filepath.Join(dir, "services.yaml"), filepath.Join(dir, "skeind.yaml")
	lab.Need(t, os.WriteFile(file, []byte(objects), 0o644))
	text := fmt.Sprintf(`run_dir: %s/run
uplinks: [{interface: %s, driver: af_packet, host_routes: [%s, '2001:db8:244:1::/64']}]
pods: [{netns: %s, interface: eth0, addresses: [%s/32, '%s/128'], workload: {namespace: default, name: pod-c}}]
api: {socket: %s/api.sock}
policy: {node_name: second}
services: {files: [%s], cidrs: [10.96.0.0/16, '2001:db8:96::/112']}
`, dir, lab.Uplink, lab.SecondPodBlock, pod.Path(), farPod, farPod6, dir, file)
	lab.Need(t, os.WriteFile(config, []byte(text), 0o644))
	p, err := w.Second.Start(context.Background(), w.Daemon(), "--config", config)
	lab.Need(t, err)
	t.Cleanup(func() {
		_ = p.Signal(unix.SIGTERM)
		if err := p.Wait(); err != nil {
			t.Errorf("the second daemon: %v", err)
		}
		if t.Failed() {
			t.Logf("the second daemon's log:\n%s", p.Output())
		}
	})
	w.eventually(t, "the second daemon", func() error {
		if !strings.Contains(p.Output(), "ready") {
			return fmt.Errorf("not ready:\n%s", p.Output())
		}
		return nil
	})
	return pod
}

// A wire counts what arrives at a router's ports.
type wire struct {
	mu      sync.Mutex
	tunnels map[string]int // packets in packets, by port
	answers map[string]int // packets from a service's address and port, by port
}

// listen watches the router's two ports until the test ends.
func listen(t *testing.T, router *lab.Namespace) *wire {
	t.Helper()
	x := &wire{tunnels: map[string]int{}, answers: map[string]int{}}
	names := map[int]string{}
	fd := -1
	lab.Need(t, router.Do(func() (err error) {
		for _, name := range []string{"port1", "port2"} {
			in, err := net.InterfaceByName(name)
			if err != nil {
				return err
			}
			names[in.Index] = name
		}
		all := int(binary.BigEndian.Uint16([]byte{unix.ETH_P_ALL & 0xff, unix.ETH_P_ALL >> 8}))
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, all)
		return err
	}))
	lab.Need(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}))
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		p := make([]byte, 1<<16)
		for {
			n, from, err := unix.Recvfrom(fd, p, 0)
			if ll, ok := from.(*unix.SockaddrLinklayer); ok && err == nil && ll.Pkttype != unix.PACKET_OUTGOING && names[ll.Ifindex] != "" {
				x.note(names[ll.Ifindex], p[:n])
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	t.Cleanup(func() { close(done); ended.Wait(); _ = unix.Close(fd) })
	return x
}

// note counts a packet that starts at its IP header.
func (x *wire) note(port string, p []byte) {
	proto, at := byte(0), 0
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		proto, at = p[9], 20
	case len(p) >= 40 && p[0]>>4 == 6:
		proto, at = p[6], 40
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case proto == 4 || proto == 41:
		x.tunnels[port]++
	case (proto == unix.IPPROTO_TCP || proto == unix.IPPROTO_UDP) && len(p) >= at+2:
		if sport := binary.BigEndian.Uint16(p[at:]); sport == 80 || sport == 30080 {
			x.answers[port]++
		}
	}
}

// Clients ask the first node, and are answered by a pod on the second one, which
// sees them; answers don't come by the first node.
func TestDirectServerReturn(t *testing.T) {
	objects := directService()
	w := newServices(t, tour.Options{Wanted: lab.Wanted{Second: true}}, objects)
	pod := secondNode(t, w, objects)
	w.tell(t, pod, "c", 8080)
	lab.Need(t, w.Router.Route(balancer+"/32", lab.NodeAddr, ""))
	lab.Need(t, w.Router.Route(balancer6+"/128", lab.NodeAddr6, ""))
	x := listen(t, w.Router)
	for addr, client := range map[string]string{
		lab.NodeAddr + ":30080": lab.RemoteAddr, "[" + lab.NodeAddr6 + "]:30080": lab.RemoteAddr6,
		balancer + ":80": lab.RemoteAddr, "[" + balancer6 + "]:80": lab.RemoteAddr6,
	} {
		w.wants(t, w.Remote, addr, "c "+client)
	}
	x.mu.Lock()
	if x.tunnels["port1"] == 0 || x.tunnels["port2"] != 0 || x.answers["port1"] != 0 || x.answers["port2"] == 0 {
		t.Errorf("tunnels by port %v, answers by port %v", x.tunnels, x.answers)
	}
	x.mu.Unlock()
	m, err := w.client(t).ListServices(w.ctx, &skeinpb.ListServicesRequest{Name: "default/web"})
	lab.Need(t, err)
	for _, s := range m.Services {
		if !s.DirectReturn || len(s.Backends) != 1 || s.Backends[0].Node != lab.SecondAddr && s.Backends[0].Node != lab.SecondAddr6 {
			t.Errorf("%v", s)
		}
	}
	if len(m.Alarms) > 0 {
		t.Errorf("alarms: %v", m.Alarms)
	}
}

// A connection goes on when the daemon of the node that it comes in by crashes
// and another is started, and carries more than fits the tunnel in one packet:
// the client is told how much that is.
func TestDirectServerReturnGoesOn(t *testing.T) {
	objects := directService()
	w := newServices(t, tour.Options{Wanted: lab.Wanted{Second: true}}, objects)
	pod := secondNode(t, w, objects)
	ln, err := pod.ListenTCP(netip.AddrPortFrom(netip.IPv6Unspecified(), 8080))
	lab.Need(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	var conns []net.Conn
	for _, addr := range []string{lab.NodeAddr + ":30080", "[" + lab.NodeAddr6 + "]:30080"} {
		conn, err := w.Remote.DialTCP(w.ctx, netip.MustParseAddrPort(addr))
		if err != nil {
			t.Fatalf("%s: %v", addr, err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		conns = append(conns, conn)
	}
	echoed := func(when string) {
		t.Helper()
		for _, c := range conns {
			sent := make([]byte, 300_000)
			_ = c.SetDeadline(time.Now().Add(15 * time.Second))
			go func() { _, _ = c.Write(sent) }()
			if _, err := io.ReadFull(c, make([]byte, len(sent))); err != nil {
				t.Errorf("%s, to %v: %v", when, c.RemoteAddr(), err)
			}
		}
	}
	echoed("at first")
	lab.Need(t, w.Crash(w.ctx))
	lab.Need(t, w.Start(w.ctx))
	echoed("after a crash")
	line := lab.RemoteAddr + " > " + lab.NodeAddr + ": tcp 1024 > 30080 flags S"
	told, err := w.client(t).Explain(w.ctx, &skeinpb.ExplainRequest{Packet: &skeinpb.ExplainRequest_Line{Line: line}})
	lab.Need(t, err)
	if text := told.String(); !strings.Contains(text, lab.SecondAddr) || !strings.Contains(text, "tunnel") {
		t.Errorf("explained as %s", text)
	}
}
