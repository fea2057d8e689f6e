package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// module is the path of the module, root its directory as tests see it.
const (
	module = "github.com/skein-dataplane/skein"
	root   = "../.."
)

// A listed is a package as go list has it.
type listed struct {
	ImportPath, Dir, Export string
	Standard                bool
	GoFiles, CgoFiles       []string
	TestGoFiles             []string
	XTestGoFiles            []string
	Imports, Deps           []string
	Error                   *struct{ Err string }
}

// name returns the package's path within the module.
func (p *listed) name() string { return short(p.ImportPath) }

func short(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, module), "/") }

// list returns every package that the module's commands and libraries are made
// of, by import path; ours are those of the module.
var list = sync.OnceValues(func() (all map[string]*listed, err error) {
	cmd := exec.Command("go", "list", "-deps", "-export",
		"-json=ImportPath,Dir,Export,Standard,GoFiles,CgoFiles,TestGoFiles,XTestGoFiles,Imports,Deps,Error", "./...")
	cmd.Dir = root
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, &errs)
	}
	all = map[string]*listed{}
	for d := json.NewDecoder(&out); ; {
		p := new(listed)
		if err := d.Decode(p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if p.Error != nil {
			return nil, fmt.Errorf("go list: %s: %s", p.ImportPath, p.Error.Err)
		}
		all[p.ImportPath] = p
	}
})

func listAll(t testing.TB) map[string]*listed {
	t.Helper()
	all, err := list()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// ours returns the packages of the module, by import path.
func ours(t testing.TB) map[string]*listed {
	t.Helper()
	own := map[string]*listed{}
	for path, p := range listAll(t) {
		if path == module || strings.HasPrefix(path, module+"/") {
			own[path] = p
		}
	}
	if len(own) < 20 {
		t.Fatalf("go list knows only %d packages of the module", len(own))
	}
	return own
}

// A pkg is a package with its syntax and types, without its tests.
type pkg struct {
	path  string
	fset  *token.FileSet
	files []*ast.File
	info  *types.Info
}

func (p *pkg) name() string { return short(p.path) }

// at says where something stands, from the module's directory on.
func (p *pkg) at(n ast.Node) string {
	pos := p.fset.Position(n.Pos())
	file := pos.Filename
	if rel, err := filepath.Rel(moduleDir(), file); err == nil {
		file = rel
	}
	return fmt.Sprintf("%s:%d", file, pos.Line)
}

// moduleDir returns the directory of the module.
var moduleDir = sync.OnceValue(func() string {
	dir, err := filepath.Abs(root)
	if err != nil {
		panic(err)
	}
	return dir
})

// load parses and checks all packages of the module. What they import comes
// from the compiler's export data, so that nothing is checked twice.
var load = sync.OnceValues(func() ([]*pkg, error) {
	all, err := list()
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	imp := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		p := all[path]
		if p == nil || p.Export == "" {
			return nil, fmt.Errorf("no export data of %s", path)
		}
		return os.Open(p.Export)
	})
	var out []*pkg
	for path, l := range all {
		if !strings.HasPrefix(path, module) || len(l.GoFiles) == 0 {
			continue
		}
		var sources []source
		for _, name := range l.GoFiles {
			sources = append(sources, source{filepath.Join(l.Dir, name), nil})
		}
		p, err := check(fset, path, sources, imp)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
})

func loadAll(t testing.TB) []*pkg {
	t.Helper()
	all, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A source is a file's name and text; nil stands for what the file holds.
type source struct {
	name string
	text any
}

func check(fset *token.FileSet, path string, sources []source, imp types.Importer) (*pkg, error) {
	p := &pkg{path: path, fset: fset, info: &types.Info{
		Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{},
		Selections: map[*ast.SelectorExpr]*types.Selection{}, Types: map[ast.Expr]types.TypeAndValue{},
	}}
	for _, s := range sources {
		f, err := parser.ParseFile(fset, s.name, s.text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		p.files = append(p.files, f)
	}
	cfg := types.Config{Importer: imp, GoVersion: "go1.26"}
	if _, err := cfg.Check(path, fset, p.files, p.info); err != nil {
		return nil, err
	}
	return p, nil
}

// bad returns a package that holds text, for trying a rule on.
func bad(t testing.TB, name, text string) *pkg {
	t.Helper()
	fset := token.NewFileSet()
	p, err := check(fset, module+"/"+name, []source{{name + ".go", text}}, importer.ForCompiler(fset, "source", nil))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// report fails the test with what is wrong, one line each.
func report(t *testing.T, rule string, wrong []string) {
	t.Helper()
	for _, line := range wrong {
		t.Errorf("%s: %s", line, rule)
	}
}
