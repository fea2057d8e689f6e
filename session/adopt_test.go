package session_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/session"
)

// TestAdopt deals the sessions of one table out to two, of both families,
// translated and not.
func TestAdopt(t *testing.T) {
	dir := t.TempDir()
	from, _ := open(t, filepath.Join(dir, "from"), session.Config{Capacity: 1000}, 100)
	defer closeTable(t, from)
	const each = 100
	fill4(t, from, each, 100)
	for n := range each {
		k, out := flow4(1000+n), session.MakeKey4(hdr.Addr4(n), 9, 1, 2, hdr.ProtoTCP, 0)
		r, res := from.Insert4(k, out, from.Hash4(k), 3, hdr.TCPSyn, 100)
		k6, out6 := flow6(n), session.MakeKey6(hdr.Addr6{Lo: uint64(n)}, hdr.Addr6{Hi: 9}, 1, 2, hdr.ProtoTCP, 0)
		plain := flow6(1000 + n)
		rev := plain.Swap()
		_, res6 := from.Insert6(&k6, &out6, from.Hash6(&k6), 3, hdr.TCPSyn, 100)
		_, resPlain := from.Insert6(&plain, &rev, from.Hash6(&plain), 3, hdr.TCPSyn, 100)
		if res != session.Inserted || res6 != session.Inserted || resPlain != session.Inserted {
			t.Fatal(res, res6, resPlain)
		}
		from.Seen(r, 1, uint32(n), hdr.TCPSyn, 100)
		s := from.At(r.Index())
		s.Gen, s.Verdict, s.Flags = 5, session.Allow, 6
	}
	paths := []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}
	var to [2]*session.Table
	for i := range to {
		to[i], _ = open(t, paths[i], session.Config{Capacity: 400}, 100)
	}
	for i := from.Next(0); i != 0; i = from.Next(i) {
		if !to[i%2].Adopt(from, i, 200) {
			t.Fatalf("session %d was refused", i)
		}
		if to[i%2].Adopt(from, i, 200) {
			t.Fatalf("session %d was taken twice", i)
		}
	}
	for i := range to { // as the next process finds them
		if err := to[i].Check(); err != nil {
			t.Fatal(err)
		}
		closeTable(t, to[i])
		var a session.Attached
		if to[i], a = open(t, paths[i], session.Config{Capacity: 400}, 200); a.Dropped != 0 || a.Empty != "" {
			t.Errorf("%+v", a)
		}
		defer closeTable(t, to[i])
	}
	if n := to[0].Stats().Sessions + to[1].Stats().Sessions; n != 4*each {
		t.Errorf("%d sessions have come, want %d", n, 4*each)
	}
	for i := from.Next(0); i != 0; i = from.Next(i) {
		if !same(to[i%2], from, i) {
			t.Fatalf("session %d is another now", i)
		}
	}
}

// same reports whether a table has a session of another, as it was but for its
// verdict.
func same(tab, from *session.Table, i uint32) bool {
	r, was := session.Ref(i<<1), from.At(i)
	var at session.Ref
	var keys bool
	if was.IsIPv6() {
		k := from.Key6(r)
		at = tab.Find6(&k, tab.Hash6(&k))
		keys = at != 0 && tab.Out6(at) == from.Out6(r)
	} else {
		k := from.Key4(r)
		at = tab.Find4(k, tab.Hash4(k))
		keys = at != 0 && tab.Out4(at) == from.Out4(r)
	}
	if !keys {
		return false
	}
	s := tab.At(at.Index())
	return s.Class() == was.Class() && s.Owner() == was.Owner() && s.Flags == was.Flags && s.Last == was.Last &&
		s.Gen == 0 && s.Verdict == session.Undecided && tab.Counts(at.Index()) == from.Counts(i)
}

// A table that is full of established sessions takes no more, and stays whole.
func TestAdoptFull(t *testing.T) {
	from, err := session.New(session.Config{Capacity: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer closeTable(t, from)
	to, err := session.New(session.Config{Capacity: 30})
	if err != nil {
		t.Fatal(err)
	}
	defer closeTable(t, to)
	fill4(t, from, 60, 100)
	moved := 0
	for i := from.Next(0); i != 0; i = from.Next(i) {
		if to.Adopt(from, i, 100) {
			moved++
		}
	}
	if err := to.Check(); err != nil || moved != 30 || to.Stats().Sessions != 30 {
		t.Errorf("%d moved, %+v, %v", moved, to.Stats(), err)
	}
}

func TestStoredCapacity(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sessions")
	if _, err := session.StoredCapacity(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	tab, _ := open(t, path, session.Config{Capacity: 77}, 1)
	closeTable(t, tab)
	if n, err := session.StoredCapacity(path); n != 77 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for name, text := range map[string]string{"short": "skeinses", "other": string(make([]byte, 4096))} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if n, err := session.StoredCapacity(path); n != 0 || err != nil {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
}
