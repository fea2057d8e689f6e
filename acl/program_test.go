package acl_test

import (
	"errors"
	"net/netip"
	"testing"
	"unsafe"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/hdr"
)

// TestCompileRefuses: an error names the place and says why.
func TestCompileRefuses(t *testing.T) {
	st := acl.NewStore()
	must(t, st.Define("nets", acl.Nets))
	must(t, st.Define("ports", acl.NetPorts))
	side := func(s acl.Side) acl.Rule { return acl.Rule{Action: acl.Allow, Dst: s} }
	port := []acl.PortRange{{First: 1, Last: 2}}
	six := []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}
	for _, c := range []struct {
		rule acl.Rule
		want error
		text string
	}{
		{acl.Rule{}, acl.ErrInvalid, `acl: rule "undecided": it has no action: invalid`},
		{acl.Rule{Action: 9}, acl.ErrInvalid, `acl: rule "action 9": it has no action: invalid`},
		{acl.Rule{Action: acl.Allow, Family: 5}, acl.ErrInvalid, `acl: rule "allow ipv5": family 5 is neither 4 nor 6: invalid`},
		{acl.Rule{Action: acl.Allow, Proto: 47, Dst: acl.Side{Ports: port}}, acl.ErrInvalid, `acl: rule "allow protocol 47 to ports 1:2": protocol 47 has no ports: invalid`},
		{acl.Rule{Action: acl.Allow, Proto: 6, ICMP: &acl.ICMP{Type: 8}}, acl.ErrInvalid, `acl: rule "allow tcp icmp-type 8": tcp has no ICMP types: invalid`},
		{acl.Rule{Action: acl.Allow, NotICMP: &acl.ICMP{Type: 8}, Src: acl.Side{NotPorts: port}}, acl.ErrInvalid, `acl: rule "allow not icmp-type 8 from not ports 1:2": no packet has both ports and an ICMP type: invalid`},
		{acl.Rule{Action: acl.Allow, Family: 4, Src: acl.Side{NotNets: six}}, acl.ErrInvalid, `acl: rule "allow ipv4 from not net 2001:db8::/32": source: prefix 2001:db8::/32 in a rule for IPv4: invalid`},
		{side(acl.Side{Nets: make([]netip.Prefix, 1)}), acl.ErrInvalid, `acl: rule "allow to net invalid Prefix": destination: prefix invalid Prefix is none: invalid`},
		{side(acl.Side{Ports: []acl.PortRange{{First: 2, Last: 1}}}), acl.ErrInvalid, `acl: rule "allow to ports 2:1": destination: ports 2:1: the last is below the first: invalid`},
		{side(acl.Side{Sets: make([]string, 9)}), acl.ErrInvalid, `acl: rule "allow to set ,,,,,,,,": destination: 9 sets in one list: at most 8: invalid`},
		{side(acl.Side{Sets: []string{"none"}}), acl.ErrUnknown, `acl: set "none": no such set`},
		{side(acl.Side{NamedPorts: []string{"nets"}}), acl.ErrInvalid, `set "nets": its members have no ports: invalid`},
		{acl.Rule{Action: acl.Deny, Proto: 1, Src: acl.Side{NotSets: []string{"ports"}}}, acl.ErrInvalid, `sets with ports, and a packet without: invalid`},
	} {
		_, err := acl.Compile(tier("default/p", acl.Rule{Action: acl.Deny}, c.rule), st)
		if text := `acl: tier "default": policy "default/p": rule 1: ` + c.text; !errors.Is(err, c.want) || err.Error() != text {
			t.Errorf("%v\nwant %s", err, text)
		}
	}
	for _, rs := range []acl.RuleSet{
		{Tiers: []acl.Tier{{Default: acl.Allow, Policies: make([]acl.Policy, 1)}}},
		{Profiles: []acl.Policy{{Rules: []acl.Rule{{Action: acl.Pass}}}}},
		{Profiles: make([]acl.Policy, 65535)},
		{Tiers: make([]acl.Tier, 65535)},
	} {
		if _, err := acl.Compile(&rs, st); !errors.Is(err, acl.ErrInvalid) {
			t.Errorf("%d tiers, %d profiles: %v", len(rs.Tiers), len(rs.Profiles), err)
		}
	}
}

// TestCompileNeedsStore: without a Store there are no sets.
func TestCompileNeedsStore(t *testing.T) {
	_, err := acl.Compile(tier("p", acl.Rule{Action: acl.Allow, Src: acl.Side{Sets: []string{"web"}}}), nil)
	if !errors.Is(err, acl.ErrUnknown) {
		t.Error(err)
	}
}

// TestNobody: without rules, nothing passes.
func TestNobody(t *testing.T) {
	p := compile(t, &acl.RuleSet{Tiers: []acl.Tier{{Name: "empty", Default: acl.Pass}}}, nil)
	for _, src := range []netip.Addr{client, netip.MustParseAddr("2001:db8::1")} {
		k := packet{src: src, dst: src, proto: 6}.key()
		v := p.Match(&k, nil, nil)
		if v.Action != acl.Deny || v.Reason != acl.ByNobody || v.Policy != acl.NoPolicy || v.Log != acl.NoRule || v.Tier != 1 {
			t.Errorf("%v: %+v", &k, v)
		}
	}
	if (acl.Verdict{}).Action == acl.Allow {
		t.Error("the zero Verdict lets packets pass")
	}
}

// TestProgramIsApart: what becomes of the RuleSet is nothing to the Program.
func TestProgramIsApart(t *testing.T) {
	rs := tier("p", acl.Rule{Action: acl.Allow, ICMP: &acl.ICMP{Type: 8}, Src: acl.Side{Nets: []netip.Prefix{netip.PrefixFrom(client, 24)}}})
	p := compile(t, rs, nil)
	was := p.Rule(0).String()
	r := &rs.Tiers[0].Policies[0].Rules[0]
	r.ICMP.Type, r.Src.Nets[0] = 0, netip.PrefixFrom(backend, 32)
	if is := p.Rule(0).String(); is != was {
		t.Errorf("%s has become %s", was, is)
	}
}

func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(acl.Key{}); n > 64 {
		t.Errorf("a Key takes %d bytes", n)
	}
	if n := unsafe.Sizeof(acl.Verdict{}); n != 16 {
		t.Errorf("a Verdict takes %d bytes", n)
	}
}

func TestSetICMP(t *testing.T) {
	var k acl.Key
	k.Set6(hdr.Addr6{Lo: 1}, hdr.Addr6{Lo: 2}, 0, 0, 0)
	k.SetICMP(128, 0)
	if got := k.String(); got != "icmpv6 ::1 > ::2 type 128 code 0" {
		t.Error(got)
	}
	k.Set4(hdr.Addr4From(client), hdr.Addr4From(backend), 0, 0, 0)
	k.SetICMP(3, 4)
	if got := k.String(); got != "icmp 10.244.1.7 > 10.244.2.9 type 3 code 4" {
		t.Error(got)
	}
	k.Proto = 47
	if got := k.String(); got != "protocol 47 10.244.1.7 > 10.244.2.9" {
		t.Error(got)
	}
}

// TestAllocs: matching allocates nothing, with sets, logs and hits.
func TestAllocs(t *testing.T) {
	s, st := newSource(9), newStore(t)
	rs := s.ruleSet(80)
	for len(rs.Tiers) < 2 {
		rs = s.ruleSet(80)
	}
	p := compile(t, &rs, st)
	for range 100 {
		s.change(t, st)
	}
	sets, hits := st.Commit(), make([]uint64, p.NumRules())
	keys, out := make([]acl.Key, 256), make([]acl.Verdict, 256)
	for i := range keys {
		keys[i] = s.packet().key()
	}
	if n := testing.AllocsPerRun(20, func() {
		p.MatchVector(keys, sets, hits, out)
		for i := range keys {
			out[i] = p.Match(&keys[i], sets, hits)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzMatch makes rules, sets and packets of bytes and asks the twin.
func FuzzMatch(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(seed, uint8(seed*3), []byte{6, 10, 0, 0, 1, 10, 0, 0, 2, 0, 80, 0, 0, 0})
	}
	f.Fuzz(func(t *testing.T, seed uint64, rules uint8, raw []byte) {
		s, st := newSource(seed), newStore(t)
		rs := s.ruleSet(int(rules % 40))
		for i := range raw {
			if i%8 == 0 {
				s.change(t, st)
			}
		}
		p := compile(t, &rs, st)
		packets := []packet{s.packet()}
		for ; len(raw) >= 14; raw = raw[14:] {
			packets = append(packets, packet{proto: raw[0], src: netip.AddrFrom4([4]byte(raw[1:5])), dst: netip.AddrFrom4([4]byte(raw[5:9])),
				srcPort: uint16(raw[9])<<8 | uint16(raw[10]), dstPort: uint16(raw[11])<<8 | uint16(raw[10]), typ: raw[12], code: raw[13] % 3, noPorts: raw[13]&128 != 0})
		}
		compare(t, p, st.Commit(), &twin{rs, s.sets}, packets)
	})
}

// FuzzRule takes whatever bytes make of a rule: Compile refuses it or matches
// as the twin does.
func FuzzRule(f *testing.F) {
	f.Add([]byte{1, 4, 6, 0, 8, 24, 10, 0, 80, 81, 1, 2}, []byte{6, 10, 0, 80, 0})
	f.Add([]byte{1, 0, 1, 6, 8, 33, 10, 0, 80, 1, 0, 130}, []byte{1, 10, 0, 8, 0})
	f.Fuzz(func(t *testing.T, b, raw []byte) {
		b = append(b, make([]byte, 12)...)
		st := newStore(t)
		sets := map[string][]acl.Member{"a0": {acl.MemberOf(client)}, "p0": {endpoint(client.String(), b[2], uint16(b[8]))}}
		must(t, st.Add("a0", sets["a0"]...))
		if st.Add("p0", sets["p0"]...) != nil {
			sets["p0"] = nil
		}
		r := acl.Rule{Action: acl.Action(b[0]), Family: b[1], Proto: b[2], NotProto: b[3]}
		r.Src.Nets = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, b[6], b[7], 7}), int(b[5]))}
		if b[11]&1 != 0 {
			r.Dst.Ports = []acl.PortRange{{First: uint16(b[8]) << b[10], Last: uint16(b[9]) << b[10]}}
		}
		if b[11]&2 != 0 {
			r.ICMP = &acl.ICMP{Type: b[8], Code: b[9], HasCode: b[10]&1 != 0}
		}
		if b[11]&4 != 0 {
			r.Src.Sets = []string{"a0"}
		}
		if b[11]&8 != 0 {
			r.Dst.NamedPorts = []string{"p0"}
		}
		if b[11]&16 != 0 {
			r.Dst.NotSets = []string{"p0"}
		}
		rs := tier("fuzz", r)
		p, err := acl.Compile(rs, st)
		if err != nil {
			if !errors.Is(err, acl.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		packets := []packet{{src: client, dst: client, proto: b[2], dstPort: uint16(b[8]), typ: b[8], code: b[9]}}
		for ; len(raw) >= 5; raw = raw[5:] {
			packets = append(packets, packet{src: netip.AddrFrom4([4]byte{10, raw[1], raw[2], 7}), dst: client, proto: raw[0],
				dstPort: uint16(raw[3]) << (raw[4] & 15), typ: raw[3], code: raw[4], noPorts: raw[4]&128 != 0})
		}
		compare(t, p, st.Commit(), &twin{*rs, sets}, packets)
	})
}

// TestManyLogs goes from rule to rule over words and blocks, without sets.
func TestManyLogs(t *testing.T) {
	var rules []acl.Rule
	for i := range 1500 {
		r := acl.Rule{Action: acl.Log}
		if i%3 == 1 {
			r.Proto = hdr.ProtoUDP
		}
		rules = append(rules, r)
	}
	for _, n := range []int{10, 70, 511, 512, 1500} {
		rs := tier("logs", rules[:n]...)
		p := compile(t, rs, nil)
		compare(t, p, nil, &twin{rs: *rs}, []packet{{src: client, dst: backend, proto: 6}, {src: client, dst: backend, proto: 17}})
	}
}

// TestNamedOrNumeric: a port may be a number of Ports or in a set of
// NamedPorts, on either side, and NotPorts hold for both.
func TestNamedOrNumeric(t *testing.T) {
	st := acl.NewStore()
	must(t, st.Define("p:web", acl.NetPorts))
	member := endpoint(client.String(), 6, 8080)
	must(t, st.Add("p:web", member, endpoint(client.String(), 6, 9090)))
	side := acl.Side{Ports: []acl.PortRange{{First: 80, Last: 80}}, NamedPorts: []string{"p:web"}, NotPorts: []acl.PortRange{{First: 9090, Last: 9090}}}
	dst, src := acl.Rule{Action: acl.Allow, Dst: side}, acl.Rule{Action: acl.Allow, Src: side}
	for _, rule := range []acl.Rule{dst, src} {
		rs := tier("web", rule)
		var packets []packet
		for _, proto := range []uint8{6, 17} {
			for _, port := range []uint16{79, 80, 8080, 9090} {
				packets = append(packets, packet{src: client, dst: backend, proto: proto, srcPort: port, dstPort: port},
					packet{src: backend, dst: client, proto: proto, srcPort: port, dstPort: port})
			}
		}
		compare(t, compile(t, rs, st), st.Commit(), &twin{*rs, map[string][]acl.Member{"p:web": {member, endpoint(client.String(), 6, 9090)}}}, packets)
	}
}
