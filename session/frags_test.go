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
		if s, d, a := f.Later(&k, now); s != sport || d != dport || a != answer {
			t.Errorf("at %d: %d %d %d, want %d %d %d", now, s, d, a, sport, dport, answer)
		}
	}
	// In order.
	if held := f.First(&first, 1234, 53, 100); held != 0 {
		t.Errorf("%d held", held)
	}
	want(later, 100, 1234, 53, session.Known)
	want(later, 129, 1234, 53, session.Known)
	want(later, 130, 0, 0, session.Hold) // too old: as if the first had not come
	// Out of order.
	want(tcp, 200, 0, 0, session.Hold)
	want(tcp, 201, 0, 0, session.Hold)
	if held := f.First(&tcp, 7, 8, 202); held != 2 {
		t.Errorf("%d held, want 2", held)
	}
	want(tcp, 203, 7, 8, session.Known)
	// The identification is used again.
	if held := f.First(&tcp, 9, 10, 204); held != 0 {
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
	f.First(&good, 1234, 53, 1)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		p := ip4(17, 5, "ff")
		p[4], p[5], p[15] = byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())|2
		k := fragOf(t, p)
		if _, _, a := f.Later(&k, 2); a == session.Known {
			t.Fatal("known, and never seen")
		}
	}
	if s, d, a := f.Later(&good, 3); s != 1234 || d != 53 || a != session.Known {
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
	f.First(&a, first.Key.SrcPort(), first.Key.DstPort(), 1)
	sport, dport, answer := f.Later(&b, 1)
	if answer != session.Known || later.Key.WithPorts(sport, dport) != first.Key {
		t.Errorf("%d %d %d", sport, dport, answer)
	}
	if k := later.Key.Proto(); k != hdr.ProtoUDP {
		t.Errorf("protocol %d", k)
	}
}
