package nodes_test

import (
	"slices"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/nodes"
)

// Source NAT takes the ports that it is given and no others, and says so when
// there is none left; a table of affinity is as large as was asked.
func TestSized(t *testing.T) {
	specs, err := nodes.Sized(nodes.NATSize{AffinityClients: 64, Ports: []nat.PortRange{{First: 5000, Last: 5001}}})
	if err != nil {
		t.Fatal(err)
	}
	named := func(name string) graph.Spec {
		return specs[slices.IndexFunc(specs, func(s graph.Spec) bool { return s.Name == name })]
	}
	eachNAT(t, func(t *testing.T, f *natFamily) {
		w := f.world(t, "nat")
		rig := on(t, named(f.open.Name), w.state)
		by := func(rx uint32) func(b *buf.Buffer) {
			draft := f.draft(rig, w, rx, drafted{})
			return func(b *buf.Buffer) { draft(b); f.source(rig, b) }
		}
		check(t, rig, nil, f.rows([]row{
			{packet: "$a > $x: udp 5001 > 53", meta: by(pod1), reason: "forward", out: ttl(f, "$h > $x: udp 5001 > 53")},
			{packet: "$b > $x: udp 2000 > 53", meta: by(pod2), reason: "forward", out: ttl(f, "$h > $x: udp 5000 > 53")},
			{packet: "$b > $x: udp 2001 > 53", meta: by(pod2), reason: "ipX no port left for source translation"},
		}))
		a := named(f.service.Name).New().(nodes.AffinityHolder).Affinity()
		svc, err := nat.NewService(nat.Spec{ID: 1, Affinity: 100, All: []nat.Backend{{Addr: nat.Addr4(1), Port: 80}}})
		if err != nil {
			t.Fatal(err)
		}
		front := nat.Front{Kind: nat.ClusterIP, Service: svc}
		for i := range 1000 {
			front.Choose(&nat.Client{Addr: nat.Addr4(hdr.Addr4(i))}, a, 1)
		}
		if a.Evicted() < 1000-64 {
			t.Errorf("%d of 1,000 clients were forgotten in a table of 64", a.Evicted())
		}
	})
	if _, err := nodes.Sized(nodes.NATSize{Ports: []nat.PortRange{{First: 9, Last: 1}}}); err == nil {
		t.Error("ports that are none were taken")
	}
}
