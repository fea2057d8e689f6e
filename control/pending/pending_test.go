package pending

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRecords(t *testing.T) {
	run := t.TempDir()
	if all, err := All(run); len(all) != 0 || err != nil {
		t.Errorf("none: %v, %v", all, err)
	}
	r := Record{Name: "skein0123456789", NetNS: "/run/netns/a", Interface: "eth0"}
	for range 2 {
		if err := Put(run, r); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"bad.json": "{", "other.json": `{"name":"else"}`, "skein.123": ""} {
		if err := os.WriteFile(filepath.Join(dir(run), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := All(run)
	if len(all) != 1 || all[0] != r || err == nil {
		t.Errorf("%v, %v: want one, and a word on what can't be read", all, err)
	}
	for range 2 {
		if err := Del(run, r.Name); err != nil {
			t.Error(err)
		}
	}
	if all, _ := All(run); len(all) != 0 {
		t.Errorf("left: %v", all)
	}
	if err := Put(filepath.Join(dir(run), "bad.json"), r); err == nil {
		t.Error("a file is no run directory")
	}
}
