package server

import (
	"strings"
	"testing"

	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
)

// A second TUN of a namespace leaves the way out over the first one alone.
func TestSecondTunLeavesTheDefaultRoute(t *testing.T) {
	l := lab.ForTest(t)
	pod := l.Add(t, "pod")
	c, _ := daemon(t)
	for name, addr := range map[string]string{"eth0": lab.PodAddr, "eth1": lab.OtherPodAddr} {
		need[*pb.CreateTunResponse](t)(c.CreateTun(t.Context(), &pb.CreateTunRequest{
			Name: "tun-" + name, Netns: pod.Path(), Ifname: name, Addresses: []string{addr + "/32"}}))
	}
	before, err := pod.Exec(t.Context(), "ip", "route", "show", "default")
	lab.Need(t, err)
	if strings.Count(string(before), "default") != 1 {
		t.Errorf("default routes:\n%s", before)
	}
	second := "tun-eth1"
	if strings.Contains(string(before), "eth1") {
		second = "tun-eth0"
	}
	need[*pb.DeleteInterfaceResponse](t)(c.DeleteInterface(t.Context(), &pb.DeleteInterfaceRequest{Name: second}))
	after, err := pod.Exec(t.Context(), "ip", "route", "show", "default")
	lab.Need(t, err)
	if string(after) != string(before) {
		t.Errorf("the default route was\n%sand is\n%s", before, after)
	}
}
