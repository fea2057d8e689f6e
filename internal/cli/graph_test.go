package cli

import (
	"testing"

	"github.com/skein-dataplane/skein/api/skeinpb"
)

// TestDotLabel checks that several ways to one node are one line in a drawing.
func TestDotLabel(t *testing.T) {
	n := &skeinpb.GraphNode{Name: "n", Arcs: []*skeinpb.GraphArc{
		{Reason: "malformed", Node: "drop", Packets: 3},
		{Reason: "too short", Node: "drop"},
		{Reason: "forged", Node: "drop", Packets: 1},
		{Reason: "ip4", Node: "next"},
		{Reason: "one", Node: "idle"},
		{Reason: "other", Node: "idle"},
		{Reason: "feature f", Node: "drop", Packets: 9, Feature: true},
	}}
	for to, want := range map[string]string{"drop": "malformed\n3\nforged\n1", "next": "ip4\n0", "idle": ""} {
		if got := dotLabel(n, to); got != want {
			t.Errorf("to %s: %q, want %q", to, got, want)
		}
	}
	if got := targets(n); len(got) != 3 {
		t.Errorf("%v, want each once", got)
	}
}
