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
			for _, f := range families {
				crossAll(h, f, mtu)
				narrowPod(h, f, mtu)
			}
		})
	}
}

// crossAll sends pings as large as the MTU and TCP, all ways.
func crossAll(h *host, f family, mtu int) {
	h.t.Helper()
	for _, to := range []string{f.pod, f.node, f.otherPod} {
		if err := fits(h, h.Remote, f, to, mtu); err != nil {
			h.t.Errorf("from the remote host: %v", err)
		}
	}
	for _, from := range []*lab.Namespace{h.PodA, h.PodB, h.Node} {
		if err := fits(h, from, f, f.remote, mtu); err != nil {
			h.t.Errorf("from %s: %v", from.Name(), err)
		}
	}
	for _, way := range []tour.Way{
		{From: h.PodA, To: h.Remote, Addr: f.remote}, {From: h.Remote, To: h.PodA, Addr: f.pod},
		{From: h.PodB, To: h.Remote, Addr: f.remote}, {From: h.Remote, To: h.PodB, Addr: f.otherPod},
		{From: h.PodA, To: h.PodB, Addr: f.otherPod}, {From: h.PodB, To: h.PodA, Addr: f.pod},
		{From: h.Node, To: h.Remote, Addr: f.remote}, {From: h.Remote, To: h.Node, Addr: f.node},
	} {
		to := netip.AddrPortFrom(netip.MustParseAddr(way.Addr), 0)
		if _, err := (lab.Transfer{From: way.From, To: way.To, Addr: to, Bytes: 4 << 20}).Run(h.ctx); err != nil {
			h.t.Errorf("TCP, %s: %v", way, err)
		}
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
func fits(h *host, from *lab.Namespace, f family, to string, mtu int) error {
	return from.Reaches(h.ctx, to, lab.Ping{Size: mtu - f.headers, DF: true, Timeout: soon})
}

// narrowPod gives the pods' links and the uplink different MTUs, so that Skein
// itself has to refuse, both ways.
func narrowPod(h *host, f family, mtu int) {
	h.t.Helper()
	narrow := mtu - 40
	if mtu == 1280 {
		return // there is nothing less
	}
	pods := func(mtu int) {
		h.t.Helper()
		h.skeinctl("set", "interface", "mtu", fmt.Sprint(mtu), "tun0")
	}
	// Out: the uplink takes less than the pod sends.
	h.ip(h.Node, fmt.Sprintf("link set enp0s3 mtu %d", narrow))
	h.until("a pod is told of the uplink's MTU by "+f.name, func() error { return tooBig(h, h.PodA, f, f.remote, narrow) })
	h.ip(h.Node, fmt.Sprintf("link set enp0s3 mtu %d", mtu))
	h.until("the uplink takes all again", func() error { return fits(h, h.PodA, f, f.remote, mtu) })
	// In: a pod takes less than the uplink.
	pods(narrow)
	h.until("the remote host is told of the pod's MTU by "+f.name, func() error { return tooBig(h, h.Remote, f, f.pod, narrow) })
	pods(mtu)
	h.until("the pod takes all again", func() error { return fits(h, h.Remote, f, f.pod, mtu) })
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
