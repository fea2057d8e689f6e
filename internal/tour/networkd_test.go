package tour_test

import (
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
)

// networkFiles configure the uplink by systemd-networkd. Each matches by name,
// as docs/host.md asks for.
var networkFiles = map[string]string{
	"static": `[Match]
Name=enp0s3
[Network]
Address=10.0.0.21/24
Address=2001:db8::21/64
Gateway=10.0.0.254
Gateway=2001:db8::254
IPv6AcceptRA=no
`,
	"DHCP": `[Match]
Name=enp0s3
[Network]
DHCP=ipv4
Address=2001:db8::21/64
Gateway=2001:db8::254
IPv6AcceptRA=no
[DHCPv4]
ClientIdentifier=mac
`,
}

// systemd-networkd configures the uplink, then the TAP in its place, then the
// uplink again. It takes nothing away that Skein needs, also when it is
// restarted meanwhile; a lease comes over the TAP.
func TestNetworkd(t *testing.T) {
	for name, file := range networkFiles {
		t.Run(name, func(t *testing.T) {
			n := bootNode(t, "af_packet", map[string]string{"etc/systemd/network/20-uplink.network": file})
			for _, family := range []string{"-4", "-6"} {
				_, err := n.Node.Exec(n.ctx, "ip", family, "addr", "flush", "dev", lab.Uplink, "scope", "global")
				lab.Need(t, err)
			}
			_, err := n.Router.Start(n.ctx, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--bind-interfaces",
				"--interface=lan", "--dhcp-range="+lab.NodeAddr+","+lab.NodeAddr+",255.255.255.0,2m", "--dhcp-option=option:router,"+lab.GatewayAddr,
				"--dhcp-authoritative", "--leasefile-ro", "--pid-file=")
			lab.Need(t, err)
			n.ctl("start", "systemd-networkd")
			n.settled("before", "veth")

			n.ctl("start", "skeind")
			n.settled("on the TAP", "tuntap")
			n.ctl("restart", "systemd-networkd")
			n.settled("after a restart of networkd", "tuntap")
			for _, f := range families {
				n.reach(n.PodA, f.remote)
				n.reach(n.Node, f.pod)
			}
			if log := n.Log(); strings.Contains(log, "could not be followed") {
				t.Error("Skein could not follow a change")
			}
			n.ctl("stop", "skeind")
			n.settled("after the end", "veth")
		})
	}
}

// settled waits until networkd is done with the uplink, or what stands for it,
// and the host has its addresses, its way out, and nothing twice; and that this
// stays so.
func (n *booted) settled(when, kind string) {
	n.t.Helper()
	state := func() string {
		return n.shell("networkctl --no-legend --no-pager list enp0s3; ip -br addr show enp0s3 scope global; ip route show default; ip -6 route show default")
	}
	n.stays(when+": networkd", state, func(s string) bool {
		is, _ := n.uplink()
		return is == kind && strings.Contains(s, "routable") && hasAll(s)
	})
}

func (n *booted) reach(from *lab.Namespace, to string) {
	n.t.Helper()
	if err := from.Reaches(n.ctx, to, lab.Ping{Count: 3, Timeout: 2 * time.Second}); err != nil {
		n.t.Errorf("%v\n%s", err, n.Log())
	}
}
