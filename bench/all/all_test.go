package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const printed = `goos: linux
BenchmarkX/vector=256/routes=1-2   	 100	  20.0 ns/packet	  5.0 clk-b	  1.0 clk-a	 6.0 clk-sum
BenchmarkX/vector=256/routes=1-2   	 100	  10.0 ns/packet	  7.0 clk-b	  1.0 clk-a	 8.0 clk-sum
BenchmarkX/vector=256/routes=1-2   	 100	  30.0 ns/packet	  6.0 clk-b	  1.0 clk-a	 7.0 clk-sum
BenchmarkY/rules=10-2   	 100	  1234567 ns/packet
PASS
`

func TestRender(t *testing.T) {
	rows, err := parse(printed)
	if err != nil {
		t.Fatal(err)
	}
	s := section{name: "x", title: "X", about: "About.", count: 3, nodes: true, metrics: []string{"ns/packet", "clk-sum", "Gbit/s"}}
	got := s.render(rows, machine{"two cores", "Linux", "abc"}, "1.0 before, 2.0 after", "go test -bench 'X|Y'")
	want := `### X

About.

| | |
|---|---|
| machine | two cores |
| kernel, compiler | Linux |
| commit | abc |
| load average | 1.0 before, 2.0 after |
| command | ` + "`go test -bench 'X\\|Y'`" + ` |

Medians of 3 runs of all of it, and the least and the most in brackets.

| benchmark | vector | routes | rules | ns/packet | clocks |
|---|---|---|---|---|---|
| X | 256 | 1 |  | 20.0 (10.0–30.0) | 7.00 (6.00–8.00) |
| Y |  |  | 10 | 1.2 M |  |

Of these, in clocks of the time stamp counter per packet by node, medians; the turns that others
had on the core count here:

| benchmark | vector | routes | rules | a | b |
|---|---|---|---|---|---|
| X | 256 | 1 |  | 1.00 | 6.00 |
| Y |  |  | 10 |  |  |
`
	if got != want {
		t.Errorf("has\n%s\nwant\n%s", got, want)
	}
}

func TestReplace(t *testing.T) {
	file := "# Results\n\nBy hand.\n"
	file = replace(file, "a", "one\n")
	file = replace(file, "b", "two\n") + "\nThe end.\n"
	file = replace(file, "a", "three\n")
	want := "# Results\n\nBy hand.\n\n<!-- begin: a -->\nthree\n<!-- end: a -->\n\n<!-- begin: b -->\ntwo\n<!-- end: b -->\n\nThe end.\n"
	if file != want {
		t.Errorf("has\n%s\nwant\n%s", file, want)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"", "PASS\n", "BenchmarkX 1 much ns/op\n", "BenchmarkX-2 \t--- FAIL: BenchmarkX\n    x_test.go:1: why\n"} {
		if _, err := parse(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

// Rows of packets and rows of connections stand in tables of their own.
func TestAlike(t *testing.T) {
	rows, err := parse("BenchmarkX/load=a-2 1 5 kpps 2 ratio\nBenchmarkX/load=b/conns=4-2 1 7 kconn/s 3 ratio\nBenchmarkX/load=c-2 1 6 kpps 4 ratio\n")
	if err != nil {
		t.Fatal(err)
	}
	s := section{title: "X", about: "About.", count: 1, metrics: []string{"kpps", "kconn/s", "ratio"}}
	want := "\n| load | kpps | ratio |\n|---|---|---|\n| a | 5.00 | 2.00 |\n| c | 6.00 | 4.00 |\n" +
		"\n| load | conns | kconn/s | ratio |\n|---|---|---|---|\n| b | 4 | 7.00 | 3.00 |\n"
	if got := s.render(rows, machine{}, "", ""); !strings.HasSuffix(got, want) {
		t.Errorf("has\n%s\nwant at the end\n%s", got, want)
	}
}

// Each benchmark of package bench is in a section, and no section looks for one
// that is not there: it would fail after minutes.
func TestSectionsHaveBenchmarks(t *testing.T) {
	files, err := filepath.Glob("../*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Benchmark\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			names = append(names, m[1])
		}
	}
	for _, s := range sections {
		if !slices.ContainsFunc(names, regexp.MustCompile(s.bench).MatchString) {
			t.Errorf("section %s: no benchmark is %q", s.name, s.bench)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(sections, func(s section) bool { return regexp.MustCompile(s.bench).MatchString(name) }) {
			t.Errorf("%s is in no section of bench/all/sections.go", name)
		}
	}
}

// Each section has a name of its own, and says all that there is to say.
func TestSections(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sections {
		if seen[s.name] || s.title == "" || !strings.HasSuffix(s.about, ".") || s.count < 1 || len(s.metrics) == 0 {
			t.Errorf("%+v", s)
		}
		seen[s.name] = true
	}
	if _, err := choose("graph,nonsense"); err == nil {
		t.Error("a section that there is none of was chosen")
	}
}
