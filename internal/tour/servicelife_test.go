package tour_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// What changes while packets pass, in both families: backends, hostPorts,
// mappings, natOutgoing; and what goes with flows: ICMP errors, fragments.
func TestServiceLife(t *testing.T) {
	objects := twoFamilies("web", "10.96.0.1", "2001:db8:96::1", "  type: ClusterIP\n  sessionAffinity: ClientIP\n"+ports80, here, here6, 8080) +
		twoFamilies("host", "10.96.0.11", "2001:db8:96::11", "  type: ClusterIP\n"+ports80, endpoint(lab.NodeAddr, "node"), endpoint(lab.NodeAddr6, "node"), 8081)
	w := newServices(t, tour.Options{Wanted: lab.Wanted{Second: true}}, objects)
	w.tell(t, w.PodB, "b", 8080)
	w.tell(t, w.Second, "second", 8080)
	w.tell(t, w.Remote, "remote", 8080)
	w.tell(t, w.Node, "node", 8081)
	c, err := w.Client(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	// The host reaches itself by a service.
	for _, addr := range []string{"10.96.0.11:80", "[2001:db8:96::11]:80"} {
		if got, err := w.ask(w.Node, "tcp", addr); err != nil || !strings.HasPrefix(got, "node ") {
			t.Errorf("the host asks itself at %s: %q, %v", addr, got, err)
		}
	}

	// What is said of a packet to a service is what becomes of it.
	for line, want := range map[string]string{
		lab.PodAddr + " > 10.96.0.1: tcp 1000 > 80 flags S":         "default/web:t sends it to " + lab.OtherPodAddr + ":8080, one of 1 backends",
		lab.PodAddr6 + " > 2001:db8:96::1: tcp 1000 > 80 flags S":   "default/web:t sends it to [" + lab.OtherPodAddr6 + "]:8080, one of 1 backends",
		lab.PodAddr + " > 10.96.0.1: tcp 1000 > 81 flags S":         "",
		lab.OtherPodAddr + " > 10.96.0.1: tcp 1000 > 80 flags S":    "becomes an address of the node",
		lab.OtherPodAddr6 + " > 2001:db8:96::1: tcp 9 > 80 flags S": "becomes an address of the node",
	} {
		m, err := c.Explain(w.ctx, &skeinpb.ExplainRequest{Packet: &skeinpb.ExplainRequest_Line{Line: line}})
		must(err)
		said := ""
		for _, s := range m.Steps {
			if s.What == "service" || s.What == "source" {
				said += s.Text + "\n"
			}
		}
		if want == "" && said != "" || !strings.Contains(said, want) {
			t.Errorf("explain %s: %q and not %q", line, said, want)
		}
	}

	// Affinity is shown, and outranks another backend that comes.
	w.wants(t, w.PodA, "10.96.0.1:80", "b "+lab.PodAddr)
	m, err := c.ListServices(w.ctx, &skeinpb.ListServicesRequest{Name: "default/web"})
	must(err)
	clients, hits := 0, uint64(0)
	for _, s := range m.Services {
		clients += len(s.Clients)
		for _, b := range s.Backends {
			hits += b.Hits
		}
	}
	if clients != 2 || hits != 2 {
		t.Errorf("%d clients with a backend and %d flows, want 2 and 2: %v", clients, hits, m)
	}

	// An object of the configuration is not the API's; others come and go.
	if _, err := c.ApplyServices(w.ctx, &skeinpb.ApplyServicesRequest{Name: "x", Text: []byte(objects)}); err == nil {
		t.Error("a service of the configuration was replaced")
	}
	late := func(end, end6 string) {
		t.Helper()
		_, err := c.ApplyServices(w.ctx, &skeinpb.ApplyServicesRequest{Name: "late", Text: []byte(
			twoFamilies("late", "10.96.0.2", "2001:db8:96::2", "  type: ClusterIP\n"+ports80, end, end6, 8080))})
		must(err)
	}
	late(here, here6)
	for _, f := range []struct{ addr, pod string }{{"10.96.0.2:80", lab.PodAddr}, {"[2001:db8:96::2]:80", lab.PodAddr6}} {
		udp, err := w.PodA.DialUDP(netip.MustParseAddrPort(f.addr))
		must(err)
		ask := func(want string) {
			t.Helper()
			answer := make([]byte, 100)
			for try := 0; try < 20; try++ { // the flow is forgotten after the change has been answered
				_, _ = udp.Write([]byte("who?"))
				_ = udp.SetReadDeadline(time.Now().Add(time.Second / 2))
				if n, _ := udp.Read(answer); string(answer[:n]) == want {
					return
				} else if try == 19 {
					t.Errorf("udp %s: %q, want %q", f.addr, answer[:n], want)
				}
			}
		}
		late(here, here6)
		ask("b " + f.pod)
		late(there, there6)
		ask("second " + f.pod)
		_ = udp.Close()
	}

	// A mapping for good, at an address that is nobody's on the LAN.
	for _, f := range []struct{ line, external, remote string }{
		{"tcp local " + lab.OtherPodAddr + " 8080 external 10.0.0.77 80", "10.0.0.77:80", lab.RemoteAddr},
		{"tcp local " + lab.OtherPodAddr6 + " 8080 external 2001:db8::77 80", "[2001:db8::77]:80", lab.RemoteAddr6},
	} {
		change := &skeinpb.ChangeNATRequest{What: &skeinpb.ChangeNATRequest_Static{Static: f.line}}
		_, err = c.ChangeNAT(w.ctx, change)
		must(err)
		if got, err := w.ask(w.Remote, "tcp", f.external); err != nil || got != "b "+f.remote {
			t.Errorf("%s: %q, %v", f.line, got, err)
		}
		change.Delete = true
		_, err = c.ChangeNAT(w.ctx, change)
		must(err)
	}

	// ICMP errors about what leaves with the node's address come back to the pod:
	// the way is seen, and the path's MTU.
	for _, f := range []struct {
		remote string
		hops   []string
	}{{lab.RemoteAddr, []string{lab.NodeAddr, lab.GatewayAddr, lab.RemoteAddr}}, {lab.RemoteAddr6, []string{lab.NodeAddr6, lab.GatewayAddr6, lab.RemoteAddr6}}} {
		got, err := w.PodA.Trace(w.ctx, netip.MustParseAddr(f.remote), 8, 2*time.Second)
		must(err)
		var hops []string
		for _, r := range got {
			hops = append(hops, r.From.String())
		}
		if fmt.Sprint(hops) != fmt.Sprint(f.hops) {
			t.Errorf("the way to %s: %v, want %v", f.remote, hops, f.hops)
		}
	}
	// Large datagrams through source NAT and through a service, in fragments.
	for _, a := range []string{lab.RemoteAddr, lab.RemoteAddr6} {
		echo, err := w.Remote.Echo(w.ctx, netip.AddrPortFrom(netip.MustParseAddr(a), 0))
		must(err)
		if n, err := w.PodA.Asks(w.ctx, echo, 5, 4000, time.Second); n != 5 {
			t.Errorf("%d of 5 large datagrams came back from %s: %v", n, a, err)
		}
	}

	// natOutgoing on a live pool.
	pool := &skeinpb.ChangeNATRequest{What: &skeinpb.ChangeNATRequest_Pool{Pool: &skeinpb.NATPool{Prefix: lab.PodAddr + "/32"}}}
	_, err = c.ChangeNAT(w.ctx, pool)
	must(err)
	w.wants(t, w.PodA, lab.RemoteAddr+":8080", "remote "+lab.PodAddr)
	pool.Delete = true
	_, err = c.ChangeNAT(w.ctx, pool)
	must(err)
	w.wants(t, w.PodA, lab.RemoteAddr+":8080", "remote "+lab.NodeAddr)

	// The port of the node that a runtime has asked for.
	pod := w.Add(t, "pod-c")
	w.tell(t, pod, "c", 8080)
	_, err = c.CreateTun(w.ctx, &skeinpb.CreateTunRequest{Netns: pod.Path(), Addresses: []string{"10.244.0.9/32", "2001:db8:244::9/128"},
		Attachment: &skeinpb.Attachment{ContainerId: "c1", PortMappings: []*skeinpb.PortMapping{{HostPort: 8088, ContainerPort: 8080, Protocol: "tcp"}}}})
	must(err)
	for _, addr := range []string{lab.NodeAddr + ":8088", "[" + lab.NodeAddr6 + "]:8088"} {
		if got, err := w.ask(w.PodA, "tcp", addr); err != nil || !strings.HasPrefix(got, "c ") {
			t.Errorf("hostPort at %s: %q, %v", addr, got, err)
		}
	}
}

// A connection by a service lives on when another process takes over, and so
// does one that leaves with the node's address.
func TestServiceSurvives(t *testing.T) {
	objects := twoFamilies("web", "10.96.0.1", "2001:db8:96::1", "  type: ClusterIP\n"+ports80, here, here6, 8080)
	w := newServices(t, tour.Options{}, objects)
	var talks []*lab.Talk
	for _, x := range []struct {
		from, to *lab.Namespace
		addr, by string
	}{
		{w.PodA, w.PodB, lab.OtherPodAddr + ":8080", "10.96.0.1:80"},
		{w.PodA, w.Remote, lab.RemoteAddr + ":8080", lab.RemoteAddr + ":8080"},
		{w.PodA, w.PodB, "[" + lab.OtherPodAddr6 + "]:8080", "[2001:db8:96::1]:80"},
	} {
		talk, err := lab.StartTalkBy(w.ctx, x.from, x.to, netip.MustParseAddrPort(x.addr), netip.MustParseAddrPort(x.by))
		if err != nil {
			t.Fatal(err)
		}
		talks = append(talks, talk)
	}
	if err := w.Upgrade(w.ctx); err != nil {
		t.Fatal(err)
	}
	for i, talk := range talks {
		before := talk.Rounds()
		for deadline := time.Now().Add(5 * time.Second); talk.Rounds() < before+20 && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
		if err := talk.Stop(); err != nil || talk.Rounds() < before+20 {
			t.Errorf("connection %d: %d answers since, %v", i, talk.Rounds()-before, err)
		}
	}
}
