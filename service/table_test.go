package service_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/service"
)

// words says what is in a nat.Services, a line for each front.
func words(s *nat.Services) string {
	var lines []string
	for f := range s.All {
		list := func(bs []nat.Backend) (out []string) {
			for _, b := range bs {
				out = append(out, netip.AddrPortFrom(b.Addr.Addr().Unmap(), b.Port).String())
			}
			return out
		}
		line := fmt.Sprintf("%v %v/%d %s all %v local %v", f.Kind, netip.AddrPortFrom(f.Key.Addr.Addr().Unmap(), f.Key.Port), f.Key.Proto,
			f.Service.Name, list(f.Service.All), list(f.Service.Local))
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func commit(t testing.TB, table *service.Table) *nat.Services {
	t.Helper()
	s, _, err := table.Commit()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func expect(t *testing.T, table *service.Table, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := words(commit(t, table)); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func expectAlarms(t *testing.T, table *service.Table, want ...string) {
	t.Helper()
	var got []string
	for _, a := range table.Alarms() {
		got = append(got, a.String())
	}
	if len(got) != len(want) {
		t.Errorf("alarms\n%s\nwant %d", strings.Join(got, "\n"), len(want))
		return
	}
	for i := range got {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("alarm %q, want %q", got[i], want[i])
		}
	}
}

var world = service.World{
	Node: "node-a", Zone: "z1", APIServer: "default/kubernetes",
	Own: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
}

func set(t testing.TB, table *service.Table, text string) {
	t.Helper()
	o := parse(t, text)
	for _, s := range o.Services {
		table.SetService(s)
	}
	for _, s := range o.Slices {
		table.SetSlice(s)
	}
	for _, n := range o.Nodes {
		table.SetNode(n)
	}
}

// svc and eps write YAML as users would, on one line.
func svc(name, created, spec string) string {
	return fmt.Sprintf("---\n{apiVersion: v1, kind: Service, metadata: {name: %s, creationTimestamp: %s}, spec: {%s}}\n", name, created, spec)
}

func eps(name, of, ports, endpoints string) string {
	return fmt.Sprintf("---\n{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, "+
		"metadata: {name: %s, labels: {kubernetes.io/service-name: %s}}, ports: [%s], endpoints: [%s]}\n", name, of, ports, endpoints)
}

const (
	old   = `"2020-01-01T00:00:00Z"`
	young = `"2025-01-01T00:00:00Z"`
)

func TestKinds(t *testing.T) {
	table := service.NewTable(world)
	set(t, table, whole)
	const http, dns = "all [10.1.0.1:8080 10.1.0.3:8080] local [10.1.0.1:8080]", "all [10.1.0.1:5353 10.1.0.3:5353] local [10.1.0.1:5353]"
	expect(t, table,
		"ClusterIP 10.96.0.10:80/6 shop/web:http "+strings.ReplaceAll(http, "10.1.0.3", "10.1.0.3"),
		"ClusterIP 10.96.0.10:53/17 shop/web:dns "+dns,
		"ClusterIP [fd00:96::10]:80/6 shop/web:http all [] local []",
		"ClusterIP [fd00:96::10]:53/17 shop/web:dns all [] local []",
		"ExternalIP 192.0.2.80:80/6 shop/web:http "+http,
		"ExternalIP 192.0.2.80:53/17 shop/web:dns "+dns,
		"LoadBalancer 203.0.113.5:80/6 shop/web:http "+http,
		"LoadBalancer 203.0.113.5:53/17 shop/web:dns "+dns,
		"NodePort 0.0.0.0:30080/6 shop/web:http "+http,
		"NodePort [::]:30080/6 shop/web:http all [] local []",
	)
	expectAlarms(t, table)
	if c := table.HealthChecks(); len(c) != 1 || c[31000] != (service.Check{Namespace: "shop", Name: "web", Local: 1}) {
		t.Errorf("%v", c)
	}
	f := commit(t, table).Find(&nat.FrontKey{Addr: nat.Addr4(0xc0000201), Port: 30080, Proto: hdr.ProtoTCP})
	if f == nil || !f.Service.Maglev || f.Service.Affinity != 60 || len(f.Service.Sources) != 1 || !f.Service.ExternalLocal {
		t.Errorf("%+v", f)
	}
	again, changed, err := table.Commit()
	set(t, table, whole)
	same, changedToo, err2 := table.Commit()
	if changed || changedToo || err != nil || err2 != nil || again != same {
		t.Error("a repeated change changes something")
	}
	table.DeleteService("shop/web")
	table.DeleteService("shop/nobody")
	expect(t, table)
	if len(table.HealthChecks()) != 0 {
		t.Error("a health check is left")
	}
}

// Which endpoints new flows go to (KEP-1669, KEP-2433).
func TestConditions(t *testing.T) {
	const ready, stopping, notReady = "{addresses: [10.1.0.1], nodeName: node-a}", "{addresses: [10.1.0.2], nodeName: node-a, conditions: {ready: false, serving: true, terminating: true}}", "{addresses: [10.1.0.3], conditions: {ready: false}}"
	zone := func(addr, zone string) string {
		return fmt.Sprintf("{addresses: [%s], hints: {forZones: [{name: %s}]}}", addr, zone)
	}
	for _, test := range []struct{ endpoints, want string }{
		{ready + "," + stopping + "," + notReady, "all [10.1.0.1:1] local [10.1.0.1:1]"},
		{stopping + "," + notReady, "all [10.1.0.2:1] local [10.1.0.2:1]"},
		{stopping + ", {addresses: [10.1.0.4]}", "all [10.1.0.4:1] local [10.1.0.2:1]"},
		{notReady, "all [] local []"},
		{ready + "," + ready, "all [10.1.0.1:1] local [10.1.0.1:1]"},
		{zone("10.1.0.1", "z1") + "," + zone("10.1.0.2", "z2"), "all [10.1.0.1:1] local []"},
		{zone("10.1.0.1", "z3") + "," + zone("10.1.0.2", "z2"), "all [10.1.0.1:1 10.1.0.2:1] local []"},
		{zone("10.1.0.1", "z1") + "," + "{addresses: [10.1.0.2]}", "all [10.1.0.1:1 10.1.0.2:1] local []"},
	} {
		table := service.NewTable(world)
		set(t, table, svc("a", old, "clusterIP: 10.96.0.1, ports: [{port: 80}]")+eps("a-1", "a", "{port: 1}", test.endpoints))
		expect(t, table, "ClusterIP 10.96.0.1:80/6 default/a "+test.want)
	}
}

// Two want the same: the older one has it, whatever the order they come in; it
// goes, and the other has it.
func TestConflicts(t *testing.T) {
	for _, order := range [][]string{{"a", "b"}, {"b", "a"}} {
		table := service.NewTable(world)
		for _, name := range order {
			created := map[string]string{"a": young, "b": old}[name]
			set(t, table, svc(name, created, "type: NodePort, clusterIP: 10.96.0.1, ports: [{port: 80, nodePort: 30000}]"))
			commit(t, table)
		}
		expect(t, table, "ClusterIP 10.96.0.1:80/6 default/b all [] local []", "NodePort 0.0.0.0:30000/6 default/b all [] local []")
		expectAlarms(t, table, "default/a: ClusterIP 10.96.0.1:80/TCP is default/b's, which is older", "default/a: NodePort port 30000/TCP is default/b's")
		table.DeleteService("default/b")
		expect(t, table, "ClusterIP 10.96.0.1:80/6 default/a all [] local []", "NodePort 0.0.0.0:30000/6 default/a all [] local []")
		expectAlarms(t, table)
	}
}

func TestPodsAddresses(t *testing.T) {
	table := service.NewTable(world)
	set(t, table, svc("a", old, "clusterIP: 10.1.0.9, externalIPs: [127.0.0.1], ports: [{port: 80}]"))
	expect(t, table, "ClusterIP 10.1.0.9:80/6 default/a all [] local []")
	expectAlarms(t, table, "default/a: ExternalIP 127.0.0.1 can be no service's")
	// A pod appears that has the address, and goes.
	set(t, table, eps("b-1", "b", "{port: 1}", "{addresses: [10.1.0.9], targetRef: {kind: Pod}}"))
	expect(t, table)
	expectAlarms(t, table, "default/a: ClusterIP 10.1.0.9 is a pod's", "127.0.0.1")
	table.DeleteSlice("default/b-1")
	expect(t, table, "ClusterIP 10.1.0.9:80/6 default/a all [] local []")
	w := world
	w.Pods = []netip.Addr{netip.MustParseAddr("10.1.0.9")}
	table.SetWorld(w)
	expect(t, table)
	w.Pods, w.Own = nil, w.Pods
	table.SetWorld(w)
	expect(t, table)
	expectAlarms(t, table, "default/a: ClusterIP 10.1.0.9 is the node's own", "127.0.0.1")
}

func TestEndpointsThatAreNone(t *testing.T) {
	w := world
	w.Known = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("127.0.0.0/8")}
	table := service.NewTable(w)
	set(t, table, svc("a", old, "clusterIP: 10.96.0.1, ports: [{port: 80}]")+
		eps("a-1", "a", "{port: 1}", "{addresses: [10.1.0.1]}, {addresses: [127.0.0.1]}, {addresses: [10.2.0.1]}")+eps("a-2", "a", "{}", "{addresses: [10.1.0.2]}"))
	expect(t, table, "ClusterIP 10.96.0.1:80/6 default/a all [10.1.0.1:1] local []")
	expectAlarms(t, table, "127.0.0.1 of EndpointSlice a-1 is no address that others reach", "10.2.0.1 of EndpointSlice a-1 is in no prefix known", "has no number")
}

// The API server's service keeps its last backends; others do not.
func TestAPIServer(t *testing.T) {
	table := service.NewTable(world)
	for i, name := range []string{"kubernetes", "other"} {
		set(t, table, svc(name, old, fmt.Sprintf("clusterIP: 10.96.0.%d, ports: [{port: 443}]", i+1))+eps(name, name, "{port: 6443}", "{addresses: [192.0.2.7]}"))
	}
	commit(t, table)
	table.DeleteSlice("default/kubernetes")
	table.DeleteSlice("default/other")
	for range 2 {
		expect(t, table, "ClusterIP 10.96.0.1:443/6 default/kubernetes all [192.0.2.7:6443] local []", "ClusterIP 10.96.0.2:443/6 default/other all [] local []")
		expectAlarms(t, table, "default/kubernetes: no endpoint is left of the API server")
		table.SetWorld(world)
	}
	set(t, table, eps("kubernetes", "kubernetes", "{port: 6443}", "{addresses: [192.0.2.8]}"))
	expect(t, table, "ClusterIP 10.96.0.1:443/6 default/kubernetes all [192.0.2.8:6443] local []", "ClusterIP 10.96.0.2:443/6 default/other all [] local []")
	expectAlarms(t, table)
}

func TestHostPorts(t *testing.T) {
	table := service.NewTable(world)
	pod := netip.MustParseAddr("10.1.0.5")
	at := time.Date(2022, 1, 1, 0, 0, 0, 0, time.UTC)
	table.SetHostPorts("default/p", []service.HostPort{
		{Created: at, Proto: hdr.ProtoTCP, Host: 8080, Addr: pod, Port: 80},
		{Created: at, Proto: hdr.ProtoTCP, Host: 8080, HostIP: netip.MustParseAddr("192.0.2.1"), Addr: pod, Port: 81},
		{Created: at, Proto: hdr.ProtoTCP, Host: 0, Addr: pod, Port: 82},
		{Created: at, Proto: hdr.ProtoTCP, Host: 30000, Addr: pod, Port: 83},
	})
	set(t, table, svc("a", old, "type: NodePort, clusterIP: 10.96.0.1, ports: [{port: 80, nodePort: 30000}]"))
	const a = "ClusterIP 10.96.0.1:80/6 default/a all [] local []"
	expect(t, table, a, "NodePort 0.0.0.0:30000/6 default/a all [] local []",
		"hostPort 0.0.0.0:8080/6 hostPort of default/p all [10.1.0.5:80] local [10.1.0.5:80]",
		"hostPort 192.0.2.1:8080/6 hostPort of default/p all [10.1.0.5:81] local [10.1.0.5:81]")
	expectAlarms(t, table, "hostPort 0 to 10.1.0.5 port 82: it is left out", "hostPort port 30000/TCP is default/a's, which is older")
	table.SetHostPorts("default/p", nil)
	expect(t, table, a, "NodePort 0.0.0.0:30000/6 default/a all [] local []")
}

// Counters go on when others of a service come and go.
func TestHits(t *testing.T) {
	table := service.NewTable(world)
	set(t, table, svc("a", old, "clusterIP: 10.96.0.1, ports: [{port: 80}]")+eps("a", "a", "{port: 1}", "{addresses: [10.1.0.1], nodeName: node-a}"))
	find := func() *nat.Service {
		return commit(t, table).Find(&nat.FrontKey{Addr: nat.Addr4(0x0a600001), Port: 80, Proto: hdr.ProtoTCP}).Service
	}
	*find().All[0].Hits = 7
	id := find().ID
	set(t, table, eps("a", "a", "{port: 1}", "{addresses: [10.1.0.0]}, {addresses: [10.1.0.1], nodeName: node-a}"))
	s := find()
	if *s.All[0].Hits != 0 || *s.All[1].Hits != 7 || s.Local[0].Hits != s.All[1].Hits || s.ID != id {
		t.Errorf("%+v", s.Spec)
	}
}

func TestTooManyEndpoints(t *testing.T) {
	table := service.NewTable(world)
	set(t, table, svc("a", old, "clusterIP: 10.96.0.1, ports: [{port: 80}]"))
	for i := range 3 {
		var list []string
		for j := range 900 {
			list = append(list, fmt.Sprintf("{addresses: [10.%d.%d.%d]}", i, j/256, j%256))
		}
		set(t, table, eps(fmt.Sprint("a-", i), "a", "{port: 1}", strings.Join(list, ",")))
	}
	s := commit(t, table).Find(&nat.FrontKey{Addr: nat.Addr4(0x0a600001), Port: 80, Proto: hdr.ProtoTCP}).Service
	if len(s.All) != nat.MaxBackends {
		t.Errorf("%d backends", len(s.All))
	}
	expectAlarms(t, table, "2700 backends, at most 1310 are possible")
}

// Changed bit by bit, a table is what it would be made at once.
func TestBitByBit(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	names := []string{"a", "b", "c", "d"}
	random := func(name string) string {
		created := []string{old, young}[rng.IntN(2)]
		return svc(name, created, fmt.Sprintf("type: NodePort, clusterIP: 10.96.0.%d, externalIPs: [10.1.0.%d], ports: [{name: x, port: %d, nodePort: %d}, {name: y, protocol: UDP, port: 53}]",
			rng.IntN(3), rng.IntN(9), 80+rng.IntN(2), 30000+rng.IntN(2)))
	}
	randomEps := func(name, of string) string {
		var list []string
		for range rng.IntN(4) {
			list = append(list, fmt.Sprintf("{addresses: [10.1.0.%d], nodeName: node-%c, conditions: {ready: %v}, targetRef: {kind: %s}}",
				rng.IntN(6), 'a'+rng.IntN(2), rng.IntN(3) > 0, []string{"Pod", "Node"}[rng.IntN(2)]))
		}
		return eps(name, of, fmt.Sprintf("{name: x, port: %d}, {name: y, port: 5353, protocol: UDP}", 1+rng.IntN(2)), strings.Join(list, ","))
	}
	table := service.NewTable(world)
	services, slicesOf := map[string]string{}, map[string]string{}
	for round := range 400 {
		for range 1 + rng.IntN(3) {
			name := names[rng.IntN(len(names))]
			slice := fmt.Sprint(name, "-", rng.IntN(2))
			switch rng.IntN(6) {
			case 0:
				table.DeleteService("default/" + name)
				delete(services, name)
			case 1:
				table.DeleteSlice("default/" + slice)
				delete(slicesOf, slice)
			case 2, 3:
				services[name] = random(name)
				set(t, table, services[name])
			default:
				slicesOf[slice] = randomEps(slice, name)
				set(t, table, slicesOf[slice])
			}
		}
		got := words(commit(t, table))
		fresh := service.NewTable(world)
		for _, text := range services {
			set(t, fresh, text)
		}
		for _, text := range slicesOf {
			set(t, fresh, text)
		}
		want := words(commit(t, fresh))
		if got != want {
			t.Fatalf("round %d\n got\n%s\nwant\n%s", round, got, want)
		}
		if a, b := fmt.Sprint(table.Alarms()), fmt.Sprint(fresh.Alarms()); a != b {
			t.Fatalf("round %d: alarms %s\nwant %s", round, a, b)
		}
	}
}

// One of 10,000 services with 10 endpoints each changes.
func BenchmarkUpdateOne(b *testing.B) {
	table := service.NewTable(world)
	slice := func(i, more int) *service.Slice {
		s := &service.Slice{Namespace: "default", Name: fmt.Sprint("s", i), Service: fmt.Sprint("s", i), Ports: []service.SlicePort{{Proto: 6, Port: 8080}}}
		for j := range 10 {
			a := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), byte(j + more)})
			s.Endpoints = append(s.Endpoints, service.Endpoint{Addr: a, Ready: true, Serving: true, Pod: true})
		}
		return s
	}
	for i := range 10_000 {
		table.SetService(&service.Service{Namespace: "default", Name: fmt.Sprint("s", i), Type: "NodePort",
			ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)})}, Ports: []service.Port{{Proto: 6, Port: 80, NodePort: uint16(20000 + i)}}})
		table.SetSlice(slice(i, 0))
	}
	commit(b, table)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		table.SetSlice(slice(77, i%2))
		commit(b, table)
	}
}
