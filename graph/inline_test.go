package graph_test

import (
	"os/exec"
	"strings"
	"testing"
)

// What a ring does for each packet that crosses must not cost a call.
func TestInline(t *testing.T) {
	out, err := exec.Command("go", "build", "-gcflags=-m", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, f := range []string{"(*ring).push", "(*ring).publish", "(*ring).room", "(*ring).first", "(*ring).skip", "(*ring).run"} {
		if !strings.Contains(string(out), "can inline "+f+"\n") {
			t.Errorf("%s is not inlined any more", f)
		}
	}
}
