package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/internal/lab"
)

// A configuration that went wrong after the daemon had started, or went away,
// does not keep restore from looking.
func TestRunDirOfAnyConfig(t *testing.T) {
	usual := configs.Default().RunDir
	for _, tt := range []struct {
		text, dir string
		wrong     bool
	}{
		{text: "run_dir: /run/elsewhere\nuplinks: [{interface: eth0}]\n", dir: "/run/elsewhere"},
		{text: "uplinks: [{interface: eth0, driver: dpdk}]\n", dir: usual, wrong: true},
		{text: "uplinks: [", dir: usual, wrong: true},
	} {
		path := filepath.Join(t.TempDir(), "skeind.yaml")
		lab.Need(t, os.WriteFile(path, []byte(tt.text), 0o600))
		if dir, err := runDir(path); dir != tt.dir || (err != nil) != tt.wrong {
			t.Errorf("%q: %s, %v", tt.text, dir, err)
		}
	}
	if dir, err := runDir(filepath.Join(t.TempDir(), "none")); dir != usual || err != nil {
		t.Errorf("no file: %s, %v", dir, err)
	}
}
