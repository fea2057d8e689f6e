package control

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/zap"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/hdr"
	"github.com/skein-dataplane/skein/nodes"
	"github.com/skein-dataplane/skein/session"
	"github.com/skein-dataplane/skein/state"
)

// sharded returns a Control with some workers, whose run directory is dir.
func sharded(t *testing.T, dir string, workers, capacity int) *Control {
	t.Helper()
	cfg := configs.Default()
	cfg.RunDir, cfg.Workers.Count, cfg.Sessions.Capacity = dir, workers, capacity
	c, err := New(cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.claim(); err != nil {
		t.Fatal(err)
	}
	return c
}

// leave closes what sharded has opened.
func leave(t *testing.T, c *Control, tables []*session.Table) {
	t.Helper()
	if err := errors.Join(closeTables(tables), c.release(), c.closeWorkers()); err != nil {
		t.Fatal(err)
	}
}

const plainFlows, natFlows = 600, 200

func flowKey(n int) session.Key4 {
	return session.MakeKey4(hdr.Addr4(n), hdr.Addr4From(netip.MustParseAddr("192.0.2.1")), uint16(n), 80, hdr.ProtoTCP, 0)
}

// open4 puts a flow where it belongs, as the nodes do.
func open4(t *testing.T, c *Control, tables []*session.Table, k, rev session.Key4) bool {
	t.Helper()
	at := nodes.Owner4(&state.State{}, c.sharding, k)
	if nodes.Owner4(&state.State{}, c.sharding, rev) != at {
		return false
	}
	_, res := tables[at].Insert4(k, rev, tables[at].Hash4(k), 3, hdr.TCPSyn, session.Now())
	return res == session.Inserted
}

// Flows that are not translated survive any change of the number of workers, and
// of the capacity; translated ones where both directions have one worker.
func TestReshard(t *testing.T) {
	dir := t.TempDir()
	c := sharded(t, dir, 1, 4000)
	tables, err := c.openTables()
	if err != nil {
		t.Fatal(err)
	}
	for n := range plainFlows {
		if k := flowKey(n); !open4(t, c, tables, k, k.Swap()) {
			t.Fatal("no room")
		}
	}
	for n := range natFlows {
		k := flowKey(plainFlows + n)
		rev := session.MakeKey4(k.Dst(), hdr.Addr4From(netip.MustParseAddr("203.0.113.1")), 80, uint16(n+1), hdr.ProtoTCP, 0)
		if !open4(t, c, tables, k, rev) {
			t.Fatal("no room")
		}
	}
	leave(t, c, tables)
	left := natFlows
	for _, step := range []struct{ workers, capacity int }{{2, 4000}, {2, 4000}, {2, 3000}, {5, 3000}, {1, 3000}, {1, 900}} {
		c := sharded(t, dir, step.workers, step.capacity)
		tables, err := c.openTables()
		if err != nil {
			t.Fatal(err)
		}
		plain, translated := 0, 0
		for worker, tab := range tables {
			for i := tab.Next(0); i != 0; i = tab.Next(i) {
				if at := home(tab, i, &state.State{}, c.sharding); at != worker {
					t.Fatalf("%+v: a flow of worker %d is at %d", step, at, worker)
				}
				r := session.Ref(i << 1)
				if tab.Key4(r) == tab.Out4(r) {
					plain++
				} else {
					translated++
				}
			}
		}
		files, err := filepath.Glob(SessionsPath(dir) + "*")
		if err != nil {
			t.Fatal(err)
		}
		want := step.workers
		if want > 1 {
			want++ // and who has what
		}
		if plain != plainFlows || translated > left || step.workers < 3 && translated < left/4 || len(files) != want || len(tables) != step.workers {
			t.Errorf("%+v: %d of %d flows, and %d of %d translated ones; files %v", step, plain, plainFlows, translated, left, files)
		}
		left = translated
		leave(t, c, tables)
	}
	if left == 0 {
		t.Error("no translated flow has survived")
	}
}

// A daemon that is killed while it deals flows out, here after the first of three
// files has its name, leaves all flows to the next one.
func TestReshardKilled(t *testing.T) {
	dir := t.TempDir()
	c := sharded(t, dir, 2, 4000)
	tables := filled(t, c)
	was := layout{2, c.sharding.Seed()}
	leave(t, c, tables)
	c = sharded(t, dir, 3, 4000)
	leave(t, c, need(t, c.openTables))
	// Undo what was done last.
	for _, i := range []int{1, 2} {
		if err := os.Rename(shardPath(dir, i), shardPath(dir, 3+i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := was.write(dir); err != nil {
		t.Fatal(err)
	}
	c = sharded(t, dir, 3, 4000)
	n := 0
	tables = need(t, c.openTables)
	for _, tab := range tables {
		n += tab.Stats().Sessions
	}
	if n != plainFlows {
		t.Errorf("%d flows, want %d", n, plainFlows)
	}
	leave(t, c, tables)
}

// filled opens the tables, and plainFlows in them.
func filled(t *testing.T, c *Control) []*session.Table {
	t.Helper()
	tables := need(t, c.openTables)
	for n := range plainFlows {
		k := flowKey(n)
		open4(t, c, tables, k, k.Swap())
	}
	return tables
}

func need(t *testing.T, open func() ([]*session.Table, error)) []*session.Table {
	t.Helper()
	tables, err := open()
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// What says who has which flows may be damaged: flows are dealt out anew, with a
// seed of its own.
func TestLayoutDamaged(t *testing.T) {
	dir := t.TempDir()
	c := sharded(t, dir, 2, 4000)
	tables := filled(t, c)
	seed := c.sharding.Seed()
	leave(t, c, tables)
	if err := os.WriteFile(layoutPath(dir), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	c = sharded(t, dir, 2, 4000)
	tables = need(t, c.openTables)
	if n := tables[0].Stats().Sessions + tables[1].Stats().Sessions; n != plainFlows || c.sharding.Seed() == seed {
		t.Errorf("%d flows, want %d", n, plainFlows)
	}
	leave(t, c, tables)
}

// A flow that is tunnelled is the worker's that its packets come to: the key of
// its answers is one that no packet has.
func TestReshardTunnelled(t *testing.T) {
	tables := make([]*session.Table, 1)
	var err error
	if tables[0], err = session.New(session.Config{Capacity: 200}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closeTables(tables); err != nil {
			t.Error(err)
		}
	})
	by, err := session.NewSharding(4)
	if err != nil {
		t.Fatal(err)
	}
	tab := tables[0]
	for n := range 60 {
		k := flowKey(n)
		rev := session.MakeKey4(hdr.Addr4(0xc0000214), k.Src(), 80, k.SrcPort(), hdr.ProtoTCP, 7)
		r, res := tab.Insert4(k, rev, tab.Hash4(k), 3, hdr.TCPSyn, session.Now())
		k6 := session.MakeKey6(hdr.Addr6{Lo: uint64(n)}, hdr.Addr6{Hi: 1}, uint16(n), 80, hdr.ProtoTCP, 0)
		rev6 := session.MakeKey6(hdr.Addr6{Hi: 2}, hdr.Addr6{Lo: uint64(n)}, 80, uint16(n), hdr.ProtoTCP, 7)
		r6, res6 := tab.Insert6(&k6, &rev6, tab.Hash6(&k6), 3, hdr.TCPSyn, session.Now())
		if res != session.Inserted || res6 != session.Inserted {
			t.Fatal(res, res6)
		}
		st := new(state.State)
		if at := home(tab, r.Index(), st, by); at != by.Of4(k) {
			t.Errorf("%v is given to %d, its packets to %d", k, at, by.Of4(k))
		}
		if at := home(tab, r6.Index(), st, by); at != by.Of6(&k6) {
			t.Errorf("%v is given to %d, its packets to %d", k6, at, by.Of6(&k6))
		}
	}
}
