package configs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const full = `run_dir: /run/skein
uplinks:
  - interface: enp0s3
    driver: af_packet
    host_routes: [10.244.0.0/16, 10.96.0.0/12]
    confirm: {timeout: 20s, gateway: off, tcp: '10.0.0.1:6443'}
    rate_limit: {packets: 200000, burst: 1000}
deny: [192.0.2.0/24, 2001:db8:bad::/48]
pods:
  - netns: pod-a
    addresses: [10.244.0.2/32]
    workload:
      namespace: default
      name: frontend-1
      labels: {app: frontend, app.kubernetes.io/tier: '1'}
      ports: [{name: http, port: 80}, {name: dns, protocol: UDP, port: 53}]
  - {name: web, netns: /run/netns/b, interface: net1, addresses: [10.244.0.3/32], mtu: 1400, offload: off}
routes:
  - blackhole 10.244.0.0/24
buffers: {small: 8192, large: 256}
api: {socket: /run/skein/api.sock}
log: {level: debug, file: /var/log/skein.log}
`

func TestParse(t *testing.T) {
	cfg, err := Parse("f", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	a, b := cfg.Pods[0], cfg.Pods[1]
	if a.Name != "tun0" || a.Interface != "eth0" || !a.Offload.On() {
		t.Errorf("a pod without a name: %+v", a)
	}
	if b.Name != "web" || b.Interface != "net1" || b.MTU != 1400 || b.Offload.On() {
		t.Errorf("a pod with everything: %+v", b)
	}
	if w := a.Workload; w.String() != "default/frontend-1" || len(w.Labels) != 2 || w.Labels["app.kubernetes.io/tier"] != "1" ||
		len(w.Ports) != 2 || w.Ports[1] != (NamedPort{"dns", "UDP", 53}) {
		t.Errorf("a workload: %+v", w)
	}
	if u := cfg.Uplinks[0].Confirm; u.Timeout != 20*time.Second || u.Gateway.On() || u.TCP != "10.0.0.1:6443" {
		t.Errorf("confirm: %+v", u)
	}
	if l := cfg.Uplinks[0].RateLimit; l != (RateLimit{Packets: 200000, Burst: 1000}) || len(cfg.Deny) != 2 || cfg.Deny[1] != "2001:db8:bad::/48" {
		t.Errorf("guard: %+v, %v", l, cfg.Deny)
	}
	if u := cfg.Uplinks[0]; u.Driver != "af_packet" || len(u.HostRoutes) != 2 {
		t.Errorf("uplink: %+v", u)
	}
	if cfg.Buffers.Small != 8192 || cfg.Log.Level != "debug" || cfg.Routes[0] != "blackhole 10.244.0.0/24" {
		t.Errorf("%+v", cfg)
	}
}

// IPv6 addresses need no quotes, wherever they stand.
func TestUnquoted(t *testing.T) {
	cfg, err := Parse("f", []byte("pods:\n  - {netns: a, addresses: [10.0.0.1/32, 2001:db8:244::2/128]}\nroutes: [blackhole 2001:db8::/64]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Pods[0].Addresses[1] != "2001:db8:244::2/128" || cfg.Routes[0] != "blackhole 2001:db8::/64" {
		t.Errorf("%+v", cfg)
	}
}

// What a file leaves out is as Default says, also when it leaves out all.
func TestDefault(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "uplinks: []\n"} {
		cfg, err := Parse("f", []byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if d := Default(); cfg.RunDir != d.RunDir || cfg.Buffers != d.Buffers || cfg.API != d.API || cfg.Log != d.Log {
			t.Errorf("%q: %+v", text, cfg)
		}
	}
}

// Each error says where it is: file, line, column, field, and what was
// expected there.
func TestRefused(t *testing.T) {
	tests := []struct{ name, text, at, what string }{
		{"unknown field", "uplinks:\n  - interface: eth0\n    drivr: auto\n", "f:3:5: uplinks[0].drivr: ", "no such field"},
		{"driver", "uplinks:\n  - interface: eth0\n    driver: dpdk\n", "f:3:13: uplinks[0].driver: ", "one of auto, af_xdp, af_packet"},
		{"long name", "uplinks:\n  - interface: averyveryverylongname\n", "f:2:16: uplinks[0].interface: ", "at most 15"},
		{"uplink twice", "uplinks: [{interface: a}, {interface: a}]\n", "f:1:39: uplinks[1].interface: ", "already"},
		{"host bits", "uplinks: [{interface: a, host_routes: [10.1.2.3/16]}]\n", "f:1:40: uplinks[0].host_routes[0]: ", "10.1.0.0/16 was meant"},
		{"prefix", "uplinks: [{interface: a, host_routes: [nonsense]}]\n", "uplinks[0].host_routes[0]: ", "such as 10.244.0.0/16"},
		{"confirm", "uplinks: [{interface: a, confirm: {timeout: 1ms}}]\n", "uplinks[0].confirm.timeout: ", "such as 10s"},
		{"confirm tcp", "uplinks: [{interface: a, confirm: {tcp: nowhere}}]\n", "uplinks[0].confirm.tcp: ", "host:port"},
		{"confirm gateway", "uplinks: [{interface: a, confirm: {gateway: perhaps}}]\n", "uplinks[0].confirm.gateway: ", "one of on, off"},
		{"deny", "deny: [192.0.2.0/24, 192.0.2.1/24]\n", "f:1:22: deny[1]: ", "192.0.2.0/24 was meant"},
		{"deny no prefix", "deny:\n  - 192.0.2.1\n", "f:2:5: deny[0]: ", "where a prefix was expected"},
		{"deny the link", "deny: ['fe80::/10']\n", "f:1:8: deny[0]: ", "never denied"},
		{"acl rule", "acls:\n  - interface: tun0\n    in: [allow icmp, allow tcp to port 80]\n", "f:3:22: acls[0].in[1]: ", "\"port\""},
		{"acl passes", "acls: [{interface: tun0, out: [pass]}]\n", "acls[0].out[0]: ", "allows, denies or logs"},
		{"acl of a set", "acls: [{interface: tun0, out: [allow to set web]}]\n", "acls[0].out[0]: ", "no sets"},
		{"acl twice", "acls: [{interface: tun0}, {interface: tun0}]\n", "acls[1].interface: ", "already"},
		{"acl of nothing", "acls: [{in: [allow]}]\n", "acls[0].interface: ", "name of an interface"},
		{"failsafe", "policy: {failsafe_in: [tcp:22, 68]}\n", "policy.failsafe_in[1]: ", "such as tcp:22"},
		{"failsafe port", "policy: {failsafe_out: [udp:0]}\n", "policy.failsafe_out[0]: ", "such as tcp:22"},
		{"rate of two kinds", "uplinks: [{interface: a, rate_limit: {packets: 5, bandwidth: 5}}]\n", "f:1:38: uplinks[0].rate_limit: ", "one of them"},
		{"superpackets", "uplinks: [{interface: a, af_xdp: {superpackets: some}}]\n", "uplinks[0].af_xdp.superpackets: ", "one of auto, whole, cut"},
		{"busy poll", "uplinks: [{interface: a, af_xdp: {busy_poll: 65536}}]\n", "uplinks[0].af_xdp.busy_poll: ", "0 to 65535"},
		{"busy poll below 0", "uplinks: [{interface: a, af_xdp: {busy_poll: -1}}]\n", "uplinks[0].af_xdp.busy_poll: ", "0 to 65535"},
		{"busy poll elsewhere", "uplinks: [{interface: a, driver: af_packet, af_xdp: {busy_poll: 64}}]\n", "uplinks[0].af_xdp: ", "af_packet"},
		{"burst alone", "uplinks: [{interface: a, rate_limit: {burst: 5}}]\n", "uplinks[0].rate_limit: ", "packets or bandwidth"},
		{"rate too large", "uplinks: [{interface: a, rate_limit: {bandwidth: 10000000000001}}]\n", "uplinks[0].rate_limit: ", "at most 10000000000000"},
		{"rate below 0", "uplinks: [{interface: a, rate_limit: {packets: -1}}]\n", "uplinks[0].rate_limit.packets: ", ""},
		{"affinity", "services: {affinity_clients: 5}\n", "f:1:30: services.affinity_clients: ", "from 64 to"},
		{"nat ports", "nat: {ports: [1024-2000, 80-90]}\n", "f:1:26: nat.ports[1]: ", "ports from 1024 to 65535"},
		{"nat ports backward", "nat: {ports: [2000-1999]}\n", "nat.ports[0]: ", "such as 1024-29999"},
		{"nat ports are words", "nat: {ports: [many]}\n", "nat.ports[0]: ", "such as 1024-29999"},
		{"nat mapping", "nat: {mapping: symmetric}\n", "f:1:16: nat.mapping: ", "or endpoint-independent was expected"},
		{"nat mapping of several workers", "nat: {mapping: endpoint-independent}\nworkers: {count: 2}\n", "f:1:16: nat.mapping: ", "needs a single worker, found 2"},
		{"nat ports overlap", "nat: {ports: [2000-3000, 3000]}\n", "f:1:14: nat.ports: ", "overlap"},
		{"many nat ports", "nat: {ports: [1024, 1025, 1026, 1027, 1028]}\n", "nat.ports: ", "1 to 4"},
		{"restart", "restart: perhaps\n", "f:1:10", ""},
		{"no namespace", "pods:\n  - addresses: [10.0.0.1/32]\n", "f:2:", "network namespace was expected"},
		{"no address", "pods:\n  - netns: a\n", "pods[0].addresses: ", "such as 10.244.0.2/32"},
		{"address twice", "pods: [{netns: a, addresses: [10.0.0.1/32]}, {netns: b, addresses: [10.0.0.1/32]}]\n", "pods[1].addresses[0]: ", "of tun0 already"},
		{"name twice", "pods: [{name: x, netns: a, addresses: [10.0.0.1/32]}, {name: x, netns: b, addresses: [10.0.0.2/32]}]\n", "pods[1].name: ", "another pod"},
		{"mtu", "pods: [{netns: a, addresses: [10.0.0.1/32], mtu: 100}]\n", "pods[0].mtu: ", "from 1280 to 9216"},
		{"switch", "pods: [{netns: a, addresses: [10.0.0.1/32], offload: maybe}]\n", "pods[0].offload: ", "one of on, off"},
		{"labels", "pods: [{netns: a, addresses: [10.0.0.1/32], workload: {labels: [app]}}]\n", "pods[0].workload.labels: ", "names and values"},
		{"label twice", "pods: [{netns: a, addresses: [10.0.0.1/32], workload: {labels: {a: b, a: c}}}]\n", "pods[0].workload.labels.a: ", "given twice"},
		{"label", "pods: [{netns: a, addresses: [10.0.0.1/32], workload: {labels: {a: [b]}}}]\n", "pods[0].workload.labels.a: ", "a list where a text"},
		{"named port", "pods: [{netns: a, addresses: [10.0.0.1/32], workload: {ports: [{name: x, port: 70000}]}}]\n", "pods[0].workload.ports[0].port: ", "from 1 to 65535"},
		{"named protocol", "pods: [{netns: a, addresses: [10.0.0.1/32], workload: {ports: [{name: x, port: 7, protocol: TCPP}]}}]\n", "pods[0].workload.ports[0].protocol: ", "one of TCP"},
		{"buffers", "buffers:\n  small: 1\n", "f:2:10: buffers.small: ", "from 1024"},
		{"large buffers", "uplinks: [{interface: a}]\nbuffers: {large: 64}\n", "buffers.large: ", "from 128"},
		{"workers", "workers: {count: 33}\n", "f:1:18: workers.count: ", "from 0 to 32"},
		{"wake latency", "workers: {wake_latency: 2s}\n", "workers.wake_latency: ", "whole microseconds from 0s to 1s"},
		{"wake latency below 0", "workers: {wake_latency: -1us}\n", "workers.wake_latency: ", "whole microseconds"},
		{"part of a microsecond", "workers: {wake_latency: 1500ns}\n", "workers.wake_latency: ", "whole microseconds"},
		{"workers below 0", "workers: {count: -1}\n", "workers.count: ", "from 0 to 32"},
		{"cpus", "workers: {cpus: 2..3}\n", "f:1:17: workers.cpus: ", "such as 2-3,6"},
		{"cpu twice", "workers: {cpus: '0,0'}\n", "workers.cpus: ", "given twice"},
		{"cpus and count", "workers: {count: 2, cpus: '0'}\n", "workers.cpus: ", "one for each worker"},
		{"no such cpu", "workers: {cpus: '8191'}\n", "workers.cpus: ", "there is no CPU 8191"},
		{"buffers of workers", "workers: {count: 4}\nbuffers: {small: 4000}\n", "buffers.small: ", "from 4096"},
		{"relative", "run_dir: here\n", "f:1:10: run_dir: ", "absolute path"},
		{"socket", "api: {socket: x}\n", "api.socket: ", "absolute path"},
		{"group", "api: {group: no-such-group-here}\n", "api.group: ", "not a group"},
		{"level", "log: {level: loud}\n", "log.level: ", "one of debug"},
		{"empty route", "routes: ['']\n", "f:1:10: routes[0]: ", "ip route"},
		{"no route", "routes:\n  - foo\n", "f:2:5: routes[0]: ", "ip route"},
		{"route over nothing", "routes: [10.9.0.0/16 dev nosuch]\n", "f:1:10: routes[0]: ", "nosuch"},
		{"dhcp server", "cni: {dhcp_server: '2001:db8::1'}\n", "f:1:20: cni.dhcp_server: ", "IPv4 address"},
		{"dhcp subnet", "cni: {dhcp_server: 192.0.2.1, dhcp_subnet: 10.244.3.0/24}\n", "cni.dhcp_subnet: ", "IPv4 address"},
		{"dhcp of nobody", "cni: {dhcp_subnet: 10.244.3.0}\n", "cni.dhcp_subnet: ", "nobody to assign"},
		{"type", "buffers: {small: many}\n", "f:1:18", ""},
		{"field twice", "run_dir: /a\nrun_dir: /b\n", "f:2:1: run_dir: ", "given twice"},
		{"list for a map", "buffers: [1]\n", "f:1:10: buffers: ", "a list where fields were expected"},
		{"text for a list", "routes: x\n", "f:1:9: routes: ", "where a list was expected"},
		{"map for a text", "run_dir: {a: b}\n", "f:1:10: run_dir: ", "a map where a text was expected"},
		{"tag", "routes: !x\n", "routes: ", "not supported"},
		{"anchor", "run_dir: &a /x\nlog: {file: *a}\n", "run_dir: ", "not supported"},
		{"syntax", "uplinks: [\n", "f:", ""},
		{"fraction", "buffers: {small: 4096.5}\n", "f:1:18: buffers.small: ", "a whole number"},
		{"second document", "run_dir: /a\n---\nrun_dir: /b\n", "f:3:1: ", "a second document"},
	}
	for _, test := range tests {
		_, err := Parse("f", []byte(test.text))
		if err == nil {
			t.Errorf("%s: accepted", test.name)
			continue
		}
		if !strings.Contains(err.Error(), test.at) || !strings.Contains(err.Error(), test.what) {
			t.Errorf("%s:\n got %v\nwant %q … %q", test.name, err, test.at, test.what)
		}
	}
}

// All that is wrong is said at once.
func TestAllProblems(t *testing.T) {
	_, err := Parse("f", []byte("run_dir: x\nlog: {level: y}\n"))
	var e *Error
	if !errors.As(err, &e) || len(e.Problems) != 2 {
		t.Errorf("got %v", err)
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	if _, err := Load(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte(full), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err != nil {
		t.Error(err)
	}
}

// Whatever stands in a file, Parse returns, and what it accepts it accepts
// with names and numbers in their bounds.
func FuzzParse(f *testing.F) {
	f.Add(full)
	f.Add("uplinks: [{interface: a, host_routes: [x]}]")
	f.Add("pods: [{netns: a}]\n---\npods: 1")
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := Parse("f", []byte(text))
		if err != nil {
			return
		}
		for _, u := range cfg.Uplinks {
			if u.Interface == "" || len(u.Interface) > maxIfName {
				t.Errorf("accepted the uplink %q", u.Interface)
			}
		}
		if cfg.Buffers.Small < minBuffers || cfg.Buffers.Large < minLarge {
			t.Errorf("accepted %+v", cfg.Buffers)
		}
	})
}

// A list of more prefixes than the data plane takes is one error.
func TestTooManyDenied(t *testing.T) {
	var text strings.Builder
	text.WriteString("deny:\n")
	for i := range MaxDeny + 1 {
		fmt.Fprintf(&text, "  - 10.%d.%d.%d/32\n", i>>16, i>>8&255, i&255)
	}
	_, err := Parse("f", []byte(text.String()))
	if err == nil || err.Error() != "f:2:3: deny: 65537 prefixes where at most 65536 were expected" {
		t.Errorf("%.200v", err)
	}
}
