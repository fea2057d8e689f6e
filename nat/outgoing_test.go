package nat_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
)

func randomPrefix(rng *rand.Rand) netip.Prefix {
	if rng.IntN(2) == 0 {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(rng.IntN(3)), byte(rng.IntN(256)), byte(rng.IntN(256))}), rng.IntN(33)).Masked()
	}
	a := [16]byte{0xfd, byte(rng.IntN(2)), 15: byte(rng.IntN(256)), 7: byte(rng.IntN(4))}
	return netip.PrefixFrom(netip.AddrFrom16(a), rng.IntN(129)).Masked()
}

// slowDecide asks every prefix.
func slowDecide(pools []nat.Pool, exclude []netip.Prefix, src, dst netip.Addr) nat.Why {
	best, on := -1, false
	shut := false
	for _, p := range pools {
		if p.Prefix.Contains(src) && p.Prefix.Bits() > best {
			best, on = p.Prefix.Bits(), p.NatOutgoing
		}
		shut = shut || p.Prefix.Contains(dst)
	}
	for _, p := range exclude {
		shut = shut || p.Contains(dst)
	}
	switch {
	case best < 0:
		return nat.NoPool
	case !on:
		return nat.PoolOff
	case shut:
		return nat.Excluded
	}
	return nat.ByPool
}

func TestOutgoing(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	seen := map[nat.Why]int{}
	for range 2000 {
		var pools []nat.Pool
		var exclude []netip.Prefix
		has := map[netip.Prefix]bool{}
		for range rng.IntN(6) {
			p := randomPrefix(rng)
			if !has[p] { // a pool is there once
				pools = append(pools, nat.Pool{Prefix: p, NatOutgoing: rng.IntN(3) > 0})
			}
			has[p] = true
		}
		for range rng.IntN(6) {
			p := randomPrefix(rng)
			if rng.IntN(4) == 0 && len(pools) > 0 {
				p = pools[0].Prefix
			}
			exclude = append(exclude, p)
		}
		o, err := nat.NewOutgoing(pools, exclude)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			src := randomPrefix(rng).Addr()
			dst := randomPrefix(rng).Addr()
			if src.Is4() != dst.Is4() {
				continue
			}
			want := slowDecide(pools, exclude, src, dst)
			seen[want]++
			if got := o.Decide(&nat.Leaving{Src: hdr.Addr6From(src), Dst: hdr.Addr6From(dst), FromPod: true}); got != want {
				t.Fatalf("pools %v, excluded %v: %v > %v: %v, want %v", pools, exclude, src, dst, got, want)
			}
		}
	}
	for _, y := range []nat.Why{nat.NoPool, nat.PoolOff, nat.Excluded, nat.ByPool} {
		if seen[y] < 1000 {
			t.Errorf("%v came %d times only", y, seen[y])
		}
	}
}

func TestOutgoingRules(t *testing.T) {
	pool := netip.MustParsePrefix("10.0.0.0/8")
	o, err := nat.NewOutgoing([]nat.Pool{{Prefix: pool, NatOutgoing: true}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	pod, world := nat.Addr4(0x0a000001), nat.Addr4(0x08080808)
	for want, l := range map[nat.Why]nat.Leaving{
		nat.ToHost:     {Src: pod, Dst: world, FromPod: true, ToHost: true},
		nat.ByPool:     {Src: pod, Dst: world, FromPod: true},
		nat.Excluded:   {Src: pod, Dst: nat.Addr4(0x0a000002), FromPod: true},
		nat.NotFromPod: {Src: world, Dst: pod},
		nat.ByService:  {Src: world, Dst: pod, Asked: true},
		nat.Hairpin:    {Src: pod, Dst: pod, FromPod: true, Asked: true},
	} {
		got := o.Decide(&l)
		if got != want || got.Masquerade() != (want == nat.ByPool || want == nat.ByService || want == nat.Hairpin) {
			t.Errorf("%+v: %v, want %v", l, got, want)
		}
	}
	if got := new(nat.Outgoing).Decide(&nat.Leaving{FromPod: true}); got != nat.NoPool {
		t.Errorf("no pools: %v", got)
	}
	if _, err := nat.NewOutgoing([]nat.Pool{{}}, nil); err == nil {
		t.Error("a pool without prefix is taken")
	}
	for y := range nat.NumWhys + 1 {
		if y.String() == "" {
			t.Errorf("%d has no name", y)
		}
	}
}

func TestStatics(t *testing.T) {
	a := func(n hdr.Addr4) hdr.Addr6 { return nat.Addr4(n) }
	s, err := nat.NewStatics([]nat.Static{
		{External: a(100), Inside: a(1)},
		{External: a(100), Inside: a(2), Proto: hdr.ProtoUDP},
		{External: a(100), Inside: a(3), Proto: hdr.ProtoTCP, ExternalPort: 80, InsidePort: 8080},
		{External: a(100), Inside: a(3), Proto: hdr.ProtoTCP, ExternalPort: 81, InsidePort: 8081},
	})
	if err != nil {
		t.Fatal(err)
	}
	type end struct {
		addr  hdr.Addr6
		port  uint16
		found bool
	}
	call := func(f func(hdr.Addr6, uint8, uint16) (hdr.Addr6, uint16, bool), addr hdr.Addr4, proto uint8, port uint16) end {
		x, y, z := f(a(addr), proto, port)
		return end{x, y, z}
	}
	for i, got := range []struct{ got, want end }{
		{call(s.In, 100, hdr.ProtoTCP, 80), end{a(3), 8080, true}},
		{call(s.In, 100, hdr.ProtoTCP, 82), end{a(1), 82, true}},
		{call(s.In, 100, hdr.ProtoUDP, 80), end{a(2), 80, true}},
		{call(s.In, 100, hdr.ProtoICMP, 0), end{a(1), 0, true}},
		{call(s.In, 101, hdr.ProtoTCP, 80), end{a(101), 80, false}},
		{call(s.Out, 1, hdr.ProtoTCP, 1234), end{a(100), 1234, true}},
		{call(s.Out, 3, hdr.ProtoTCP, 8081), end{a(100), 81, true}},
		{call(s.Out, 3, hdr.ProtoTCP, 8082), end{a(3), 8082, false}},
		{call(new(nat.Statics).In, 3, 1, 1), end{a(3), 1, false}},
	} {
		if got.got != got.want {
			t.Errorf("%d: %v, want %v", i, got.got, got.want)
		}
	}
	for _, bad := range [][]nat.Static{
		{{External: a(1), Inside: a(2)}, {External: a(1), Inside: a(3)}},
		{{External: a(1), Inside: a(2)}, {External: a(3), Inside: a(2)}},
		{{External: a(1), Inside: a(2), Proto: 6, ExternalPort: 1}},
		{{External: a(1), Inside: a(2), ExternalPort: 1, InsidePort: 1}},
		{{External: a(1), Inside: hdr.Addr6{Hi: 1}}},
	} {
		if _, err := nat.NewStatics(bad); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
