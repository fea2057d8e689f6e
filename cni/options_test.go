package cni_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
)

// TestPodSide: the interface as it was asked for, seen by the pod.
func TestPodSide(t *testing.T) {
	r := newRig(t)
	pod := r.pod("pod")
	lab.Need(t, pod.Sysctl("net.ipv6.conf.default.disable_ipv6", "1"))
	list := r.list("1.1.0", dualStack, `"mtu": 1400, "sysctls": {"net.ipv4.conf.IFNAME.rp_filter": "2", "net.core.somaxconn": "99"}, `, "")
	rt := runtime("pod", pod)
	rt.IfName = "a-long-name-123"
	res := r.add(list, rt)
	if len(res.Interfaces) != 1 || res.Interfaces[0].Mtu != 1400 || res.Interfaces[0].Name != rt.IfName || res.Interfaces[0].Mac != "" {
		t.Errorf("%v", res.Interfaces[0])
	}
	for key, want := range map[string]string{"net/ipv4/conf/a-long-name-123/rp_filter": "2", "net/core/somaxconn": "99", "net/ipv6/conf/a-long-name-123/disable_ipv6": "0"} {
		if got, err := pod.GetSysctl(key); err != nil || got != want {
			t.Errorf("%s: %s (%v)", key, got, err)
		}
	}
	out, err := pod.Exec(r.ctx, "ip", "-o", "route")
	lab.Need(t, err)
	for _, want := range []string{"default dev a-long-name-123", "10.96.0.0/12 dev a-long-name-123 proto 115 scope link mtu 1300"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	out, err = pod.Exec(r.ctx, "ip", "-o", "-d", "link", "show", rt.IfName)
	lab.Need(t, err)
	// One queue, as there is one worker: the kernel keeps room for 256 in a TUN that can have more.
	for _, want := range []string{"mtu 1400", "tun type tun", "vnet_hdr on", "persist on", "numtxqueues 1 ", "qdisc noqueue"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	lab.Need(t, r.cni.CheckNetworkList(r.ctx, list, rt))
	for _, harm := range []string{"route del 10.96.0.0/12", "addr flush dev a-long-name-123 scope global", "link set a-long-name-123 down", "link del a-long-name-123"} {
		if _, err := pod.Exec(r.ctx, "ip", strings.Fields(harm)...); err != nil {
			t.Fatal(err)
		}
		refused(t, "CHECK after ip "+harm, r.cni.CheckNetworkList(r.ctx, list, rt), 102)
	}
	r.del(list, rt)
	r.nothingLeft(pod)
}

// TestRuntimeConfig: what the runtime adds reaches the daemon and the result.
func TestRuntimeConfig(t *testing.T) {
	r := newRig(t)
	pod := r.pod("pod")
	list := r.list("1.1.0", dualStack, `"bandwidth": {"egressRate": 5000}, `, "")
	rt := runtime("pod", pod)
	rt.CapabilityArgs = map[string]any{
		"portMappings": []map[string]any{{"hostPort": 8080, "containerPort": 80, "protocol": "TCP"}, {"hostPort": 0, "containerPort": 81},
			{"hostPort": 53, "containerPort": 5353, "protocol": "udp", "hostIP": "10.0.0.21"}},
		"bandwidth": map[string]any{"ingressRate": 1000000, "ingressBurst": 2000000, "egressRate": 3000000},
		"ips":       []string{"10.244.0.77/22", "2001:db8:244::77/64"},
		"dns":       map[string]any{"servers": []string{"192.0.2.53"}, "searches": []string{"cluster.local"}, "options": []string{"ndots:5"}},
	}
	res := r.add(list, rt)
	if len(res.DNS.Nameservers) != 1 || res.DNS.Nameservers[0] != "192.0.2.53" || res.DNS.Search[0] != "cluster.local" {
		t.Errorf("DNS: %v", res.DNS)
	}
	has := r.attachments()[0]
	want := `{"name":"` + has.Name + `","attachment":{"container_id":"pod","network":"pods","port_mappings":[{"host_port":8080,"container_port":80,"protocol":"tcp"},` +
		`{"host_port":53,"container_port":5353,"protocol":"udp","host_ip":"10.0.0.21"}]},"netns":"` + pod.Path() + `","ifname":"eth0",` +
		`"addresses":["10.244.0.77/32","2001:db8:244::77/128"],"mtu":1500,"workload":{"namespace":"default","name":"pod","uid":"uid-pod"},` +
		`"bandwidth":{"ingress_rate":1000000,"ingress_burst":2000000,"egress_rate":3000000},"type":"tun"}`
	if got, err := json.Marshal(has); err != nil || string(got) != want {
		t.Errorf("got\n%s\nwant\n%s (%v)", got, want, err)
	}
	r.del(list, rt)

	rt.CapabilityArgs = map[string]any{"io.kubernetes.cri.pod-annotations": map[string]string{"kubernetes.io/ingress-bandwidth": "10M", "kubernetes.io/egress-bandwidth": "1Gi"}}
	r.add(list, rt)
	if b := r.attachments()[0].Bandwidth; b.GetIngressRate() != 10e6 || b.GetEgressRate() != 1<<30 {
		t.Errorf("by annotations: %v", b)
	}
	r.del(list, rt)

	rt.CapabilityArgs = map[string]any{"ips": []string{"10.244.0.78/22"}}
	_, err := r.cni.AddNetworkList(r.ctx, r.list("1.1.0", `{"type": "static", "addresses": [{"address": "10.244.0.5/24"}]}`, "", ""), rt)
	if err != nil { // static takes ips itself
		t.Errorf("ips with static: %v", err)
	}
	r.del(r.list("1.1.0", `{"type": "static", "addresses": [{"address": "10.244.0.5/24"}]}`, "", ""), rt)
	rt.CapabilityArgs = map[string]any{"ips": []string{"192.0.2.1/24"}}
	_, err = r.cni.AddNetworkList(r.ctx, list, rt)
	if err == nil {
		t.Error("an address outside of the ranges is taken")
	}
	r.nothingLeft(pod)
}

// TestBandwidth: what was asked for is what the data plane enforces.
func TestBandwidth(t *testing.T) {
	r := newRig(t)
	pod := r.pod("pod")
	list := r.list("1.1.0", dualStack, "", "")
	rt := runtime("pod", pod)
	rt.CapabilityArgs = map[string]any{"bandwidth": map[string]any{"ingressRate": 1000000, "egressRate": 3000000}}
	r.add(list, rt)
	m, err := r.client().ListInterfaces(r.ctx, &skeinpb.ListInterfacesRequest{})
	lab.Need(t, err)
	var on []string
	for _, f := range m.Interfaces[0].Features {
		on = append(on, f.Features...)
	}
	if text := strings.Join(on, " "); !strings.Contains(text, "rate-limit-in") || !strings.Contains(text, "rate-limit-out") {
		t.Errorf("features: %s", text)
	}
	r.del(list, rt)
	r.nothingLeft(pod)
}

// TestChain: plugins of others before and after ours.
func TestChain(t *testing.T) {
	r := newRig(t)
	pod := r.pod("pod")
	const chained = `, {"type": "tuning", "sysctl": {"net.ipv4.conf.eth0.log_martians": "1"}, "mtu": 1300}`
	list := r.list("1.1.0", dualStack, "", chained)
	rt := runtime("pod", pod)
	if res := r.add(list, rt); len(res.IPs) != 2 || len(res.Interfaces) != 1 {
		t.Errorf("%v", res)
	}
	if got, err := pod.GetSysctl("net.ipv4.conf.eth0.log_martians"); got != "1" {
		t.Errorf("tuning has not tuned: %s (%v)", got, err)
	}
	lab.Need(t, r.cni.CheckNetworkList(r.ctx, list, rt))
	r.del(list, rt)

	// One that comes after and fails: the runtime ends the whole list.
	bad := r.list("1.1.0", dualStack, "", `, {"type": "tuning", "sysctl": {"net.ipv4.conf.eth0.no_such": "1"}}`)
	if _, err := r.cni.AddNetworkList(r.ctx, bad, rt); err == nil {
		t.Error("a sysctl that is not there is set")
	}
	r.del(bad, rt)

	// A result of one that comes before stays in ours.
	prev := `"prevResult": {"cniVersion": "1.1.0", "interfaces": [{"name": "net0", "sandbox": "/x"}], "ips": [{"address": "192.0.2.9/32", "interface": 0}]},`
	e := env{"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "pod", "CNI_NETNS": pod.Path(), "CNI_IFNAME": "eth0"}
	out, failed := r.run(r.conf(prev), e)
	if failed != nil {
		t.Fatal(failed)
	}
	if n := strings.Count(string(out), `"address"`); n != 3 || !strings.Contains(string(out), "net0") || !strings.Contains(string(out), `"interface": 1`) {
		t.Errorf("%s", out)
	}
	e["CNI_COMMAND"] = "DEL"
	if _, failed := r.run(r.conf(prev), e); failed != nil {
		t.Error(failed)
	}
	r.nothingLeft(pod)
}

// TestCnitool drives the plugin by the library's own command.
func TestCnitool(t *testing.T) {
	r := newRig(t)
	pod := r.pod("pod")
	conf := filepath.Join(r.dir, "net.d")
	lab.Need(t, os.MkdirAll(conf, 0o755))
	lab.Need(t, os.WriteFile(filepath.Join(conf, "10-pods.conflist"), r.list("1.1.0", dualStack, "", "").Bytes, 0o600))
	tool := func(verb string) (string, error) {
		cmd := exec.CommandContext(r.ctx, filepath.Join(os.Getenv(envBin), "cnitool"), verb, "pods", pod.Path())
		cmd.Env = []string{"CNI_PATH=" + os.Getenv(envBin), "NETCONFPATH=" + conf, "CNI_IFNAME=eth7", "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web"}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, verb := range []string{"add", "check", "gc", "status", "del", "del"} {
		out, err := tool(verb)
		if err != nil {
			t.Fatalf("%s: %v\n%s", verb, err, out)
		}
		switch all := r.attachments(); verb {
		case "add":
			if !strings.Contains(out, "10.244.0.") || len(all) != 1 || all[0].Workload.GetName() != "web" {
				t.Errorf("%s\n%v", out, all)
			}
		case "del":
			r.nothingLeft(pod)
		}
	}
}

// TestCalicoIPAMKeys: Calico's IPAM plugin has its own words beside those of
// ours. The static plugin stands in for it, under its name.
func TestCalicoIPAMKeys(t *testing.T) {
	r := newRig(t)
	pod := r.pod("pod")
	bin, err := os.ReadFile(filepath.Join(os.Getenv(envBin), "static"))
	lab.Need(t, err)
	lab.Need(t, os.WriteFile(filepath.Join(r.dir, "calico-ipam"), bin, 0o755))
	conf := strings.Replace(r.conf(`"datastore_type": "etcdv3", "etcd_endpoints": "http://127.0.0.1:2379", "nodename": "n", "policy": {"type": "k8s"}, "log_level": "warn",`),
		dualStackIn(r.dir), `{"type": "calico-ipam", "assign_ipv6": "true", "addresses": [{"address": "10.244.9.1/26"}]}`, 1)
	e := env{"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "pod", "CNI_NETNS": pod.Path(), "CNI_IFNAME": "eth0", "CNI_PATH": r.dir}
	out, failed := r.run(conf, e)
	if failed != nil || !strings.Contains(string(out), "10.244.9.1/32") {
		t.Fatalf("%s %v", out, failed)
	}
	e["CNI_COMMAND"] = "DEL"
	if _, failed := r.run(conf, e); failed != nil {
		t.Error(failed)
	}
	r.nothingLeft(pod)
}

func dualStackIn(dir string) string { return strings.ReplaceAll(dualStack, "DIR", dir) }
