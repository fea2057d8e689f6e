// Package runtimecfg answers one question: how is Go's runtime set, so that
// collecting garbage stops workers seldom and for a short time?
//
// docs/performance.md has what a collection does to a worker. Whoever starts the
// daemon with GOMAXPROCS or GOGC in its environment has said otherwise, and that
// holds; GOMEMLIMIT is Go's own matter. Maturity: new.
package runtimecfg

import (
	"os"
	"runtime"
	"runtime/debug"
)

// gcPercent is how many percent of the live heap may be allocated until the next
// collection. Four times as many as Go's own 100 make collections a quarter, for
// three more live heaps of memory: with 10,000 pods and 1,000 policies, of which a
// pod changes twice a second, one in 14 s instead of one in 3 s, and 319 MiB of heap
// at most instead of 108. Where little changes, only those are left that Go makes every
// two minutes, for which no idle processors mark (runtime/mgcpacer.go, startCycle).
const gcPercent = 400

// Settings are what this package has an opinion on.
type Settings struct {
	Procs     int // GOMAXPROCS
	GCPercent int // GOGC; below 0: off
}

// Apply sets the runtime for a process with so many workers, and returns what holds
// from then on.
func Apply(workers int) Settings {
	s := Settings{Procs: runtime.GOMAXPROCS(0)}
	// To set the number that it is already would keep Go from following the limits
	// of the process's control group.
	if n := Procs(s.Procs, workers); n != s.Procs && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(n)
		s.Procs = n
	}
	s.GCPercent = debug.SetGCPercent(gcPercent)
	if os.Getenv("GOGC") != "" {
		debug.SetGCPercent(s.GCPercent)
	} else {
		s.GCPercent = gcPercent
	}
	return s
}

// Procs returns how many processors (GOMAXPROCS) there are to be for so many
// workers, if Go would have so many: at least one for each worker, a quarter of all
// for those that only mark, and one for all others.
//
// It is a number for which some only mark. With 1, 2, 3 and 6 all mark for a part of
// the time (runtime/mgcpacer.go, maxUtilError), and a worker that has been put off
// its processor waits for that part: on two cores with a million sessions, beside
// one collection a second, for up to 8 to 9 ms instead of 4 (BenchmarkStall).
func Procs(given, workers int) int {
	n := max(given, 4, (4*(workers+1)+2)/3) // the least n with n - n/4 >= workers + 1
	if n == 6 {
		n++
	}
	return n
}
