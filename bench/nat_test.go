package bench

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/skein-dataplane/skein/drivers/mem"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
)

const (
	nodeAddr = hdr.Addr4(0xc0000202) // 192.0.2.2
	nodePort = 53                    // as packets have it
)

// BenchmarkNAT is BenchmarkPolicy with one service that all packets are for, a
// NodePort whose 100 backends are elsewhere: destination and source are both
// translated. nat=none has sessions without any translation.
func BenchmarkNAT(b *testing.B) {
	for _, c := range []struct {
		vector, flows int
		nat           bool
	}{
		{256, 1_000, false}, {256, 1_000, true}, {256, 100_000, false}, {256, 100_000, true},
		{256, 1_000_000, false}, {256, 1_000_000, true}, {16, 1_000, false}, {16, 1_000, true},
	} {
		b.Run(fmt.Sprintf("vector=%d/nat=%v/flows=%d", c.vector, c.nat, c.flows), func(b *testing.B) {
			natFlows(b, c.vector, c.flows, c.nat, false)
		})
	}
}

// BenchmarkNewTranslated is BenchmarkNewFlows for flows to that service.
func BenchmarkNewTranslated(b *testing.B) {
	for _, on := range []bool{false, true} {
		b.Run(fmt.Sprintf("vector=256/nat=%v", on), func(b *testing.B) { natFlows(b, 256, 1<<16, on, true) })
	}
}

// natFlows sends packets of so many flows around. fresh: all of them are opened
// anew each time around, and only that is measured.
func natFlows(b *testing.B, vector, flows int, on, fresh bool) {
	b.Helper()
	flows = flows / vector * vector
	sessions, err := session.New(session.Config{Capacity: flows + vector})
	if err != nil {
		b.Fatal(err)
	}
	table, _ := tableOf(b, 1)
	w, _, _ := newNodeSessions(b, func(next *state.State) {
		next.FIB4, next.Addr4 = table, nodeAddr
		nodes.SetPolicy(next, allowAll(b))
		if on {
			next.NAT = natOf(b)
		}
	}, manyTo(packets([]hdr.Addr4{nodeAddr}, flows)), vector, sessions)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	took, done := int64(0), 0
	pass := func() {
		start := threadTime()
		for range flows / vector {
			turn(b, w)
		}
		took += threadTime() - start
		done += flows
		if n := sessions.Stats().Sessions; n != flows {
			b.Fatalf("%d sessions of %d flows", n, flows)
		}
		for i := sessions.Next(0); i != 0 && fresh; i = sessions.Next(i) {
			sessions.Delete(i)
		}
	}
	pass()
	answered(w)
	pass()
	took, done = 0, 0
	b.ReportAllocs()
	for b.Loop() {
		pass()
	}
	b.ReportMetric(float64(took)/float64(done), "ns/packet")
	b.ReportMetric(0, "ns/op")
}

// manyTo gives each packet a source of its own, with a port that can be kept.
func manyTo(in []mem.Packet) []mem.Packet {
	for i := range in {
		in[i].Data[hdr.EtherLen+hdr.IPv4Len] = 0x20 | in[i].Data[hdr.EtherLen+hdr.IPv4Len]&0xf
	}
	return distinct(in)
}

// allowAll is a policy that has each flow remembered.
func allowAll(b *testing.B) *state.Policy {
	b.Helper()
	p := policyOf(b, 1)
	p.Ends = []*state.Endpoint{1: {Name: "uplink", ForwardTo: p.Ends[1].ForwardTo}}
	return p
}

func natOf(b *testing.B) *state.NAT {
	b.Helper()
	var spec nat.Spec
	for i := range 100 {
		spec.All = append(spec.All, nat.Backend{Addr: nat.Addr4(hdr.Addr4(0x0a630000 + i)), Port: 8080})
	}
	s, err := nat.NewService(spec)
	if err != nil {
		b.Fatal(err)
	}
	e := new(nat.Services).Edit()
	e.Own([]hdr.Addr6{nat.Addr4(nodeAddr)})
	key := nat.FrontKey{Addr: nat.AnyAddr(nat.Addr4(0)), Port: nodePort, Proto: hdr.ProtoUDP}
	if err := e.Set(&nat.Front{Key: key, Kind: nat.NodePort, Service: s}); err != nil {
		b.Fatal(err)
	}
	return &state.NAT{Services: e.Done(), Statics: new(nat.Statics), Outgoing: new(nat.Outgoing)}
}
