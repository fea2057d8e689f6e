package cli

import (
	"strings"
	"testing"
)

// TestChanges shows what each line asks of the daemon.
func TestChanges(t *testing.T) {
	f := &fake{}
	socket := start(t, f)
	for _, tc := range []struct{ line, want string }{
		{"set interface state tun3 up", `SetInterfaceRequest { "name": "tun3", "adminUp": true`},
		{"set int st tun3 down", `"adminUp": false`},
		{"set interface mtu 9000 tun3", `"name": "tun3", "mtu": 9000`},
		{"set interface ip address tun3 10.0.0.1/24", `"addAddresses": [ "10.0.0.1/24" ], "removeAddresses": []`},
		{"set interface ip address del tun3 10.0.0.1/24", `"addAddresses": [], "removeAddresses": [ "10.0.0.1/24" ]`},
		{"set interface feature tun3 acl arc ip4-unicast", `"features": [ { "arc": "ip4-unicast", "feature": "acl", "enable": true } ]`},
		{"set interface feature tun3 acl arc ip4-unicast disable", `"enable": false`},
		{"create tun tun4 netns pod4", `CreateTunRequest { "name": "tun4", "netns": "/run/netns/pod4", "ifname": "", "addresses": [], "mtu": 0, "queues": 0, "routes": [], "sysctls": {}, "type": "", "dhcp": false }`},
		{"set interface rx-placement host-enp0s3 queue 1 worker 0", `SetPlacementRequest { "interface": "host-enp0s3", "queue": 1, "worker": 0 }`},
		{"set interface rx-placement tun3 worker 1", `SetPlacementRequest { "interface": "tun3", "queue": 0, "worker": 1 }`},
		{"set interface rate-limit host-enp0s3 in packets 200k burst 500", `"name": "host-enp0s3", "addAddresses": [], "removeAddresses": [], "features": [], "rxLimit": { "packets": "200000", "bandwidth": "0", "burst": "500" } }`},
		{"set interface rate-limit tun3 out bandwidth 100mbit burst 256kbit", `"txLimit": { "packets": "0", "bandwidth": "100000000", "burst": "256000" } }`},
		{"set interface rate-limit tun3 out burst 9 bandwidth 1000", `"txLimit": { "packets": "0", "bandwidth": "1000", "burst": "9" } }`},
		{"set interface rate-limit tun3 in off", `"rxLimit": { "packets": "0", "bandwidth": "0", "burst": "0" } }`},
		{"deny add 192.0.2.0/24 2001:db8:bad::/48", `AddDenyRequest { "prefixes": [ "192.0.2.0/24", "2001:db8:bad::/48" ] }`},
		{"deny add 192.0.2.7 2001:db8::7", `AddDenyRequest { "prefixes": [ "192.0.2.7/32", "2001:db8::7/128" ] }`},
		{"deny del 192.0.2.0/24", `DeleteDenyRequest { "prefixes": [ "192.0.2.0/24" ] }`},
		{"create tun tun4 netns /proc/7/ns/net ifname net1 address 10.1.0.4/32 address 2001:db8::4/128 mtu 1400 queues 2 offload off",
			`"netns": "/proc/7/ns/net", "ifname": "net1", "addresses": [ "10.1.0.4/32", "2001:db8::4/128" ], "mtu": 1400, "queues": 2, "offload": false`},
		{"nat44 add static mapping tcp local 10.1.0.5 8080 external 192.0.2.1 80", `ChangeNATRequest { "static": "tcp local 10.1.0.5 8080 external 192.0.2.1 80", "delete": false }`},
		{"nat66 del static mapping local 2001:db8::5 external 2001:db8:1::1", `"static": "local 2001:db8::5 external 2001:db8:1::1", "delete": true }`},
		{"nat44 add pool 10.1.0.0/16 outgoing", `{ "pool": { "prefix": "10.1.0.0/16", "outgoing": true, "source": "" }, "delete": false }`},
		{"nat66 del pool 2001:db8::/64", `"outgoing": false, "source": "" }, "delete": true }`},
		{"service delete service web default/api", `DeleteServicesRequest { "objects": [ "Service default/web", "Service default/api" ] }`},
		{"delete interface tun4", `DeleteInterfaceRequest { "name": "tun4" }`},
		{"clear interfaces", `ClearCountersRequest { "interfaces": true, "runtime": false, "errors": false }`},
		{"clear runtime", `"runtime": true`},
		{"clear errors", `"errors": true`},
		{"clear trace", `ClearTraceRequest {}`},
		{"clear sessions", `ClearSessionsRequest { "filter": { "src": "", "dst": "", "port": 0, "protocol": "", "endpoint": "" } }`},
		{"clear session port 80 src 10.0.0.1", `"src": "10.0.0.1/32", "dst": "", "port": 80`},
		{"show sessions dst 2001:db8::/64 protocol udp pod default/web max 7",
			`{ "filter": { "src": "", "dst": "2001:db8::/64", "port": 0, "protocol": "udp", "endpoint": "default/web" }, "limit": 7, "countOnly": false }`},
		{"show session port 53 count", `"port": 53, "protocol": "", "endpoint": "" }, "limit": 0, "countOnly": true`},
		{"explain 10.0.0.1 > 10.0.0.2: udp 1 > 53", `ExplainRequest { "line": "10.0.0.1 > 10.0.0.2: udp 1 > 53", "interface": "" }`},
		{"explain 10.0.0.1 > 10.0.0.2: udp 1 > 53 in tun3", `"10.0.0.1 > 10.0.0.2: udp 1 > 53", "interface": "tun3" }`},
		{"explain trace 3 in tun3", `ExplainRequest { "trace": "3", "interface": "tun3" }`},
		{"policy apply -", `ApplyPolicyRequest { "name": "-", "text": "" }`},
		{"policy delete networkpolicy default/web default/db", `"refs": [ { "group": "", "kind": "networkpolicy", "namespace": "default", "name": "web" }, { "group": "", "kind": "networkpolicy", "namespace": "default", "name": "db" } ]`},
		{"policy delete NetworkPolicy.projectcalico.org web", `"group": "projectcalico.org", "kind": "NetworkPolicy", "namespace": "", "name": "web"`},
		{"set pod labels tun3 app=web old-", `SetWorkloadRequest { "interface": "tun3", "workload": { "namespace": "", "name": "", "uid": "", "serviceAccount": "", "labels": { "app": "web" }, "ports": [] } }`},
		{"trace add ip4-input 50", `AddTraceRequest { "node": "ip4-input", "count": 50 }`},
		{"trace add tun3 1", `AddTraceRequest { "interface": "tun3", "count": 1 }`},
		{"ip route add 10.2.0.0/16 via 10.100.0.2 dev tun3 metric 5",
			`AddRouteRequest { "route": { "prefix": "10.2.0.0/16", "type": "ROUTE_TYPE_UNICAST", "nextHops": [ { "interface": "tun3", "via": "10.100.0.2", "weight": 0 } ], "metric": 5, "source": "", "best": false, "adjacencies": [] }, "replace": false }`},
		{"ip route replace blackhole 10.9.0.0/16", `"type": "ROUTE_TYPE_BLACKHOLE", "nextHops": []`},
		{"ip route del default", `DeleteRouteRequest { "route": { "prefix": "0.0.0.0/0", "type": "ROUTE_TYPE_UNSPECIFIED"`},
		{"ip neighbor add 10.0.0.9 02-FE-00-00-00-01 dev tap0", `AddNeighborRequest { "ip": "10.0.0.9", "interface": "tap0", "mac": "02:fe:00:00:00:01" }`},
		{"ip neighbor del 10.0.0.9 dev tap0", `DeleteNeighborRequest { "ip": "10.0.0.9", "interface": "tap0" }`},
		{"ip neighbor del 10.0.0.9 02:fe:00:00:00:01 dev tap0", `DeleteNeighborRequest { "ip": "10.0.0.9", "interface": "tap0" }`},
		{"ping 10.0.0.9", `PingRequest { "address": "10.0.0.9", "count": 5, "size": 56, "interval": "1s", "source": "", "wait": "1s" }`},
		{"ping 10.0.0.9 repeat 2 size 0 interval 0.2 source 10.0.0.1", `"count": 2, "size": 0, "interval": "0.200s", "source": "10.0.0.1"`},
	} {
		t.Run(tc.line, func(t *testing.T) {
			if _, errs, rc := ctl(t, socket, "", strings.Fields(tc.line)...); rc != 0 {
				t.Fatalf("status %d: %s", rc, errs)
			}
			if got := f.last(t); !strings.Contains(got, tc.want) {
				t.Errorf("asked for %s\nwant %s", got, tc.want)
			}
		})
	}
}

// TestWrongWords has lines that the daemon never hears of.
func TestWrongWords(t *testing.T) {
	f := &fake{}
	socket := start(t, f)
	for _, tc := range []struct{ line, want string }{
		{"s", "short for several: service, set, show"},
		{"show i", "short for several: interface, ip"},
		{"show", "what? One of: acl, buffers, cni, deny"},
		{"set interface", "what? One of: feature, ip, mtu, rate-limit, rx-placement, state"},
		{"show foo", "show foo: unknown word. One of: acl, buffers"},
		{"foo", "foo: unknown word"},
		{"show version now", `show version: "now" is too much. Usage: show version`},
		{"show errors none", `unknown word "none"`},
		{"show node", "show node: words missing. Usage: show node <name>"},
		{"show trace max", "max: value missing"},
		{"show trace max 0", `"0" is not a whole number from 1`},
		{"show ip fib nowhere", `"nowhere" is not a prefix`},
		{"show ip fib 2001:db8::1", `show ip fib: 2001:db8::1 is of the other family`},
		{"show ip6 fib 10.0.0.0/8", `show ip6 fib: 10.0.0.0/8 is of the other family`},
		{"show sessions port", "port: value missing"},
		{"show sessions port 65536", "65536 is more than 65535"},
		{"show sessions colour red", `unknown word "colour"`},
		{"show sessions src nonsense", `"nonsense" is not a prefix`},
		{"clear sessions max 3", `unknown word "max"`},
		{"explain", "words missing"},
		{"explain trace", "trace: value missing"},
		{"explain trace first", `"first" is not a whole number`},
		{"policy apply", "words missing"},
		{"policy apply /nonexistent.yaml", "no such file"},
		{"policy delete networkpolicy", "words missing"},
		{"set pod labels tun3 app", `"app" is neither <label>=<value> nor <label>-`},
		{"trace add ip4-input many", `"many" is not a whole number`},
		{"set interface state tun3 sideways", `"sideways" is neither up nor down`},
		{"set interface mtu 67 tun3", "from 68"},
		{"set interface mtu 4294967364 tun3", "from 68"},
		{"set interface ip address tun3 10.0.0.1", "not an address with prefix length"},
		{"set interface ip address add tun3 10.0.0.1/24", `unknown word "add"`},
		{"set interface feature tun3 acl on ip4-unicast", `unknown word "on"`},
		{"set interface feature tun3 acl arc ip4-unicast off", `unknown word "off"`},
		{"set interface rx-placement tun3 queue 1", "worker missing"},
		{"set interface rx-placement tun3 queue 1 queue 2", "queue: given twice"},
		{"set interface rx-placement tun3 queue one worker 1", `"one" is not a whole number`},
		{"set interface rx-placement tun3 worker 1 cpu 2", `unknown word "cpu"`},
		{"set interface rate-limit tun3 up packets 1", `"up" is neither in nor out`},
		{"set interface rate-limit tun3 in burst 5", "either packets or bandwidth"},
		{"set interface rate-limit tun3 in packets 5 bandwidth 5", "either packets or bandwidth"},
		{"set interface rate-limit tun3 in packets", "packets: value missing"},
		{"set interface rate-limit tun3 in packets 0", `"0" is not a whole number from 1 to 10000000000000, with or without one of k, m`},
		{"set interface rate-limit tun3 in packets 5mbit", "with or without one of k, m"},
		{"set interface rate-limit tun3 in bandwidth 11tbit", "with or without one of tbit, gbit"},
		{"set interface rate-limit tun3 in bandwidth 5.5mbit", "is not a whole number"},
		{"set interface rate-limit tun3 in packets 5 burst 1mbit", "burst: \"1mbit\" is not"},
		{"deny add", "words missing"},
		{"deny add 192.0.2.1/24", "192.0.2.1/24 has bits set after its length; 192.0.2.0/24 has not"},
		{"deny add default", `"default" is not a prefix`},
		{"deny add nonsense", `deny add: "nonsense" is not a prefix`},
		{"create tun tun4 ifname eth0", "netns missing"},
		{"create tun tun4 netns pod4 mtu", "mtu: value missing"},
		{"create tun tun4 netns pod4 mtu 1400 mtu 1500", "mtu: given twice"},
		{"create tun tun4 netns pod4 colour red", `unknown word "colour"`},
		{"create tun tun4 netns pod4 offload maybe", "neither on nor off"},
		{"ip route add 10.0.0.0/8", "via or dev missing"},
		{"ip route add blackhole 10.0.0.0/8 dev tun3", "a blackhole route has no next hop"},
		{"ip neighbor add 10.0.0.9 02:fe:00:00:00 dev tap0", "not an Ethernet address"},
		{"ip neighbor add 10.0.0.9 02:fe:00:00:00:01 on tap0", `unknown word "on"`},
		{"ping here", `"here" is not an address`},
		{"ping 10.0.0.9 size 65508", "more than 65507"},
		{"ping 10.0.0.9 repeat 65536", "more than 65535"},
		{"ping 10.0.0.9 interval 0", "not a time"},
		{"ping 10.0.0.9 interval 1e300", "not a time"},
		{"ping 10.0.0.9 interval NaN", "not a time"},
		{"show version -o xml", "must be text or json"},
		{"show version --timeout 0s", "must be more than 0"},
		{"show version --colour", "unknown flag"},
	} {
		t.Run(tc.line, func(t *testing.T) {
			out, errs, rc := ctl(t, socket, "", strings.Fields(tc.line)...)
			if rc != 2 || out != "" || !strings.Contains(errs, tc.want) {
				t.Errorf("status %d, %q, %q; want 2 and %q", rc, out, errs, tc.want)
			}
		})
	}
	if len(f.changes) > 0 {
		t.Errorf("the daemon was asked for %v", f.changes)
	}
}

func TestRouteLine(t *testing.T) {
	for _, tc := range []struct{ line, want string }{
		{"10.0.0.0/8 via 10.1.1.1", "10.0.0.0/8 [via 10.1.1.1]"},
		{"10.0.0.7 dev tun3", "10.0.0.7/32 [dev tun3]"},
		{"default via 10.1.1.1 dev a", "0.0.0.0/0 [via 10.1.1.1 dev a]"},
		{"default via 2001:db8::1", "::/0 [via 2001:db8::1]"},
		{"2001:db8::/32 dev a", "2001:db8::/32 [dev a]"},
		{"10.0.0.0/8 metric 7 nexthop via 10.1.1.1 weight 2 nexthop via 10.1.1.2 dev b", "10.0.0.0/8 [via 10.1.1.1 weight 2] [via 10.1.1.2 dev b]"},
		{"unreachable 10.0.0.0/8", "10.0.0.0/8"},
		{"", "a prefix is missing"},
		{"blackhole", "a prefix is missing"},
		{"10.0.0.1/8 dev a", "10.0.0.1/8 has bits set after its length; 10.0.0.0/8 has not"},
		{"10.0.0.0/33 dev a", `"10.0.0.0/33" is not a prefix, such as 10.0.0.0/8`},
		{"10.0.0.0/8 via 2001:db8::1", "via 2001:db8::1 is not of the family of 10.0.0.0/8"},
		{"2001:db8::/32 via 10.0.0.1", "via 10.0.0.1 is not of the family of 2001:db8::/32"},
		{"fe80::1%a dev a", `"fe80::1%a" is not a prefix, such as 10.0.0.0/8`},
		{"10.0.0.0/8 via fe80::1%a", `via: "fe80::1%a" is not an address`},
		{"10.0.0.0/8 src 10.0.0.1", `unknown word "src"`},
		{"10.0.0.0/8 dev", "dev: value missing"},
		{"10.0.0.0/8 dev a weight 0", `weight: "0" is not a whole number from 1 to 4294967295`},
		{"10.0.0.0/8 nexthop", "nexthop: via or dev missing"},
		{"10.0.0.0/8 nexthop weight 2 nexthop dev a", "weight: via or dev missing"},
		{"10.0.0.0/8 nexthop nexthop dev a", "nexthop: via or dev missing"},
		{"10.0.0.0/8 nexthop dev a metric 5", `unknown word "metric"`},
		{"10.0.0.0/8 weight 2", "weight: via or dev missing"},
		{"10.0.0.0/8 via 10.1.1.1 via 10.1.1.2", "via: given twice"},
		{"10.0.0.0/8 dev a nexthop dev b", "a next hop stands before the first nexthop"},
	} {
		r, err := parseRoute(strings.Fields(tc.line))
		got := r.GetPrefix()
		for _, h := range r.GetNextHops() {
			got += " [" + nextHop(h) + "]"
		}
		if err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%q: %s, want %s", tc.line, got, tc.want)
		}
	}
}
