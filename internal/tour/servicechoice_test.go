package tour_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// manyPorts is a service of both families whose backends are ports of pod-b.
func manyPorts(name, vip, vip6, annotations, spec string, ports ...int) string {
	text := fmt.Sprintf(`
---
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: default, annotations: {%s}}
spec:
  clusterIPs: [%s, '%s']
  ipFamilies: [IPv4, IPv6]
%s`, name, annotations, vip, vip6, spec)
	for _, port := range ports {
		for family, end := range map[string]string{"IPv4": here, "IPv6": here6} {
			text += fmt.Sprintf(`
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %s-%s-%d, namespace: default, labels: {kubernetes.io/service-name: %[1]s}}
addressType: %[4]s
endpoints: [%[5]s]
ports: [{name: t, protocol: TCP, port: %[3]d}, {name: u, protocol: UDP, port: %[3]d}]`, name, strings.ToLower(family), port, family, end)
		}
	}
	return text
}

// askFrom asks over UDP from a port of one's own.
func (w *servicesWorld) askFrom(n *lab.Namespace, port uint16, addr string) (string, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return "", err
	}
	var conn *net.UDPConn
	if err := n.Do(func() (err error) {
		conn, err = net.DialUDP("udp", &net.UDPAddr{Port: int(port)}, net.UDPAddrFromAddrPort(at))
		return err
	}); err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write([]byte("who?")); err != nil {
		return "", err
	}
	answer := make([]byte, 1500)
	got, err := conn.Read(answer)
	return string(answer[:got]), err
}

// maglevFlows is how many flows are looked at: enough that 2 % of them are
// several.
const maglevFlows = 500

// choices returns who answers each of many flows, all of them new, in both
// families.
func (w *servicesWorld) choices(t *testing.T, service4, service6 string) map[string]string {
	t.Helper()
	c, err := w.Client(w.ctx)
	lab.Need(t, err)
	defer c.Close()
	_, err = c.ClearSessions(w.ctx, &skeinpb.ClearSessionsRequest{})
	lab.Need(t, err)
	out := map[string]string{}
	for _, addr := range []string{service4, service6} {
		for i := range maglevFlows {
			port := uint16(20000 + i)
			got, err := w.askFrom(w.PodA, port, addr)
			if err != nil {
				t.Fatalf("flow from port %d to %s: %v", port, addr, err)
			}
			out[fmt.Sprint(addr, " from ", port)], _, _ = strings.Cut(got, " ")
		}
	}
	return out
}

// Maglev's choice depends on the flow and on the backends alone: it is the same
// after another daemon has taken over, and on another node with the same
// configuration; and a backend that goes moves hardly any flow of the others.
func TestMaglevFromOutside(t *testing.T) {
	const service4, service6 = "10.96.0.1:80", "[2001:db8:96::1]:80"
	ports := []int{8080, 8081, 8082, 8083, 8084, 8085, 8086, 8087, 8088, 8089}
	object := func(ports ...int) string {
		return manyPorts("web", "10.96.0.1", "2001:db8:96::1", "skein-dataplane.github.io/load-balancing: maglev", "  type: ClusterIP\n"+ports80, ports...)
	}
	start := func() *servicesWorld {
		w := startServices(t, tour.Options{})
		for _, port := range ports {
			w.tell(t, w.PodB, fmt.Sprint("b", port), uint16(port))
		}
		w.apply(t, w.client(t), object(ports...))
		return w
	}
	w := start()
	before := w.choices(t, service4, service6)
	used := map[string]int{}
	for _, who := range before {
		used[who]++
	}
	for _, port := range ports {
		if n := used[fmt.Sprint("b", port)]; n < maglevFlows*2/10/2 || n > maglevFlows*2/10*2 {
			t.Errorf("backend %d has %d of %d flows, and is one of 10", port, n, 2*maglevFlows)
		}
	}
	lab.Need(t, w.Upgrade(w.ctx))
	if after := w.choices(t, service4, service6); !maps.Equal(before, after) {
		t.Error("another daemon chooses otherwise")
	}
	if second := start().choices(t, service4, service6); !maps.Equal(before, second) {
		t.Error("another node chooses otherwise")
	}

	c := w.client(t)
	_, err := c.DeleteServices(w.ctx, &skeinpb.DeleteServicesRequest{Objects: []string{"EndpointSlice default/web-ipv4-8083", "EndpointSlice default/web-ipv6-8083"}})
	lab.Need(t, err)
	moved := 0
	for flow, who := range w.choices(t, service4, service6) {
		if who == "b8083" {
			t.Errorf("%s goes to a backend that is gone", flow)
		}
		if before[flow] != "b8083" && who != before[flow] {
			moved++
		}
	}
	others := 2*maglevFlows - used["b8083"]
	t.Logf("%d of %d flows of others have moved", moved, others)
	if moved > others*2/100 {
		t.Errorf("%d of %d flows of others have moved, more than 2 %%", moved, others)
	}
}

// A client stays with its backend, whatever its ports and whatever else
// changes, the daemon too, until it has been idle for the service's timeout.
func TestAffinityFromOutside(t *testing.T) {
	ports := []int{8080, 8081, 8082, 8083, 8084, 8085}
	object := func(name, end, seconds string, ports ...int) string {
		return manyPorts(name, "10.96.0."+end, "2001:db8:96::"+end, "", "  type: ClusterIP\n  sessionAffinity: ClientIP\n"+
			"  sessionAffinityConfig: {clientIP: {timeoutSeconds: "+seconds+"}}\n"+ports80, ports...)
	}
	w := startServices(t, tour.Options{Config: "routes: [blackhole " + lab.PodBlock + "]\nservices: {affinity_clients: 64}\n"})
	for _, port := range ports {
		w.tell(t, w.PodB, fmt.Sprint("b", port), uint16(port))
	}
	c := w.client(t)
	w.apply(t, c, object("sticky", "1", "3600", ports...)+object("short", "2", "1", ports...))
	killed := func() error { return errors.Join(w.Crash(w.ctx), w.Start(w.ctx)) }
	stopped := func() error { return errors.Join(w.Stop(w.ctx), w.Start(w.ctx)) }
	for _, f := range []struct{ sticky, short string }{{"10.96.0.1:80", "10.96.0.2:80"}, {"[2001:db8:96::1]:80", "[2001:db8:96::2]:80"}} {
		who := func(addr string, proto string) string {
			t.Helper()
			got, err := w.ask(w.PodA, proto, addr)
			lab.Need(t, err)
			name, _, _ := strings.Cut(got, " ")
			return name
		}
		first := map[string]string{"tcp": who(f.sticky, "tcp"), "udp": who(f.sticky, "udp")}
		same := func(when string) {
			t.Helper()
			for range 20 { // of six backends a hash would choose the same at each once in 10^15
				for proto, want := range first {
					if got := who(f.sticky, proto); got != want {
						t.Fatalf("%s: %s by %s, and %s before", when, got, proto, want)
					}
				}
			}
		}
		same("with other ports")
		// Backends come and go, but not this client's.
		var gone []int
		for _, port := range ports {
			if name := fmt.Sprint("b", port); name != first["tcp"] && name != first["udp"] && len(gone) < 3 {
				gone = append(gone, port)
			}
		}
		for _, port := range gone {
			_, err := c.DeleteServices(w.ctx, &skeinpb.DeleteServicesRequest{Objects: []string{
				fmt.Sprintf("EndpointSlice default/sticky-ipv4-%d", port), fmt.Sprintf("EndpointSlice default/sticky-ipv6-%d", port)}})
			lab.Need(t, err)
		}
		same("with fewer backends")
		w.apply(t, c, object("sticky", "1", "7200", ports...))
		same("with another timeout, and all backends again")
		// No session tells of the client where it was not killed.
		for _, step := range []struct {
			when   string
			clear  bool
			change func() error
		}{
			{"after a replacement", true, func() error { return w.Upgrade(w.ctx) }},
			{"after a restart", true, stopped},
			{"after it was killed", false, killed},
			{"after a replacement of what was killed", true, func() error { return w.Upgrade(w.ctx) }},
		} {
			if step.clear {
				_, err := c.ClearSessions(w.ctx, &skeinpb.ClearSessionsRequest{})
				lab.Need(t, err)
			}
			lab.Need(t, step.change())
			c = w.client(t)
			same(step.when)
		}

		// Of six, another one is chosen sooner or later once the time is up.
		was, changed := who(f.short, "tcp"), false
		for range 12 {
			time.Sleep(2100 * time.Millisecond) // the clock of affinity counts seconds
			if changed = who(f.short, "tcp") != was; changed {
				break
			}
		}
		if !changed {
			t.Errorf("%s: a client was sent to %s again and again, long after the timeout", f.short, was)
		}
	}
}

// endpointSlices are EndpointSlices of both families alone.
func endpointSlices(name, end, end6 string, port int) string {
	_, text, _ := strings.Cut(twoFamilies(name, "10.96.0.9", "2001:db8:96::9", "", end, end6, port), "\n---\napiVersion: discovery")
	return "\n---\napiVersion: discovery" + text
}

// marked is an endpoint with conditions and hints.
func marked(addr, node, conditions, hints string) string {
	return fmt.Sprintf("{addresses: ['%s'], nodeName: %s, conditions: {%s}, hints: {%s}}", addr, node, conditions, hints)
}

// Who gets new flows while endpoints become ready, shut down and go; and TCP
// connections that are established stay with a backend that goes.
func TestEndpointsComeAndGo(t *testing.T) {
	const ready, stopping, down = "ready: true", "ready: false, serving: true, terminating: true", "ready: false, serving: false, terminating: true"
	const zoneA, zoneB = "forZones: [{name: zone-a}]", "forZones: [{name: zone-b}]"
	w := newServices(t, tour.Options{Wanted: lab.Wanted{Second: true}}, "")
	w.tell(t, w.PodB, "b", 8080)
	w.tell(t, w.Second, "second", 8080)
	c := w.client(t)
	w.apply(t, c, twoFamilies("web", "10.96.0.1", "2001:db8:96::1", "  type: LoadBalancer\n  healthCheckNodePort: 30108\n  externalTrafficPolicy: Local\n"+ports(30001), here, here6, 8080))
	addrs := map[string]string{"10.96.0.1:80": lab.PodAddr, "[2001:db8:96::1]:80": lab.PodAddr6}
	var talks []*lab.Talk
	for _, x := range [][2]string{{lab.OtherPodAddr + ":7000", "10.96.0.3:80"}, {"[" + lab.OtherPodAddr6 + "]:7000", "[2001:db8:96::3]:80"}} {
		w.apply(t, c, twoFamilies("talk", "10.96.0.3", "2001:db8:96::3", "  type: ClusterIP\n"+ports80, here, here6, 7000))
		talk, err := lab.StartTalkBy(w.ctx, w.PodA, w.PodB, netip.MustParseAddrPort(x[0]), netip.MustParseAddrPort(x[1]))
		lab.Need(t, err)
		talks = append(talks, talk)
	}
	// goes has new flows go to one of several, and to each of them.
	goes := func(when string, to ...string) {
		t.Helper()
		for addr, pod := range addrs {
			seen := map[string]bool{}
			for range 24 { // two are both seen but once in 2^23
				got, err := w.ask(w.PodA, "tcp", addr)
				name, as, _ := strings.Cut(got, " ")
				if err != nil || as != pod {
					t.Errorf("%s: %s: %q, %v", when, addr, got, err)
					return
				}
				seen[name] = true
			}
			if len(seen) != len(to) {
				t.Errorf("%s: %s goes to %v, want %v", when, addr, seen, to)
			}
			for _, name := range to {
				if !seen[name] {
					t.Errorf("%s: %s goes to %v, want %v", when, addr, seen, to)
				}
			}
		}
	}
	health := func(want int) {
		t.Helper()
		w.eventually(t, "health check", func() error { return w.healthIs(30108, want) })
	}
	for _, step := range []struct {
		when     string
		b, other [2]string // conditions and hints; none: not there
		health   int
		to       []string
	}{
		{"both ready", [2]string{ready}, [2]string{ready}, http.StatusOK, []string{"b", "second"}},
		{"one shuts down", [2]string{stopping}, [2]string{ready}, http.StatusOK, []string{"second"}},
		{"both shut down", [2]string{stopping}, [2]string{stopping}, http.StatusOK, []string{"b", "second"}},
		{"one has shut down", [2]string{down}, [2]string{stopping}, http.StatusServiceUnavailable, []string{"second"}},
		{"each for its zone", [2]string{ready, zoneA}, [2]string{ready, zoneB}, http.StatusOK, []string{"b"}},
		{"none for this zone", [2]string{ready, zoneB}, [2]string{ready, zoneB}, http.StatusOK, []string{"b", "second"}},
		{"one for any zone", [2]string{ready, zoneA}, [2]string{ready}, http.StatusOK, []string{"b", "second"}},
		{"the zone's shuts down", [2]string{stopping, zoneA}, [2]string{ready, zoneB}, http.StatusOK, []string{"second"}},
		{"one is gone", [2]string{}, [2]string{ready}, http.StatusServiceUnavailable, []string{"second"}},
	} {
		list := func(b, other string) string {
			var ends []string
			if step.b[0] != "" {
				ends = append(ends, marked(b, "node", step.b[0], step.b[1]))
			}
			return strings.Join(append(ends, marked(other, "second", step.other[0], step.other[1])), ", ")
		}
		w.apply(t, c, endpointSlices("web", list(lab.OtherPodAddr, lab.SecondAddr), list(lab.OtherPodAddr6, lab.SecondAddr6), 8080))
		goes(step.when, step.to...)
		health(step.health)
	}
	w.apply(t, c, endpointSlices("web", marked(lab.OtherPodAddr, "node", down, ""), marked(lab.OtherPodAddr6, "node", down, ""), 8080))
	for addr := range addrs {
		w.refuses(t, w.PodA, addr, true)
	}

	// The backend of the connections goes; new ones of that service go elsewhere.
	w.tell(t, w.Second, "second", 7001)
	w.apply(t, c, endpointSlices("talk", there, there6, 7001))
	for i, talk := range talks {
		before := talk.Rounds()
		for deadline := time.Now().Add(5 * time.Second); talk.Rounds() < before+20 && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
		if err := talk.Stop(); err != nil || talk.Rounds() < before+20 {
			t.Errorf("connection %d to a backend that is gone: %d answers since, %v", i, talk.Rounds()-before, err)
		}
	}
	for _, f := range [][2]string{{"10.96.0.3:80", lab.PodAddr}, {"[2001:db8:96::3]:80", lab.PodAddr6}} {
		w.wants(t, w.PodA, f[0], "second "+f[1])
	}
}

// healthIs asks a healthCheckNodePort of both families from outside.
func (w *servicesWorld) healthIs(port, want int) error {
	for _, a := range []string{lab.NodeAddr, lab.NodeAddr6} {
		conn, err := w.Remote.DialTCP(w.ctx, netip.AddrPortFrom(netip.MustParseAddr(a), uint16(port)))
		if err != nil {
			return err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
		_, _ = io.WriteString(conn, "GET /healthz HTTP/1.0\r\n\r\n")
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.Contains(string(answer), fmt.Sprintf(" %d ", want)) {
			return fmt.Errorf("at %s port %d: %w, %q; want %d", a, port, err, answer, want)
		}
	}
	return nil
}
