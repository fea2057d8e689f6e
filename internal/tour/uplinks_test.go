package tour_test

import (
	"os"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// Two uplinks: one as clouds give them, a /32 with its gateway on the link by
// decree, and one with a network and a second address. The better default
// route is used as long as its link is up.
func TestUplinks(t *testing.T) {
	for _, gateway := range []struct{ name, driver, routes string }{
		{"scope link", "af_packet", "route add 10.128.0.1/32 dev enp0s3 scope link\nroute add default via 10.128.0.1 dev enp0s3 metric 100"},
		{"onlink", "af_xdp", "route add default via 10.128.0.1 dev enp0s3 onlink metric 100"},
	} {
		t.Run(gateway.name, func(t *testing.T) {
			h := startHost(t, tour.Options{Driver: gateway.driver}, func(h *host) { secondUplink(h, gateway.driver, gateway.routes) })
			h.reaches("the gateway of the /32", h.Node, "10.128.0.1")
			h.reaches("the gateway of the second uplink", h.Node, "10.77.0.1")
			h.reaches("the second uplink's second address", h.Router, "10.77.0.3")
			h.reaches("the second uplink's second address, by a pod", h.PodA, "10.77.0.3")
			h.reaches("the second uplink's network, by a pod", h.PodA, "10.77.0.1")
			h.reaches("the world from a pod", h.PodA, lab.RemoteAddr)
			h.reaches("the world from the host", h.Node, lab.RemoteAddr)
			h.reaches("a pod from the world", h.Remote, lab.PodAddr)

			// A cable is lost: pods take the other way.
			h.ip(h.Router, "link set port1 down", "route replace "+lab.PodBlock+" via 10.77.0.2")
			h.reaches("the world by the second uplink", h.PodA, lab.RemoteAddr)
			h.ip(h.Router, "link set port1 up", "route replace "+lab.PodBlock+" via 10.128.0.2 dev lan onlink")
			h.reaches("the world by the first uplink again", h.PodA, lab.RemoteAddr)

			// The host gives the first uplink up: it loses its routes there.
			h.ip(h.Node, "link set enp0s3 down")
			h.ip(h.Router, "route replace "+lab.PodBlock+" via 10.77.0.2")
			h.reaches("the world from the host by the second uplink", h.Node, lab.RemoteAddr)
			h.reaches("the world from a pod by the second uplink", h.PodA, lab.RemoteAddr)
			h.reaches("a pod from the host", h.Node, lab.PodAddr)
			h.ip(h.Node, append([]string{"link set enp0s3 up"}, strings.Split(gateway.routes, "\n")...)...)
			h.ip(h.Router, "route replace "+lab.PodBlock+" via 10.128.0.2 dev lan onlink", "neigh flush dev lan")
			h.reaches("the world from a pod after all that", h.PodA, lab.RemoteAddr)

			// IPv6 comes back by itself, a little later.
			h.shows(func() string { return h.tap("-6", "route", "show") }, "fe80::/64")
			before := hostView(t, h.ctx, h.Node) + view(h, "enp0s4")
			if err := h.Stop(h.ctx); err != nil {
				t.Fatal(err)
			}
			h.sameViews(before, hostView(t, h.ctx, h.Node)+view(h, "enp0s4"))
			h.reaches("the world from the host after the end", h.Node, lab.RemoteAddr)
		})
	}
}

// secondUplink changes the reference topology before the daemon starts.
func secondUplink(h *host, driver, routes string) {
	h.t.Helper()
	h.ip(h.Node, "-4 addr flush dev enp0s3", "addr add 10.128.0.2/32 dev enp0s3")
	h.ip(h.Node, strings.Split(routes, "\n")...)
	h.ip(h.Router, "addr add 10.128.0.1/32 dev lan", "route add 10.128.0.2/32 dev lan src 10.128.0.1",
		"route replace "+lab.PodBlock+" via 10.128.0.2 dev lan onlink")
	err := lab.Join(lab.End{NS: h.Node, Link: "enp0s4", Addrs: []string{"10.77.0.2/24", "10.77.0.3/24"}},
		lab.End{NS: h.Router, Link: "second", Addrs: []string{"10.77.0.1/24"}})
	if err != nil {
		h.t.Fatal(err)
	}
	h.ip(h.Node, "route add default via 10.77.0.1 dev enp0s4 metric 200")
	text, err := os.ReadFile(h.Config)
	if err == nil {
		more := "  - {interface: enp0s4, driver: " + driver + ", host_routes: [10.244.0.0/16]}\npods:\n"
		err = os.WriteFile(h.Config, []byte(strings.Replace(string(text), "pods:\n", more, 1)), 0o644)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// view is hostView of another link, less the link itself.
func view(h *host, link string) string {
	h.t.Helper()
	var all strings.Builder
	for _, words := range []string{"-o addr show dev ", "-4 route show table all dev "} {
		out, err := h.Node.Exec(h.ctx, "ip", strings.Fields(words+link)...)
		if err != nil {
			h.t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			if _, rest, ok := strings.Cut(line, ": "); ok {
				line = rest
			}
			all.WriteString(line)
		}
	}
	return all.String()
}
