package fib_test

import (
	"os/exec"
	"strings"
	"testing"
)

// What lookups do for each packet must not cost a call.
func TestInlined(t *testing.T) {
	out, err := exec.Command("go", "build", "-gcflags=-m", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, f := range []string{"(*Table4).page", "(*Table4).Only", "(*Table4).Choose", "(*Table4).Adj",
		"(*Table6).Only", "(*Table6).Choose", "(*Table6).Adj",
		"(*Table6).inPage", "(*Table6).rangesAt", "rangesFor", "wordFor", "less"} {
		if !strings.Contains(string(out), "can inline "+f) {
			t.Errorf("%s is not inlined any more", f)
		}
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "./") && dataPlane(line) && strings.Contains(line, "escapes to heap") {
			t.Errorf("allocates: %s", line)
		}
	}
}

// dataPlane reports whether a line of the compiler's is of a file that lookups
// are in.
func dataPlane(line string) bool {
	file, _, _ := strings.Cut(strings.TrimPrefix(line, "./"), ":")
	switch file {
	case "table4.go", "table6.go", "vector6.go", "ranges.go", "ends.go":
		return true
	}
	return false
}
