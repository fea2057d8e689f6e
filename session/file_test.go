package session_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/session"
)

func open(tb testing.TB, path string, c session.Config, now uint32) (*session.Table, session.Attached) {
	tb.Helper()
	t, a, err := session.Open(path, c, now)
	if err != nil {
		tb.Fatal(err)
	}
	if err := t.Check(); err != nil {
		tb.Fatal(err)
	}
	return t, a
}

func closeTable(tb testing.TB, t *session.Table) {
	tb.Helper()
	if err := t.Close(); err != nil {
		tb.Fatal(err)
	}
}

// TestOpen: sessions come back with their keys, state and counters, and are
// undecided.
func TestOpen(t *testing.T) {
	path, c := filepath.Join(t.TempDir(), "sessions"), session.Config{Capacity: 1000}
	tab, a := open(t, path, c, 100)
	if a != (session.Attached{Empty: "the file is new"}) {
		t.Errorf("a new file: %+v", a)
	}
	fill4(t, tab, 500, 100)
	for i := tab.Next(0); i != 0; i = tab.Next(i) {
		s := tab.At(i)
		s.Gen, s.Verdict, s.Flags = 5, session.Allow, uint16(i)
		*tab.Data(session.Ref(i << 1)), *tab.Data(session.Ref(i<<1 | 1)) = 1, 2
	}
	tab.At(7).Last = 5000 // as if the clock had been ahead
	if _, _, err := session.Open(path, c, 100); !errors.Is(err, session.ErrInUse) {
		t.Errorf("a second owner: %v", err)
	}
	closeTable(t, tab)
	tab, a = open(t, path, c, 200)
	defer closeTable(t, tab)
	if a != (session.Attached{Kept: 500}) {
		t.Errorf("taken over: %+v", a)
	}
	if o := tab.Owner(3); o.Sessions != 5 || o.HalfOpen != 0 {
		t.Errorf("owner 3: %+v", o)
	}
	for n := range 500 {
		k := flow4(n)
		r := tab.Find4(k, tab.Hash4(k))
		if r == 0 || tab.Key4(r) != k || tab.Out4(r) != k {
			t.Fatalf("%v: found %x", k, r)
		}
		s := tab.At(r.Index())
		want := uint32(100)
		if r.Index() == 7 {
			want = 200
		}
		if s.Gen != 0 || s.Verdict != session.Undecided || *tab.Data(r) != 0 || *tab.Data(r | 1) != 0 || s.Flags != uint16(r.Index()) ||
			s.Class() != session.TCPEstablished || tab.Counts(r.Index()) != (session.Counts{Packets: [2]uint32{2, 1}, Bytes: [2]uint64{120, 60}}) || s.Last != want {
			t.Fatalf("%v: %+v", k, s)
		}
	}
	if n := tab.Expire(100+7440, 1<<20); n != 499 {
		t.Errorf("%d expired, want all but the one from the future", n)
	}
}

// TestOpenRefuses: what is not this table's file is not taken over, and Open
// says why.
func TestOpenRefuses(t *testing.T) {
	c := session.Config{Capacity: 50}
	for _, test := range []struct {
		want string
		edit func(path string, f []byte) []byte
	}{
		{"the file is new", func(_ string, f []byte) []byte { return nil }},
		{"the file is too short", func(_ string, f []byte) []byte { return f[:50] }},
		{"the file has ", func(_ string, f []byte) []byte { return f[:len(f)-1] }},
		{"the file has ", func(_ string, f []byte) []byte { return append(f, 0) }},
		{"the file has ", func(_ string, f []byte) []byte { return f[:session.HeaderLen] }},
		{"the file does not hold sessions", func(_ string, f []byte) []byte { return make([]byte, len(f)) }},
		{"the header is damaged", func(_ string, f []byte) []byte { f[60] ^= 1; return f }},
		{"the header is damaged", func(_ string, f []byte) []byte { f[32] ^= 1; return f }},
		{"the file is for 50 sessions, not 51", nil},
	} {
		path := filepath.Join(t.TempDir(), "sessions")
		tab, _ := open(t, path, c, 1)
		fill4(t, tab, 20, 1)
		closeTable(t, tab)
		conf := c
		if test.edit == nil {
			conf.Capacity++
		} else {
			f, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, test.edit(path, f), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		tab, a := open(t, path, conf, 1)
		if !strings.HasPrefix(a.Empty, test.want) || a.Kept != 0 || tab.Stats().Sessions != 0 {
			t.Errorf("%q: %+v", test.want, a)
		}
		fill4(t, tab, 20, 1) // and is used all the same
		closeTable(t, tab)
		if tab, a = open(t, path, conf, 1); a.Kept != 20 {
			t.Errorf("%q: afterwards %+v", test.want, a)
		}
		closeTable(t, tab)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/etc/passwd", link); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path     string
		capacity int
		want     string
	}{
		{filepath.Join(dir, "a"), 0, "session: capacity of 0"},
		{filepath.Join(dir, "a"), session.MaxCapacity + 1, "session: capacity of"},
		{link, 10, "open: "},
		{dir, 10, "open: "},
		{filepath.Join(dir, "no", "a"), 10, "open: "},
		{"/dev/null", 10, "not a regular file"},
	} {
		if _, _, err := session.Open(test.path, session.Config{Capacity: test.capacity}, 1); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s, %d: %v", test.path, test.capacity, err)
		}
	}
	if _, err := session.New(session.Config{}); err == nil {
		t.Error("a table for no sessions")
	}
}

// use runs random packets through a table, to see that it holds.
func use(tab *session.Table, rng *rand.Rand, now uint32, n int) {
	for range n {
		if rng.IntN(3) == 0 {
			k := flow6(rng.IntN(200))
			rev := k.Swap()
			if k.SrcPort()%2 == 0 {
				rev = session.MakeKey6(rev.Src(), hdr.Addr6{Lo: 77}, rev.SrcPort(), k.SrcPort(), k.Proto(), 0)
			}
			if r, _ := tab.Insert6(&k, &rev, tab.Hash6(&k), uint16(rng.IntN(4)), hdr.TCPSyn, now); r != 0 {
				tab.Seen(r^session.Ref(rng.IntN(2)), 1, 100, uint8(rng.Uint32()), now)
			}
		} else {
			k := flow4(rng.IntN(200))
			if r, _ := tab.Insert4(k, k.Swap(), tab.Hash4(k), uint16(rng.IntN(4)), hdr.TCPSyn, now); r != 0 {
				tab.Seen(r^session.Ref(rng.IntN(2)), 1, 100, uint8(rng.Uint32()), now)
			}
		}
		if i := tab.Next(rng.Uint32N(100)); i != 0 && rng.IntN(3) == 0 {
			tab.Delete(i)
		}
		if rng.IntN(20) == 0 {
			now += rng.Uint32N(100)
			tab.Expire(now, 10)
		}
	}
}

// damage changes up to 20 records, here and there a byte or a bit of them or
// all of them, and returns how many.
func damage(rng *rand.Rand, all []byte) int {
	const first, second = 64, 32 // bytes of the two parts
	n := len(all) / (first + second)
	hit := map[int]bool{}
	for range rng.IntN(20) {
		i, from := rng.IntN(n), rng.IntN(n)
		hit[i] = true
		a, b := all[i*first:][:first], all[n*first+i*second:][:second]
		switch rng.IntN(5) {
		case 0:
			a[rng.IntN(first)] = byte(rng.Uint32())
		case 1:
			a[rng.IntN(first)] ^= 1 << rng.IntN(8)
		case 2:
			b[rng.IntN(second)] = byte(rng.Uint32())
		case 3:
			b[rng.IntN(second)] ^= 1 << rng.IntN(8)
		case 4: // one record over another
			copy(a, all[from*first:][:first])
			copy(b, all[n*first+from*second:][:second])
		}
	}
	return len(hit)
}

// TestDamage: whatever bytes of the records are damaged, what is taken over is
// whole, and what was not damaged is all there.
func TestDamage(t *testing.T) {
	path, c := filepath.Join(t.TempDir(), "sessions"), session.Config{Capacity: 150}
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 300 {
		tab, a := open(t, path, c, 1000)
		if a.Empty != "" && round > 0 {
			t.Fatalf("round %d: %+v", round, a)
		}
		use(tab, rng, 1000, 300)
		if err := tab.Check(); err != nil {
			t.Fatal(err)
		}
		before := tab.Stats().Sessions
		hit := damage(rng, tab.MappedRecords()[session.RecordsAt:])
		closeTable(t, tab)
		tab, a = open(t, path, c, 1000)
		if a.Kept+2*hit < before || a.Kept > before+hit {
			t.Fatalf("round %d: %d sessions, %d records damaged, %+v", round, before, hit, a)
		}
		use(tab, rng, 2000, 300)
		if err := tab.Check(); err != nil {
			t.Fatal(err)
		}
		closeTable(t, tab)
	}
}

const childEnv = "SKEIN_TEST_SESSIONS"

// TestKillChild is not a test: it is the process that TestKill kills.
func TestKillChild(t *testing.T) {
	path := os.Getenv(childEnv)
	if path == "" {
		return // as part of the ordinary run there is nothing to do
	}
	tab, a, err := session.Open(path, session.Config{Capacity: 400}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if a.Empty != "" {
		stay(t, tab)
	}
	fmt.Println("ready")
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for {
		churn(tab, rng)
	}
}

// stay makes the sessions that no kill may touch.
func stay(tb testing.TB, tab *session.Table) {
	for i := range 50 {
		k := flow4(1_000_000 + i)
		rev := session.MakeKey4(k.Dst(), 0x01010101, k.DstPort(), uint16(i), k.Proto(), 0)
		r, res := tab.Insert4(k, rev, tab.Hash4(k), 9, hdr.TCPSyn, 1000)
		if res != session.Inserted {
			tb.Fatal(res)
		}
		tab.Seen(r|1, 1, 60, hdr.TCPSyn|hdr.TCPAck, 1000)
		tab.Seen(r, 1, 60, hdr.TCPAck, 1000)
	}
}

// churn makes and removes other sessions as fast as it can.
func churn(tab *session.Table, rng *rand.Rand) {
	for range 100 {
		k, k6 := flow4(rng.IntN(300)), flow6(rng.IntN(300))
		if r, _ := tab.Insert4(k, k.Swap(), tab.Hash4(k), 1, hdr.TCPSyn, 1000); r != 0 && rng.IntN(2) == 0 {
			tab.Delete(r.Index())
		}
		rev := session.MakeKey6(hdr.Addr6{}, k6.Src(), 1, k6.SrcPort(), k6.Proto(), 0)
		if r, _ := tab.Insert6(&k6, &rev, tab.Hash6(&k6), 1, hdr.TCPSyn, 1000); r != 0 && rng.IntN(2) == 0 {
			tab.Delete(r.Index())
		}
	}
}

// TestKill: a process that is killed while it makes and removes sessions
// leaves a file that the next one takes over, with all sessions that it was
// not busy with. At most three records are lost: that of the session being made,
// and the two of a translated IPv6 one that gives it its place.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sessions")
	lost := 0
	for round := range 20 {
		child := exec.Command(os.Args[0], "-test.run=^TestKillChild$", "-test.v")
		child.Env = append(os.Environ(), childEnv+"="+path)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() && lines.Text() != "ready" {
		}
		time.Sleep(time.Duration(round) * time.Millisecond)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // "signal: killed"
		tab, a := open(t, path, session.Config{Capacity: 400}, 1000)
		if a.Empty != "" || a.Kept < 50 || a.Dropped > 3 {
			t.Fatalf("round %d: %+v", round, a)
		}
		lost += a.Dropped
		for i := range 50 {
			k := flow4(1_000_000 + i)
			if r := tab.Find4(k, tab.Hash4(k)); r == 0 || tab.At(r.Index()).Class() != session.TCPEstablished {
				t.Fatalf("round %d: session %d is gone", round, i)
			}
		}
		closeTable(t, tab)
	}
	t.Logf("%d records were half written or half removed", lost)
}

// FuzzOpen: no content of a file makes Open or what follows panic or lose
// count.
func FuzzOpen(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed")
	c := session.Config{Capacity: 12}
	tab, _ := open(f, path, c, 1000)
	use(tab, rand.New(rand.NewPCG(5, 6)), 1000, 200)
	closeTable(f, tab)
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole[session.RecordsAt:], uint16(0))
	f.Add(whole[session.RecordsAt:], uint16(77))
	f.Add([]byte{}, uint16(3))
	f.Fuzz(func(t *testing.T, records []byte, at uint16) {
		file := append([]byte(nil), whole...)
		copy(file[session.RecordsAt+int(at)%(len(file)-session.RecordsAt):], records)
		path := filepath.Join(t.TempDir(), "sessions")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		tab, a := open(t, path, c, 1000)
		if a.Empty != "" || a.Kept != tab.Stats().Sessions {
			t.Fatalf("%+v, %+v", a, tab.Stats())
		}
		use(tab, rand.New(rand.NewPCG(7, 8)), 1000, 50)
		if err := tab.Check(); err != nil {
			t.Fatal(err)
		}
		closeTable(t, tab)
	})
}
