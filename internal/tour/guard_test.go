package tour_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// What the configuration and the API deny does not come in, of either family
// and by either driver, for pods and for the host; everything else does. It is
// so after a change of hands, and not for a moment is it otherwise.
func TestGuard(t *testing.T) {
	for _, x := range []struct{ driver, node, why string }{
		{"af_packet", "deny-list", "source is on the deny list"},
		{"af_xdp", "host-" + lab.Uplink, "source is on the deny list (XDP)"},
	} {
		t.Run(x.driver, func(t *testing.T) {
			h := startHost(t, tour.Options{Driver: x.driver, Config: "deny: [198.51.100.0/25, '2001:db8:100::10/128']\n"}, nil)
			remotes := map[string]string{lab.RemoteAddr: lab.PodAddr, lab.RemoteAddr6: lab.PodAddr6}
			for remote, pod := range remotes {
				h.misses("a pod, from "+remote, h.Remote, pod)
				h.misses("the remote, from the host to "+remote, h.Node, remote)
			}
			h.reaches("a pod, from the router", h.Router, lab.PodAddr)
			h.reaches("a pod, from the router", h.Router, lab.PodAddr6)
			h.counted(x.node, x.why)

			// The router as well, by the API.
			h.deny(lab.GatewayAddr+"/32", lab.GatewayAddr6+"/128")
			h.misses("a pod, from the router", h.Router, lab.PodAddr)
			h.misses("a pod, from the router", h.Router, lab.PodAddr6)
			for _, f := range families {
				got := h.arrivals(h.Router, netip.AddrPortFrom(netip.MustParseAddr(f.pod), 7), func() {
					lab.Need(t, h.Upgrade(h.ctx))
					h.misses("a pod, from the router, after a change of hands", h.Router, f.pod)
				})
				if got != 0 {
					t.Errorf("%s: %d packets came through while another data plane took over", f.name, got)
				}
			}
			c := h.client()
			if _, err := c.DeleteDeny(h.ctx, &pb.DeleteDenyRequest{Prefixes: []string{lab.GatewayAddr + "/32", lab.GatewayAddr6 + "/128"}}); err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				h.reaches("a pod, from the router again", h.Router, f.pod)
				to := netip.AddrPortFrom(netip.MustParseAddr(f.pod), 7)
				if h.arrivals(h.Router, to, func() { time.Sleep(150 * time.Millisecond) }) == 0 {
					t.Errorf("%s: nothing comes through now either", f.name)
				}
			}
		})
	}
}

// What exceeds an uplink's rate does not come in.
func TestRateLimit(t *testing.T) {
	for _, x := range []struct{ driver, node, why string }{
		{"af_packet", "rate-limit-in", "receive rate limit exceeded"},
		{"af_xdp", "host-" + lab.Uplink, "receive rate limit exceeded (XDP)"},
	} {
		t.Run(x.driver, func(t *testing.T) {
			h := startHost(t, tour.Options{Driver: x.driver}, nil)
			for _, f := range families {
				h.reaches("a pod", h.Remote, f.pod)
				h.limit(&pb.RateLimit{Packets: 1, Burst: 1})
				h.misses("a pod, by one packet per second", h.Remote, f.pod)
				h.counted(x.node, x.why)
				h.limit(&pb.RateLimit{})
				h.reaches("a pod, without a limit", h.Remote, f.pod)
				// Bits are counted by the graph, whatever the driver.
				h.limit(&pb.RateLimit{Bandwidth: 1000, Burst: 1000})
				h.misses("a pod, by 1,000 bits per second", h.Remote, f.pod)
				h.counted("rate-limit-in", "receive rate limit exceeded")
				h.limit(&pb.RateLimit{})
				h.reaches("a pod, without a limit", h.Remote, f.pod)
			}
		})
	}
}

func (h *host) client() pb.SkeinClient {
	h.t.Helper()
	c, err := h.Client(h.ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (h *host) deny(prefixes ...string) {
	h.t.Helper()
	if _, err := h.client().AddDeny(h.ctx, &pb.AddDenyRequest{Prefixes: prefixes}); err != nil {
		h.t.Fatal(err)
	}
}

// limit sets what the uplink may receive.
func (h *host) limit(l *pb.RateLimit) {
	h.t.Helper()
	if _, err := h.client().SetInterface(h.ctx, &pb.SetInterfaceRequest{Name: "host-" + lab.Uplink, RxLimit: l}); err != nil {
		h.t.Fatal(err)
	}
}

// counted checks that drops are counted at a node or interface, by their reason.
func (h *host) counted(node, why string) {
	h.t.Helper()
	m, err := h.client().GetErrors(h.ctx, &pb.GetErrorsRequest{})
	if err != nil {
		h.t.Fatal(err)
	}
	found := false
	for _, e := range m.Errors {
		if e.Node == node && e.Reason == why && e.Count > 0 {
			found = true
		}
	}
	if !found {
		h.t.Errorf("nothing counted at %s as %q: %v", node, why, m.Errors)
	}
}

// arrivals has packets sent to a pod all the while that f runs, and returns how
// many have come there.
func (h *host) arrivals(from *lab.Namespace, to netip.AddrPort, f func()) (arrived int) {
	h.t.Helper()
	at, err := h.PodA.ListenUDP(to)
	lab.Need(h.t, err)
	defer at.Close()
	out, err := from.DialUDP(to)
	lab.Need(h.t, err)
	defer out.Close()
	ctx, stop := context.WithCancel(h.ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range 10_000 {
			_, _ = out.Write([]byte("x")) // the router's neighbour may be gone for a moment
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	f()
	stop()
	<-ended
	lab.Need(h.t, at.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	for buf := make([]byte, 10); ; arrived++ {
		if _, err := at.Read(buf); err != nil {
			if !strings.Contains(err.Error(), "timeout") {
				h.t.Error(err)
			}
			return arrived
		}
	}
}
