package nat_test

import (
	"math/rand/v2"
	"testing"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nat"
)

func newPorts(t testing.TB, ranges ...nat.PortRange) *nat.Ports {
	t.Helper()
	p, err := nat.NewPorts(ranges...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var outside = nat.PortFlow{Inside: nat.Addr4(1), External: nat.Addr4(2), Remote: nat.Addr4(3), Port: 5, RemotePort: 80, Proto: hdr.ProtoTCP}

// Each destination can use every port once, then no more; that is counted and
// has a name, and ports come back.
func TestPortsExhausted(t *testing.T) {
	p := newPorts(t, nat.PortRange{First: 1000, Last: 1999}, nat.PortRange{First: 5000, Last: 5999})
	type key struct {
		remote hdr.Addr6
		port   uint16
	}
	used := map[key]bool{}
	take := func(f nat.PortFlow) (uint16, bool) {
		for w := p.Walk(&f); ; {
			port, ok := w.Next()
			if k := (key{f.Remote, port}); !ok || !used[k] {
				used[k] = ok
				return port, ok
			}
		}
	}
	for _, remote := range []hdr.Addr6{nat.Addr4(3), nat.Addr4(4), {Hi: 1, Lo: 2}} {
		f := outside
		f.Remote = remote
		starts := map[uint16]bool{}
		for i := range 2000 {
			port, ok := take(f)
			if !ok || !p.Holds(port) {
				t.Fatalf("flow %d to %v: port %d", i, remote, port)
			}
			starts[port] = true
		}
		before := p.Stats().Exhausted[nat.PortsTCP]
		if port, ok := take(f); ok {
			t.Errorf("port %d a second time", port)
		}
		if s := p.Stats(); s.Exhausted[nat.PortsTCP] != before+1 || s.Last != f {
			t.Errorf("%+v", s)
		}
		delete(used, key{remote, 1500})
		f.Port = 1500
		if port, ok := take(f); !ok || port != 1500 {
			t.Errorf("%d is free again, got %d", 1500, port)
		}
	}
	f := outside
	f.Proto = 47
	w := p.Walk(&f)
	port, ok := w.Next()
	if _, more := w.Next(); port != 0 || !ok || more || p.Stats().Exhausted[nat.PortsOther] != 1 {
		t.Error("a protocol without ports")
	}
}

// The first port depends on the destination and on a secret.
func TestPortsStart(t *testing.T) {
	firsts := map[uint16]bool{}
	for i := range 100 {
		p := newPorts(t, nat.DefaultPorts[:]...)
		f := outside
		f.Remote = nat.Addr4(hdr.Addr4(i % 10))
		w := p.Walk(&f)
		port, _ := w.Next()
		firsts[port] = true
		if !p.Holds(port) {
			t.Errorf("port %d", port)
		}
		f.Port = 2345
		w = p.Walk(&f)
		if port, _ := w.Next(); port != 2345 {
			t.Errorf("%d is not kept, but %d", 2345, port)
		}
	}
	if len(firsts) < 90 {
		t.Errorf("%d different starts of 100", len(firsts))
	}
}

func TestPortsRefused(t *testing.T) {
	for _, ranges := range [][]nat.PortRange{{}, {{0, 5}}, {{6, 5}}, {{1, 5}, {5, 9}}, {{1, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 5}}} {
		if _, err := nat.NewPorts(ranges...); err == nil {
			t.Errorf("%v is taken", ranges)
		}
	}
}

// Random sessions against maps: an inside end has one port, a port one end.
func TestMappings(t *testing.T) {
	const capacity = 200
	p := newPorts(t, nat.PortRange{First: 1000, Last: 1149})
	m, err := nat.NewMappings(capacity)
	if err != nil {
		t.Fatal(err)
	}
	type end struct {
		in    hdr.Addr6
		port  uint16
		proto uint8
	}
	type outer struct {
		port  uint16
		proto uint8
	}
	ports, refs, taken := map[end]uint16{}, map[end]int{}, map[outer]end{}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		f := outside
		f.Inside, f.Port, f.Remote = nat.Addr4(hdr.Addr4(rng.IntN(10))), uint16(rng.IntN(20)), nat.Addr4(hdr.Addr4(rng.Uint32()))
		f.Proto = []uint8{hdr.ProtoTCP, hdr.ProtoUDP}[rng.IntN(2)]
		e := end{f.Inside, f.Port, f.Proto}
		switch rng.IntN(5) {
		case 0, 1:
			port, ok := m.Acquire(&f, p)
			if !ok {
				if refs[e] > 0 || len(refs) < 100 {
					t.Fatalf("no port with %d mappings", len(refs))
				}
				continue
			}
			if had := ports[e]; had != 0 && had != port {
				t.Fatalf("%v has %d and %d", e, had, port)
			}
			if other, is := taken[outer{port, f.Proto}]; is && other != e {
				t.Fatalf("%d is of %v and %v", port, e, other)
			}
			ports[e], taken[outer{port, f.Proto}] = port, e
			refs[e]++
		case 2:
			port := uint16(1000 + rng.IntN(150))
			other, is := taken[outer{port, f.Proto}]
			want := ports[e] == port || ports[e] == 0 && !is && len(refs) < capacity
			if got := m.Hold(&f, port); got != want {
				t.Fatalf("Hold %d: %v, of %v", port, got, other)
			}
			if want {
				ports[e], taken[outer{port, f.Proto}] = port, e
				refs[e]++
			}
		default:
			m.Release(&f)
			if refs[e] == 0 {
				continue
			}
			if refs[e]--; refs[e] == 0 {
				delete(taken, outer{ports[e], f.Proto})
				delete(ports, e)
				delete(refs, e)
			}
		}
		if m.Len() != len(refs) {
			t.Fatalf("%d mappings, want %d", m.Len(), len(refs))
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, ok := m.Acquire(&outside, p); ok {
			m.Release(&outside)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestMappingsFull(t *testing.T) {
	p := newPorts(t, nat.DefaultPorts[:]...)
	m, err := nat.NewMappings(1)
	if err != nil {
		t.Fatal(err)
	}
	f := outside
	if _, ok := m.Acquire(&f, p); !ok {
		t.Fatal("no room for the first")
	}
	f.Port++
	if _, ok := m.Acquire(&f, p); ok || m.NotGiven() != 1 {
		t.Error("room for a second")
	}
	if _, err := nat.NewMappings(0); err == nil {
		t.Error("no capacity is taken")
	}
}

func BenchmarkWalk(b *testing.B) {
	p := newPorts(b, nat.DefaultPorts[:]...)
	b.ReportAllocs()
	for b.Loop() {
		w := p.Walk(&outside)
		w.Next()
	}
}
