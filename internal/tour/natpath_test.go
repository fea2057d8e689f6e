package tour_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// narrow is the MTU of the link behind the router, in bytes.
const narrow = 1300

// remoteEnds are endpoints in the world, so that packets of pods to a service are
// translated twice: their destination, and their source.
var remoteEnds = [2]string{endpoint(lab.RemoteAddr, "far"), endpoint(lab.RemoteAddr6, "far")}

// The path's MTU gets to know who sends, through source NAT, through a service,
// through both, and in the other direction: its kernel obeys what the error says.
func TestPathMTUThroughNAT(t *testing.T) {
	w := newServices(t, tour.Options{Wanted: lab.Wanted{Second: true}}, twoFamilies("web", "10.96.0.1", "2001:db8:96::1", "  type: NodePort\n"+ports(30001), here, here6, 8080)+
		twoFamilies("far", "10.96.0.2", "2001:db8:96::2", "  type: ClusterIP\n"+ports80, remoteEnds[0], remoteEnds[1], 8080))
	_, err := w.Router.Exec(w.ctx, "ip", "link", "set", "wan", "mtu", fmt.Sprint(narrow))
	lab.Need(t, err)
	w.tell(t, w.Remote, "remote", 8080)
	for _, f := range []struct{ remote, service, node, pod, at string }{
		{lab.RemoteAddr, "10.96.0.2:80", lab.NodeAddr, lab.PodAddr, lab.OtherPodAddr},
		{"[" + lab.RemoteAddr6 + "]", "[2001:db8:96::2]:80", "[" + lab.NodeAddr6 + "]", lab.PodAddr6, "[" + lab.OtherPodAddr6 + "]"},
	} {
		for _, to := range []string{f.remote + ":8080", f.service} {
			if err := w.learns(w.PodA, to, narrow); err != nil {
				t.Errorf("%s: %v", to, err)
			}
			// TCP fits its segments to it, and arrives.
			port, by := uint16(7000), netip.AddrPort{}
			if to == f.service {
				w.apply(t, w.client(t), twoFamilies("bulk", "10.96.0.3", "2001:db8:96::3", "  type: ClusterIP\n"+ports80, remoteEnds[0], remoteEnds[1], 7001))
				port, by = 7001, netip.MustParseAddrPort(strings.Replace(strings.Replace(to, "0.2", "0.3", 1), "96::2", "96::3", 1))
			}
			at := netip.AddrPortFrom(netip.MustParseAddr(strings.Trim(f.remote, "[]")), port)
			if _, err := (lab.Transfer{From: w.PodA, To: w.Remote, Addr: at, By: by, Bytes: 2 << 20}).Run(w.ctx); err != nil {
				t.Errorf("TCP to %s: %v", to, err)
			}
		}
		// The answers of a backend are what is too large here.
		w.gives(t, w.PodB, 8080, 1<<20)
		conn, err := w.Remote.DialTCP(w.ctx, netip.MustParseAddrPort(f.node+":30001"))
		lab.Need(t, err)
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if got, err := io.Copy(io.Discard, conn); err != nil || got != 1<<20 {
			t.Errorf("%d bytes of %d came from the backend of a NodePort: %v", got, 1<<20, err)
		}
		_ = conn.Close()
	}
	// Where Skein's own link is the narrow one, the error is Skein's.
	_, err = w.Node.Exec(w.ctx, "ip", "link", "set", lab.Uplink, "mtu", "1400")
	lab.Need(t, err)
	w.eventually(t, "the MTU of the uplink", func() error {
		out, err := w.client(t).ListInterfaces(w.ctx, &skeinpb.ListInterfacesRequest{})
		if err != nil {
			return err
		}
		for _, i := range out.Interfaces {
			if i.Name == "host-"+lab.Uplink && i.Mtu == 1400 {
				return nil
			}
		}
		return errors.New("is what it was")
	})
	w.apply(t, w.client(t), twoFamilies("near", "10.96.0.4", "2001:db8:96::4", "  type: ClusterIP\n"+ports80, there, there6, 8080))
	for _, to := range []string{"10.96.0.4:80", "[2001:db8:96::4]:80"} {
		if err := w.learns(w.PodA, to, 1400); err != nil {
			t.Errorf("%s: %v", to, err)
		}
	}
}

// learns sends datagrams that may not be fragmented until the sender's kernel
// knows the MTU of the path.
func (w *servicesWorld) learns(n *lab.Namespace, to string, want int) error {
	at, err := netip.ParseAddrPort(to)
	if err != nil {
		return err
	}
	conn, err := n.DialUDP(at)
	if err != nil {
		return err
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	level, discover, do, mtu := unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO, unix.IP_MTU
	if at.Addr().Is6() {
		level, discover, do, mtu = unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO, unix.IPV6_MTU
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), level, discover, do) }); err != nil || failed != nil {
		return errors.Join(err, failed)
	}
	got := 0
	for range 50 {
		if _, err := conn.Write(make([]byte, 1420)); err != nil && !errors.Is(err, syscall.EMSGSIZE) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
		if err := raw.Control(func(fd uintptr) { got, failed = unix.GetsockoptInt(int(fd), level, mtu) }); err != nil || failed != nil {
			return errors.Join(err, failed)
		}
		if got == want {
			return nil
		}
	}
	return fmt.Errorf("the MTU of the path is taken for %d, and is %d", got, want)
}

// gives sends some bytes to whoever connects.
func (w *servicesWorld) gives(t *testing.T, n *lab.Namespace, port uint16, size int) {
	t.Helper()
	ln, err := n.ListenTCP(netip.AddrPortFrom(netip.IPv6Unspecified(), port))
	lab.Need(t, err)
	context.AfterFunc(w.ctx, func() { _ = ln.Close() })
	go func() {
		defer ln.Close()
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		_, _ = conn.Write(make([]byte, size))
		_ = conn.Close()
	}()
}

// Nobody listens: who asks is told at once, by the end's own RST or ICMP error,
// translated on its way back. From inside to the world, from inside to a backend,
// from outside to a backend (RFC 5508, REQ-3 to REQ-5).
func TestRefusalsThroughNAT(t *testing.T) {
	w := newServices(t, tour.Options{Wanted: lab.Wanted{Second: true}}, twoFamilies("web", "10.96.0.1", "2001:db8:96::1", "  type: NodePort\n"+ports(30001), here, here6, 9)+
		twoFamilies("away", "10.96.0.2", "2001:db8:96::2", "  type: NodePort\n"+ports(30002), there, there6, 9))
	for _, f := range []struct{ remote, service, away, node string }{
		{lab.RemoteAddr, "10.96.0.1", "10.96.0.2", lab.NodeAddr}, {"[" + lab.RemoteAddr6 + "]", "[2001:db8:96::1]", "[2001:db8:96::2]", "[" + lab.NodeAddr6 + "]"},
	} {
		w.refuses(t, w.PodA, f.remote+":9", true)
		w.refuses(t, w.PodA, f.service+":80", true)
		w.refuses(t, w.PodB, f.service+":80", true) // its own
		w.refuses(t, w.PodA, f.away+":80", true)
		w.refuses(t, w.Node, f.service+":80", true)
		w.refuses(t, w.Remote, f.node+":30001", true)
		w.refuses(t, w.Remote, f.node+":30002", true)
	}
}

// Two pods ping one host with the same identifier, and each gets its answers
// (RFC 5508, REQ-1); what nobody has asked for finds nobody (RFC 4787, REQ-8).
func TestFiltersAndQueries(t *testing.T) {
	w := newServices(t, tour.Options{Wanted: lab.Wanted{Second: true}}, "")
	w.tell(t, w.Remote, "remote", 8080)
	for _, f := range []struct{ remote, node, second string }{{lab.RemoteAddr, lab.NodeAddr, lab.SecondAddr}, {lab.RemoteAddr6, lab.NodeAddr6, lab.SecondAddr6}} {
		results := make(chan error, 2)
		for _, pod := range []*lab.Namespace{w.PodA, w.PodB} {
			go func() { results <- pingsAs(pod, f.remote, 777, 20) }()
		}
		lab.Need(t, errors.Join(<-results, <-results))

		// A socket of a pod hears whom it has asked, at the port that it has got, and
		// nobody else, not even from another port of the one that it has asked.
		server, err := w.Remote.ListenUDP(netip.AddrPortFrom(netip.MustParseAddr(f.remote), 8088))
		lab.Need(t, err)
		asker, err := w.PodA.DialUDP(netip.AddrPortFrom(netip.MustParseAddr(f.remote), 8088))
		lab.Need(t, err)
		_, err = asker.Write([]byte("hello"))
		lab.Need(t, err)
		_ = server.SetReadDeadline(time.Now().Add(3 * time.Second))
		_, seen, err := server.ReadFromUDPAddrPort(make([]byte, 100))
		lab.Need(t, err)
		if seen.Addr().Unmap().String() != f.node {
			t.Errorf("the world sees %v and not %s", seen, f.node)
		}
		for _, from := range []*lab.Namespace{w.Remote, w.Router} {
			other, err := from.DialUDP(seen)
			lab.Need(t, err)
			_, _ = other.Write([]byte("for nobody"))
			_ = other.Close()
		}
		_, err = server.WriteToUDPAddrPort([]byte("for you"), seen)
		lab.Need(t, err)
		_ = asker.SetReadDeadline(time.Now().Add(3 * time.Second))
		answer := make([]byte, 100)
		if n, err := asker.Read(answer); err != nil || string(answer[:n]) != "for you" {
			t.Errorf("a pod hears %q, %v", answer[:n], err)
		}
		_, _ = asker.Close(), server.Close()
	}
}

// A pod that asks an address which is mapped to another pod, or to itself, gets
// there (RFC 4787, REQ-9).
func TestHairpinOfMappings(t *testing.T) {
	w := newServices(t, tour.Options{}, "")
	w.tell(t, w.PodB, "b", 8080)
	c := w.client(t)
	for _, f := range []struct{ other, external, at string }{
		{lab.OtherPodAddr, "10.0.0.77", "10.0.0.77:80"}, {lab.OtherPodAddr6, "2001:db8::77", "[2001:db8::77]:80"},
	} {
		for _, proto := range []string{"tcp", "udp"} {
			_, err := c.ChangeNAT(w.ctx, &skeinpb.ChangeNATRequest{What: &skeinpb.ChangeNATRequest_Static{
				Static: proto + " local " + f.other + " 8080 external " + f.external + " 80"}})
			lab.Need(t, err)
			for _, from := range []*lab.Namespace{w.PodA, w.PodB, w.Node} {
				if got, err := w.ask(from, proto, f.at); err != nil || !strings.HasPrefix(got, "b ") {
					t.Errorf("%s asks %s %s: %q, %v", from.Name(), proto, f.at, got, err)
				}
			}
		}
	}
}

// pingsAs sends echo requests with an identifier, and wants the answers that are
// for this asker, with its name in them.
func pingsAs(n *lab.Namespace, host string, id, count int) error {
	addr := netip.MustParseAddr(host)
	network, request, proto := "ip4:icmp", icmp.Type(ipv4.ICMPTypeEcho), 1
	if addr.Is6() {
		network, request, proto = "ip6:ipv6-icmp", ipv6.ICMPTypeEchoRequest, 58
	}
	var conn *net.IPConn
	if err := n.Do(func() (err error) { conn, err = net.ListenIP(network, nil); return err }); err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	room := make([]byte, 1500)
	for seq := range count {
		p, err := (&icmp.Message{Type: request, Body: &icmp.Echo{ID: id, Seq: seq, Data: []byte(n.Name())}}).Marshal(nil)
		if err != nil {
			return err
		}
		if _, err := conn.WriteToIP(p, &net.IPAddr{IP: addr.AsSlice()}); err != nil {
			return err
		}
		for answered := false; !answered; {
			size, _, err := conn.ReadFromIP(room)
			if err != nil {
				return fmt.Errorf("%s: request %d: %w", n.Name(), seq, err)
			}
			m, err := icmp.ParseMessage(proto, room[:size])
			if err != nil || m.Type != ipv4.ICMPTypeEchoReply && m.Type != ipv6.ICMPTypeEchoReply {
				continue
			}
			e, ok := m.Body.(*icmp.Echo)
			if !ok || e.ID != id || string(e.Data) != n.Name() {
				return fmt.Errorf("%s hears %+v", n.Name(), e)
			}
			answered = e.Seq == seq
		}
	}
	return nil
}
