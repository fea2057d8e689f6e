package service_test

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/service"
)

// As kubectl get -o yaml writes it.
const whole = `apiVersion: v1
kind: List
metadata:
  resourceVersion: ""
items:
- apiVersion: v1
  kind: Service
  metadata:
    annotations:
      kubectl.kubernetes.io/last-applied-configuration: |
        {"apiVersion":"v1"}
      skein-dataplane.github.io/load-balancing: maglev
    creationTimestamp: "2026-01-02T03:04:05Z"
    labels: {app: web}
    name: web
    namespace: shop
    resourceVersion: "12"
    uid: 0f
  spec:
    allocateLoadBalancerNodePorts: true
    clusterIP: 10.96.0.10
    clusterIPs: [10.96.0.10, "fd00:96::10"]
    externalIPs: [192.0.2.80]
    externalTrafficPolicy: Local
    healthCheckNodePort: 31000
    internalTrafficPolicy: Cluster
    ipFamilies: [IPv4, IPv6]
    ipFamilyPolicy: PreferDualStack
    loadBalancerSourceRanges: [198.51.100.0/24]
    ports:
    - {name: http, port: 80, protocol: TCP, targetPort: http, nodePort: 30080}
    - {name: dns, port: 53, protocol: UDP, targetPort: 5353}
    selector: {app: web}
    sessionAffinity: ClientIP
    sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}
    type: LoadBalancer
  status:
    loadBalancer:
      ingress:
      - {ip: 203.0.113.5, ipMode: VIP}
      - {ip: 203.0.113.6, ipMode: Proxy}
      - {hostname: lb.example.org}
- apiVersion: discovery.k8s.io/v1
  kind: EndpointSlice
  addressType: IPv4
  metadata:
    name: web-abc
    namespace: shop
    labels: {kubernetes.io/service-name: web, endpointslice.kubernetes.io/managed-by: x}
  endpoints:
  - addresses: [10.1.0.1]
    conditions: {ready: true, serving: true, terminating: false}
    nodeName: node-a
    zone: z1
    hints: {forZones: [{name: z1}]}
    targetRef: {kind: Pod, name: web-1, namespace: shop}
  - addresses: [10.1.0.2]
    conditions: {ready: false, serving: true, terminating: true}
  - addresses: [10.1.0.3]
  ports:
  - {name: http, port: 8080}
  - {name: dns, port: 5353, protocol: UDP}
`

func parse(t testing.TB, text string) service.Objects {
	t.Helper()
	o, err := service.Parse("test.yaml", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestParse(t *testing.T) {
	o := parse(t, whole)
	a := netip.MustParseAddr
	wantService := &service.Service{
		Place:     service.Place{File: "test.yaml", Line: 6, Column: 3},
		Namespace: "shop", Name: "web", Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Type: "LoadBalancer",
		ClusterIPs: []netip.Addr{a("10.96.0.10"), a("fd00:96::10")}, ExternalIPs: []netip.Addr{a("192.0.2.80")},
		Ingress:  []netip.Addr{a("203.0.113.5")},
		Ports:    []service.Port{{"http", hdr.ProtoTCP, 80, 30080}, {"dns", hdr.ProtoUDP, 53, 0}},
		Affinity: time.Minute, ExternalLocal: true, Sources: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
		HealthPort: 31000, Maglev: true,
	}
	wantSlice := &service.Slice{
		Place:     service.Place{File: "test.yaml", Line: 43, Column: 3},
		Namespace: "shop", Name: "web-abc", Service: "web",
		Ports: []service.SlicePort{{"http", hdr.ProtoTCP, 8080}, {"dns", hdr.ProtoUDP, 5353}},
		Endpoints: []service.Endpoint{
			{Addr: a("10.1.0.1"), Ready: true, Serving: true, Node: "node-a", Zone: "z1", ForZones: []string{"z1"}, Pod: true},
			{Addr: a("10.1.0.2"), Serving: true, Terminating: true},
			{Addr: a("10.1.0.3"), Ready: true, Serving: true},
		},
	}
	if len(o.Services) != 1 || !reflect.DeepEqual(o.Services[0], wantService) {
		t.Errorf("%+v", o.Services[0])
	}
	if len(o.Slices) != 1 || !reflect.DeepEqual(o.Slices[0], wantSlice) {
		t.Errorf("%+v", o.Slices[0])
	}
}

const head = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n"

// What is wrong is said with the place where it stands.
func TestParseErrors(t *testing.T) {
	slice := "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
	for _, test := range []struct{ text, want string }{
		{"a: [", "1:1: "},
		{"kind: Pod\napiVersion: v1", `1:1: expected a v1 Service, a discovery.k8s.io/v1 EndpointSlice or a v1 Node, found "v1" "Pod"`},
		{"- a", "1:1: expected a v1 Service"},
		{"apiVersion: v1\nkind: Service\n", "1:1: expected metadata with a name"},
		{head + "  ports: [{port: 0}]", `5:18: spec.ports[0].port: expected a number from 1 to 65535, found "0"`},
		{head + "  ports: [{name: x}]", "5:11: spec.ports[0]: expected a port"},
		{head + "  ports: [{port: 1}, {port: 1, name: b}]", "5:22: spec.ports[1]: port 1 is given twice"},
		{head + "  ports: [{port: 1}, {port: 2}]", `spec.ports[1]: the name "" is that of two ports`},
		{head + "  clusterIP: 10.0.0", `5:14: spec.clusterIP: expected an IP address, found "10.0.0"`},
		{head + "  clusterIPs: 10.0.0.1", "5:15: spec.clusterIPs: expected a list"},
		{head + "  type: Odd", `5:9: spec.type: expected one of ClusterIP, NodePort, LoadBalancer, ExternalName, found "Odd"`},
		{head + "  prots: []", "5:3: spec.prots: there is no such field here"},
		{head + "  type: ClusterIP\n  type: NodePort", "6:3: spec.type: given twice"},
		{head + "  clusterIP: &x 10.0.0.1", "5:14: spec.clusterIP: tags, anchors and aliases are not supported"},
		{head + "  loadBalancerSourceRanges: [10.0.0.0/33]", "5:30: spec.loadBalancerSourceRanges[0]: expected a prefix"},
		{head + "  sessionAffinityConfig: {clientIP: {timeoutSeconds: 0}}", "expected a number from 1 to 86400"},
		{head + "  ports: [{port: [1]}]", "expected a text"},
		{"apiVersion: v1\nkind: Service\nmetadata: {name: a, annotations: {skein-dataplane.github.io/direct: x}}", "there is no such annotation"},
		{"apiVersion: v1\nkind: Service\nmetadata: {name: a, annotations: {skein.dev/forwarding-mode: x}}", "expected one of snat, dsr"},
		{"apiVersion: v1\nkind: Node\nmetadata: {name: a}\nstatus: {addresses: [{type: InternalIP, address: b}]}", "status.addresses[0].address: expected an IP address"},
		{"apiVersion: v1\nkind: Node\nmetadata: {name: a}\nstatus: {addresses: [{type: Postal, address: b}]}", "expected InternalIP"},
		{"apiVersion: v1\nkind: Node\nspec: {}", "expected metadata with a name"},
		{head + "  ports: 5", "spec.ports: expected a list"},
		{"apiVersion: v1\nkind: Service\nmetadata: 5", "3:11: metadata: expected fields"},
		{slice + "metadata: {name: a}\naddressType: IPv4", "1:1: expected a label kubernetes.io/service-name"},
		{slice + "metadata: {name: a, labels: {kubernetes.io/service-name: b}}\nendpoints: [{addresses: [fd00::1]}]\naddressType: IPv4",
			`4:26: endpoints[0].addresses[0]: expected an address of the slice's addressType, found "fd00::1"`},
		{slice + "metadata: {name: a, labels: {kubernetes.io/service-name: b}}\nendpoints: [{conditions: {ready: maybe}}]", "endpoints[0].conditions.ready: expected true or false"},
	} {
		_, err := service.Parse("f", strings.NewReader(test.text))
		if !errors.Is(err, service.ErrInvalid) || !strings.Contains(fmt.Sprint(err), "service: f:") || !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%s\n gives %v\n want %s", test.text, err, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(whole)
	f.Add(aNode)
	f.Add(head + "  ports: [{port: 1}]\n---\nkind: List\napiVersion: v1\nitems: []")
	f.Fuzz(func(t *testing.T, text string) {
		o, err := service.Parse("f", strings.NewReader(text))
		if err != nil {
			return
		}
		table := service.NewTable(service.World{})
		for _, s := range o.Services {
			table.SetService(s)
		}
		for _, s := range o.Slices {
			table.SetSlice(s)
		}
		for _, n := range o.Nodes {
			table.SetNode(n)
		}
		if _, _, err := table.Commit(); err != nil {
			t.Fatal(err)
		}
		_, changed, err := table.Commit()
		if changed || err != nil {
			t.Fatalf("again: %v %v", changed, err)
		}
	})
}
