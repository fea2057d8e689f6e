package cni_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/skein-dataplane/skein/internal/lab"
)

// TestLife goes through the life of two pods in each version that there is.
func TestLife(t *testing.T) {
	r := newRig(t)
	a, b := r.pod("a"), r.pod("b")
	for _, version := range []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
		list := r.list(version, dualStack, `"mtu": 1400, `, "")
		rtA, rtB := runtime("a", a), runtime("b", b)
		resA, resB := r.add(list, rtA), r.add(list, rtB)
		if len(resA.IPs) != 2 || len(resA.Interfaces) != 1 || resA.Interfaces[0].Sandbox != a.Path() || len(resA.DNS.Nameservers) != 1 || len(resA.Routes) != 3 {
			t.Errorf("%s: %v", version, resA)
		}
		for _, ip := range resB.IPs {
			if ones, bits := ip.Address.Mask.Size(); ones != bits {
				t.Errorf("%s: %v is not alone on its link", version, ip.Address)
			}
			host, _ := netip.AddrFromSlice(ip.Address.IP)
			lab.Need(t, a.Reaches(r.ctx, host.Unmap().String(), lab.Ping{Count: 2, Timeout: time.Second}))
		}
		if version != "0.3.1" {
			lab.Need(t, r.cni.CheckNetworkList(r.ctx, list, rtA))
		}
		for _, x := range []int{1, 2} {
			t.Logf("%s: DEL %d", version, x)
			r.del(list, rtA)
			r.del(list, rtB)
		}
		r.nothingLeft(a, b)
	}
	lab.Need(t, r.cni.GetStatusNetworkList(r.ctx, r.list("1.1.0", dualStack, "", "")))
	info, err := r.cni.GetVersionInfo(r.ctx, "skein-cni")
	if err != nil || len(info.SupportedVersions()) != 4 {
		t.Errorf("%v, %v", info, err)
	}
	_, err = r.cni.AddNetworkList(r.ctx, r.list("0.2.0", dualStack, "", ""), runtime("a", a))
	refused(t, "an old version", err, types.ErrIncompatibleCNIVersion)
}
