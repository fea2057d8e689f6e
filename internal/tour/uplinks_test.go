package tour_test

import (
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// clouded is an uplink as clouds give them, one address with its gateway on the
// link by decree, and a second one with a network and two addresses.
type clouded struct {
	family
	own, routes             string // the gateway's, the first uplink's
	gateway                 string
	second, other, secondGW string // of the second uplink
}

func clouds(routes4, routes6, gateway6 string) []clouded {
	return []clouded{
		{families[0], "10.128.0.2", routes4, "10.128.0.1", "10.77.0.2", "10.77.0.3", "10.77.0.1"},
		{families[1], "2001:db8:80::2", routes6, gateway6, "2001:db8:77::2", "2001:db8:77::3", "2001:db8:77::1"},
	}
}

// Two uplinks: one as clouds give them, a /32 and a /128 with gateways on the
// link by decree, and one with networks and second addresses. The better
// default route is used as long as its link is up.
func TestUplinks(t *testing.T) {
	for _, x := range []struct {
		name, driver string
		clouds       []clouded
	}{
		{"scope link", "af_packet", clouds(
			"route add 10.128.0.1/32 dev enp0s3 scope link\nroute add default via 10.128.0.1 dev enp0s3 metric 100",
			"route add 2001:db8:80::1/128 dev enp0s3\nroute add default via 2001:db8:80::1 dev enp0s3 metric 100", "2001:db8:80::1")},
		{"onlink", "af_xdp", clouds(
			"route add default via 10.128.0.1 dev enp0s3 onlink metric 100",
			"route add default via fe80::1 dev enp0s3 metric 100", "fe80::1")},
	} {
		t.Run(x.name, func(t *testing.T) {
			h := startHost(t, tour.Options{Driver: x.driver}, func(h *host) { secondUplink(h, x.driver, x.clouds) })
			for _, f := range x.clouds {
				if f.gateway != "fe80::1" { // which would need a zone
					h.reaches("the gateway of the one address", h.Node, f.gateway)
				}
				h.reaches("the gateway of the second uplink", h.Node, f.secondGW)
				h.reaches("the second uplink's second address", h.Router, f.other)
				h.reaches("the second uplink's second address, by a pod", h.PodA, f.other)
				h.reaches("the second uplink's network, by a pod", h.PodA, f.secondGW)
				h.reaches("the world from a pod", h.PodA, f.remote)
				h.reaches("the world from the host", h.Node, f.remote)
				h.reaches("a pod from the world", h.Remote, f.pod)
			}
			loseCable(h, x.clouds)
			giveUp(h, x.clouds)

			// IPv6 comes back by itself, a little later.
			h.shows(func() string { return h.tap("-6", "route", "show") }, "fe80::/64")
			before := hostView(t, h.ctx, h.Node) + view(h, "enp0s4")
			if err := h.Stop(h.ctx); err != nil {
				t.Fatal(err)
			}
			h.sameViews(before, hostView(t, h.ctx, h.Node)+view(h, "enp0s4"))
			for _, f := range families {
				h.reaches("the world from the host after the end", h.Node, f.remote)
			}
		})
	}
}

// bySecond and byFirst are the router's ways to the pods.
func (f clouded) bySecond() string { return "route replace " + f.block + " via " + f.second }
func (f clouded) byFirst() string {
	return "route replace " + f.block + " via " + f.own + " dev lan onlink"
}

// loseCable has pods take the other way while a cable is out.
func loseCable(h *host, clouds []clouded) {
	h.t.Helper()
	h.ip(h.Router, "link set port1 down")
	for _, f := range clouds {
		h.ip(h.Router, f.bySecond())
		h.reaches("the world by the second uplink", h.PodA, f.remote)
	}
	h.ip(h.Router, "link set port1 up")
	for _, f := range clouds {
		h.ip(h.Router, f.byFirst())
		h.reaches("the world by the first uplink again", h.PodA, f.remote)
	}
}

// giveUp has the host give the first uplink up: it loses its routes there, and
// the address of IPv6.
func giveUp(h *host, clouds []clouded) {
	h.t.Helper()
	h.ip(h.Node, "link set enp0s3 down")
	for _, f := range clouds {
		h.ip(h.Router, f.bySecond())
		h.reaches("the world from the host by the second uplink", h.Node, f.remote)
		h.reaches("the world from a pod by the second uplink", h.PodA, f.remote)
		h.reaches("a pod from the host", h.Node, f.pod)
	}
	h.ip(h.Node, "link set enp0s3 up")
	h.addr(h.Node, clouds[1].own+"/128", "enp0s3")
	for _, f := range clouds {
		h.ip(h.Node, strings.Split(f.routes, "\n")...)
		h.ip(h.Router, f.byFirst(), "neigh flush dev lan")
		h.reaches("the world from a pod after all that", h.PodA, f.remote)
	}
}

// secondUplink changes the reference topology before the daemon starts.
func secondUplink(h *host, driver string, clouds []clouded) {
	h.t.Helper()
	v4, v6 := clouds[0], clouds[1]
	err := lab.Join(lab.End{NS: h.Node, Link: "enp0s4", Addrs: []string{v4.second + "/24", v4.other + "/24", v6.second + "/64", v6.other + "/64"}},
		lab.End{NS: h.Router, Link: "second", Addrs: []string{v4.secondGW + "/24", v6.secondGW + "/64"}})
	lab.Need(h.t, err)
	for _, f := range clouds {
		h.ip(h.Node, f.flush, f.ip+" route flush default")
		h.addr(h.Node, f.own+f.host, "enp0s3")
		h.addr(h.Router, f.gateway+f.host, "lan")
		h.ip(h.Router, "route add "+f.own+f.host+" dev lan", f.byFirst())
		h.ip(h.Node, strings.Split(f.routes, "\n")...)
		h.ip(h.Node, "route add default via "+f.secondGW+" dev enp0s4 metric 200")
	}
	// The router asks for the one address by its own, which is of no network.
	h.ip(h.Router, "route replace "+v4.own+"/32 dev lan src "+v4.gateway)
	configure(h.t, h.Tour, "pods:\n", "  - {interface: enp0s4, driver: "+driver+", host_routes: [10.244.0.0/16, '"+lab.PodBlock6+"']}\npods:\n")
}

// view is hostView of another link, less the link itself.
func view(h *host, link string) string {
	h.t.Helper()
	var all strings.Builder
	for _, words := range []string{"-o addr show dev ", "-4 route show table all dev ", "-6 route show dev "} {
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
