package tour_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/api"
	pb "github.com/skein-dataplane/skein/api/skeinpb"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// onlyFrom is a policy that lets app b be reached by pods that a selector matches.
func onlyFrom(selector string) string {
	return fmt.Sprintf(`
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: who, namespace: default}
spec:
  selector: app == 'b'
  types: [Ingress]
  ingress: [{action: Allow, source: {selector: "%s"}}]
`, selector)
}

// progress waits until a conversation has gone on.
func progress(t *testing.T, who string, talk *lab.Talk) {
	t.Helper()
	was, end := talk.Rounds(), time.Now().Add(15*time.Second)
	for talk.Rounds() < was+3 {
		if time.Now().After(end) {
			t.Fatalf("the conversation of %s does not go on after %d rounds", who, was)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// converse begins a conversation with each address.
func converse(t *testing.T, ctx context.Context, from, to *lab.Namespace, addrs ...string) (all []*lab.Talk) {
	t.Helper()
	for _, a := range addrs {
		talk, err := lab.StartTalk(ctx, from, to, netip.MustParseAddr(a))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, talk)
	}
	return all
}

// TestPolicyUnderTraffic: TCP connections that a change of policy leaves allowed
// lose nothing, and those that it denies stop; allowed again, they go on.
func TestPolicyUnderTraffic(t *testing.T) {
	tr := newTour(t, tour.Options{Driver: "af_packet"})
	ctx, c := start(t, tr)
	other := addPod(t, tr, c, "default", "pod-c", 10, map[string]string{"app": "c"})
	apply(t, c, "who.yaml", onlyFrom("app in {'a', 'c'}"))
	kept := converse(t, ctx, tr.PodA, tr.PodB, lab.OtherPodAddr, lab.OtherPodAddr6)
	cut := converse(t, ctx, other.ns, tr.PodB, lab.OtherPodAddr, lab.OtherPodAddr6)
	for i := range 20 { // others' policies come and go
		apply(t, c, "other.yaml", strings.NewReplacer("app == 'b'", "app == 'c'", "who", fmt.Sprint("other-", i%5), "Ingress", "Egress", "ingress", "egress", "source", "destination").
			Replace(onlyFrom("all()")))
		progress(t, "pod-a", kept[i%2])
		progress(t, "pod-c", cut[i%2])
	}
	apply(t, c, "who.yaml", onlyFrom("app == 'a'"))
	var stood [2]uint64
	for i, talk := range cut {
		time.Sleep(150 * time.Millisecond) // what was on its way arrives
		stood[i] = talk.Rounds()
	}
	for i, talk := range kept {
		progress(t, "pod-a", talk)
		progress(t, "pod-a", talk)
		if now := cut[i].Rounds(); now != stood[i] {
			t.Errorf("the conversation of pod-c goes on from %d rounds to %d though it is denied", stood[i], now)
		}
	}
	trace(t, ctx, c)
	apply(t, c, "who.yaml", onlyFrom("app in {'a', 'c'}"))
	for _, talk := range cut {
		progress(t, "pod-c", talk)
	}
	apply(t, c, "who.yaml", strings.Replace(onlyFrom("app == 'a'"), "ingress: [", "ingress: [{action: Log}, ", 1))
	end := time.Now().Add(10 * time.Second)
	const logged = `"default/pod-b", "gate": "ingress", "rule": "tier default, policy default/who, rule 1 (log)"`
	for !strings.Contains(tr.Log(), logged) {
		if time.Now().After(end) {
			t.Fatalf("the log does not say %q:\n%s", logged, tr.Log())
		}
		time.Sleep(10 * time.Millisecond)
	}
	apply(t, c, "who.yaml", onlyFrom("app in {'a', 'c'}"))
	for _, talk := range append(kept, cut...) {
		if err := talk.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// trace looks for the words of a packet that policy has dropped, and has them
// explained.
func trace(t *testing.T, ctx context.Context, c *api.Client) {
	t.Helper()
	for _, node := range []string{"ip4-policy", "ip6-policy"} { // TCP of either end tries again
		if _, err := c.AddTrace(ctx, &pb.AddTraceRequest{At: &pb.AddTraceRequest_Node{Node: node}, Count: 20}); err != nil {
			t.Fatal(err)
		}
	}
	const want = "default/pod-b ingress: tier default, no rule matched, default deny"
	end := time.Now().Add(10 * time.Second)
	for time.Now().Before(end) {
		m, err := c.GetTrace(ctx, &pb.GetTraceRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range m.Packets {
			for _, r := range p.Records {
				if strings.Contains(strings.Join(r.Details, "\n"), want) {
					explained(t, ctx, c, p.Id)
					return
				}
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	m, err := c.GetTrace(ctx, &pb.GetTraceRequest{})
	t.Errorf("no trace says %q: %v, %v", want, m, err)
}

func explained(t *testing.T, ctx context.Context, c *api.Client, id uint64) {
	t.Helper()
	m, err := c.Explain(ctx, &pb.ExplainRequest{Packet: &pb.ExplainRequest_Trace{Trace: id}})
	if err != nil {
		t.Fatal(err)
	}
	last := m.Steps[len(m.Steps)-1].Text
	if m.Passes || !strings.Contains(last, "policy default/who selects pod pod-b for ingress; rule 1 wants source app == 'a', the packet comes from pod pod-c") {
		t.Errorf("explain trace %d: %v", id, m)
	}
}

// TestFloodOfFlows: a pod that opens flows as fast as it can, far more than it may
// have, stops neither the conversations of others nor their new ones.
func TestFloodOfFlows(t *testing.T) {
	tr := newTour(t, tour.Options{Driver: "af_packet", Config: "sessions: {capacity: 4096, per_pod: 1024, per_pod_half_open: 512}\n"})
	ctx, c := start(t, tr)
	other := addPod(t, tr, c, "default", "pod-c", 10, map[string]string{"app": "c"})
	target := addPod(t, tr, c, "default", "pod-d", 11, map[string]string{"app": "b"})
	apply(t, c, "who.yaml", onlyFrom("app in {'a', 'c'}"))
	talk := converse(t, ctx, tr.PodA, target.ns, target.v4, target.v6)
	done := make(chan error, 1)
	go func() { done <- openFlows(other.ns, target.v4, 30000) }()
	for flooding := true; flooding; {
		for _, one := range talk {
			progress(t, "pod-a", one)
		}
		check(t, "during the flood", []wish{{tr.PodA, target, "tcp", 80, true}, {tr.PodA, target, "udp", 53, true}})
		select {
		case err := <-done:
			if flooding = false; err != nil {
				t.Fatal(err)
			}
		default:
		}
	}
	for _, one := range talk {
		if err := one.Stop(); err != nil {
			t.Error(err)
		}
	}
	parts, err := c.ListSessions(ctx, &pb.ListSessionsRequest{CountOnly: true, Filter: &pb.SessionFilter{Src: other.v4}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := parts.Recv()
	if err != nil || m.Stats.Matching > 1024 || m.Stats.Matching == 0 {
		t.Errorf("sessions of pod-c: %v, %v", m, err)
	}
}

// openFlows sends a datagram to each of so many ports: a flow each.
func openFlows(from *lab.Namespace, to string, flows int) (failed error) {
	conn, err := from.ListenUDP(netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
	if err != nil {
		return err
	}
	defer conn.Close()
	sent := 0
	for i := range flows {
		_, err := conn.WriteToUDPAddrPort([]byte("flood"), netip.AddrPortFrom(netip.MustParseAddr(to), uint16(10000+i)))
		if failed = err; err == nil { // others are ICMP errors about earlier ones
			sent++
		}
	}
	if sent < flows/2 {
		return errors.Join(fmt.Errorf("%d of %d datagrams sent", sent, flows), failed)
	}
	return nil
}
