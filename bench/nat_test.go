package bench

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/skein-dataplane/skein/drivers/mem"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/iface"
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
			natFlows(b, c.vector, manyTo(packets([]hdr.Addr4{nodeAddr}, c.flows)), nodePort53(b, c.nat), false)
		})
	}
}

// BenchmarkNewTranslated is BenchmarkNewFlows for flows to that service.
func BenchmarkNewTranslated(b *testing.B) {
	for _, on := range []bool{false, true} {
		b.Run(fmt.Sprintf("vector=256/nat=%v", on), func(b *testing.B) {
			natFlows(b, 256, manyTo(packets([]hdr.Addr4{nodeAddr}, 1<<16)), nodePort53(b, on), true)
		})
	}
}

// BenchmarkSourceNAT is BenchmarkNAT with a pool whose packets leave with the
// address of the node: only the source is translated.
func BenchmarkSourceNAT(b *testing.B) {
	for _, flows := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("vector=256/sessions=%d", flows), func(b *testing.B) {
			out, err := nat.NewOutgoing([]nat.Pool{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), NatOutgoing: true}}, nil)
			if err != nil {
				b.Fatal(err)
			}
			var dst []hdr.Addr4 // so many that there are ports for all flows
			for i := range 100 {
				dst = append(dst, hdr.Addr4(0xc6336400+i))
			}
			natFlows(b, 256, manyTo(packets(dst, flows)), func(next *state.State) {
				next.Ifaces[1].Kind = iface.Tun // a pool's addresses are pods'
				next.NAT = &state.NAT{Services: new(nat.Services), Statics: new(nat.Statics), Outgoing: out}
			}, false)
		})
	}
}

// BenchmarkService is BenchmarkNAT with ClusterIPs of ten backends each, to which
// 10,000 flows go: only the destination is translated.
func BenchmarkService(b *testing.B) {
	for _, services := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("vector=256/services=%d/flows=10000", services), func(b *testing.B) {
			e := new(nat.Services).Edit()
			dst := make([]hdr.Addr4, services)
			for i := range dst {
				dst[i] = hdr.Addr4(0x0ac00000 + i) // 10.192.0.0
				var spec nat.Spec
				for n := range 10 {
					spec.All = append(spec.All, nat.Backend{Addr: nat.Addr4(hdr.Addr4(0x0a630000 + i*10 + n)), Port: 8080})
				}
				s, err := nat.NewService(spec)
				if err != nil {
					b.Fatal(err)
				}
				key := nat.FrontKey{Addr: nat.Addr4(dst[i]), Port: nodePort, Proto: hdr.ProtoUDP}
				if err := e.Set(&nat.Front{Key: key, Kind: nat.ClusterIP, Service: s}); err != nil {
					b.Fatal(err)
				}
			}
			done := e.Done()
			natFlows(b, 256, manyTo(packets(dst, 10_000)), func(next *state.State) {
				next.NAT = &state.NAT{Services: done, Statics: new(nat.Statics), Outgoing: new(nat.Outgoing)}
			}, false)
		})
	}
}

// nodePort53 gives the node that one service, if it is to have it.
func nodePort53(b *testing.B, on bool) func(next *state.State) {
	return func(next *state.State) {
		if on {
			next.NAT = natOf(b)
		}
	}
}

// natFlows sends packets, each of a flow of its own, around through a node that
// translates says what about. fresh: all flows are opened anew each time around,
// and only that is measured.
func natFlows(b *testing.B, vector int, in []mem.Packet, translates func(next *state.State), fresh bool) {
	b.Helper()
	flows := len(in) / vector * vector
	sessions, err := session.New(session.Config{Capacity: flows + vector})
	if err != nil {
		b.Fatal(err)
	}
	table, _ := tableOf(b, 1)
	w, _, _ := newNodeSessions(b, func(next *state.State) {
		next.FIB4, next.Addr4 = table, nodeAddr
		nodes.SetPolicy(next, allowAll(b))
		translates(next)
	}, in[:flows], vector, sessions)
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
	w.ClearNodes()
	b.ReportAllocs()
	for b.Loop() {
		pass()
	}
	b.StopTimer()
	sum := 0.0
	for _, st := range w.Stats() {
		sum += st.Clocks
	}
	b.ReportMetric(float64(took)/float64(done), "ns/packet")
	b.ReportMetric(sum, "clk-sum")
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
