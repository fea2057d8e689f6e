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
	for _, f := range []string{"(*Table4).page", "(*Table4).Adj"} {
		if !strings.Contains(string(out), "can inline "+f) {
			t.Errorf("%s is not inlined any more", f)
		}
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "table4.go") && strings.Contains(line, "escapes to heap") {
			t.Errorf("allocates: %s", line)
		}
	}
}
