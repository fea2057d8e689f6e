package control

import (
	"os"
	"testing"
)

// What one has learnt the next knows, as something to be asked about; what was
// set by hand comes another way. A file that is damaged, or that is not of a
// predecessor, is not believed, and none is left.
func TestNeighborsGoOn(t *testing.T) {
	dir := t.TempDir()
	old := onLink(t)
	old.cfg.RunDir = dir
	old.mu.Lock()
	for i, ip := range []string{"10.0.0.1", "2001:db8::1"} {
		old.notice(seen(ip, byte(i+1)))
	}
	old.mu.Unlock()
	for _, test := range []struct {
		name    string
		inherit bool
		text    string // instead of what the old one has left
		want    int
	}{
		{"a successor", true, "", 2},
		{"not a successor", false, "", 0},
		{"damaged", true, "[{", 0},
		{"not a MAC", true, `[{"interface": "host-x", "ip": "10.0.0.1", "mac": "1"}]`, 0},
		{"another interface", true, `[{"interface": "host-y", "ip": "10.0.0.1", "mac": "02:00:00:00:00:01"}]`, 0},
	} {
		if err := old.leaveNeighbors(); err != nil {
			t.Fatal(err)
		}
		if test.text != "" {
			if err := os.WriteFile(neighborsPath(dir), []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		next := onLink(t)
		next.cfg.RunDir, next.inherit = dir, test.inherit
		next.inheritNeighbors()
		all := next.Neighbors()
		if len(all) != test.want {
			t.Errorf("%s: %v", test.name, all)
		}
		for _, n := range all {
			if n.State != Stale || n.Age < reachable || n.Interface != "host-x" {
				t.Errorf("%s: %+v", test.name, n)
			}
		}
		if _, err := os.Stat(neighborsPath(dir)); err == nil {
			t.Errorf("%s: the file is left", test.name)
		}
	}
}
