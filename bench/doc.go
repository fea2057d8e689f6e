// Package bench answers one question: how fast is the graph?
//
// It holds benchmarks only. Run them on an idle machine, several times:
//
//	go test ./bench -bench . -count 6
//
// The command in bench/all runs all of them and writes RESULTS.md.
//
// Maturity: stable.
package bench
