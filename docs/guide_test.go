package docs

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/skein-dataplane/skein/internal/cli"
)

// helpRow is a command in the help of the one before it.
var helpRow = regexp.MustCompile(`(?m)^  ([a-z-]+) +\S`)

// commands returns all of skeinctl's commands that do something, as its help
// has them.
func commands(t *testing.T, words ...string) (out []string) {
	t.Helper()
	var help, errs bytes.Buffer
	if rc := cli.Main(append(slices.Clone(words), "--help"), cli.Streams{Out: &help, Err: &errs}); rc != 0 {
		t.Fatalf("%v --help ends with %d: %s", words, rc, &errs)
	}
	usage, list, _ := strings.Cut(help.String(), "Available Commands:\n")
	for line := range strings.Lines(usage) {
		if strings.HasPrefix(line, "  skeinctl ") && !strings.HasSuffix(line, "[command]\n") && len(words) > 0 {
			out = append(out, "skeinctl "+strings.Join(words, " "))
		}
	}
	list, _, _ = strings.Cut(list, "\nFlags:")
	for _, m := range helpRow.FindAllStringSubmatch(list, -1) {
		if m[1] != "help" && m[1] != "completion" {
			out = append(out, commands(t, append(slices.Clone(words), m[1])...)...)
		}
	}
	return out
}

// TestGuideKnowsAllCommands compares the guide's table with skeinctl's help,
// both ways.
func TestGuideKnowsAllCommands(t *testing.T) {
	want := append(commands(t), "skeinctl lab") // which the command adds
	var have []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(skeinctl [a-z -]+)` \\|").FindAllStringSubmatch(read(t, "docs/guide.md"), -1) {
		have = append(have, m[1])
	}
	slices.Sort(want)
	slices.Sort(have)
	if len(want) < 20 || !slices.Equal(want, have) {
		t.Errorf("docs/guide.md has\n%s\nskeinctl\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}

// TestLinks: what the documents point to is there.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	for _, doc := range []string{"README.md", "docs/guide.md", "docs/architecture.md", "docs/decisions.md", "docs/developing.md"} {
		dir := ""
		if i := strings.LastIndexByte(doc, '/'); i >= 0 {
			dir = doc[:i+1]
		}
		for _, m := range link.FindAllStringSubmatch(read(t, doc), -1) {
			if !exists(dir + m[1]) {
				t.Errorf("%s points to %s, which is not there", doc, m[1])
			}
		}
	}
}

// TestReasons: the reasons to drop that the guide explains are those that the
// nodes give.
func TestReasons(t *testing.T) {
	known := map[string]bool{}
	for _, s := range allReasons() {
		known[s] = true
	}
	_, table, _ := strings.Cut(read(t, "docs/guide.md"), "| you see | it means |")
	table, _, _ = strings.Cut(table, "\n\n")
	n := 0
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllStringSubmatch(table, -1) {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			if n++; !known[m[1]] {
				t.Errorf("docs/guide.md explains %q, which no node says", m[1])
			}
		}
	}
	if n < 5 {
		t.Errorf("only %d reasons found", n)
	}
}
