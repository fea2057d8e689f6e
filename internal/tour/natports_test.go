package tour_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// tellPorts has somebody answer over UDP and TCP with the address and port that
// it sees.
func (w *servicesWorld) tellPorts(t *testing.T, n *lab.Namespace, port uint16) {
	t.Helper()
	at := netip.AddrPortFrom(netip.IPv6Unspecified(), port)
	udp, err := n.ListenUDP(at)
	lab.Need(t, err)
	tcp, err := n.ListenTCP(at)
	lab.Need(t, err)
	t.Cleanup(func() { _, _ = udp.Close(), tcp.Close() })
	seen := func(a netip.AddrPort) []byte {
		return []byte(netip.AddrPortFrom(a.Addr().Unmap(), a.Port()).String())
	}
	go func() {
		question := make([]byte, 1500)
		for {
			_, from, err := udp.ReadFromUDPAddrPort(question)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_, _ = udp.WriteToUDPAddrPort(seen(from), from)
			}
		}
	}()
	go func() {
		for {
			conn, err := tcp.AcceptTCP()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_, _ = conn.Write(seen(conn.RemoteAddr().(*net.TCPAddr).AddrPort()))
				t.Cleanup(func() { _ = conn.Close() }) // it stays open as long as the test
			}
		}
	}()
}

// seenAs opens a flow from a port, and returns as whom the other end sees it.
// The flow stays open until the test ends.
func (w *servicesWorld) seenAs(t *testing.T, n *lab.Namespace, network string, port uint16, addr string, patience time.Duration) (netip.AddrPort, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	d := net.Dialer{LocalAddr: &net.UDPAddr{Port: int(port)}, ControlContext: reuse}
	if network == "tcp" {
		d.LocalAddr = &net.TCPAddr{Port: int(port)}
	}
	var conn net.Conn
	err := n.Do(func() (err error) { conn, err = d.DialContext(ctx, network, addr); return err })
	if err != nil {
		return netip.AddrPort{}, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	if network == "udp" {
		if _, err := conn.Write([]byte("as whom?")); err != nil {
			return netip.AddrPort{}, err
		}
	}
	answer := make([]byte, 100)
	size, err := conn.Read(answer)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.ParseAddrPort(string(answer[:size]))
}

// reuse lets several connections have one local port.
func reuse(_ context.Context, _, _ string, c syscall.RawConn) (err error) {
	failed := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
	return errors.Join(err, failed)
}

// Flows that would look the same outside or at a backend get other ports: two
// services with one backend from one port of a client, and one port of two pods
// to one end. Each gets its own answers.
func TestPortCollisions(t *testing.T) {
	w := newServices(t, tour.Options{}, twoFamilies("one", "10.96.0.1", "2001:db8:96::1", "  type: ClusterIP\n"+ports80, here, here6, 8080)+
		twoFamilies("two", "10.96.0.2", "2001:db8:96::2", "  type: ClusterIP\n"+ports80, here, here6, 8080)+
		twoFamilies("node", "10.96.0.3", "2001:db8:96::3", "  type: NodePort\n"+ports(30003), here, here6, 8080))
	w.tellPorts(t, w.PodB, 8080)
	w.tellPorts(t, w.Remote, 8080)
	for _, f := range []struct{ one, two, node, pod, remote, own string }{
		{"10.96.0.1:80", "10.96.0.2:80", lab.NodeAddr + ":30003", lab.PodAddr, lab.RemoteAddr + ":8080", lab.NodeAddr},
		{"[2001:db8:96::1]:80", "[2001:db8:96::2]:80", "[" + lab.NodeAddr6 + "]:30003", lab.PodAddr6, "[" + lab.RemoteAddr6 + "]:8080", lab.NodeAddr6},
	} {
		for _, network := range []string{"udp", "tcp"} {
			ports := map[uint16]string{}
			for _, addr := range []string{f.one, f.two, f.node} {
				as, err := w.seenAs(t, w.PodA, network, 5555, addr, 3*time.Second)
				if err != nil || as.Addr().String() != f.pod || ports[as.Port()] != "" {
					t.Errorf("%s %s: seen as %v, as was %q, %v", network, addr, as, ports[as.Port()], err)
				}
				ports[as.Port()] = addr
			}
			first, err := w.seenAs(t, w.PodA, network, 6666, f.remote, 3*time.Second)
			second, err2 := w.seenAs(t, w.PodB, network, 6666, f.remote, 3*time.Second)
			if err := errors.Join(err, err2); err != nil || first == second || first.Addr().String() != f.own || second.Addr().String() != f.own {
				t.Errorf("%s: two pods with one port are seen as %v and %v, %v", network, first, second, err)
			}
			if first.Port() != 6666 { // it is kept where it can be (RFC 4787, section 4.2.1)
				t.Errorf("%s: port 6666 is not kept, but %d", network, first.Port())
			}
		}
	}
}

// Where there are few ports each destination has them all; when they are used
// up, new flows fail, which is counted and said, and others go on.
func TestPortsUsedUp(t *testing.T) {
	w := startServices(t, tour.Options{Config: `routes: [blackhole ` + lab.PodBlock + `, blackhole ` + lab.PodBlock6 + `]
nat:
  pools: [{cidr: 10.244.0.0/16, outgoing: true}, {cidr: '2001:db8:244::/56', outgoing: true}]
  ports: [5000-5003]
`})
	w.tellPorts(t, w.Remote, 8080)
	w.tellPorts(t, w.Router, 8080)
	talks := map[string]*lab.Talk{}
	c := w.client(t)
	for _, f := range []struct{ family, remote, router string }{{"ip4", lab.RemoteAddr, lab.GatewayAddr}, {"ip6", lab.RemoteAddr6, lab.GatewayAddr6}} {
		talk, err := lab.StartTalk(w.ctx, w.PodA, w.Remote, netip.MustParseAddr(f.remote))
		lab.Need(t, err)
		talks[f.family] = talk
		for _, network := range []string{"udp", "tcp"} {
			for _, to := range []string{f.remote, f.router} {
				at := netip.AddrPortFrom(netip.MustParseAddr(to), 8080).String()
				used := map[uint16]bool{}
				for i := range 4 {
					as, err := w.seenAs(t, w.PodA, network, uint16(7000+i), at, 3*time.Second)
					if err != nil || as.Port() < 5000 || as.Port() > 5003 || used[as.Port()] {
						t.Fatalf("%s %s: flow %d is seen as %v, %v; used are %v", network, at, i, as, err, used)
					}
					used[as.Port()] = true
				}
				if as, err := w.seenAs(t, w.PodB, network, 7000, at, 400*time.Millisecond); err == nil {
					t.Errorf("%s %s: a fifth flow is seen as %v", network, at, as)
				}
			}
		}
	}
	m, err := c.GetNAT(w.ctx, &skeinpb.GetNATRequest{})
	lab.Need(t, err)
	if len(m.PortRanges) != 1 || m.PortRanges[0] != "5000-5003" || len(m.Exhausted) != 2 {
		t.Fatalf("what is said of ports: %v", m)
	}
	for _, e := range m.Exhausted {
		if e.Tcp == 0 || e.Udp != 2 || !strings.HasSuffix(e.Last, ":8080") {
			t.Errorf("what is said of ports that are used up: %v", e)
		}
		before := talks[e.Family].Rounds()
		w.eventually(t, "who has a port", func() error {
			if n := talks[e.Family].Rounds(); n < before+10 {
				return fmt.Errorf("has had %d answers since", n-before)
			}
			return nil
		})
		if err := talks[e.Family].Stop(); err != nil {
			t.Error(err)
		}
	}
}
