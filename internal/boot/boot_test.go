package boot

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
)

// A machine boots, runs services, and leaves nothing behind.
func TestBoot(t *testing.T) {
	l := lab.ForTest(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	m, err := Start(ctx, l.Add(t, "host"), map[string]string{
		"etc/systemd/system/hello.service": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/local/bin/hello\n",
	})
	lab.Need(t, err)
	lab.Need(t, os.WriteFile(m.Path("/usr/local/bin/hello"), []byte("#!/bin/sh\necho $$ >/run/hello\n"), 0o755))
	_, err = m.Exec(ctx, "systemctl", "start", "hello")
	if err != nil {
		t.Errorf("%v\n%s", err, m.Log())
	}
	if state, err := m.Show(ctx, "hello", "ActiveState"); err != nil || state != "active" {
		t.Errorf("%s, %v", state, err)
	}
	if _, err := os.Stat(m.Path("/run/hello")); err != nil {
		t.Error(err)
	}
	dir, cgroup := m.dir, m.cgroup
	lab.Need(t, m.Close())
	for _, path := range []string{dir, cgroup} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is left", path)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), dir) {
		t.Errorf("mounts are left: %v", err)
	}
}
