package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A row is one benchmark and all that its runs have reported.
type row struct {
	function string
	params   [][2]string // key and value, as in vector=256
	values   map[string][]float64
}

// procs is what go test appends to a name: the number of processors.
var procs = regexp.MustCompile(`-\d+$`)

// parse reads what go test -bench has printed (Go's benchmark data format,
// https://go.dev/design/14313-benchmark-format).
func parse(text string) (rows []*row, err error) {
	byName := map[string]*row{}
	for line := range strings.Lines(text) {
		if strings.Contains(line, "--- FAIL") { // go test tells by its status only of the first run
			_, rest, _ := strings.Cut(text, line)
			why, _, _ := strings.Cut(rest, "Benchmark")
			return nil, fmt.Errorf("%s%s", line, why)
		}
		f := strings.Fields(line)
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		r := byName[f[0]]
		if r == nil {
			r = newRow(f[0])
			byName[f[0]] = r
			rows = append(rows, r)
		}
		for i := 2; i+1 < len(f); i += 2 {
			x, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
			r.values[f[i+1]] = append(r.values[f[i+1]], x)
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("no benchmark has run:\n%s", text)
	}
	return rows, nil
}

func newRow(name string) *row {
	parts := strings.Split(procs.ReplaceAllString(strings.TrimPrefix(name, "Benchmark"), ""), "/")
	r := &row{function: parts[0], values: map[string][]float64{}}
	for _, p := range parts[1:] {
		key, value, ok := strings.Cut(p, "=")
		if !ok {
			key, value = "case", p
		}
		r.params = append(r.params, [2]string{key, value})
	}
	return r
}

// param returns the value of a parameter, "" if the row has none of that name.
func (r *row) param(key string) string {
	for _, p := range r.params {
		if p[0] == key {
			return p[1]
		}
	}
	return ""
}

// A spread is the median of a metric's values and how far they lie apart: the
// middle half of them, or all where there are fewer than four.
type spread struct {
	median, low, high float64
	n                 int
}

func spreadOf(values []float64) spread {
	x := slices.Sorted(slices.Values(values))
	n := len(x)
	if n == 0 {
		return spread{}
	}
	s := spread{median: x[n/2], low: x[0], high: x[n-1], n: n}
	if n >= 4 {
		s.low, s.high = x[n/4], x[n-1-n/4]
	}
	return s
}

func (s spread) String() string {
	switch s.n {
	case 0:
		return ""
	case 1:
		return digits(s.median)
	}
	return fmt.Sprintf("%s (%s–%s)", digits(s.median), digits(s.low), digits(s.high))
}

// digits writes three digits that count, and no exponent.
func digits(x float64) string {
	switch {
	case x >= 1e6:
		return fmt.Sprintf("%.1f M", x/1e6)
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}
