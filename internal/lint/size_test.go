package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	maxFileLines = 500
	maxFuncLines = 50
)

// longFuncs are the functions that may be longer, and why.
var longFuncs = map[string]string{}

// goFiles returns all Go files of the module, tests included, from its
// directory on. Generated ones are left out.
func goFiles(t testing.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for name, text := range files(t, func(name string) bool { return strings.HasSuffix(name, ".go") }) {
		if !ast.IsGenerated(parse(t, name, text)) {
			all[name] = text
		}
	}
	return all
}

// files returns the files of the module that are wanted, without what git or
// the build keep there.
func files(t testing.TB, wanted func(name string) bool) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "bin", "shared"}, name):
			return fs.SkipDir
		case d.IsDir() || name == ".git" || !wanted(name): // a file in a worktree of git's
			return nil
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		all[name] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %d files found", len(all))
	}
	return all
}

func parse(t testing.TB, name string, text []byte) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestFileSize: a file holds one concern.
func TestFileSize(t *testing.T) {
	for name, text := range goFiles(t) {
		if n := bytes.Count(text, []byte("\n")); n > maxFileLines {
			t.Errorf("%s has %d lines, at most %d are allowed: split it by concern", name, n, maxFileLines)
		}
	}
}

// tooLong returns the functions of a package that are longer than they may be.
// Tests are not looked at: their tables are long.
func tooLong(p *pkg) (wrong []string) {
	for _, fn := range funcs(p) {
		n := p.fset.Position(fn.End()).Line - p.fset.Position(fn.Pos()).Line + 1
		if key := p.name() + "." + fn.Name.Name; n > maxFuncLines && longFuncs[key] == "" {
			wrong = append(wrong, fmt.Sprintf("%s: %s has %d lines", p.at(fn), fn.Name.Name, n))
		}
	}
	return wrong
}

// TestFuncSize: a function does one thing.
func TestFuncSize(t *testing.T) {
	for _, p := range loadAll(t) {
		if !generated(p.name()) {
			report(t, fmt.Sprintf("a function has at most %d lines", maxFuncLines), tooLong(p))
		}
	}
	if w := tooLong(bad(t, "nodes", "package nodes\nfunc f() {"+strings.Repeat("\n", maxFuncLines)+"}\n")); len(w) != 1 {
		t.Errorf("a long function gives %q", w)
	}
}

// machinePath finds paths that exist on one person's machine only.
var machinePath = regexp.MustCompile(`(?m)(?:^|["'\s=(:])(/(?:home|root|Users|work|workspace|mnt|data)/[\w.-]+)`)

// TestNoMachinePaths: nothing depends on where somebody keeps things.
func TestNoMachinePaths(t *testing.T) {
	wanted := func(name string) bool {
		return filepath.Base(name) != "size_test.go" && !strings.HasSuffix(name, ".svg") && name != "go.sum"
	}
	for name, text := range files(t, wanted) {
		for _, m := range machinePath.FindAllSubmatch(text, -1) {
			t.Errorf("%s: %s is a path of one machine", name, m[1])
		}
	}
	if !machinePath.MatchString(`open("/home/alice/x")`) || machinePath.MatchString("see /run/skein and doc/root/x") {
		t.Error("the pattern does not find what it is for")
	}
}

// TestPackageDocs: each package says which question it answers, and how mature
// it is. Commands say what they are.
func TestPackageDocs(t *testing.T) {
	for _, p := range loadAll(t) {
		if generated(p.name()) {
			continue
		}
		var doc string
		for _, f := range p.files {
			doc += f.Doc.Text()
		}
		text := strings.Join(strings.Fields(doc), " ")
		switch {
		case p.files[0].Name.Name == "main":
			if text == "" {
				t.Errorf("%s says nothing of itself", p.name())
			}
		case !strings.Contains(text, "answers one question: ") || !strings.Contains(text, "?"):
			t.Errorf("%s does not say which question it answers", p.name())
		case !strings.Contains(text, "Maturity: "):
			t.Errorf("%s does not say how mature it is", p.name())
		}
	}
}

// generated reports whether protoc has written a package.
func generated(name string) bool { return matches(name, []string{"api/*pb"}) }
