package session_test

import (
	"math/rand/v2"
	"testing"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/session"
)

func newFrags(t *testing.T, capacity int) *session.Frags {
	t.Helper()
	f, err := session.NewFrags(capacity)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func fragOf(t *testing.T, p []byte) session.FragKey {
	t.Helper()
	var out session.Packet4
	if part := session.Parse4(p, 0, &out); part != session.First && part != session.Later {
		t.Fatalf("part %d", part)
	}
	return out.Frag()
}

// begin is a first fragment, and gap a later one that does not follow it.
var begin, gap = session.Piece{To: 16}, session.Piece{From: 24, To: 32}

func TestFrags(t *testing.T) {
	f := newFrags(t, 64)
	first, later := fragOf(t, ip4(17, more, udpData)), fragOf(t, ip4(17, 5, "ff"))
	if first != later {
		t.Fatalf("%v and %v are of one packet", first, later)
	}
	tcp := fragOf(t, ip4(6, 5, "ff"))
	if first == tcp {
		t.Error("another protocol is another packet")
	}
	want := func(k session.FragKey, now uint32, sport, dport uint16, answer session.FragAnswer) {
		t.Helper()
		if s, d, a := f.Later(&k, gap, now); s != sport || d != dport || a != answer {
			t.Errorf("at %d: %d %d %d, want %d %d %d", now, s, d, a, sport, dport, answer)
		}
	}
	// In order.
	if held := f.First(&first, 1234, 53, begin, 100); held != 0 {
		t.Errorf("%d held", held)
	}
	want(later, 100, 1234, 53, session.Known)
	want(later, 129, 1234, 53, session.Known)
	want(later, 130, 0, 0, session.Hold) // too old: as if the first had not come
	// Out of order.
	want(tcp, 200, 0, 0, session.Hold)
	want(tcp, 201, 0, 0, session.Hold)
	if held := f.First(&tcp, 7, 8, begin, 202); held != 2 {
		t.Errorf("%d held, want 2", held)
	}
	want(tcp, 203, 7, 8, session.Known)
	// The identification is used again.
	if held := f.First(&tcp, 9, 10, begin, 204); held != 0 {
		t.Errorf("%d held", held)
	}
	want(tcp, 204, 9, 10, session.Known)
	// The first never comes.
	for range session.MaxHeld {
		want(first, 300, 0, 0, session.Hold)
	}
	want(first, 300, 0, 0, session.Drop)
	if s := f.Stats(); s.First != 3 || s.Known != 4 || s.Dropped != 1 || s.Evicted != 0 || s.Held != 3+session.MaxHeld {
		t.Errorf("%+v", s)
	}
	if _, err := session.NewFrags(0); err == nil {
		t.Error("no entries at all")
	}
}

// TestFragsFlood: fragments whose first never comes take no place from packets
// whose first did, and the table stays as it was made.
func TestFragsFlood(t *testing.T) {
	f := newFrags(t, 64)
	good := fragOf(t, ip4(17, more, udpData))
	f.First(&good, 1234, 53, begin, 1)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		p := ip4(17, 5, "ff")
		p[4], p[5], p[15] = byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())|2
		k := fragOf(t, p)
		if _, _, a := f.Later(&k, gap, 2); a == session.Known {
			t.Fatal("known, and never seen")
		}
	}
	if s, d, a := f.Later(&good, gap, 3); s != 1234 || d != 53 || a != session.Known {
		t.Errorf("%d %d %d", s, d, a)
	}
	if s := f.Stats(); s.Capacity != 64 || s.Evicted == 0 {
		t.Errorf("%+v", s)
	}
}

// TestFrags6: IPv6 packets are told apart by addresses and identification
// alone (RFC 8200, section 4.5).
func TestFrags6(t *testing.T) {
	f := newFrags(t, 64)
	var first, later session.Packet6
	if part := session.Parse6(ip6(44, "11000001 00000009"+udpData), 0, &first); part != session.First {
		t.Fatal(part)
	}
	if part := session.Parse6(ip6(44, "11000011 00000009"+"ff"), 0, &later); part != session.Later {
		t.Fatal(part)
	}
	a, b := first.Frag(), later.Frag()
	f.First(&a, first.Key.SrcPort(), first.Key.DstPort(), first.At, 1)
	sport, dport, answer := f.Later(&b, later.At, 1)
	if answer != session.Known || later.Key.WithPorts(sport, dport) != first.Key {
		t.Errorf("%d %d %d", sport, dport, answer)
	}
	if k := later.Key.Proto(); k != hdr.ProtoUDP {
		t.Errorf("protocol %d", k)
	}
}

// TestFragsComplete: a packet of three fragments is forgotten soon after it is
// complete, and copies of its fragments pass until then. If one is missing, or
// came out of order, it is known for as long as any.
func TestFragsComplete(t *testing.T) {
	whole := ip4(17, more, udpData)
	const first, middle, last = 0, 1, 2
	pieces := []session.Piece{{To: 16}, {From: 16, To: 32}, {From: 32, To: 40, Last: true}}
	for _, c := range []struct {
		name  string
		order []int
		done  bool
	}{
		{"in order", []int{first, middle, last}, true},
		{"with copies", []int{first, first, middle, middle, last, last, first, middle, last}, true},
		{"a copy of the first begins anew", []int{first, middle, last, first, middle}, false},
		{"the last before the middle", []int{first, last, middle}, false},
		{"the first at the end", []int{middle, last, first}, false},
		{"the first at the end, and those that waited", []int{middle, last, first, middle, last}, true},
		{"those that waited, the other way round", []int{last, middle, first, last, middle}, false},
		{"no middle", []int{first, last, last, last}, false},
		{"no last", []int{first, middle}, false},
	} {
		f, k := newFrags(t, 64), fragOf(t, whole)
		seen := false // the first
		for _, i := range c.order {
			if i == first {
				f.First(&k, 7, 8, pieces[i], 100)
				seen = true
			} else if s, d, a := f.Later(&k, pieces[i], 100); seen && (s != 7 || d != 8 || a != session.Known) {
				t.Errorf("%s: %d %d %d", c.name, s, d, a)
			}
		}
		if s, d, a := f.Later(&k, pieces[middle], 101); s != 7 || d != 8 || a != session.Known {
			t.Errorf("%s: a late copy: %d %d %d", c.name, s, d, a)
		}
		want := session.Known
		if c.done {
			want = session.Hold // as it may be of another packet
		}
		if _, _, a := f.Later(&k, pieces[middle], 102); a != want {
			t.Errorf("%s: two seconds later: %d, want %d", c.name, a, want)
		}
	}
}

// TestFragsRoom: what is complete makes room first, before what waits for its
// first fragment and what waits for its last, and is no loss.
func TestFragsRoom(t *testing.T) {
	f := newFrags(t, 4) // one set
	key := func(id byte) session.FragKey {
		p := ip4(17, more, udpData)
		p[5] = id
		return fragOf(t, p)
	}
	open, awaited, done, more := key(1), key(2), key(3), key(4)
	f.First(&open, 1, 1, begin, 10)
	f.Later(&awaited, gap, 10)
	f.First(&done, 3, 3, begin, 11)
	f.Later(&done, session.Piece{From: 16, To: 20, Last: true}, 11)
	f.First(&more, 4, 4, begin, 11)
	last := key(5)
	f.First(&last, 5, 5, begin, 11)
	for _, k := range []session.FragKey{open, more, last} {
		if _, _, a := f.Later(&k, gap, 11); a != session.Known {
			t.Errorf("%v is not known", k)
		}
	}
	if held := f.First(&awaited, 2, 2, begin, 11); held != 1 || f.Stats().Evicted != 0 {
		t.Errorf("%d held, %+v", held, f.Stats())
	}
}

// TestPieces: where fragments of both families lie.
func TestPieces(t *testing.T) {
	var p4 session.Packet4
	var p6 session.Packet6
	n := uint32(len(udpData) / 2) // in hex
	session.Parse4(ip4(17, more, udpData), 0, &p4)
	session.Parse6(ip6(44, "11000001 00000009"+udpData), 0, &p6)
	if want := (session.Piece{To: n}); p4.At != want || p6.At != want {
		t.Errorf("the first: %+v, %+v, want %+v", p4.At, p6.At, want)
	}
	session.Parse4(ip4(17, more|5, "ffff"), 0, &p4)
	session.Parse6(ip6(44, "11000029 00000009"+"ffff"), 0, &p6)
	if want := (session.Piece{From: 40, To: 42}); p4.At != want || p6.At != want {
		t.Errorf("in between: %+v, %+v, want %+v", p4.At, p6.At, want)
	}
	session.Parse4(ip4(17, 5, "ffff"), 0, &p4)
	session.Parse6(ip6(44, "11000028 00000009"+"ffff"), 0, &p6)
	if want := (session.Piece{From: 40, To: 42, Last: true}); p4.At != want || p6.At != want {
		t.Errorf("the last: %+v, %+v, want %+v", p4.At, p6.At, want)
	}
}
