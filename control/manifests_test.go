package control

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/configs"
)

// Files of services are checked before a daemon starts: each by itself, and all
// of them together.
func TestCheckServices(t *testing.T) {
	dir := t.TempDir()
	const service = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: 10.96.0.1, ports: [{port: %}]}}\n"
	for name, text := range map[string]string{
		"right.yaml": strings.ReplaceAll(service, "%", "80"), "again.yml": strings.ReplaceAll(service, "%", "81"),
		"wrong.json": strings.ReplaceAll(service, "%", "0"), "notes.txt": "not read",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in := func(names ...string) error {
		for i, n := range names {
			names[i] = filepath.Join(dir, n)
		}
		return CheckServices(configs.Services{Files: names})
	}
	if err := in("right.yaml"); err != nil {
		t.Error(err)
	}
	for _, x := range []struct {
		err  error
		is   error
		what string
	}{
		{in("right.yaml", "again.yml"), ErrExists, "Service default/web in " + filepath.Join(dir, "again.yml")},
		{in("wrong.json"), ErrInvalid, "wrong.json:1:"},
		{in("."), ErrInvalid, "wrong.json:1:"},
		{in("nobody.yaml"), os.ErrNotExist, "nobody.yaml"},
	} {
		if !errors.Is(x.err, x.is) || !strings.Contains(x.err.Error(), x.what) {
			t.Errorf("got %v, want %v with %q", x.err, x.is, x.what)
		}
	}
}
