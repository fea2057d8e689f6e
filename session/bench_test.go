package session_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/session"
)

func table(tb testing.TB, c session.Config) *session.Table {
	tb.Helper()
	t, err := session.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := t.Close(); err != nil {
			tb.Error(err)
		}
	})
	return t
}

// flow4 is the key of the nth of many flows of pods to a service.
func flow4(n int) session.Key4 {
	return session.MakeKey4(0x0a000000+hdr.Addr4(n>>6), 0x0b000001, uint16(1024+n&63), 80, hdr.ProtoTCP, 0)
}

func flow6(n int) session.Key6 {
	return session.MakeKey6(hdr.Addr6{Hi: 0xfd00 << 48, Lo: uint64(n >> 6)}, hdr.Addr6{Hi: 0xfd01 << 48, Lo: 1},
		uint16(1024+n&63), 80, hdr.ProtoTCP, 0)
}

// fill4 makes n sessions and establishes them.
func fill4(tb testing.TB, t *session.Table, n int, now uint32) {
	for i := range n {
		k := flow4(i)
		r, res := t.Insert4(k, k.Swap(), t.Hash4(k), uint16(i%100), hdr.TCPSyn, now)
		if res != session.Inserted {
			tb.Fatalf("session %d of %d: %v", i, n, res)
		}
		t.Seen(r, 1, 60, hdr.TCPSyn, now)
		t.Seen(r|1, 1, 60, hdr.TCPSyn|hdr.TCPAck, now)
		t.Seen(r, 1, 60, hdr.TCPAck, now)
	}
}

var benchFlows = []int{10_000, 100_000, 1_000_000}

// numKeys is how many packets a benchmark goes through: of 1M flows, enough to
// leave no record in the caches.
const numKeys = 1 << 18

// BenchmarkFindVector4 looks up packets of random flows and directions in a
// table that is full, computes their hashes, and reads their records.
func BenchmarkFindVector4(b *testing.B) {
	for _, flows := range benchFlows {
		t := table(b, session.Config{Capacity: flows})
		fill4(b, t, flows, 1)
		for _, kind := range []string{"hit", "miss"} {
			rng := rand.New(rand.NewPCG(1, 2))
			keys := make([]session.Key4, numKeys)
			for i := range keys {
				keys[i] = flow4(rng.IntN(flows))
				if rng.IntN(2) == 0 {
					keys[i] = keys[i].Swap()
				}
				if kind == "miss" {
					keys[i] = session.MakeKey4(keys[i].Src(), keys[i].Dst(), keys[i].SrcPort(), keys[i].DstPort(), hdr.ProtoUDP, 0)
				}
			}
			for _, vector := range []int{1, 8, 32, 64, 256} {
				benchmarkFind4(b, t, flows, kind, vector, keys)
			}
		}
	}
}

func benchmarkFind4(b *testing.B, t *session.Table, flows int, kind string, vector int, keys []session.Key4) {
	hashes, refs := make([]uint64, vector), make([]session.Ref, vector)
	b.Run(fmt.Sprintf("vector=%d/flows=%d/%s", vector, flows, kind), func(b *testing.B) {
		b.ReportAllocs()
		found := 0
		for at := 0; b.Loop(); at = (at + vector) % numKeys {
			k := keys[at : at+vector]
			for i := range k {
				hashes[i] = t.Hash4(k[i])
			}
			t.FindVector4(k, hashes, refs)
			for _, r := range refs {
				if r != 0 {
					found += int(t.At(r.Index()).Verdict) + 1
				}
			}
		}
		if (found > 0) != (kind == "hit") {
			b.Fatalf("found %d", found)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(vector), "ns/packet")
	})
}

// BenchmarkFind4 is the same one packet after the other, for comparison.
func BenchmarkFind4(b *testing.B) {
	for _, flows := range benchFlows {
		t := table(b, session.Config{Capacity: flows})
		fill4(b, t, flows, 1)
		rng := rand.New(rand.NewPCG(1, 2))
		keys := make([]session.Key4, numKeys)
		for i := range keys {
			keys[i] = flow4(rng.IntN(flows))
		}
		b.Run(fmt.Sprintf("vector=1/flows=%d/hit", flows), func(b *testing.B) {
			for at := 0; b.Loop(); at = (at + 1) % numKeys {
				if r := t.Find4(keys[at], t.Hash4(keys[at])); r == 0 || t.At(r.Index()).Verdict != 0 {
					b.Fatal("not found")
				}
			}
		})
	}
}

func BenchmarkFindVector6(b *testing.B) {
	const vector = 256
	hashes, refs := make([]uint64, vector), make([]session.Ref, vector)
	for _, flows := range benchFlows {
		t := table(b, session.Config{Capacity: flows})
		for i := range flows {
			k := flow6(i)
			r := k.Swap()
			if _, res := t.Insert6(&k, &r, t.Hash6(&k), 0, hdr.TCPSyn, 1); res != session.Inserted {
				b.Fatal(res)
			}
		}
		rng := rand.New(rand.NewPCG(1, 2))
		keys := make([]session.Key6, numKeys)
		for i := range keys {
			keys[i] = flow6(rng.IntN(flows))
		}
		b.Run(fmt.Sprintf("vector=%d/flows=%d/hit", vector, flows), func(b *testing.B) {
			for at := 0; b.Loop(); at = (at + vector) % numKeys {
				k := keys[at : at+vector]
				for i := range k {
					hashes[i] = t.Hash6(&k[i])
				}
				t.FindVector6(k, hashes, refs)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/vector, "ns/packet")
		})
	}
}

// BenchmarkSeen counts packets of established connections at random.
func BenchmarkSeen(b *testing.B) {
	for _, flows := range benchFlows {
		t := table(b, session.Config{Capacity: flows})
		fill4(b, t, flows, 1)
		rng := rand.New(rand.NewPCG(1, 2))
		refs := make([]session.Ref, numKeys)
		for i := range refs {
			refs[i] = session.Ref(2 + rng.IntN(2*flows))
		}
		b.Run(fmt.Sprintf("flows=%d", flows), func(b *testing.B) {
			for at := 0; b.Loop(); at = (at + 1) % numKeys {
				t.Seen(refs[at], 1, 1500, hdr.TCPAck, 2)
			}
		})
	}
}

// BenchmarkTCP is all that the table does for a connection of ten packets:
// insert, handshake, data, both FINs, removal for its timeout.
func BenchmarkTCP(b *testing.B) {
	t := table(b, session.Config{Capacity: 100_000})
	var now uint32 = 1
	n := 0
	for b.Loop() {
		k := flow4(n)
		n++
		r, res := t.Insert4(k, k.Swap(), t.Hash4(k), 0, hdr.TCPSyn, now)
		if res != session.Inserted {
			b.Fatal(res)
		}
		for _, p := range []struct {
			dir session.Ref
			tcp uint8
		}{{0, hdr.TCPSyn}, {1, hdr.TCPSyn | hdr.TCPAck}, {0, hdr.TCPAck}, {0, hdr.TCPAck}, {1, hdr.TCPAck}, {1, hdr.TCPAck}, {0, hdr.TCPAck},
			{0, hdr.TCPFin | hdr.TCPAck}, {1, hdr.TCPFin | hdr.TCPAck}, {0, hdr.TCPAck}} {
			t.Seen(r|p.dir, 1, 100, p.tcp, now)
		}
		if n%300 == 0 {
			now++
		}
		t.Expire(now, 8)
	}
}

// BenchmarkInsertExpire is a worker's life under new flows alone: each op is a
// flow that comes, and one that has gone unanswered and expires.
func BenchmarkInsertExpire(b *testing.B) {
	for _, live := range benchFlows {
		timeouts := session.DefaultTimeouts()
		timeouts[session.TCPHalfOpen] = 9
		b.Run(fmt.Sprintf("live=%d", live), func(b *testing.B) {
			t := table(b, session.Config{Capacity: live * 11 / 10, Timeouts: timeouts})
			perSecond := live / 10
			n, expired := 0, 0
			step := func() {
				now := uint32(1 + n/perSecond)
				k := flow4(n & (1<<28 - 1))
				n++
				if _, res := t.Insert4(k, k.Swap(), t.Hash4(k), 0, hdr.TCPSyn, now); res != session.Inserted {
					b.Fatalf("flow %d: %v", n, res)
				}
				expired += t.Expire(now, 4)
			}
			for range live {
				step()
			}
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
			if b.N > live && expired == 0 {
				b.Fatal("nothing expired")
			}
		})
	}
}

// BenchmarkFull is a flood of new flows at a table full of established ones
// but for some half-open, so that each new one evicts one.
func BenchmarkFull(b *testing.B) {
	for _, flows := range benchFlows {
		t := table(b, session.Config{Capacity: flows})
		fill4(b, t, flows*9/10, 1)
		n := flows
		b.Run(fmt.Sprintf("flows=%d", flows), func(b *testing.B) {
			for b.Loop() {
				k := flow4(n)
				n++
				if _, res := t.Insert4(k, k.Swap(), t.Hash4(k), 0, hdr.TCPSyn, 2); res != session.Inserted {
					b.Fatal(res)
				}
			}
		})
	}
}

// BenchmarkExpireIdle is a second in which nothing is due.
func BenchmarkExpireIdle(b *testing.B) {
	for _, flows := range benchFlows {
		t := table(b, session.Config{Capacity: flows})
		fill4(b, t, flows, 1000)
		for t.Expire(5000, 1<<20) != 0 { // each has its deadline
		}
		b.Run(fmt.Sprintf("flows=%d", flows), func(b *testing.B) {
			now := uint32(1)
			for b.Loop() {
				now = now%4000 + 1
				t.Expire(now, 1<<20)
			}
		})
	}
}

// BenchmarkOpen takes over a file of established sessions, as a restart does.
func BenchmarkOpen(b *testing.B) {
	for _, flows := range benchFlows {
		path, c := filepath.Join(b.TempDir(), "sessions"), session.Config{Capacity: flows}
		t, _, err := session.Open(path, c, 1)
		if err != nil {
			b.Fatal(err)
		}
		fill4(b, t, flows, 1)
		if err := t.Close(); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("flows=%d", flows), func(b *testing.B) {
			for b.Loop() {
				t, a, err := session.Open(path, c, 2)
				if err != nil || a.Kept != flows {
					b.Fatalf("%+v %v", a, err)
				}
				if err := t.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
