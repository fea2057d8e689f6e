package configs

import (
	"strings"
	"testing"
)

func TestPodRoute(t *testing.T) {
	for _, line := range []string{"10.0.0.0/8", "2001:db8::/32 mtu 1400", "0.0.0.0/0 mtu 1400 advmss 1360 metric 5 table 100"} {
		r, err := ParsePodRoute(line)
		if err != nil || r.String() != line {
			t.Errorf("%q: %q, %v", line, r, err)
		}
	}
	for _, line := range []string{"", "10.0.0.1/8", "10.0.0.0", "::ffff:10.0.0.0/104", "10.0.0.0/8 mtu", "10.0.0.0/8 mtu x", "10.0.0.0/8 via 10.0.0.1", "10.0.0.0/8 mtu -1"} {
		if r, err := ParsePodRoute(line); err == nil {
			t.Errorf("%q is taken for %v", line, r)
		}
	}
}

func FuzzPodRoute(f *testing.F) {
	f.Add("0.0.0.0/0 mtu 1400 advmss 1360 metric 5 table 100")
	f.Fuzz(func(t *testing.T, line string) {
		r, err := ParsePodRoute(line)
		if err != nil {
			return
		}
		if again, err := ParsePodRoute(r.String()); err != nil || again != r {
			t.Errorf("%q is %v, which is %v (%v)", line, r, again, err)
		}
	})
}

func TestSysctlKey(t *testing.T) {
	for name, want := range map[string]string{
		"net.ipv4.conf.IFNAME.rp_filter":    "net/ipv4/conf/eth0/rp_filter",
		"net/ipv6/conf/eth0.1/disable_ipv6": "net/ipv6/conf/eth0.1/disable_ipv6",
		"net.core.somaxconn":                "net/core/somaxconn",
	} {
		if key, err := SysctlKey(name, "eth0"); err != nil || key != want {
			t.Errorf("%s: %s, %v", name, key, err)
		}
	}
	for _, name := range []string{"", "kernel.panic", "net", "net.ipv4", "net/../kernel/panic", "net/ipv4//x", "vm.swappiness.x"} {
		if key, err := SysctlKey(name, "eth0"); err == nil {
			t.Errorf("%s is taken for %s", name, key)
		}
	}
}

func TestPodExtras(t *testing.T) {
	const pod = "pods:\n- {netns: a, addresses: [10.0.0.1/32], "
	cfg, err := Parse("x", []byte(pod+"routes: [10.0.0.0/8 mtu 1400], sysctls: {net.core.somaxconn: \"9\"}, bandwidth: {ingress_rate: 1000000}}"))
	if err != nil || cfg.Pods[0].Bandwidth.IngressRate != 1e6 || cfg.Pods[0].Sysctls["net.core.somaxconn"] != "9" {
		t.Errorf("%+v, %v", cfg.Pods, err)
	}
	for _, extra := range []string{"routes: [10.0.0.1/8]", "sysctls: {kernel.panic: \"1\"}", "bandwidth: {ingress_rate: -1}", "\"-\": {}"} {
		if _, err := Parse("x", []byte(pod+extra+"}")); err == nil || !strings.Contains(err.Error(), "pods[0].") {
			t.Errorf("%s: %v", extra, err)
		}
	}
}
