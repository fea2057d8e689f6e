package nodes_test

import (
	"slices"
	"testing"

	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/nodes"
)

// A client that talks to a backend by a service talks to it directly as well,
// from the same port: the backend sees another one, in all packets of a vector.
func TestOpenBesideTranslated(t *testing.T) {
	specs, err := nodes.Sized(nodes.NATSize{Ports: []nat.PortRange{{First: 5000, Last: 5000}}})
	if err != nil {
		t.Fatal(err)
	}
	eachNAT(t, func(t *testing.T, f *natFamily) {
		w := f.world(t, "nat")
		rig := on(t, specs[slices.IndexFunc(specs, func(s graph.Spec) bool { return s.Name == f.open.Name })], w.state)
		line := func(s string) []byte { return f.family.line(t, f.text(s)) }
		f.insert(t, rig.Flows.Table, line("$a > $v: udp 9000 > 53"), line("$b > $a: udp 5353 > 9000"))
		by := f.draft(rig, w, pod1, drafted{})
		check(t, rig, nil, f.rows([]row{
			{packet: "$a > $b: udp 9000 > 5353", meta: by, reason: "forward", out: ttl(f, "$a > $b: udp 5000 > 5353")},
			{packet: "$a > $b: udp 9000 > 5353", meta: by, reason: "forward", out: ttl(f, "$a > $b: udp 5000 > 5353")},
			{packet: "$a > $b: udp 8000 > 5353", meta: by, reason: "forward", out: ttl(f, "$a > $b: udp 8000 > 5353")},
		}))
		f.insert(t, rig.Flows.Table, line("$a > $v: proto 47 len 16"), line("$b > $a: proto 47 len 16"))
		check(t, rig, nil, f.rows([]row{
			{packet: "$a > $b: proto 47 len 16", meta: by, reason: "ipX no port left for source translation"},
		}))
	})
}
