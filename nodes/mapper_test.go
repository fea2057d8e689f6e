package nodes_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/buf"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/graph/graphtest"
	"github.com/skein-dataplane/skein/internal/pktline"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/nodes"
)

// mapping returns ip4-open or ip6-open with endpoint-independent mappings of two
// ports.
func (f *natFamily) mapping(t testing.TB, capacity int) graph.Spec {
	t.Helper()
	specs, err := nodes.Sized(nodes.NATSize{Ports: []nat.PortRange{{First: 5000, Last: 5001}}, Mappings: capacity})
	if err != nil {
		t.Fatal(err)
	}
	return specs[slices.IndexFunc(specs, func(s graph.Spec) bool { return s.Name == f.open.Name })]
}

// from sends packets that leave with the node's address, and returns the ports
// that they leave from, or why they don't.
func (f *natFamily) from(t testing.TB, rig *graphtest.Rig, w *world, lines ...string) (out []string) {
	t.Helper()
	for _, s := range lines {
		b := rig.Load(t, f.family.line(t, f.text(s)))[0]
		f.draft(rig, w, pod1, drafted{})(b)
		f.source(rig, b)
		x := rig.RunBufs(t, b)
		if x[0].Reason != "forward" && x[0].Reason != "resolve" {
			out = append(out, strings.TrimPrefix(x[0].Reason, f.name+" "))
		} else {
			words := strings.Fields(pktline.Format(x[0].Bytes(), false))
			out = append(out, words[4])
		}
		rig.Put(x)
	}
	return out
}

// One inside end has one port for all that it talks to, which nobody else has
// meanwhile (RFC 4787, REQ-1 and REQ-3), and also behind a restart.
func TestEndpointIndependent(t *testing.T) {
	eachNAT(t, func(t *testing.T, f *natFamily) {
		w := f.world(t, "nat")
		spec := f.mapping(t, 8)
		sessions := table(t, 100, false)
		rig := graphtest.NewSessions(t, spec, w.state, sessions)
		mapped := func() int { return rig.Node(spec.Name).(interface{ Mapped() int }).Mapped() }
		expect := func(want []string, lines ...string) {
			t.Helper()
			if got := f.from(t, rig, w, lines...); !slices.Equal(got, want) {
				t.Errorf("%v leave from %v, want %v", lines, got, want)
			}
		}
		expect([]string{"5001", "5001", "5001"}, "$a > $x: udp 5001 > 53", "$a > $r: udp 5001 > 53", "$a > $x: udp 5001 > 54")
		expect([]string{"5000", "5000"}, "$b > $x: udp 5001 > 53", "$b > $r: udp 5001 > 99")
		expect([]string{"no port left for source translation"}, "$b > $l: udp 6000 > 53")
		expect([]string{"5001"}, "$b > $l: tcp 5001 > 53 flags S") // TCP's ports are others
		if n := mapped(); n != 3 {
			t.Errorf("%d mappings", n)
		}
		p := rig.Node(spec.Name).(nodes.PortHolder).PortStats()
		if p.Exhausted[nat.PortsUDP] != 1 || p.Last.Port != 6000 {
			t.Errorf("exhausted %v, last %+v", p.Exhausted, p.Last)
		}
		// Another process, which finds the sessions.
		rig = graphtest.NewSessions(t, spec, w.state, sessions)
		expect([]string{"5001", "5000"}, "$a > $l: udp 5001 > 53", "$b > $r: udp 5001 > 7")
		if n := mapped(); n != 3 {
			t.Errorf("%d mappings after a restart", n)
		}
		// A mapping goes with its last session, however that goes.
		all := 0
		for i := sessions.Next(0); i != 0; i = sessions.Next(i) {
			sessions.Delete(i)
			all++
		}
		if n := mapped(); n != 0 || all != 8 {
			t.Errorf("%d mappings without the %d sessions", n, all)
		}
		expect([]string{"5000"}, "$b > $x: udp 5000 > 53")
	})
}

// Without the option a port is shared by destinations.
func TestEndpointDependent(t *testing.T) {
	eachNAT(t, func(t *testing.T, f *natFamily) {
		w := f.world(t, "nat")
		rig := graphtest.New(t, f.mapping(t, 0), w.state)
		if got := f.from(t, rig, w, "$a > $x: udp 5001 > 53", "$b > $r: udp 5001 > 53"); !slices.Equal(got, []string{"5001", "5001"}) {
			t.Errorf("leave from %v", got)
		}
	})
}

// Nothing is allocated, a session that was there before mappings were has its
// port, and there is no mapping for what has no ports.
func TestMapperCosts(t *testing.T) {
	eachNAT(t, func(t *testing.T, f *natFamily) {
		w := f.world(t, "nat")
		rig := graphtest.New(t, f.mapping(t, 1), w.state)
		line := func(s string) []byte { return f.family.line(t, f.text(s)) }
		r := f.insert(t, rig.Flows.Table, line("$b > $x: udp 5001 > 53"), line("$x > $h: udp 53 > 5001"))
		draft := f.draft(rig, w, pod1, drafted{})
		check(t, rig, nil, f.rows([]row{
			{packet: "$a > $x: udp 5001 > 53", meta: func(b *buf.Buffer) { draft(b); f.source(rig, b) }, reason: "forward", out: ttl(f, "$h > $x: udp 5000 > 53")},
			{packet: "$a > $x: proto 47 len 16", meta: func(b *buf.Buffer) { draft(b); f.source(rig, b) }, reason: "forward", out: "$h > $x: proto 47 ttl 64 len 16"},
		}))
		rig.Flows.Delete(r.Index()) // that has no mapping
	})
}
