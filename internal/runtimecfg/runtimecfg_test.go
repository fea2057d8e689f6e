package runtimecfg_test

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/internal/runtimecfg"
)

// TestProcs: there is one for each worker and for all others beside those that
// only mark, and none that marks for a part of its time.
func TestProcs(t *testing.T) {
	for given := 1; given <= 128; given++ {
		for workers := 1; workers <= 32; workers++ {
			n := runtimecfg.Procs(given, workers)
			// gcBackgroundUtilization and maxUtilError, runtime/mgcpacer.go
			goal := 0.25 * float64(n)
			marking := math.Floor(goal + 0.5)
			if off := marking/goal - 1; math.Abs(off) > 0.3 {
				t.Errorf("%d for %d workers, where Go has %d: %.0f mark of %.2f, so all do for a part of the time", n, workers, given, marking, goal)
			}
			if n < given || n < workers+int(marking)+1 {
				t.Errorf("%d for %d workers, where Go has %d, of which %.0f mark", n, workers, given, marking)
			}
		}
	}
	for _, same := range []int{4, 5, 7, 8, 16, 128} {
		if n := runtimecfg.Procs(same, 1); n != same {
			t.Errorf("%d instead of the %d that Go has", n, same)
		}
	}
}

// envChild has the test binary apply the settings and print them.
const envChild = "SKEIN_TEST_RUNTIMECFG"

func TestMain(m *testing.M) {
	if os.Getenv(envChild) == "" {
		os.Exit(m.Run())
	}
	s := runtimecfg.Apply(3)
	if is := (runtimecfg.Settings{Procs: runtime.GOMAXPROCS(0), GCPercent: debug.SetGCPercent(100)}); is != s {
		fmt.Println("in truth", is)
	}
	fmt.Print(s)
}

// TestApply: what the environment says holds, and all else is set.
func TestApply(t *testing.T) {
	ours := runtimecfg.Procs(runtime.GOMAXPROCS(0), 3)
	for _, c := range []struct {
		env  string
		want runtimecfg.Settings
	}{
		{"GOMAXPROCS=2", runtimecfg.Settings{Procs: 2, GCPercent: 400}},
		{"GOMAXPROCS=2 GOGC=50", runtimecfg.Settings{Procs: 2, GCPercent: 50}},
		{"GOMAXPROCS=9 GOGC=off", runtimecfg.Settings{Procs: 9, GCPercent: -1}},
		{"GOGC=100", runtimecfg.Settings{Procs: ours, GCPercent: 100}},
		{"", runtimecfg.Settings{Procs: ours, GCPercent: 400}},
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(strings.Fields(c.env), envChild+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%q: %v: %s", c.env, err, out)
		}
		if want := fmt.Sprint(c.want); string(out) != want {
			t.Errorf("%q: %s instead of %s", c.env, out, want)
		}
	}
}
