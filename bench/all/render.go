package main

import (
	"fmt"
	"slices"
	"strings"
)

// render writes a section: its conditions, and its tables.
func (s section) render(rows []*row, host machine, load, command string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n%s\n\n| | |\n|---|---|\n", s.title, s.about)
	for _, line := range [][2]string{{"machine", host.hardware}, {"kernel, compiler", host.software}, {"commit", host.commit},
		{"load average", load}, {"command", "`" + strings.ReplaceAll(command, "|", `\|`) + "`"}} {
		fmt.Fprintf(&b, "| %s | %s |\n", line[0], line[1])
	}
	if s.count > 1 {
		within := "the middle half of them"
		if s.count < 4 {
			within = "the least and the most"
		}
		fmt.Fprintf(&b, "\nMedians of %d runs of all of it, and %s in brackets.\n", s.count, within)
	}
	for _, group := range alike(rows, s.metrics) {
		b.WriteString("\n" + table(group, s.metrics, func(values []float64) string { return spreadOf(values).String() }))
	}
	if clocks := clocksOf(rows); s.nodes && len(clocks) > 0 {
		b.WriteString("\nOf these, in clocks of the time stamp counter per packet by node, medians; the turns that others\nhad on the core count here:\n\n")
		b.WriteString(table(rows, clocks, func(values []float64) string {
			if len(values) == 0 {
				return ""
			}
			return digits(spreadOf(values).median)
		}))
	}
	return b.String()
}

// alike parts rows by the first of the metrics that they have, so that those of
// packets and those of connections stand in tables of their own.
func alike(rows []*row, metrics []string) (groups [][]*row) {
	at := map[string]int{}
	for _, r := range rows {
		i := slices.IndexFunc(metrics, func(m string) bool { return len(r.values[m]) > 0 })
		first := ""
		if i >= 0 {
			first = metrics[i]
		}
		if _, ok := at[first]; !ok {
			at[first] = len(groups)
			groups = append(groups, nil)
		}
		groups[at[first]] = append(groups[at[first]], r)
	}
	return groups
}

// clocksOf returns the metrics that are clocks of a node, in the order in which
// packets visit them: that of the output is alphabetical.
func clocksOf(rows []*row) (out []string) {
	for _, r := range rows {
		for m := range r.values {
			if strings.HasPrefix(m, "clk-") && m != "clk-sum" && !slices.Contains(out, m) {
				out = append(out, m)
			}
		}
	}
	slices.Sort(out)
	return out
}

// table writes rows with a column for each parameter and each metric that any
// of them has.
func table(rows []*row, metrics []string, cell func([]float64) string) string {
	functions, keys := map[string]bool{}, []string(nil)
	has := map[string]bool{}
	for _, r := range rows {
		functions[r.function] = true
		for _, p := range r.params {
			if !slices.Contains(keys, p[0]) {
				keys = append(keys, p[0])
			}
		}
		for m := range r.values {
			has[m] = true
		}
	}
	metrics = slices.DeleteFunc(slices.Clone(metrics), func(m string) bool { return !has[m] })
	var head []string
	if len(functions) > 1 {
		head = append(head, "benchmark")
	}
	head = append(append(head, keys...), metrics...)
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.NewReplacer("clk-sum", "clocks", "clk-", "").Replace(strings.Join(head, " | ")), strings.Repeat("---|", len(head)))
	for _, r := range rows {
		var cells []string
		if len(functions) > 1 {
			cells = append(cells, r.function)
		}
		for _, k := range keys {
			cells = append(cells, r.param(k))
		}
		for _, m := range metrics {
			cells = append(cells, cell(r.values[m]))
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	return b.String()
}

// replace puts a section's text between its marks, and both at the end of a file
// that has none.
func replace(file, name, text string) string {
	begin, end := "<!-- begin: "+name+" -->\n", "<!-- end: "+name+" -->\n"
	before, rest, found := strings.Cut(file, begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		before, after = strings.TrimRight(file, "\n")+"\n\n", ""
	}
	return before + begin + text + end + after
}
