package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What the lab's shell suggests is found, wherever the program lies.
func TestShellFindsPrograms(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "skeinctl"), []byte("#!/bin/sh\necho found $1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	sh := exec.CommandContext(t.Context(), "/bin/sh", "-c", "skeinctl ours; ls / >/dev/null && echo and others")
	sh.Env = shellEnv(dir)
	out, err := sh.CombinedOutput()
	if got := strings.Fields(string(out)); err != nil || strings.Join(got, " ") != "found ours and others" {
		t.Errorf("%s, %v", out, err)
	}
}
