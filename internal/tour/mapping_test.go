package tour_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// seenFrom answers each datagram with where it has come from.
func seenFrom(t *testing.T, n *lab.Namespace, port uint16) {
	t.Helper()
	conn, err := n.ListenUDP(netip.AddrPortFrom(netip.IPv6Unspecified(), port))
	lab.Need(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		question := make([]byte, 1500)
		for {
			_, from, err := conn.ReadFromUDPAddrPort(question)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
			_, _ = conn.WriteToUDPAddrPort([]byte(from.String()), from)
		}
	}()
}

// mirrored returns how an end has seen a socket. A datagram may be lost while
// link addresses are asked for.
func mirrored(t *testing.T, conn *net.UDPConn, end string) netip.AddrPort {
	t.Helper()
	for range 5 {
		_, err := conn.WriteToUDPAddrPort([]byte("where from?"), netip.MustParseAddrPort(end))
		lab.Need(t, err)
		_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		answer := make([]byte, 100)
		n, err := conn.Read(answer)
		if err == nil {
			return netip.MustParseAddrPort(string(answer[:n]))
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
	t.Fatalf("%s does not answer", end)
	return netip.AddrPort{}
}

// With endpoint-independent mappings two servers see one port of a pod's socket,
// before and after the daemon was replaced (RFC 4787, REQ-1). Without they see
// two: each has ports from a start of its own.
func TestMappings(t *testing.T) {
	for _, mapping := range []string{"endpoint-independent", "address-and-port-dependent"} {
		t.Run(mapping, func(t *testing.T) {
			config := fmt.Sprintf(`routes: [blackhole %s, blackhole %s]
nat:
  mapping: %s
  pools: [{cidr: 10.244.0.0/16, outgoing: true}, {cidr: '2001:db8:244::/56', outgoing: true}]
`, lab.PodBlock, lab.PodBlock6, mapping)
			w := startServices(t, tour.Options{Config: config})
			for _, port := range []uint16{8080, 8081} {
				seenFrom(t, w.Remote, port)
			}
			for _, x := range []struct{ pod, node, remote string }{
				{"0.0.0.0:40000", lab.NodeAddr, lab.RemoteAddr}, {"[::]:40001", lab.NodeAddr6, "[" + lab.RemoteAddr6 + "]"},
			} {
				conn, err := w.PodA.ListenUDP(netip.MustParseAddrPort(x.pod))
				lab.Need(t, err)
				t.Cleanup(func() { _ = conn.Close() })
				one, two := mirrored(t, conn, x.remote+":8080"), mirrored(t, conn, x.remote+":8081")
				if one.Addr().String() != x.node || two.Addr() != one.Addr() {
					t.Errorf("seen from %v and %v, want %s", one, two, x.node)
				}
				if (one.Port() == two.Port()) != (mapping == "endpoint-independent") {
					t.Errorf("seen from %v and %v", one, two)
				}
			}
			if mapping != "endpoint-independent" {
				return
			}
			conn, err := w.PodA.ListenUDP(netip.MustParseAddrPort("0.0.0.0:40002"))
			lab.Need(t, err)
			t.Cleanup(func() { _ = conn.Close() })
			one := mirrored(t, conn, lab.RemoteAddr+":8080")
			lab.Need(t, w.Crash(w.ctx))
			lab.Need(t, w.Start(w.ctx))
			if two := mirrored(t, conn, lab.RemoteAddr+":8081"); two != one {
				t.Errorf("seen from %v, and after a crash from %v", one, two)
			}
		})
	}
}
