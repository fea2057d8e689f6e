//go:build race

package nodes_test

const raceEnabled = true
