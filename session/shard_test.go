package session_test

import (
	"math/rand/v2"
	"testing"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/session"
)

// Both directions of a flow belong to the same worker, and flows are dealt out
// evenly, in both families.
func TestSharding(t *testing.T) {
	const flows, workers = 40_000, 4
	s, err := session.NewSharding(workers)
	if err != nil {
		t.Fatal(err)
	}
	again := session.SeededSharding(workers, s.Seed())
	var four, six [workers]int
	for range flows {
		a, b := hdr.Addr4(10<<24|rand.Uint32N(256)), hdr.Addr4(10<<24|1<<16|rand.Uint32N(4))
		k := session.MakeKey4(a, b, uint16(rand.Uint32()), 80, hdr.ProtoTCP, 0)
		w := s.Of4(k)
		if back := s.Of4(k.Swap()); back != w || again.Of4(k) != w {
			t.Fatalf("%v is worker %d's, its answers are %d's", k, w, back)
		}
		four[w]++
		k6 := session.MakeKey6(hdr.Addr6{Hi: 0xfd << 56, Lo: uint64(a)}, hdr.Addr6{Hi: 0xfd << 56, Lo: uint64(b)}, k.SrcPort(), 80, hdr.ProtoUDP, 0)
		back := k6.Swap()
		if w = s.Of6(&k6); s.Of6(&back) != w || again.Of6(&k6) != w {
			t.Fatalf("%v is worker %d's, its answers are %d's", k6, w, s.Of6(&back))
		}
		six[w]++
	}
	for w := range workers { // 10,000 each; the standard deviation is 87
		if d := four[w] - flows/workers; d*d > 600*600 {
			t.Errorf("worker %d has %d IPv4 flows of %d", w, four[w], flows)
		}
		if d := six[w] - flows/workers; d*d > 600*600 {
			t.Errorf("worker %d has %d IPv6 flows of %d", w, six[w], flows)
		}
	}
}

// A vector is dealt out as its keys are one by one.
func TestShardingVector(t *testing.T) {
	s, err := session.NewSharding(7)
	if err != nil {
		t.Fatal(err)
	}
	four, six, out := make([]session.Key4, 256), make([]session.Key6, 256), make([]uint8, 256)
	protos := []uint8{hdr.ProtoTCP, hdr.ProtoUDP, hdr.ProtoICMP, hdr.ProtoICMPv6, hdr.ProtoSCTP, 47, hdr.ProtoESP}
	for i := range four {
		p := protos[i%len(protos)]
		four[i] = session.MakeKey4(hdr.Addr4(rand.Uint32()), hdr.Addr4(rand.Uint32()), uint16(i), 80, p, 0)
		six[i] = session.MakeKey6(hdr.Addr6{Hi: rand.Uint64()}, hdr.Addr6{Lo: rand.Uint64()}, uint16(i), 80, p, 0)
	}
	s.OfVector4(four, out)
	for i, k := range four {
		if int(out[i]) != s.Of4(k) {
			t.Errorf("%v is worker %d's, in a vector %d's", k, s.Of4(k), out[i])
		}
	}
	s.OfVector6(six, out)
	for i := range six {
		if int(out[i]) != s.Of6(&six[i]) {
			t.Errorf("%v is worker %d's, in a vector %d's", six[i], s.Of6(&six[i]), out[i])
		}
	}
}

// An echo's identifier is its port, and what has none is worker 0's.
func TestShardingPorts(t *testing.T) {
	s := session.SeededSharding(3, [4]uint64{0xa0761d6478bd642f, 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3, 0x589965cc75374cc3})
	seen := map[int]bool{}
	for id := range uint16(64) {
		request := session.MakeKey4(1, 2, id, 0, hdr.ProtoICMP, 0)
		reply := session.MakeKey4(2, 1, 0, id, hdr.ProtoICMP, 0)
		if s.Of4(request) != s.Of4(reply) {
			t.Errorf("echo %d is worker %d's, its reply is %d's", id, s.Of4(request), s.Of4(reply))
		}
		seen[s.Of4(request)] = true
		if w := s.Of4(session.MakeKey4(hdr.Addr4(id), 2, 0, 0, 47, 0)); w != 0 {
			t.Errorf("GRE is worker %d's", w)
		}
	}
	if len(seen) != 3 {
		t.Errorf("echoes are dealt out over %d workers, want 3", len(seen))
	}
}

// Fragments of one packet meet at one worker.
func TestShardingFragments(t *testing.T) {
	s, err := session.NewSharding(5)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for id := range uint16(200) {
		p := session.Packet4{Key: session.MakeKey4(1, 2, 1000, 2000, hdr.ProtoUDP, 0), ID: id}
		first := p.Frag()
		p.Key = session.MakeKey4(1, 2, 0, 0, hdr.ProtoUDP, 0)
		later := p.Frag()
		w := s.OfFragment(&first)
		if s.OfFragment(&later) != w {
			t.Errorf("packet %d: fragments go to %d and %d", id, w, s.OfFragment(&later))
		}
		seen[w] = true
	}
	if len(seen) != 5 {
		t.Errorf("fragments are dealt out over %d workers, want 5", len(seen))
	}
}
