package cni_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/containernetworking/cni/libcni"

	"github.com/skein-dataplane/skein/internal/lab"
)

// TestSamples: the lists that Skein comes with are lists.
func TestSamples(t *testing.T) {
	all, err := filepath.Glob("../configs/cni/*.conflist")
	if err != nil || len(all) == 0 {
		t.Fatalf("%v, %v", all, err)
	}
	for _, path := range all {
		if list, err := libcni.ConfListFromFile(path); err != nil || len(list.Plugins) == 0 {
			t.Errorf("%s: %v, %v", path, list, err)
		}
	}
}

// TestInstall puts binary and list in place, runs what is there, and removes
// it.
func TestInstall(t *testing.T) {
	dir := t.TempDir()
	bin, conf := filepath.Join(dir, "opt/bin"), filepath.Join(dir, "etc/net.d")
	run := func(args ...string) error {
		cmd := exec.Command(filepath.Join(os.Getenv(envBin), "skein-cni"), append(args, "--bin-dir", bin, "--conf-dir", conf)...)
		out, err := cmd.CombinedOutput()
		t.Logf("%v: %s", args, out)
		return err
	}
	for range 2 { // also over itself
		lab.Need(t, run("install"))
	}
	list, err := libcni.ConfListFromFile(filepath.Join(conf, "10-skein.conflist"))
	lab.Need(t, err)
	installed := libcni.NewCNIConfig([]string{bin}, nil)
	if _, err := installed.GetVersionInfo(t.Context(), list.Plugins[0].Network.Type); err != nil {
		t.Error(err)
	}
	for _, d := range []string{bin, conf} {
		if all, _ := os.ReadDir(d); len(all) != 1 {
			t.Errorf("%s has %v", d, all)
		}
	}
	for range 2 {
		lab.Need(t, run("uninstall"))
	}
	for _, d := range []string{bin, conf} {
		if all, _ := os.ReadDir(d); len(all) != 0 {
			t.Errorf("%s has %v", d, all)
		}
	}
	others := filepath.Join(conf, "10-skein.conflist")
	lab.Need(t, os.WriteFile(others, []byte(`{"name": "x", "plugins": [{"type": "bridge"}]}`), 0o600))
	if run("uninstall") == nil {
		t.Error("a list of somebody else is removed")
	}
	if run("install", "--name", "../x.conflist") == nil || run("install", "--conflist", "/dev/null") == nil {
		t.Error("what is no list is put in place")
	}
}
