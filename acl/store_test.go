package acl_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/skein-dataplane/skein/acl"
	"github.com/skein-dataplane/skein/hdr"
)

func prefix(s string) acl.Member { return acl.Member{Prefix: netip.MustParsePrefix(s)} }

func endpoint(addr string, proto uint8, port uint16) acl.Member {
	m := acl.MemberOf(netip.MustParseAddr(addr))
	m.Proto, m.Port = proto, port
	return m
}

// asker returns a func that says whether an address is the source of a packet
// that a rule on a set matches.
func asker(t *testing.T, st *acl.Store, set string) func(s *acl.Sets, addr string) bool {
	p := compile(t, tier("ask", acl.Rule{Action: acl.Allow, Src: acl.Side{Sets: []string{set}}}), st)
	return func(s *acl.Sets, addr string) bool {
		a := netip.MustParseAddr(addr)
		k := packet{src: a, dst: a, proto: 6}.key()
		return p.Match(&k, s, nil).Action == acl.Allow
	}
}

// TestSnapshots: a Sets does not change, and members that cover each other come
// and go one by one.
func TestSnapshots(t *testing.T) {
	st := acl.NewStore()
	must(t, st.Define("web", acl.Nets))
	ask := asker(t, st, "web")
	none := st.Commit()
	must(t, st.Add("web", prefix("10.1.0.0/16"), prefix("10.0.0.0/8"), prefix("10.1.2.3/32"), prefix("2001:db8::/32")))
	all := st.Commit()
	if st.Commit() != all {
		t.Error("nothing has changed, and there is another Sets")
	}
	must(t, st.Remove("web", prefix("10.1.99.99/16"))) // masked
	must(t, st.Remove("web", prefix("10.0.0.0/8")))
	few := st.Commit()
	must(t, st.Replace("web", prefix("::/0")))
	six := st.Commit()
	must(t, st.Delete("web"))
	gone := st.Commit()
	for _, c := range []struct {
		addr string
		in   [5]bool // none, all, few, six, gone
	}{
		{"10.1.2.3", [5]bool{false, true, true, false, false}},
		{"10.1.2.4", [5]bool{false, true, false, false, false}},
		{"10.255.255.255", [5]bool{false, true, false, false, false}},
		{"11.0.0.0", [5]bool{}},
		{"2001:db8:ffff::1", [5]bool{false, true, true, true, false}},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", [5]bool{false, false, false, true, false}},
		{"::", [5]bool{false, false, false, true, false}},
	} {
		for i, s := range []*acl.Sets{none, all, few, six, gone} {
			if got := ask(s, c.addr); got != c.in[i] {
				t.Errorf("%s in snapshot %d: %v", c.addr, i, got)
			}
		}
	}
}

// TestDefinedAgain: a Program goes by the set that it was compiled with.
func TestDefinedAgain(t *testing.T) {
	st := acl.NewStore()
	must(t, st.Define("web", acl.Nets))
	was := asker(t, st, "web")
	must(t, st.Delete("web"))
	must(t, st.Define("web", acl.Nets))
	must(t, st.Add("web", prefix("10.0.0.1/32")))
	if s := st.Commit(); was(s, "10.0.0.1") || !asker(t, st, "web")(s, "10.0.0.1") {
		t.Error("the new set is taken for the old one")
	}
}

// TestStoreManyMembers fills sets until the index splits, and empties them until
// it is small again.
func TestStoreManyMembers(t *testing.T) {
	st, s := newStore(t), newSource(5)
	rs := tier("ask", acl.Rule{Action: acl.Allow, Src: acl.Side{Sets: []string{"a0"}, NotSets: []string{"a1"}}})
	p := compile(t, rs, st)
	check := func() {
		t.Helper()
		var packets []packet
		for range 300 {
			pkt := packet{src: s.addr(false), dst: client, proto: 6}
			for range s.IntN(3) {
				pkt.src = s.member(false).Prefix.Addr()
			}
			if len(s.sets["a0"]) > 0 && s.oneIn(2) {
				pkt.src = pick(s, s.sets["a0"]).Prefix.Addr()
			}
			if !pkt.src.Is4() {
				pkt.dst = netip.MustParseAddr("2001:db8::1")
			}
			packets = append(packets, pkt)
		}
		compare(t, p, st.Commit(), &twin{*rs, s.sets}, packets)
	}
	add := func(n int) {
		for _, set := range []string{"a0", "a1"} {
			var m []acl.Member
			for range n {
				a := hdr.Addr4(10<<24 + s.Uint32N(1<<24)).Addr()
				m = append(m, acl.Member{Prefix: netip.PrefixFrom(a, 32-max(0, s.IntN(40)-32)).Masked()})
			}
			must(t, st.Add(set, m...))
			s.sets[set] = append(s.sets[set], m...)
		}
	}
	for range 3 {
		add(1000)
		check()
	}
	st.Commit()
	if n, chunks := st.Stretches(0); n < 4000 || chunks < n/1000 {
		t.Errorf("%d stretches in %d chunks", n, chunks)
	}
	for len(s.sets["a0"]) > 10 {
		for _, set := range []string{"a0", "a1"} {
			half := len(s.sets[set]) / 2
			must(t, st.Remove(set, s.sets[set][half:]...))
			gone := s.sets[set][half:]
			s.sets[set] = slices.DeleteFunc(slices.Clone(s.sets[set][:half]), func(m acl.Member) bool { return slices.Contains(gone, m) })
		}
		check()
	}
	must(t, st.Delete("a0"))
	must(t, st.Delete("a1"))
	st.Commit()
	if n, chunks := st.Stretches(0); n > 8 || chunks != 1 {
		t.Errorf("without members: %d stretches in %d chunks", n, chunks)
	}
}

// TestManySets puts one address into more sets than picks have room for.
func TestManySets(t *testing.T) {
	st := acl.NewStore()
	var rules []acl.Rule
	for i := range 150 {
		name := fmt.Sprint("a", i)
		must(t, st.Define(name, acl.Nets))
		must(t, st.Add(name, acl.MemberOf(client)))
		port := []acl.PortRange{{First: uint16(i), Last: uint16(i)}}
		rules = append(rules, acl.Rule{Action: acl.Allow, Proto: 6, Src: acl.Side{Sets: []string{name}}, Dst: acl.Side{Ports: port, NotSets: []string{name}}})
	}
	p, s := compile(t, tier("many", rules...), st), st.Commit()
	for i := range uint16(151) {
		k := packet{src: client, dst: backend, proto: 6, srcPort: 1, dstPort: i}.key()
		if v := p.Match(&k, s, nil); v.Rule != uint32(i) {
			t.Errorf("port %d: %+v", i, v)
		}
		k = packet{src: client, dst: client, proto: 6, srcPort: 1, dstPort: i}.key()
		if v := p.Match(&k, s, nil); v.Rule != 150 {
			t.Errorf("port %d to itself: %+v", i, v)
		}
	}
}

// TestStoreRefuses: on error nothing is changed.
func TestStoreRefuses(t *testing.T) {
	st := acl.NewStore()
	must(t, st.Define("nets", acl.Nets))
	must(t, st.Define("ports", acl.NetPorts))
	good, goodPort := prefix("10.0.0.1/32"), endpoint("10.0.0.1", 6, 80)
	for _, c := range []struct {
		err  error
		want error
		text string
	}{
		{st.Define("nets", acl.NetPorts), acl.ErrInvalid, `acl: set "nets": members of another kind: invalid`},
		{st.Add("none", good), acl.ErrUnknown, `acl: set "none": no such set`},
		{st.Remove("none", good), acl.ErrUnknown, `acl: set "none": no such set`},
		{st.Replace("none", good), acl.ErrUnknown, `acl: set "none": no such set`},
		{st.Delete("none"), acl.ErrUnknown, `acl: set "none": no such set`},
		{st.Add("nets", good, goodPort), acl.ErrInvalid, `acl: set "nets": member 10.0.0.1,tcp:80: the set has no ports: invalid`},
		{st.Add("nets", good, acl.Member{}), acl.ErrInvalid, `acl: set "nets": prefix invalid Prefix is none: invalid`},
		{st.Add("nets", good, prefix("::ffff:10.0.0.1/128")), acl.ErrInvalid, `acl: set "nets": prefix ::ffff:10.0.0.1/128: write it as IPv4: invalid`},
		{st.Add("ports", goodPort, good), acl.ErrInvalid, `acl: set "ports": member 10.0.0.1: protocol 0 has no ports: invalid`},
		{st.Add("ports", goodPort, prefix("10.0.0.0/8")), acl.ErrInvalid, `acl: set "ports": member 10.0.0.0/8: more than one address: invalid`},
		{st.Replace("ports", goodPort, endpoint("10.0.0.1", 1, 80)), acl.ErrInvalid, `acl: set "ports": member 10.0.0.1,icmp:80: icmp has no ports: invalid`},
	} {
		if !errors.Is(c.err, c.want) || c.err.Error() != c.text {
			t.Errorf("%v\nwant %s", c.err, c.text)
		}
	}
	for _, set := range []string{"nets", "ports", "none"} {
		for m := range st.Members(set) {
			t.Errorf("%s has %v", set, m)
		}
	}
}
