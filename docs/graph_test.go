package docs

import (
	"os"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/internal/graphdot"
	"github.com/skein-dataplane/skein/nodes"
)

// TestGraph fails when the picture of the graph is not that of the running
// graph any more.
func TestGraph(t *testing.T) {
	got, err := os.ReadFile("graph.dot")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != graphdot.Skein().Dot() {
		t.Error("graph.dot is stale: run go generate ./docs")
	}
	picture, err := os.ReadFile("graph.svg")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range nodes.All() {
		if name := strings.ReplaceAll(s.Name, "-", "&#45;"); !strings.Contains(string(picture), ">"+name+"<") {
			t.Errorf("graph.svg does not show %s: run go generate ./docs", s.Name)
		}
	}
}

// allReasons returns all reasons for which packets leave nodes.
func allReasons() (out []string) {
	for _, s := range nodes.All() {
		for _, to := range s.Arcs {
			out = append(out, to.Reason)
		}
	}
	return out
}
