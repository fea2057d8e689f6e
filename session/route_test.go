package session_test

import (
	"math/rand/v2"
	"testing"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/session"
)

// Routes against a map that forgets by being emptied, with sessions that come and
// go: a new one knows none, whatever the one before it knew.
func TestRoutes(t *testing.T) {
	const flows = 300
	tab, rng := table(t, session.Config{Capacity: flows}), rand.New(rand.NewPCG(5, 6))
	refs, routes := make([]session.Ref, flows), map[session.Ref]uint32{}
	for step := range 200_000 {
		i := rng.IntN(flows)
		r := refs[i]
		switch n := rng.IntN(1000); {
		case n == 0:
			tab.ForgetRoutes()
			clear(routes)
		case r == 0:
			k := flow4(i)
			var res session.Result
			if refs[i], res = tab.Insert4(k, k.Swap(), tab.Hash4(k), 0, hdr.TCPSyn, 1); res != session.Inserted {
				t.Fatal(res)
			}
		case n < 50:
			tab.Delete(r.Index())
			delete(routes, r)
			delete(routes, r|session.Reverse)
			refs[i] = 0
		case n < 400:
			r |= session.Ref(rng.IntN(2))
			routes[r] = 1 + rng.Uint32N(session.NoRoute)
			tab.SetRoute(r, routes[r])
		}
		if r = refs[i]; r == 0 {
			continue
		}
		for _, r := range []session.Ref{r, r | session.Reverse} {
			if got := tab.Route(r); got != routes[r] {
				t.Fatalf("step %d, %x: route %d, want %d", step, r, got, routes[r])
			}
		}
	}
	if err := tab.Check(); err != nil {
		t.Error(err)
	}
}

// Who takes a session over from another table has other routes.
func TestAdoptedRoutes(t *testing.T) {
	from, to := table(t, session.Config{Capacity: 2}), table(t, session.Config{Capacity: 2})
	k := flow4(1)
	r, _ := from.Insert4(k, k.Swap(), from.Hash4(k), 0, hdr.TCPSyn, 1)
	other := flow4(2)
	o, _ := to.Insert4(other, other.Swap(), to.Hash4(other), 0, hdr.TCPSyn, 1)
	from.SetRoute(r, 7)
	to.SetRoute(o, 8)
	if !to.Adopt(from, r.Index(), 1) {
		t.Fatal("not adopted")
	}
	if got := to.Route(to.Find4(k, to.Hash4(k))); got != 0 {
		t.Errorf("route %d of another table", got)
	}
}

// Counters go on where the half that lies with the key ends, by Seen and by
// SeenSteady, and into another table.
func TestCountersCarry(t *testing.T) {
	tab := table(t, session.Config{Capacity: 4})
	k := flow4(1)
	r, _ := tab.Insert4(k, k.Swap(), tab.Hash4(k), 0, hdr.TCPSyn, 1)
	var want session.Counts
	for _, dir := range []uint32{session.Forward, session.Reverse} {
		for i := range uint32(70_000) {
			n, bytes := 1+i%40, 1+i%5*0x3fff
			if s := tab.At(r.Index()); i%2 == 0 || !s.SeenSteady(dir, n, bytes, hdr.TCPAck, 1) {
				tab.Seen(r|session.Ref(dir), n, bytes, hdr.TCPAck|hdr.TCPSyn*uint8(1-min(i, 1)), 1)
			}
			want.Packets[dir] += n
			want.Bytes[dir] += uint64(bytes)
		}
	}
	if want.Packets[0] < 1<<20 {
		t.Fatal("too few packets to carry")
	}
	if got := tab.Counts(r.Index()); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
	to := table(t, session.Config{Capacity: 4})
	if !to.Adopt(tab, r.Index(), 1) {
		t.Fatal("not adopted")
	}
	if got := to.Counts(to.Find4(k, to.Hash4(k)).Index()); got != want {
		t.Errorf("adopted %+v, want %+v", got, want)
	}
}
