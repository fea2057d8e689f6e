package session_test

import (
	"testing"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/session"
)

func insert4(tab *session.Table, n int, owner uint16, now uint32) (session.Ref, session.Result) {
	k := flow4(n)
	return tab.Insert4(k, k.Swap(), tab.Hash4(k), owner, hdr.TCPSyn, now)
}

func establish(tab *session.Table, r session.Ref, now uint32) {
	tab.Seen(r|1, 1, 40, hdr.TCPSyn|hdr.TCPAck, now)
	tab.Seen(r, 1, 40, hdr.TCPAck, now)
}

// TestFlood: a pod that opens connections without end costs no other pod a
// session, old or new.
func TestFlood(t *testing.T) {
	const attacker, victim = 1, 2
	tab := table(t, session.Config{Capacity: 1000, Quota: session.Quota{Sessions: 400, HalfOpen: 200}})
	for n := range 100 {
		r, res := insert4(tab, n, victim, 1)
		if res != session.Inserted {
			t.Fatal(res)
		}
		if n < 50 {
			establish(tab, r, 1)
		}
	}
	for n := range 100_000 {
		r, res := insert4(tab, 10_000+n, attacker, 2)
		if res != session.Inserted {
			t.Fatalf("flow %d: %v, and so the attacked pod would be closed to newcomers", n, res)
		}
		if n%1000 == 0 {
			establish(tab, r, 2)
		}
	}
	for n := range 400 {
		r, res := insert4(tab, n, victim, 3)
		if n < 100 && res != session.Exists || n >= 100 && res != session.Inserted {
			t.Fatalf("flow %d of the other pod: %v", n, res)
		}
		establish(tab, r, 3)
	}
	if o := tab.Owner(attacker); o.HalfOpen != 200 || o.Sessions != 300 || o.Evicted != 99_700 {
		t.Errorf("attacker: %+v", o)
	}
	if o := tab.Owner(victim); o.HalfOpen != 0 || o.Sessions != 400 || o.Evicted != 0 || o.Refused != 0 {
		t.Errorf("other pod: %+v", o)
	}
	if err := tab.Check(); err != nil {
		t.Error(err)
	}
}

// TestEstablishedQuota: an owner with nothing but established sessions is
// refused the next one, and keeps those.
func TestEstablishedQuota(t *testing.T) {
	tab := table(t, session.Config{Capacity: 100})
	tab.SetQuota(7, session.Quota{Sessions: 10})
	for n := range 20 {
		r, res := insert4(tab, n, 7, 1)
		want := session.Inserted
		if n >= 10 {
			want = session.OverQuota
		}
		if res != want {
			t.Fatalf("session %d: %v", n, res)
		}
		if r != 0 {
			establish(tab, r, 1)
		}
	}
	if o := tab.Owner(7); o.Sessions != 10 || o.Refused != 10 || o.Evicted != 0 {
		t.Errorf("%+v", o)
	}
	tab.ResetOwner(7)
	if _, res := insert4(tab, 30, 7, 1); res != session.Inserted {
		t.Errorf("without a quota: %v", res)
	}
}

// TestFull: who has to go when the table is full, and that nobody does when
// all are established.
func TestFull(t *testing.T) {
	var gone []uint32
	tab := table(t, session.Config{Capacity: 5, Gone: func(i uint32, _ *session.Session, _ session.Why) { gone = append(gone, i) }})
	refs := make([]session.Ref, 5)
	for n := range refs {
		refs[n], _ = insert4(tab, n, 0, 10)
		if n != 2 {
			establish(tab, refs[n], 10)
		}
	}
	tab.Seen(refs[4], 1, 40, hdr.TCPRst, 20) // closing, and seen later than the half-open one
	for i, want := range []session.Ref{refs[4], refs[2]} {
		r, res := insert4(tab, 100+i, 0, 30)
		if res != session.Inserted || len(gone) != i+1 || gone[i] != want.Index() {
			t.Fatalf("newcomer %d: %v, gone %v, want %d", i, res, gone, want.Index())
		}
		establish(tab, r, 30)
	}
	if _, res := insert4(tab, 200, 0, 40); res != session.Full || len(gone) != 2 {
		t.Errorf("among established ones: %v, gone %v", res, gone)
	}
	if _, res := insert4(tab, 200, 0, 10+7440); res != session.Inserted || len(gone) < 3 {
		t.Errorf("once they are due: %v, gone %v", res, gone)
	}
	s := tab.Stats()
	if s.Results[session.Full] != 1 || s.Results[session.Inserted] != 8 || s.Evicted != 2 || s.Expired != uint64(len(gone)-2) {
		t.Errorf("%+v", s)
	}
}

// TestConflict: two flows that would be answered with one key.
func TestConflict(t *testing.T) {
	tab := table(t, session.Config{Capacity: 10})
	a, b := flow4(1), flow4(2)
	rev := session.MakeKey4(9, 9, 80, 4000, hdr.ProtoTCP, 0)
	first, res := tab.Insert4(a, rev, tab.Hash4(a), 0, hdr.TCPSyn, 1)
	if res != session.Inserted {
		t.Fatal(res)
	}
	if r, res := tab.Insert4(b, rev, tab.Hash4(b), 0, hdr.TCPSyn, 1); res != session.Conflict || r != first|1 {
		t.Errorf("the same reverse key: %x %v", r, res)
	}
	if r, res := tab.Insert4(a, a.Swap(), tab.Hash4(a), 0, hdr.TCPSyn, 1); res != session.Exists || r != first {
		t.Errorf("the same key: %x %v", r, res)
	}
	if got := tab.Out4(first); got != rev.Swap() {
		t.Errorf("leaves forward as %v", got)
	}
	if got := tab.Out4(first | 1); got != a.Swap() {
		t.Errorf("leaves in reverse as %v", got)
	}
	if _, res := tab.Insert4(b, session.MakeKey4(9, 9, 80, 4001, hdr.ProtoTCP, 0), tab.Hash4(b), 0, hdr.TCPSyn, 1); res != session.Inserted {
		t.Errorf("another port: %v", res)
	}
}
