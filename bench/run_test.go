package bench

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestEachRuns runs the benchmarks in memory once, but for the large ones: they
// check what arrives, and shall not be found broken when somebody measures.
func TestEachRuns(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const small = "(Graph6?|Policy6?|ACL6?|NAT|SourceNAT6?|Service6?|NewTranslated|Tunnel6?)$/(vector|way)=/^(routes=1|rules=.*|nat=.*|sessions=1000|services=1|vector=256)$/^(flows=10{0,4}|sets=.*)$"
	out, err := exec.CommandContext(t.Context(), self, "-test.run", "^$", "-test.bench", small, "-test.benchtime", "1x").CombinedOutput()
	if err != nil || strings.Count(string(out), "ns/packet") < 44 {
		t.Errorf("%v\n%s", err, out)
	}
}
