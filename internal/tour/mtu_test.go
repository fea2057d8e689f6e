package tour_test

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// From the least that IPv6 allows to jumbo frames: what fits crosses, what
// does not is refused with the MTU that would, both ways, and TCP arrives with
// and without offload at the pods.
func TestMTU(t *testing.T) {
	for _, mtu := range []int{1280, 1500, 9000} {
		t.Run(fmt.Sprint(mtu), func(t *testing.T) {
			h := startHost(t, tour.Options{Driver: "auto", Wanted: lab.Wanted{MTU: mtu}}, func(h *host) {
				h.ip(h.Router, fmt.Sprintf("link set wan mtu %d", 9000)) // narrow is only the LAN
				h.ip(h.Remote, "link set eth0 mtu 9000")
				plainPod(h)
			})
			h.shows(h.Log, "af_packet\", \"detail")
			h.shows(h.Log, "plain, one packet at a time")
			for _, to := range []string{lab.PodAddr, lab.NodeAddr, lab.OtherPodAddr} {
				if err := fits(h, h.Remote, to, mtu); err != nil {
					t.Errorf("from the remote host: %v", err)
				}
			}
			for _, from := range []*lab.Namespace{h.PodA, h.PodB, h.Node} {
				if err := fits(h, from, lab.RemoteAddr, mtu); err != nil {
					t.Errorf("from %s: %v", from.Name(), err)
				}
			}
			for _, way := range []struct {
				from, to *lab.Namespace
				addr     string
			}{
				{h.PodA, h.Remote, lab.RemoteAddr}, {h.Remote, h.PodA, lab.PodAddr},
				{h.PodB, h.Remote, lab.RemoteAddr}, {h.Remote, h.PodB, lab.OtherPodAddr},
				{h.PodA, h.PodB, lab.OtherPodAddr}, {h.PodB, h.PodA, lab.PodAddr},
				{h.Node, h.Remote, lab.RemoteAddr}, {h.Remote, h.Node, lab.NodeAddr},
			} {
				to := netip.AddrPortFrom(netip.MustParseAddr(way.addr), 0)
				if _, err := (lab.Transfer{From: way.from, To: way.to, Addr: to, Bytes: 4 << 20}).Run(h.ctx); err != nil {
					t.Errorf("TCP from %s to %s: %v", way.from.Name(), way.to.Name(), err)
				}
			}
			narrowPod(h, mtu)
		})
	}
}

// plainPod has pod-b's TUN without offload.
func plainPod(h *host) {
	h.t.Helper()
	text, err := os.ReadFile(h.Config)
	lab.Need(h.t, err)
	was := "addresses: [" + lab.OtherPodAddr + "/32"
	if strings.Count(string(text), was) != 1 {
		h.t.Fatalf("%q is not once in\n%s", was, text)
	}
	lab.Need(h.t, os.WriteFile(h.Config, []byte(strings.Replace(string(text), was, "offload: off, "+was, 1)), 0o644))
}

// fits reports whether a packet as large as the MTU crosses.
func fits(h *host, from *lab.Namespace, to string, mtu int) error {
	return from.Reaches(h.ctx, to, lab.Ping{Size: mtu - 28, DF: true, Timeout: soon})
}

// narrowPod gives the pods' links and the uplink different MTUs, so that Skein
// itself has to refuse, both ways.
func narrowPod(h *host, mtu int) {
	h.t.Helper()
	narrow := mtu - 40
	if mtu == 1280 {
		return // there is nothing less
	}
	// Out: the uplink takes less than the pod sends.
	h.ip(h.Node, fmt.Sprintf("link set enp0s3 mtu %d", narrow))
	h.until("a pod is told of the uplink's MTU", func() error { return tooBig(h, h.PodA, lab.RemoteAddr, narrow) })
	h.ip(h.Node, fmt.Sprintf("link set enp0s3 mtu %d", mtu))
	h.until("the uplink takes all again", func() error { return fits(h, h.PodA, lab.RemoteAddr, mtu) })
	// In: a pod takes less than the uplink.
	out, err := h.Node.Exec(h.ctx, bin+"/skeinctl", "--socket", h.Socket, "set", "interface", "mtu", fmt.Sprint(narrow), "tun0")
	if err != nil {
		h.t.Fatalf("%v\n%s", err, out)
	}
	h.until("the remote host is told of the pod's MTU", func() error { return tooBig(h, h.Remote, lab.PodAddr, narrow) })
}

// A driver that was asked for and can't carry the uplink's MTU is refused with
// the reason, and nothing has changed.
func TestMTURefused(t *testing.T) {
	h := &host{newTour(t, tour.Options{Driver: "af_xdp", Wanted: lab.Wanted{MTU: 9000}}), t, t.Context()}
	before := hostView(t, h.ctx, h.Node)
	if err := h.Start(h.ctx); err == nil || !strings.Contains(err.Error(), "an MTU of at most 1838 bytes") {
		t.Errorf("started over AF_XDP with an MTU of 9000: %v", err)
	}
	if after := hostView(t, h.ctx, h.Node); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}
