package nat_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
)

func backends(n int) (out []nat.Backend) {
	for i := range n {
		out = append(out, nat.Backend{Addr: nat.Addr4(hdr.Addr4(0x0a000000 + i)), Port: 8080})
	}
	return out
}

func service(t testing.TB, s nat.Spec) *nat.Service {
	t.Helper()
	out, err := nat.NewService(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func randomKey(rng *rand.Rand, n int) nat.FrontKey {
	k := nat.FrontKey{Addr: nat.Addr4(hdr.Addr4(rng.IntN(n))), Port: uint16(rng.IntN(4)), Proto: hdr.ProtoTCP}
	switch rng.IntN(6) {
	case 0:
		k.Addr = nat.AnyAddr(nat.Addr4(1))
	case 3:
		k.Addr = hdr.Addr6{}
	case 1:
		k.Addr = hdr.Addr6{Hi: 0xfd << 56, Lo: uint64(rng.IntN(n))}
	}
	return k
}

// Random changes, against a map: each version finds what it had, whatever is
// changed after it.
func TestServices(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	type version struct {
		s    *nat.Services
		want map[nat.FrontKey]*nat.Front
		own  map[hdr.Addr6]bool
	}
	cur := version{new(nat.Services), map[nat.FrontKey]*nat.Front{}, map[hdr.Addr6]bool{}}
	var kept []version
	check := func(v version) {
		t.Helper()
		keys, got := make([]nat.FrontKey, 600), make([]*nat.Front, 600)
		for i := range keys {
			keys[i] = randomKey(rng, 3000)
		}
		v.s.FindVector(keys, got)
		for i, k := range keys {
			want := v.want[k]
			if want == nil && v.own[k.Addr] {
				want = v.want[nat.FrontKey{Addr: nat.AnyAddr(k.Addr), Port: k.Port, Proto: k.Proto}]
			}
			if got[i] != want || v.s.Find(&keys[i]) != want {
				t.Fatalf("%v: %v, want %v", k, got[i], want)
			}
		}
		n := 0
		for f := range v.s.All {
			if n++; v.want[f.Key] != f {
				t.Fatalf("%v is not to be there", f.Key)
			}
		}
		if n != len(v.want) || v.s.Len() != n {
			t.Fatalf("%d fronts, Len says %d, want %d", n, v.s.Len(), len(v.want))
		}
	}
	for round := range 300 {
		next := version{want: map[nat.FrontKey]*nat.Front{}, own: cur.own}
		for k, f := range cur.want {
			next.want[k] = f
		}
		e := cur.s.Edit()
		for range 1 + rng.IntN(100) {
			k := randomKey(rng, 3000)
			if rng.IntN(3) == 0 {
				if had := next.want[k] != nil; e.Delete(k) != had {
					t.Fatal("Delete")
				}
				delete(next.want, k)
				continue
			}
			f := &nat.Front{Key: k}
			if err := e.Set(f); err != nil {
				t.Fatal(err)
			}
			next.want[k] = f
		}
		if round%10 == 0 {
			next.own = map[hdr.Addr6]bool{}
			var own []hdr.Addr6
			for range 3 {
				a := randomKey(rng, 3000).Addr
				own, next.own[a] = append(own, a, a), true
			}
			e.Own(own)
		}
		next.s = e.Done()
		if round%50 == 0 {
			kept = append(kept, cur)
		}
		cur = next
		check(cur)
	}
	for _, v := range kept {
		check(v)
	}
}

func TestNoServices(t *testing.T) {
	var s nat.Services
	out := []*nat.Front{new(nat.Front)}
	if s.FindVector(make([]nat.FrontKey, 1), out); out[0] != nil || s.Find(new(nat.FrontKey)) != nil || s.Len() != 0 {
		t.Error("something is found in nothing")
	}
}

// What the table of kinds and policies says (Kubernetes, Virtual IPs and
// Service Proxies).
func TestChoose(t *testing.T) {
	here, there := nat.Backend{Addr: nat.Addr4(1), Local: true}, nat.Backend{Addr: nat.Addr4(2)}
	both, local, remote := []nat.Backend{here, there}, []nat.Backend{here}, []nat.Backend{there}
	in, out := nat.Client{Addr: nat.Addr4(9), Inside: true, Hash: 1 << 63}, nat.Client{Addr: nat.Addr4(8), Hash: 1 << 63}
	only9 := []nat.Range{{nat.Addr4(9), nat.Addr4(9)}}
	type result struct {
		addr hdr.Addr6
		out  nat.Outcome
		masq bool
		dsr  bool
	}
	gets := func(b nat.Backend, masq bool) result { return result{b.Addr, nat.Chosen, masq, false} }
	known := []nat.Backend{{Addr: nat.Addr4(3), Node: nat.Addr4(77)}}
	forwarded := nat.Client{Addr: nat.Addr4(8), Hash: 1 << 63, Forwarded: true}
	tests := []struct {
		name   string
		kind   nat.Kind
		spec   nat.Spec
		client nat.Client
		want   result
	}{
		{"cluster ip", nat.ClusterIP, nat.Spec{All: both}, in, gets(there, false)},
		{"nobody", nat.ClusterIP, nat.Spec{}, in, result{out: nat.NoEndpoints}},
		{"nobody, local", nat.NodePort, nat.Spec{ExternalLocal: true}, out, result{out: nat.NoEndpoints}},
		{"internal local", nat.ClusterIP, nat.Spec{All: both, Local: local, InternalLocal: true}, in, gets(here, false)},
		{"internal local, none", nat.ClusterIP, nat.Spec{All: remote, InternalLocal: true}, in, result{out: nat.NoLocal}},
		{"internal local is not about node ports", nat.NodePort, nat.Spec{All: remote, InternalLocal: true}, out, gets(there, true)},
		{"external local is not about cluster ips", nat.ClusterIP, nat.Spec{All: remote, ExternalLocal: true}, in, gets(there, false)},
		{"external local", nat.NodePort, nat.Spec{All: both, Local: local, ExternalLocal: true}, out, gets(here, false)},
		{"external local, none", nat.LoadBalancer, nat.Spec{All: remote, ExternalLocal: true}, out, result{out: nat.NoLocal}},
		{"external local, from inside", nat.LoadBalancer, nat.Spec{All: remote, ExternalLocal: true}, in, gets(there, false)},
		{"node port, here", nat.NodePort, nat.Spec{All: local}, out, gets(here, false)},
		{"node port, elsewhere", nat.NodePort, nat.Spec{All: remote}, out, gets(there, true)},
		{"node port, dsr", nat.NodePort, nat.Spec{All: known, DSR: true}, out, result{known[0].Addr, nat.Chosen, true, true}},
		{"load balancer, dsr", nat.LoadBalancer, nat.Spec{All: known, DSR: true}, out, result{known[0].Addr, nat.Chosen, false, true}},
		{"load balancer, dsr to a node that nobody knows", nat.LoadBalancer, nat.Spec{All: remote, DSR: true}, out, gets(there, true)},
		{"load balancer, dsr from inside", nat.LoadBalancer, nat.Spec{All: known, DSR: true}, in, result{known[0].Addr, nat.Chosen, false, false}},
		{"cluster ip, dsr", nat.ClusterIP, nat.Spec{All: known, DSR: true}, out, result{known[0].Addr, nat.Chosen, false, false}},
		{"dsr, here", nat.NodePort, nat.Spec{All: local, DSR: true}, out, gets(here, false)},
		{"forwarded", nat.NodePort, nat.Spec{All: both, Local: local, DSR: true}, forwarded, gets(here, false)},
		{"forwarded, none here", nat.NodePort, nat.Spec{All: known, DSR: true}, forwarded, result{out: nat.NoLocal}},
		{"load balancer keeps clients", nat.LoadBalancer, nat.Spec{All: remote}, out, gets(there, false)},
		{"load balancer, asked to", nat.LoadBalancer, nat.Spec{All: remote, MasqueradeExternal: true}, out, gets(there, true)},
		{"external ip", nat.ExternalIP, nat.Spec{All: remote}, out, gets(there, false)},
		{"host port", nat.HostPort, nat.Spec{All: local}, out, gets(here, false)},
		{"hairpin", nat.ClusterIP, nat.Spec{All: local}, nat.Client{Addr: here.Addr, Inside: true}, gets(here, true)},
		{"sources, not", nat.LoadBalancer, nat.Spec{All: both, Sources: only9}, out, result{out: nat.NotAllowed}},
		{"sources, in", nat.LoadBalancer, nat.Spec{All: remote, Sources: only9}, nat.Client{Addr: nat.Addr4(9)}, gets(there, false)},
		{"sources, node port", nat.NodePort, nat.Spec{All: remote, Sources: only9}, out, gets(there, true)},
		{"sources, of the other family only", nat.LoadBalancer, nat.Spec{All: remote, Sources: []nat.Range{}}, out, result{out: nat.NotAllowed}},
		{"sources, from inside", nat.LoadBalancer, nat.Spec{All: remote, Sources: []nat.Range{}}, in, gets(there, false)},
	}
	for _, test := range tests {
		f := nat.Front{Kind: test.kind, Service: service(t, test.spec)}
		var got result
		b, outcome := f.Choose(&test.client, nil, 0)
		if got.out = outcome; b != nil {
			got.addr, got.masq, got.dsr = b.Addr, f.Masquerades(b, test.client.Addr), f.Direct(b, &test.client)
		}
		if got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
	for k := range nat.NumKinds + 1 {
		if k.String() == "" || nat.Outcome(k).String() == "" {
			t.Errorf("%d has no name", k)
		}
	}
}

func TestSources(t *testing.T) {
	r := func(a, b hdr.Addr4) nat.Range { return nat.Range{First: nat.Addr4(a), Last: nat.Addr4(b)} }
	s := service(t, nat.Spec{All: backends(1), Sources: []nat.Range{r(50, 60), r(10, 20), r(15, 30), r(12, 13)}})
	f := nat.Front{Kind: nat.LoadBalancer, Service: s}
	for a := range hdr.Addr4(70) {
		_, out := f.Choose(&nat.Client{Addr: nat.Addr4(a)}, nil, 0)
		if want := a >= 10 && a <= 30 || a >= 50 && a <= 60; (out == nat.Chosen) != want {
			t.Errorf("%v: %v", a, out)
		}
	}
}

// Flows fall on backends by their weights, by Maglev and without.
func TestWeights(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, byMaglev := range []bool{false, true} {
		for _, weights := range [][]uint16{{1}, {1, 1, 1, 1}, {1, 2, 5}, {0, 1, 100}, {65535, 1, 65535}} {
			bs, total := backends(len(weights)), 0.0
			for i, w := range weights {
				bs[i].Weight = w
				total += float64(max(1, w))
			}
			f := nat.Front{Kind: nat.ClusterIP, Service: service(t, nat.Spec{All: bs, Maglev: byMaglev})}
			const flows = 100_000
			got := map[hdr.Addr6]int{}
			for range flows {
				b, _ := f.Choose(&nat.Client{Hash: rng.Uint64()}, nil, 0)
				got[b.Addr]++
			}
			for _, b := range bs {
				share, want := float64(got[b.Addr])/flows, float64(max(1, b.Weight))/total
				if diff := share - want; diff > 0.01 || diff < -0.01 {
					t.Errorf("maglev %v, weights %v: %v has %.3f, want %.3f", byMaglev, weights, b.Addr.Addr(), share, want)
				}
			}
		}
	}
}

// One backend of 1,000 goes, or comes: at most 2 % of the others' flows move.
func TestMaglevDisruption(t *testing.T) {
	for _, n := range []int{2, 3, 10, 30, 100, 400, 1000, nat.MaxBackends} {
		all := backends(n)
		less := append(append([]nat.Backend{}, all[:n/3]...), all[n/3+1:]...)
		a := nat.Front{Kind: nat.ClusterIP, Service: service(t, nat.Spec{All: all, Maglev: true})}
		b := nat.Front{Kind: nat.ClusterIP, Service: service(t, nat.Spec{All: less, Maglev: true})}
		rng := rand.New(rand.NewPCG(7, 7))
		moved, kept := 0, 0
		for range 200_000 {
			c := nat.Client{Hash: rng.Uint64()}
			x, _ := a.Choose(&c, nil, 0)
			y, _ := b.Choose(&c, nil, 0)
			switch {
			case x.Addr == all[n/3].Addr:
			case x.Addr != y.Addr:
				moved++
			default:
				kept++
			}
		}
		share := float64(moved) / float64(moved+kept)
		t.Logf("%d backends: %.2f %% of other flows moved", n, 100*share)
		if share > 0.02 {
			t.Errorf("%d backends: %.2f %% of other flows moved", n, 100*share)
		}
	}
}

func TestTooManyBackends(t *testing.T) {
	if _, err := nat.NewService(nat.Spec{Name: "default/web", All: backends(nat.MaxBackends + 1)}); err == nil {
		t.Error("no error")
	}
	if s := service(t, nat.Spec{All: backends(nat.MaxBackends), Maglev: true, Local: backends(2)}); len(s.Backends()) != nat.MaxBackends {
		t.Error("backends")
	}
}

func TestAffinity(t *testing.T) {
	a, err := nat.NewAffinity(1000)
	if err != nil {
		t.Fatal(err)
	}
	f := nat.Front{Kind: nat.ClusterIP, Service: service(t, nat.Spec{ID: 1, All: backends(50), Affinity: 100})}
	g := nat.Front{Kind: nat.ClusterIP, Service: service(t, nat.Spec{ID: 2, All: backends(50), Affinity: 100})}
	rng := rand.New(rand.NewPCG(1, 1))
	choose := func(f *nat.Front, client hdr.Addr4, now uint32) hdr.Addr6 {
		b, _ := f.Choose(&nat.Client{Addr: nat.Addr4(client), Hash: rng.Uint64()}, a, now)
		return b.Addr
	}
	first, other := choose(&f, 1, 0), choose(&g, 1, 0)
	for now := uint32(50); now <= 500; now += 99 { // each flow renews it
		if got := choose(&f, 1, now); got != first {
			t.Fatalf("at %d: %v, want %v", now, got.Addr(), first.Addr())
		}
	}
	n := 0
	for e := range func(y func(nat.AffinityEntry) bool) { a.Entries(1, 446, y) } {
		if n++; e.Client != nat.Addr4(1) || e.Backend != first || e.Port != 8080 || e.Left != 100 {
			t.Errorf("%+v", e)
		}
	}
	if n != 1 {
		t.Errorf("%d entries", n)
	}
	// The service has other backends now, this one among them at another place.
	f.Service = service(t, nat.Spec{ID: 1, Affinity: 100, All: append(backends(50), nat.Backend{Addr: nat.Addr4(1)})})
	if got := choose(&f, 1, 450); got != first {
		t.Error("a change of others moves the client")
	}
	// And now it is gone.
	f.Service = service(t, nat.Spec{ID: 1, Affinity: 100, All: []nat.Backend{{Addr: nat.Addr4(3)}}})
	if got := choose(&f, 1, 460); got != nat.Addr4(3) {
		t.Error("the client has a backend that is gone")
	}
	same := 0
	for i := range hdr.Addr4(20) {
		if choose(&g, 1, 1000+200*uint32(i)) == other {
			same++
		}
	}
	if same > 5 {
		t.Errorf("the timeout does not end it: %d of 20", same)
	}
	for c := range hdr.Addr4(10_000) {
		choose(&g, c, 9000)
	}
	if got := a.Evicted(); got < 8000 || got > 9100 {
		t.Errorf("%d of 10000 clients forgotten by a table of 1024", got)
	}
}

func tenThousand(t testing.TB) *nat.Services {
	e := new(nat.Services).Edit()
	for i := range 10_000 {
		s := service(t, nat.Spec{ID: uint32(i), All: backends(10)})
		for _, kind := range []nat.Kind{nat.ClusterIP, nat.NodePort, nat.LoadBalancer} {
			k := nat.FrontKey{Addr: nat.Addr4(hdr.Addr4(uint32(kind)<<24 + uint32(i))), Port: 80, Proto: hdr.ProtoTCP}
			if kind == nat.NodePort {
				k = nat.FrontKey{Addr: nat.AnyAddr(nat.Addr4(1)), Port: uint16(20000 + i), Proto: hdr.ProtoTCP}
			}
			if err := e.Set(&nat.Front{Key: k, Kind: kind, Service: s}); err != nil {
				t.Fatal(err)
			}
		}
	}
	e.Own([]hdr.Addr6{nat.Addr4(77)})
	return e.Done()
}

func TestServicesAllocs(t *testing.T) {
	s := tenThousand(t)
	keys, out := make([]nat.FrontKey, 256), make([]*nat.Front, 256)
	for i := range keys {
		keys[i] = nat.FrontKey{Addr: nat.Addr4(hdr.Addr4(1<<24 + i)), Port: 80, Proto: hdr.ProtoTCP}
	}
	a, _ := nat.NewAffinity(100)
	if n := testing.AllocsPerRun(20, func() {
		s.FindVector(keys, out)
		for i, f := range out {
			f.Choose(&nat.Client{Hash: uint64(i)}, a, 1)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFindVector(b *testing.B) {
	s := tenThousand(b)
	for _, hit := range []bool{true, false} {
		b.Run(fmt.Sprintf("vector=256/services=10000/hit=%v", hit), func(b *testing.B) {
			keys, out := make([]nat.FrontKey, 256), make([]*nat.Front, 256)
			rng := rand.New(rand.NewPCG(1, 1))
			for i := range keys {
				a := hdr.Addr4(1<<24 + rng.IntN(10000))
				if !hit {
					a += 1 << 28
				}
				keys[i] = nat.FrontKey{Addr: nat.Addr4(a), Port: 80, Proto: hdr.ProtoTCP}
			}
			b.ReportAllocs()
			for b.Loop() {
				s.FindVector(keys, out)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/packet")
		})
	}
}

func BenchmarkUpdateOne(b *testing.B) {
	s := tenThousand(b)
	b.ReportAllocs()
	for b.Loop() {
		svc := service(b, nat.Spec{ID: 5, All: backends(10)})
		e := s.Edit()
		for _, kind := range []nat.Kind{nat.ClusterIP, nat.LoadBalancer} {
			if err := e.Set(&nat.Front{Key: nat.FrontKey{Addr: nat.Addr4(hdr.Addr4(uint32(kind)<<24 + 5)), Port: 80, Proto: hdr.ProtoTCP}, Kind: kind, Service: svc}); err != nil {
				b.Fatal(err)
			}
		}
		s = e.Done()
	}
}

func BenchmarkMaglev(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("backends=%d", n), func(b *testing.B) {
			bs := backends(n)
			for b.Loop() {
				service(b, nat.Spec{All: bs, Maglev: true})
			}
		})
	}
}
