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

// nodeAddr6 is the node's other address, 2001:db8::2.
func nodeAddr6() hdr.Addr6 { return hdr.Addr6{Hi: 0x20010db8 << 32, Lo: 2} }

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
	var dst []hdr.Addr4 // so many that there are ports for all flows
	for i := range 100 {
		dst = append(dst, hdr.Addr4(0xc6336400+i))
	}
	masqueraded(b, "10.0.0.0/8", func(flows int) []mem.Packet { return manyTo(packets(dst, flows)) })
}

// BenchmarkSourceNAT6 is BenchmarkSourceNAT for IPv6.
func BenchmarkSourceNAT6(b *testing.B) {
	var dst []hdr.Addr6
	for i := range uint64(100) {
		dst = append(dst, hdr.Addr6{Hi: 0x20010db8_0100 << 16, Lo: i})
	}
	masqueraded(b, "fd00::/16", func(flows int) []mem.Packet { return manyTo6(packets6(dst, flows)) })
}

func masqueraded(b *testing.B, pool string, packets func(flows int) []mem.Packet) {
	for _, flows := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("vector=256/sessions=%d", flows), func(b *testing.B) {
			out, err := nat.NewOutgoing([]nat.Pool{{Prefix: netip.MustParsePrefix(pool), NatOutgoing: true}}, nil)
			if err != nil {
				b.Fatal(err)
			}
			natFlows(b, 256, packets(flows), func(next *state.State) {
				next.Ifaces[1].Kind = iface.Tun // a pool's addresses are pods'
				next.NAT = &state.NAT{Services: new(nat.Services), Statics: new(nat.Statics), Outgoing: out}
			}, false)
		})
	}
}

// BenchmarkService is BenchmarkNAT with ClusterIPs of ten backends each, to which
// 10,000 flows go: only the destination is translated.
func BenchmarkService(b *testing.B) {
	served(b, func(i int) hdr.Addr6 { return nat.Addr4(hdr.Addr4(0x0ac00000 + i)) }, // 10.192.0.0
		func(i int) hdr.Addr6 { return nat.Addr4(hdr.Addr4(0x0a630000 + i)) },
		func(services int) []mem.Packet {
			dst := make([]hdr.Addr4, services)
			for i := range dst {
				dst[i] = hdr.Addr4(0x0ac00000 + i)
			}
			return manyTo(packets(dst, 10_000))
		})
}

// BenchmarkService6 is BenchmarkService for IPv6.
func BenchmarkService6(b *testing.B) {
	vip := func(i int) hdr.Addr6 { return hdr.Addr6{Hi: 0xfd96 << 48, Lo: uint64(i + 1)} }
	served(b, vip, func(i int) hdr.Addr6 { return hdr.Addr6{Hi: 0xfd63 << 48, Lo: uint64(i + 1)} },
		func(services int) []mem.Packet {
			dst := make([]hdr.Addr6, services)
			for i := range dst {
				dst[i] = vip(i)
			}
			return manyTo6(packets6(dst, 10_000))
		})
}

func served(b *testing.B, vip, backend func(i int) hdr.Addr6, packets func(services int) []mem.Packet) {
	for _, services := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("vector=256/services=%d/flows=10000", services), func(b *testing.B) {
			e := new(nat.Services).Edit()
			for i := range services {
				var spec nat.Spec
				for n := range 10 {
					spec.All = append(spec.All, nat.Backend{Addr: backend(i*10 + n), Port: 8080})
				}
				s, err := nat.NewService(spec)
				if err != nil {
					b.Fatal(err)
				}
				key := nat.FrontKey{Addr: vip(i), Port: nodePort, Proto: hdr.ProtoUDP}
				if err := e.Set(&nat.Front{Key: key, Kind: nat.ClusterIP, Service: s}); err != nil {
					b.Fatal(err)
				}
			}
			done := e.Done()
			natFlows(b, 256, packets(services), func(next *state.State) {
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
	places := 1
	if (*hdr.Ether)(in[0].Data).Type() == hdr.TypeIPv6 {
		places = 2 // a session of IPv6 has two
	}
	sessions, err := session.New(session.Config{Capacity: (flows + vector) * places})
	if err != nil {
		b.Fatal(err)
	}
	table, _ := tableOf(b, 1)
	table6, _ := tableOf6(b, 1)
	w, _, _ := newNodeSessions(b, func(next *state.State) {
		next.FIB4, next.Addr4, next.FIB6, next.Addr6 = table, nodeAddr, table6, nodeAddr6()
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
		// A port is sought a few times only: of a million flows, some find none.
		if n := sessions.Stats().Sessions; n > flows || n < flows-flows/10_000 {
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
	b.ReportMetric(float64(took)/float64(done), "ns/packet")
	clocks(b, w.Stats())
}

// manyTo gives each packet a source of its own, with a port that can be kept.
func manyTo(in []mem.Packet) []mem.Packet {
	for i := range in {
		in[i].Data[hdr.EtherLen+hdr.IPv4Len] = 0x20 | in[i].Data[hdr.EtherLen+hdr.IPv4Len]&0xf
	}
	return distinct(in)
}

// manyTo6 is manyTo for IPv6, whose UDP has checksums.
func manyTo6(in []mem.Packet) []mem.Packet {
	for i := range in {
		p := in[i].Data
		h, l4 := (*hdr.IPv6)(p[hdr.EtherLen:]), p[hdr.EtherLen+hdr.IPv6Len:]
		h.SetSrc(hdr.Addr6{Hi: 0xfd00 << 48, Lo: uint64(i + 1)})
		l4[0] = 0x20 | l4[0]&0xf
		(*hdr.UDP)(l4).SetChecksum(h.Checksum(hdr.ProtoUDP, l4))
	}
	return in
}

// allowAll is a policy that has each flow remembered.
func allowAll(b *testing.B) *state.Policy {
	b.Helper()
	p := policyOf(b, 1, false)
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
