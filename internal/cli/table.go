package cli

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"
)

// A column is as wide as its widest cell, and at least min.
type column struct {
	head  string
	min   int
	right bool // align to the right
}

// table writes rows under the heads of columns, indented by indent blanks. A
// row may have fewer cells than there are columns.
func table(w *bytes.Buffer, indent int, columns []column, rows [][]string) {
	widths := make([]int, len(columns))
	heads := make([]string, len(columns))
	for i, c := range columns {
		heads[i] = c.head
		widths[i] = max(c.min, len(c.head))
		for _, row := range rows {
			if i < len(row) {
				widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
			}
		}
	}
	for _, row := range append([][]string{heads}, rows...) {
		var line strings.Builder
		line.WriteString(strings.Repeat(" ", indent))
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i > 0 {
				line.WriteString("  ")
			}
			if columns[i].right {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
		}
		w.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// num writes a whole number.
func num[T ~uint32 | ~uint64](n T) string { return fmt.Sprintf("%d", n) }

// ratio writes a/b, or "-" where there is none.
func ratio(a, b uint64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(a)/float64(b))
}

// clock writes a time as vppctl does in traces: hours, minutes, seconds,
// microseconds.
func clock(d time.Duration) string {
	d = max(d, 0)
	return fmt.Sprintf("%02d:%02d:%02d:%06d", int(d.Hours()), int(d.Minutes())%60,
		int(d.Seconds())%60, d.Microseconds()%1e6)
}

// span writes a long time in its two or three largest units.
func span(d *durationpb.Duration) string {
	t := d.AsDuration().Truncate(time.Second)
	if t < 24*time.Hour {
		return t.String()
	}
	return fmt.Sprintf("%dd%v", t/(24*time.Hour), t%(24*time.Hour))
}

// enum writes the last part of an enumeration's name in small letters:
// INTERFACE_KIND_UPLINK is "uplink". What nobody has said is "-".
func enum(name fmt.Stringer, prefix string) string {
	word := strings.TrimPrefix(name.String(), prefix)
	if word == "UNSPECIFIED" {
		return "-"
	}
	return strings.ToLower(strings.ReplaceAll(word, "_", "-"))
}

// or returns s, or other where s is empty.
func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
