package tour_test

import (
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
)

// managerFiles have NetworkManager configure the NIC by one profile and the TAP
// by another, as docs/host.md asks for.
var managerFiles = map[string]string{
	"etc/NetworkManager/NetworkManager.conf":                     "[main]\nplugins=keyfile\ndhcp=internal\n",
	"etc/NetworkManager/conf.d/10-globally-managed-devices.conf": "", // Ubuntu's, by which NICs are others'
	"etc/NetworkManager/system-connections/uplink.nmconnection": `[connection]
id=uplink
uuid=5d6a0e3c-24b7-4a0c-9a55-3f4cbb0f2b01
type=ethernet
interface-name=enp0s3
[ipv4]
method=auto
[ipv6]
method=manual
address1=` + lab.NodeAddr6 + `/64
gateway=` + lab.GatewayAddr6 + `
`,
	"etc/systemd/system/skeind.service.d/networkmanager.conf": `[Service]
ExecStartPost=-/bin/sh -c 'nmcli -g GENERAL.CONNECTION device show enp0s3 | grep -qx uplink-skein || nmcli connection up uplink-skein'
ExecStopPost=-/bin/sh -c 'nmcli -g GENERAL.TYPE device show enp0s3 | grep -qx tun || nmcli connection up uplink'
`,
	"etc/systemd/system/dbus-org.freedesktop.hostname1.service": "", // masked: who waits for it waits for 25 s
}

// tapProfile makes the second profile.
const tapProfile = "nmcli connection add type tun mode tap ifname enp0s3 con-name uplink-skein vnet-hdr yes autoconnect no ipv4.method auto" +
	" ipv6.method manual ipv6.addresses " + lab.NodeAddr6 + "/64 ipv6.gateway " + lab.GatewayAddr6

// NetworkManager configures the uplink by DHCP, then the TAP in its place, and
// the uplink again at the end. It may be restarted meanwhile, and Skein too;
// and a lease comes over the TAP, once more when it is asked for.
func TestNetworkManager(t *testing.T) {
	n := bootNode(t, "af_packet", managerFiles)
	n.shell("chmod 600 /etc/NetworkManager/system-connections/*")
	for _, f := range families {
		_, err := n.Node.Exec(n.ctx, "ip", strings.Fields(f.ip+" addr flush dev "+lab.Uplink+" scope global")...)
		lab.Need(t, err)
	}
	server, err := n.Router.Start(n.ctx, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--bind-interfaces",
		"--interface=lan", "--dhcp-range="+lab.NodeAddr+","+lab.NodeAddr+",255.255.255.0,2m", "--dhcp-option=option:router,"+lab.GatewayAddr,
		"--dhcp-authoritative", "--leasefile-ro", "--pid-file=", "--log-facility=-", "--log-dhcp")
	lab.Need(t, err)
	leases := func() int { return strings.Count(server.Output(), "DHCPACK(lan)") }

	n.ctl("start", "NetworkManager")
	n.managed("before", "veth", "uplink")
	n.shell(tapProfile)
	before := leases()
	n.ctl("start", "skeind")
	n.managed("on the TAP", "tuntap", "uplink-skein")
	if leases() == before {
		t.Error("no lease has come over the TAP")
	}
	for _, f := range families {
		n.reach(n.PodA, f.remote)
		n.reach(n.Node, f.pod)
	}
	n.ctl("restart", "skeind")
	n.managed("after a restart of skeind", "tuntap", "uplink-skein")
	n.ctl("restart", "NetworkManager")
	n.managed("after a restart of NetworkManager", "tuntap", "uplink-skein")
	before = leases()
	n.shell("nmcli connection up uplink-skein")
	n.managed("after another lease", "tuntap", "uplink-skein")
	if leases() == before {
		t.Error("no second lease has come over the TAP")
	}
	if log := n.Log(); strings.Contains(log, "could not be followed") {
		t.Error("Skein could not follow a change")
	}
	n.ctl("stop", "skeind")
	n.managed("after the end", "veth", "uplink")
}

// managed waits until NetworkManager has the uplink, or what stands for it,
// connected by a profile, and the host has its addresses, its way out, and
// nothing twice; and that this stays so.
func (n *booted) managed(when, kind, by string) {
	n.t.Helper()
	state := func() string {
		return n.shell("nmcli -t -f DEVICE,STATE,CONNECTION device | grep ^enp0s3; ip -br addr show enp0s3 scope global; ip route show default; ip -6 route show default")
	}
	n.stays(when+": NetworkManager", state, func(s string) bool {
		is, _ := n.uplink()
		return is == kind && strings.Contains(s, "enp0s3:connected:"+by+"\n") && hasAll(s)
	})
}

// stays waits until a state is good, and has been so for half a second.
func (n *booted) stays(who string, state func() string, good func(string) bool) {
	n.t.Helper()
	s, calm := "", 0
	for end := time.Now().Add(30 * time.Second); calm < 10; time.Sleep(50 * time.Millisecond) {
		if s = state(); good(s) {
			calm++
		} else {
			calm = 0
		}
		if time.Now().After(end) {
			n.t.Fatalf("%s does not settle:\n%s\n%s", who, s, n.Log())
		}
	}
	n.t.Logf("%s: %s", who, strings.Join(strings.Fields(s), " "))
	for _, f := range families {
		n.reach(n.Node, f.remote)
		n.reach(n.Remote, f.node)
	}
}

// hasAll reports whether each family has one address and one way out.
func hasAll(s string) bool {
	return strings.Count(s, lab.NodeAddr+"/24") == 1 && strings.Count(s, lab.NodeAddr6+"/64") == 1 &&
		strings.Count(s, "default via "+lab.GatewayAddr+" ") == 1 && strings.Count(s, "default via "+lab.GatewayAddr6+" ") == 1
}
