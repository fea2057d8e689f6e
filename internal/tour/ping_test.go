package tour_test

import (
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// The data plane's own pings are answered, by hosts of either family and by
// neighbours at their link-local addresses, and the host hears nothing of it.
func TestPing(t *testing.T) {
	for _, driver := range []string{"af_packet", "af_xdp"} {
		t.Run(driver, func(t *testing.T) {
			h := startHost(t, tour.Options{Driver: driver}, nil)
			neighbor := linkLocal(h, h.Router, "lan")
			all := []string{neighbor + "%" + lab.Uplink, neighbor + "%host-" + lab.Uplink}
			for _, f := range families {
				all = append(all, f.gateway, f.remote, f.pod)
			}
			for _, to := range all {
				if out := h.skeinctl("ping", to, "repeat", "3", "interval", "0.01"); !strings.Contains(out, "3 received") {
					t.Errorf("%s:\n%s", to, out)
				}
			}
			for to, want := range map[string]string{
				neighbor:                                     "as its zone",
				lab.GatewayAddr6 + "%" + lab.Uplink:          "as its zone",
				neighbor + "%nowhere":                        "nowhere",
				linkLocal(h, h.Node, lab.Uplink) + "%enp0s3": "is the host's own",
			} {
				out, err := h.Node.Exec(h.ctx, bin+"/skeinctl", "--socket", h.Socket, "ping", to, "repeat", "1")
				if err == nil || !strings.Contains(string(out)+err.Error(), want) {
					t.Errorf("%s: %s %v, want %q", to, out, err, want)
				}
			}
			// The host speaks for itself all the same.
			h.reaches("the neighbour from the host", h.Node, lab.GatewayAddr6)
		})
	}
}

// linkLocal returns the link-local address of an interface.
func linkLocal(h *host, n *lab.Namespace, dev string) string {
	h.t.Helper()
	out, err := n.Exec(h.ctx, "ip", "-6", "-br", "addr", "show", "dev", dev, "scope", "link")
	lab.Need(h.t, err)
	for _, word := range strings.Fields(string(out)) {
		if addr, _, ok := strings.Cut(word, "/"); ok && strings.HasPrefix(addr, "fe80:") {
			return addr
		}
	}
	h.t.Fatalf("%s has none: %s", dev, out)
	return ""
}
