package control

import (
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control/redirect"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/service"
)

// Which ports of the node lead where: NodePorts to a ClusterIP of their family
// that the host has a route to, hostPorts to the pod, of one address before all.
func TestRedirects(t *testing.T) {
	addrs := func(all ...string) (out []netip.Addr) {
		for _, a := range all {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	own := addrs("10.0.0.1", "10.0.0.2", "2001:db8::1")
	table := service.NewTable(service.World{Node: "node", Own: own})
	web := []service.Port{{Name: "t", Proto: hdr.ProtoTCP, Port: 80, NodePort: 30001}, {Name: "u", Proto: hdr.ProtoUDP, Port: 53, NodePort: 30001}}
	for _, s := range []*service.Service{
		{Name: "both", Type: "NodePort", ClusterIPs: addrs("10.96.0.1", "2001:db8:96::1"), Ports: web},
		{Name: "inside", Type: "ClusterIP", ClusterIPs: addrs("10.96.0.2"), Ports: web},
		{Name: "headless", Type: "NodePort", Ports: []service.Port{{Proto: hdr.ProtoTCP, Port: 80, NodePort: 30002}}},
		{Name: "astray", Type: "NodePort", ClusterIPs: addrs("10.0.0.9"), Ports: []service.Port{{Proto: hdr.ProtoTCP, Port: 80, NodePort: 30003}}},
	} {
		table.SetService(s)
	}
	pod, pod6 := addrs("10.244.0.9")[0], addrs("2001:db8:244::9")[0]
	table.SetHostPorts("pod", []service.HostPort{
		{Proto: hdr.ProtoSCTP, Host: 8080, Addr: pod, Port: 1}, {Proto: hdr.ProtoSCTP, Host: 8080, Addr: pod6, Port: 2},
		{Proto: hdr.ProtoSCTP, Host: 8080, HostIP: own[1], Addr: pod, Port: 3},
		{Proto: hdr.ProtoSCTP, Host: 8081, HostIP: addrs("192.0.2.1")[0], Addr: pod, Port: 4}, // not the node's
	})
	services, _, err := table.Commit()
	if err != nil {
		t.Fatal(err)
	}
	got := redirectsOf(services, own, netip.MustParsePrefix("10.96.0.0/16").Contains)
	six := redirectsOf(services, own, netip.MustParsePrefix("2001:db8:96::/112").Contains)
	for k, to := range six {
		if to.Addr().Is6() {
			got[k] = to
		}
	}
	want := redirect.Ports{}
	for _, x := range []struct {
		at    string
		proto uint8
		to    string
	}{
		{"10.0.0.1:30001", hdr.ProtoTCP, "10.96.0.1:80"}, {"10.0.0.2:30001", hdr.ProtoTCP, "10.96.0.1:80"}, {"[2001:db8::1]:30001", hdr.ProtoTCP, "[2001:db8:96::1]:80"},
		{"10.0.0.1:30001", hdr.ProtoUDP, "10.96.0.1:53"}, {"10.0.0.2:30001", hdr.ProtoUDP, "10.96.0.1:53"}, {"[2001:db8::1]:30001", hdr.ProtoUDP, "[2001:db8:96::1]:53"},
		{"10.0.0.1:8080", hdr.ProtoSCTP, "10.244.0.9:1"}, {"10.0.0.2:8080", hdr.ProtoSCTP, "10.244.0.9:3"}, {"[2001:db8::1]:8080", hdr.ProtoSCTP, "[2001:db8:244::9]:2"},
	} {
		want[redirect.Key{To: netip.MustParseAddrPort(x.at), Proto: x.proto}] = netip.MustParseAddrPort(x.to)
	}
	if !maps.Equal(got, want) {
		t.Errorf("got\n%v, want\n%v", got, want)
	}
	if none := redirectsOf(new(nat.Services), own, func(netip.Addr) bool { return true }); len(none) > 0 {
		t.Errorf("of no services: %v", none)
	}
}

// What is wrong with the table is said where people look, until it is right.
func TestRedirectAlarm(t *testing.T) {
	c := &Control{log: zap.NewNop(), nat: newTranslation(&configs.Config{})}
	c.sayRedirects(fmt.Errorf("list tables: %w", redirect.ErrUnsupported))
	if a := c.redirectAlarms(); len(a) != 1 || !strings.Contains(a[0].String(), "do not reach its NodePorts and hostPorts: list tables: the kernel has no nf_tables") {
		t.Errorf("%v", a)
	}
	if c.sayRedirects(nil); len(c.redirectAlarms()) > 0 {
		t.Errorf("%v", c.redirectAlarms())
	}
}
