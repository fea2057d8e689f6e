package docs

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// read returns a file of the module, from its directory on.
func read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// exists reports whether the module has such a file, from its directory on.
func exists(name string) bool {
	_, err := os.Stat(filepath.Join("..", name))
	return err == nil
}

// fields returns the names of all fields of a configuration, as in
// "uplinks[].driver".
func fields(t reflect.Type, at string) (out []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("yaml") == "-" { // not for files
			continue
		}
		name := at + f.Tag.Get("yaml")
		inner := f.Type
		if inner.Kind() == reflect.Slice {
			inner = inner.Elem()
			name += "[]"
		}
		if inner.Kind() == reflect.Struct {
			out = append(out, fields(inner, name+".")...)
			continue
		}
		out = append(out, name)
	}
	return out
}

// TestGuideKnowsAllFields compares the guide's table with the configuration's
// schema, both ways.
func TestGuideKnowsAllFields(t *testing.T) {
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_.\\[\\]]+)` \\|").FindAllStringSubmatch(read(t, "docs/guide.md"), -1) {
		documented = append(documented, m[1])
	}
	schema := fields(reflect.TypeFor[configs.Config](), "")
	slices.Sort(schema)
	slices.Sort(documented)
	if !slices.Equal(schema, documented) {
		t.Errorf("docs/guide.md has the fields\n%s\nthe schema\n%s", strings.Join(documented, "\n"), strings.Join(schema, "\n"))
	}
}

// commented are lines of the example that are there to be taken over.
var commented = regexp.MustCompile(`(?m)^(\s*)#(\S|  )`)

// TestExampleConfig reads the example as it is, and with all of it in force.
func TestExampleConfig(t *testing.T) {
	text := read(t, "configs/skeind.yaml")
	if _, err := configs.Parse("skeind.yaml", []byte(text)); err != nil {
		t.Error(err)
	}
	text = commented.ReplaceAllString(text, "$1$2")
	cfg, err := configs.Parse("with all of it", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Pods) == 0 || cfg.API.Group == "" || cfg.Log.File == "" {
		t.Errorf("what is commented out was not read: %+v", cfg)
	}
	for _, f := range fields(reflect.TypeFor[configs.Config](), "") {
		key := strings.TrimSuffix(f[strings.LastIndexByte(f, '.')+1:], "[]")
		if !strings.Contains(text, key+":") {
			t.Errorf("configs/skeind.yaml does not show %s", f)
		}
	}
}

// build builds a command and returns its path.
func build(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", path, "../cmd/"+name).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// TestCheck runs the command that the example names.
func TestCheck(t *testing.T) {
	skeind := build(t, "skeind")
	if out, err := exec.Command(skeind, "--config", "../configs/skeind.yaml", "check").CombinedOutput(); err != nil {
		t.Errorf("skeind check: %v\n%s", err, out)
	}
}

// TestUnit has systemd look at the unit.
func TestUnit(t *testing.T) {
	text := strings.ReplaceAll(read(t, "configs/systemd/skeind.service"), "/usr/local/bin/skeind", "/bin/true")
	path := filepath.Join(t.TempDir(), "skeind.service")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-analyze", "verify", path).CombinedOutput()
	// It has opinions on other units of the machine as well.
	if err != nil || bytes.Contains(out, []byte("skeind.service")) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestCapabilities starts the daemon with no more capabilities than the unit
// leaves it, and sends traffic across.
func TestCapabilities(t *testing.T) {
	lab.NeedRoot(t)
	caps := regexp.MustCompile(`(?m)^CapabilityBoundingSet=(.*)$`).FindStringSubmatch(read(t, "configs/systemd/skeind.service"))
	if caps == nil {
		t.Fatal("the unit does not bound capabilities")
	}
	set := "-all"
	for _, c := range strings.Fields(caps[1]) {
		set += ",+" + strings.ToLower(strings.TrimPrefix(c, "CAP_"))
	}
	bounded := filepath.Join(t.TempDir(), "bounded")
	script := "#!/bin/sh\nexec setpriv --no-new-privs --bounding-set=" + set + " " + build(t, "skeind") + " \"$@\"\n"
	if err := os.WriteFile(bounded, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, driver := range []string{"af_packet", "af_xdp"} {
		t.Run(driver, func(t *testing.T) { runBounded(t, bounded, driver) })
	}
}

func runBounded(t *testing.T, daemon, driver string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	x, err := tour.New(tour.Options{Daemon: daemon, Driver: driver, Bytes: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := x.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := x.Walk(ctx, t.Output()); err != nil {
		t.Errorf("%v\n%s", err, x.Log())
	}
}
