package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each test that docs/nat.md names is there.
func TestNATTests(t *testing.T) {
	named := regexp.MustCompile("`([a-z/]+)\\.(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(read(t, "docs/nat.md"), -1)
	if len(named) < 50 {
		t.Fatalf("only %d tests are named", len(named))
	}
	source := map[string]string{}
	for _, m := range named {
		dir := m[1]
		if source[dir] == "" {
			files, err := filepath.Glob(filepath.Join("..", dir, "*_test.go"))
			if err != nil || len(files) == 0 {
				t.Fatalf("%s has no tests: %v", dir, err)
			}
			for _, f := range files {
				text, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				source[dir] += string(text)
			}
		}
		if !strings.Contains(source[dir], "\nfunc "+m[2]+"(t *testing.T)") {
			t.Errorf("%s has no %s", dir, m[2])
		}
	}
}
