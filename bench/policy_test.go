package bench

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/drivers/mem"
	"github.com/skein-dataplane/skein/graph"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
)

// BenchmarkPolicy is BenchmarkGraph with sessions and policy: at the uplink that
// packets come in by are so many rules for what is forwarded, of which the last
// allows them. All flows are decided and answered. rules=none has neither.
func BenchmarkPolicy(b *testing.B) {
	for _, c := range policyCases {
		b.Run(fmt.Sprintf("vector=%d/rules=%s/flows=%d", c.vector, c.rules, c.flows), func(b *testing.B) {
			table, addrs := tableOf(b, 1)
			forward(b, c.vector, packets(addrs, c.flows), func(next *state.State) {
				next.FIB4 = table
				ruled(b, next, c.rules, false)
			})
		})
	}
}

// BenchmarkPolicy6 is BenchmarkPolicy for IPv6.
func BenchmarkPolicy6(b *testing.B) {
	for _, c := range policyCases {
		b.Run(fmt.Sprintf("vector=%d/rules=%s/flows=%d", c.vector, c.rules, c.flows), func(b *testing.B) {
			table, addrs := tableOf6(b, 1)
			forward(b, c.vector, packets6(addrs, c.flows), func(next *state.State) {
				next.FIB6 = table
				ruled(b, next, c.rules, true)
			})
		})
	}
}

// BenchmarkACL is BenchmarkPolicy with a stateless access list of so many rules
// where packets come in, without sessions: each packet is asked about. With
// sets=asked, the packets' ports are those of about ten rules that name a set,
// and their sources are in one or two of these; else no rule has their port.
func BenchmarkACL(b *testing.B) {
	table, addrs := tableOf(b, 1)
	listed(b, packets(addrs, 10_000), false, func(next *state.State) { next.FIB4 = table })
}

// BenchmarkACL6 is BenchmarkACL for IPv6.
func BenchmarkACL6(b *testing.B) {
	table, addrs := tableOf6(b, 1)
	in, rnd := packets6(addrs, 10_000), rand.New(rand.NewPCG(8, 9))
	for i := range in {
		(*hdr.IPv6)(in[i].Data[hdr.EtherLen:]).SetSrc(memberOf6(rnd))
	}
	listed(b, in, true, func(next *state.State) { next.FIB6 = table })
}

func listed(b *testing.B, in []mem.Packet, v6 bool, route func(next *state.State)) {
	for _, c := range []struct {
		rules int
		sets  string
	}{{1, "none"}, {100, "none"}, {1_000, "none"}, {10_000, "unasked"}, {10_000, "asked"}} {
		b.Run(fmt.Sprintf("vector=256/rules=%d/sets=%s/flows=%d", c.rules, c.sets, len(in)), func(b *testing.B) {
			if c.sets == "asked" {
				in = toSets(in, v6)
			}
			forward(b, 256, in, func(next *state.State) {
				route(next)
				p := policyOf(b, c.rules, v6)
				p.Ends = []*state.Endpoint{1: {Name: "uplink", In: p.Ends[1].ForwardTo}}
				p.Stateless = true
				nodes.SetPolicy(next, p)
			})
		})
	}
}

// toSets returns the packets with ports that only rules with sets have.
func toSets(in []mem.Packet, v6 bool) []mem.Packet {
	rnd, at := rand.New(rand.NewPCG(9, 10)), hdr.EtherLen+hdr.IPv4Len
	if v6 {
		at = hdr.EtherLen + hdr.IPv6Len
	}
	out := make([]mem.Packet, len(in))
	for i := range in {
		out[i].Data = slices.Clone(in[i].Data)
		binary.BigEndian.PutUint16(out[i].Data[at+2:], 1100+uint16(rnd.Uint32N(9_000)))
	}
	return out
}

var policyCases = []struct {
	vector int
	rules  string
	flows  int
}{
	{256, "none", 10_000},
	{256, "1", 10_000},
	{256, "100", 10_000},
	{256, "1000", 10_000},
	{256, "10000", 10_000},
	{16, "none", 10_000},
	{16, "1000", 10_000},
	{1, "none", 10_000},
	{1, "1000", 10_000},
}

// ruled gives the first uplink so many rules; "none" is no policy at all. From
// 10,000 on a rule in ten allows one of 100 sets of 1,000 addresses. All are for
// one family.
func ruled(b *testing.B, next *state.State, rules string, v6 bool) {
	b.Helper()
	if rules == "none" {
		return
	}
	var n int
	if _, err := fmt.Sscan(rules, &n); err != nil {
		b.Fatal(err)
	}
	p := policyOf(b, n, v6)
	p.Ends = []*state.Endpoint{1: {Name: "uplink", ForwardTo: p.Ends[1].ForwardTo}}
	nodes.SetPolicy(next, p)
}

// policyOf returns a policy of n rules at interface 1. The last allows all.
func policyOf(b *testing.B, n int, v6 bool) *state.Policy {
	b.Helper()
	rnd := rand.New(rand.NewPCG(7, uint64(n)))
	member := func() netip.Addr { return hdr.Addr4(0x0a000000 + rnd.Uint32N(1<<16)).Addr() }
	from := func() netip.Addr { return hdr.Addr4(rnd.Uint32()).Addr() }
	if v6 {
		member = func() netip.Addr { return memberOf6(rnd).Addr() }
		from = func() netip.Addr { return hdr.Addr6{Hi: rnd.Uint64()}.Addr() }
	}
	store := acl.NewStore()
	var names []string
	for i := range 100 {
		if n < 10_000 {
			break
		}
		name := fmt.Sprintf("s%d", i)
		names = append(names, name)
		if err := store.Define(name, acl.Nets); err != nil {
			b.Fatal(err)
		}
		var members []acl.Member
		for range 1000 {
			members = append(members, acl.MemberOf(member()))
		}
		if err := store.Add(name, members...); err != nil {
			b.Fatal(err)
		}
	}
	rules := make([]acl.Rule, n)
	for i := range rules[:n-1] {
		r := &rules[i]
		r.Action, r.Proto = acl.Deny, hdr.ProtoTCP
		port := uint16(rnd.Uint32N(60000)) + 1
		r.Dst.Ports = []acl.PortRange{{First: port, Last: port + uint16(rnd.Uint32N(100))}}
		if i%10 == 0 && len(names) > 0 {
			r.Action, r.Proto = acl.Allow, hdr.ProtoUDP
			r.Src.Sets = []string{names[rnd.IntN(len(names))]}
		} else {
			r.Src.Nets = []netip.Prefix{netip.PrefixFrom(from(), 8+rnd.IntN(17)).Masked()}
		}
		if i%10 == 0 && len(names) > 0 {
			r.Dst.Ports = []acl.PortRange{{First: 1000 + uint16(i%50000), Last: 1100 + uint16(i%50000)}}
		}
	}
	rules[n-1] = acl.Rule{Action: acl.Allow}
	set := &acl.RuleSet{Tiers: []acl.Tier{{Name: "default", Policies: []acl.Policy{{Name: "p", Rules: rules}}}}}
	prog, err := acl.Compile(set, store)
	if err != nil {
		b.Fatal(err)
	}
	return &state.Policy{Gen: 1, Sets: store.Commit(), Ends: []*state.Endpoint{1: {Name: "uplink", ForwardTo: state.NewRuled(prog, 1)}}}
}

// memberOf6 returns one of 65,536 addresses, of which the sets are made; those of
// IPv4 are 10.0.0.0/16.
func memberOf6(rnd *rand.Rand) hdr.Addr6 {
	return hdr.Addr6{Hi: 0xfd00 << 48, Lo: uint64(rnd.Uint32N(1 << 16))}
}

// answered lets each session of a worker see an answer.
func answered(w *graph.Worker) {
	t, now := w.Flows.Table, w.Second()
	for i := t.Next(0); i != 0; i = t.Next(i) {
		t.Seen(session.Ref(i<<1|session.Reverse), 1, 60, 0, now)
	}
}

// BenchmarkNewFlows sends a packet of another flow each time: all of them are
// judged and opened. Sessions go when all flows have had their turn; that is not
// measured.
func BenchmarkNewFlows(b *testing.B) {
	for _, rules := range []string{"1", "1000", "10000"} {
		b.Run("vector=256/rules="+rules, func(b *testing.B) { newFlows(b, rules) })
	}
}

func newFlows(b *testing.B, rules string) {
	const flows, vector = 1 << 18, 256
	table, addrs := tableOf(b, 1)
	sessions, err := session.New(session.Config{Capacity: flows + vector})
	if err != nil {
		b.Fatal(err)
	}
	w, _, _ := newNodeSessions(b, func(next *state.State) {
		next.FIB4 = table
		ruled(b, next, rules, false)
	}, distinct(packets(addrs, flows)), vector, sessions)
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
		for i := sessions.Next(0); i != 0; i = sessions.Next(i) {
			sessions.Delete(i)
		}
	}
	pass()
	took, done = 0, 0
	b.ReportAllocs()
	for b.Loop() {
		pass()
	}
	b.ReportMetric(float64(took)/float64(done), "ns/packet")
	b.ReportMetric(float64(done)/float64(took)*1e9, "flows/s")
	b.ReportMetric(0, "ns/op")
}

// distinct gives each packet a source of its own.
func distinct(in []mem.Packet) []mem.Packet {
	for i := range in {
		h := (*hdr.IPv4)(in[i].Data[hdr.EtherLen:])
		h.SetSrc(0x0a000000 + hdr.Addr4(i))
		h.SetChecksum(0)
		h.SetChecksum(hdr.Checksum(h[:]))
	}
	return in
}
