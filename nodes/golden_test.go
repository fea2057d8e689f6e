package nodes_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write what comes out into the golden files")

// TestGolden sends packets through the whole graph as the files in testdata
// say. A report of a bug can be one: put it there, and say what should have
// come out.
//
// A file begins with a line on what it shows. Then come sections, in the order
// in which things happen:
//
//	-- config --        interfaces, routes and neighbours (see world); a second
//	                    one changes the first: more lines, or "no" before one
//	-- in NAME --       packets that interface NAME receives, as tcpdump lines;
//	                    {tcp4 1448} behind one makes it a superpacket
//	-- wait 1s --       lets time pass
//	-- out --           what all interfaces have sent since the last out, as
//	                    "NAME: packet"
//	-- drops --         what was dropped since the last drops, as "COUNT node: reason"
//
// All packets that are in before an out are received at once. -update writes
// out and drops anew.
func TestGolden(t *testing.T) {
	for _, file := range goldenFiles(t) {
		t.Run(goldenName(file), func(t *testing.T) { golden(t, file) })
	}
}

func goldenFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 12 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	return files
}

func goldenName(file string) string { return strings.TrimSuffix(filepath.Base(file), ".txtar") }

func golden(t *testing.T, file string) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w := newWhole(t, "")
	w.Now = int64(time.Hour)
	for i := range a.Files {
		s := &a.Files[i]
		got := w.step(t, s.Name, string(s.Data))
		switch {
		case s.Name != "out" && s.Name != "drops" || got == string(s.Data):
		case *update:
			s.Data = []byte(got)
		default:
			t.Errorf("%s: section %d, %s\ngot\n%swant\n%s", file, i+1, s.Name, got, s.Data)
		}
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// Let nothing be parked for ever.
	for range 4 {
		w.advance(t, int64(time.Second))
	}
	if n := w.parked(); n != 0 {
		t.Errorf("%d packets parked after 4 s", n)
	}
}

// step does what a section says, and returns what an out or drops should hold.
func (w *whole) step(t *testing.T, name, data string) string {
	t.Helper()
	verb, arg, _ := strings.Cut(name, " ")
	switch verb {
	case "config":
		w.change(t, data)
		w.advance(t, 0)
	case "in":
		i := w.world.index[arg]
		if i == 0 {
			t.Fatalf("no interface %q", arg)
		}
		for text := range strings.Lines(data) {
			if text = strings.TrimSpace(text); text == "" || text[0] == '#' {
				continue
			}
			packet, err := receive(text, w.queues[i].ethernet)
			if err != nil {
				t.Fatal(err)
			}
			w.queues[i].rx = append(w.queues[i].rx, packet)
		}
	case "wait":
		d, err := time.ParseDuration(arg)
		if err != nil {
			t.Fatal(err)
		}
		w.advance(t, int64(d))
	case "out":
		w.advance(t, 0)
		return join(w.sent())
	case "drops":
		w.advance(t, 0)
		return join(w.newDrops())
	default:
		t.Fatalf("no section %q is known", name)
	}
	return ""
}

func join(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}
