package acl_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/hdr"
)

// numKeys is how many packets a benchmark goes round: enough that the branch
// predictor doesn't learn them, few enough to leave the caches to the tables.
const numKeys = 1 << 13

const (
	numSets    = 100
	numMembers = 1000
)

var ruleCounts = []int{1, 10, 100, 1_000, 10_000}

func randAddr(rng *rand.Rand) netip.Addr { return hdr.Addr4(10<<24 + rng.Uint32N(1<<24)).Addr() }

func net(rng *rand.Rand, bits int) []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(randAddr(rng), bits).Masked()}
}

// twoMasks returns n rules from and to prefixes of two pairs of lengths, as in
// the ACLs that VPP was measured with.
func twoMasks(rng *rand.Rand, n int) (rules []acl.Rule) {
	for i := range n {
		r := acl.Rule{Action: acl.Allow, Proto: hdr.ProtoUDP}
		r.Src.Nets, r.Dst.Nets = net(rng, 24-i%2*8), net(rng, 24+i%2*8)
		rules = append(rules, r)
	}
	return rules
}

// mixed returns n rules from and to prefixes of /8 to /32, half of them with a
// range of ports.
func mixed(rng *rand.Rand, n int) (rules []acl.Rule) {
	for range n {
		r := acl.Rule{Action: acl.Allow, Proto: []uint8{hdr.ProtoUDP, hdr.ProtoTCP}[rng.IntN(2)]}
		r.Src.Nets, r.Dst.Nets = net(rng, 8+rng.IntN(25)), net(rng, 8+rng.IntN(25))
		if rng.IntN(2) == 0 {
			first := uint16(rng.IntN(60_000))
			r.Dst.Ports = []acl.PortRange{{First: first, Last: first + uint16(rng.IntN(2000))}}
		}
		rules = append(rules, r)
	}
	return rules
}

// mixed6 returns n rules from and to IPv6 prefixes of /40 to /128, half of them
// to a port.
func mixed6(rng *rand.Rand, n int) (rules []acl.Rule) {
	net := func() []netip.Prefix {
		a := hdr.Addr6{Hi: 0x20010db8<<32 | uint64(rng.Uint32()), Lo: rng.Uint64()}
		return []netip.Prefix{netip.PrefixFrom(a.Addr(), 40+8*rng.IntN(12)).Masked()}
	}
	for range n {
		r := acl.Rule{Action: acl.Allow, Proto: hdr.ProtoTCP}
		r.Src.Nets, r.Dst.Nets = net(), net()
		if rng.IntN(2) == 0 {
			port := uint16(rng.IntN(65536))
			r.Dst.Ports = []acl.PortRange{{First: port, Last: port}}
		}
		rules = append(rules, r)
	}
	return rules
}

// withSets returns n rules from one of 100 sets to one of 100 ports.
func withSets(rng *rand.Rand, n int) (rules []acl.Rule) {
	for range n {
		port := uint16(8000 + rng.IntN(100))
		r := acl.Rule{Action: acl.Allow, Proto: hdr.ProtoTCP}
		r.Src.Sets = []string{fmt.Sprint("set", rng.IntN(numSets))}
		r.Dst.Nets, r.Dst.Ports = net(rng, 20), []acl.PortRange{{First: port, Last: port}}
		rules = append(rules, r)
	}
	return rules
}

func only(rules []acl.Rule) *acl.RuleSet {
	return &acl.RuleSet{Tiers: []acl.Tier{{Name: "default", Policies: []acl.Policy{{Name: "bench", Rules: rules}}}}}
}

// benchStore returns a Store of 100 sets with 1,000 random addresses each.
func benchStore(tb testing.TB) *acl.Store {
	rng, st := rand.New(rand.NewPCG(7, 8)), acl.NewStore()
	for i := range numSets {
		name := fmt.Sprint("set", i)
		must(tb, st.Define(name, acl.Nets))
		members := make([]acl.Member, numMembers)
		for j := range members {
			members[j] = acl.MemberOf(randAddr(rng))
		}
		must(tb, st.Add(name, members...))
	}
	return st
}

// hitting returns a packet that a rule matches.
func hitting(rng *rand.Rand, st *acl.Store, r *acl.Rule) (k acl.Key) {
	within := func(s *acl.Side) hdr.Addr4 {
		for _, name := range s.Sets {
			for m := range st.Members(name) {
				return hdr.Addr4From(m.Prefix.Addr()) // a random one, as maps go
			}
		}
		p := s.Nets[0]
		return hdr.Addr4From(p.Addr()) | hdr.Addr4(uint64(rng.Uint32())>>p.Bits())
	}
	port := uint16(rng.IntN(65536))
	if p := r.Dst.Ports; p != nil {
		port = p[0].First
	}
	if r.Src.Nets != nil && r.Src.Nets[0].Addr().Is6() {
		k.Set6(hdr.Addr6From(r.Src.Nets[0].Addr()), hdr.Addr6From(r.Dst.Nets[0].Addr()), r.Proto, port, port)
		return k
	}
	k.Set4(within(&r.Src), within(&r.Dst), r.Proto, uint16(rng.IntN(65536)), port)
	return k
}

// missing returns a packet like that of some rules, but no rule's.
func missing(rng *rand.Rand, st *acl.Store, rules []acl.Rule) (k acl.Key) {
	a, b := hitting(rng, st, &rules[rng.IntN(len(rules))]), hitting(rng, st, &rules[rng.IntN(len(rules))])
	k = a
	k.Dst, k.DstPort = b.Dst, uint16(rng.IntN(65536))
	return k
}

var kinds = []struct {
	name string
	make func(*rand.Rand, int) []acl.Rule
}{{"masks", twoMasks}, {"mixed", mixed}, {"mixed6", mixed6}, {"sets", withSets}}

// measure runs batches of 128 packets or changes and reports the median of their times,
// which a machine with other work to do leaves alone, and its quartiles.
func measure(b *testing.B, unit string, vector int, match func(at int)) {
	b.Helper()
	var times []float64
	batch, at := max(1, 128/vector), 0
	for b.Loop() {
		start := time.Now()
		for range batch {
			match(at)
			at = (at + vector) % numKeys
		}
		times = append(times, float64(time.Since(start).Nanoseconds())/float64(batch*vector))
	}
	slices.Sort(times)
	b.ReportMetric(times[len(times)/2], unit)
	b.ReportMetric(times[len(times)/4], "25%")
	b.ReportMetric(times[len(times)*3/4], "75%")
}

func benchmarkMatch(b *testing.B, vector int, match func(*acl.Program, []acl.Key, *acl.Sets, []acl.Verdict)) {
	st := benchStore(b)
	sets := st.Commit()
	for _, kind := range kinds {
		for _, n := range ruleCounts {
			rng := rand.New(rand.NewPCG(1, uint64(n)))
			rules := kind.make(rng, n)
			p, err := acl.Compile(only(rules), st)
			must(b, err)
			hit, miss := make([]acl.Key, numKeys), make([]acl.Key, numKeys)
			for i := range hit {
				hit[i], miss[i] = hitting(rng, st, &rules[rng.IntN(n)]), missing(rng, st, rules)
			}
			for i, keys := range [][]acl.Key{hit, miss} {
				b.Run(fmt.Sprintf("vector=%d/kind=%s/rules=%d/%s", vector, kind.name, n, []string{"hit", "miss"}[i]), func(b *testing.B) {
					out := make([]acl.Verdict, vector)
					measure(b, "ns/packet", vector, func(at int) { match(p, keys[at:at+vector], sets, out) })
				})
			}
		}
	}
}

// BenchmarkMatch is the first packet of a flow: one at a time.
func BenchmarkMatch(b *testing.B) {
	benchmarkMatch(b, 1, func(p *acl.Program, keys []acl.Key, s *acl.Sets, out []acl.Verdict) {
		out[0] = p.Match(&keys[0], s, nil)
	})
}

// BenchmarkMatchVector is a stateless ACL: each packet of each vector.
func BenchmarkMatchVector(b *testing.B) {
	benchmarkMatch(b, 256, func(p *acl.Program, keys []acl.Key, s *acl.Sets, out []acl.Verdict) {
		p.MatchVector(keys, s, nil, out)
	})
}

// BenchmarkWorst matches packets that fit every rule in part. With kind=halves,
// half the rules have the source and half the destination. With kind=memberships,
// the source is in half of the sets and the destination in the others; each rule
// wants both in the same.
func BenchmarkWorst(b *testing.B) {
	st := benchStore(b)
	for i := range numSets {
		must(b, st.Add(fmt.Sprint("set", i), acl.MemberOf([]netip.Addr{client, backend}[i%2])))
	}
	low, high := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/1")}, []netip.Prefix{netip.MustParsePrefix("128.0.0.0/1")}
	for _, n := range ruleCounts {
		halves, memberships := make([]acl.Rule, n), make([]acl.Rule, n)
		for i := range n {
			halves[i] = acl.Rule{Action: acl.Allow, Src: acl.Side{Nets: low}, Dst: acl.Side{Nets: high}}
			if i%2 == 0 {
				halves[i].Src, halves[i].Dst = halves[i].Dst, halves[i].Src
			}
			same := acl.Side{Sets: []string{fmt.Sprint("set", i%numSets)}}
			memberships[i] = acl.Rule{Action: acl.Allow, Src: same, Dst: same}
		}
		k := packet{src: client, dst: backend, proto: 6}.key()
		for i, rules := range [][]acl.Rule{halves, memberships} {
			p, sets := compile(b, only(rules), st), st.Commit()
			b.Run(fmt.Sprintf("vector=1/kind=%s/rules=%d", []string{"halves", "memberships"}[i], n), func(b *testing.B) {
				measure(b, "ns/packet", 1, func(int) { p.Match(&k, sets, nil) })
			})
		}
	}
}

// BenchmarkCompile compiles a Program and reports what it keeps in memory.
func BenchmarkCompile(b *testing.B) {
	st := benchStore(b)
	for _, kind := range kinds {
		for _, n := range ruleCounts {
			rs := only(kind.make(rand.New(rand.NewPCG(1, uint64(n))), n))
			b.Run(fmt.Sprintf("kind=%s/rules=%d", kind.name, n), func(b *testing.B) {
				before := heap()
				kept, err := acl.Compile(rs, st)
				must(b, err)
				size := heap() - before
				for b.Loop() {
					_, err := acl.Compile(rs, st)
					must(b, err)
				}
				runtime.KeepAlive(kept)
				b.ReportMetric(float64(size)/1024, "KiB")
			})
		}
	}
}

// BenchmarkLoadSets fills 100 sets of 1,000 members and commits.
func BenchmarkLoadSets(b *testing.B) {
	before := heap()
	st := benchStore(b)
	sets := st.Commit()
	both := heap() - before
	runtime.KeepAlive(st)
	st = nil
	size := heap() - before
	for b.Loop() {
		benchStore(b).Commit()
	}
	runtime.KeepAlive(sets)
	b.ReportMetric(float64(size)/1024, "sets-KiB")
	b.ReportMetric(float64(both-size)/1024, "store-KiB")
}

// BenchmarkUpdateSets adds or removes one address and commits: a pod that comes
// or goes.
func BenchmarkUpdateSets(b *testing.B) {
	st, rng := benchStore(b), rand.New(rand.NewPCG(9, 10))
	m := acl.MemberOf(randAddr(rng))
	add := true
	measure(b, "ns/change", 1, func(int) {
		if add {
			m = acl.MemberOf(randAddr(rng))
			must(b, st.Add("set7", m))
		} else {
			must(b, st.Remove("set7", m))
		}
		add = !add
		st.Commit()
	})
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
