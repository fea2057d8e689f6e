package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"strings"
	"testing"
)

// isDataPlane reports whether a package moves packets or holds what they are
// moved by, its drivers included.
func isDataPlane(name string) bool {
	_, ok := dataPlane[name]
	return ok || name == "tuntap" || strings.HasPrefix(name, "drivers/") && !strings.HasSuffix(name, "nstest")
}

// inits returns the init functions of a package.
func inits(p *pkg) (wrong []string) {
	for _, fn := range funcs(p) {
		if fn.Recv == nil && fn.Name.Name == "init" {
			wrong = append(wrong, p.at(fn))
		}
	}
	return wrong
}

// TestNoInit: what is there stands in a list, and order is not left to the
// linker. Generated code is not ours to change.
func TestNoInit(t *testing.T) {
	for _, p := range loadAll(t) {
		if !generated(p.name()) {
			report(t, "nothing registers itself by init", inits(p))
		}
	}
	if w := inits(bad(t, "nodes", "package nodes\nfunc init() {}\n")); len(w) != 1 {
		t.Errorf("an init gives %q", w)
	}
}

// variable returns the package-level variable of the data plane that an
// expression writes to or points into: x, x[i], x.f, p.x.
func variable(p *pkg, e ast.Expr) *types.Var {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return global(p.info.Uses[x])
		case *ast.SelectorExpr:
			if v := global(p.info.Uses[x.Sel]); v != nil {
				return v
			}
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

func global(o types.Object) *types.Var {
	v, ok := o.(*types.Var)
	if !ok || v.IsField() || v.Pkg() == nil || v.Parent() != v.Pkg().Scope() || !isDataPlane(short(v.Pkg().Path())) {
		return nil
	}
	return v
}

// writes returns where a package assigns to package-level variables of the
// data plane, or takes the address of one that could so be written to. Two may
// be pointed to, as nobody who gets the pointer writes: they are in pointed.
func writes(p *pkg) (wrong []string) {
	add := func(at ast.Node, e ast.Expr, how string) {
		if v := variable(p, e); v != nil && (how != "points to" || !pointed[short(v.Pkg().Path())+"."+v.Name()]) {
			wrong = append(wrong, fmt.Sprintf("%s: %s %s.%s", p.at(at), how, v.Pkg().Name(), v.Name()))
		}
	}
	for _, f := range p.files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, e := range n.Lhs {
					add(n, e, "writes to")
				}
			case *ast.IncDecStmt:
				add(n, n.X, "writes to")
			case *ast.RangeStmt:
				add(n, n.Key, "writes to")
				add(n, n.Value, "writes to")
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					add(n, n.X, "points to")
				}
			case *ast.CallExpr:
				if sel, ok := n.Fun.(*ast.SelectorExpr); ok && byPointer(p, sel) {
					add(n, sel.X, "calls a method that may change")
				}
			}
			return true
		})
	}
	return wrong
}

// pointed are variables whose address is handed out, by the reason why that is
// harmless.
var pointed = map[string]bool{
	"fib.noRoute": true, // Table4.Adj returns it as it returns others: to be read
}

// byPointer reports whether a call passes its receiver's address, though the
// receiver is a value.
func byPointer(p *pkg, sel *ast.SelectorExpr) bool {
	s := p.info.Selections[sel]
	if s == nil || s.Kind() != types.MethodVal {
		return false
	}
	sig, ok := s.Obj().Type().(*types.Signature)
	if !ok || sig.Recv() == nil {
		return false
	}
	_, method := sig.Recv().Type().(*types.Pointer)
	_, value := s.Recv().(*types.Pointer)
	return method && !value
}

// TestNoMutableVariables: workers share what the State shows them, and nothing
// behind its back.
func TestNoMutableVariables(t *testing.T) {
	for _, p := range loadAll(t) {
		report(t, "package-level variables of the data plane are never written to", writes(p))
	}
	w := writes(bad(t, "nodes", `package nodes
import "sync"
var (
	table [4]int
	count int
	mu sync.Mutex
	m = map[int]int{}
	ok = [2]int{1, 2}
)
func f() *int {
	table[1] = ok[0]
	count++
	mu.Lock()
	m[1] = 1
	for count = range 3 {}
	local := ok
	local[0] = 3
	return &count
}
`))
	if len(w) != 6 {
		t.Errorf("six writes give %d:\n%s", len(w), strings.Join(w, "\n"))
	}
}
