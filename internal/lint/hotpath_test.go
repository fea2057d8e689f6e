package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"testing"
)

// hot are the functions that run for packets, by package and name; the rest is
// found by following their calls. Calls of interface methods are not followed:
// the implementations of the module's own are hot by themselves.
func hot(p *pkg, fn *ast.FuncDecl) bool {
	if fn.Recv == nil {
		return false
	}
	switch name := p.name(); {
	case name == "nodes":
		return fn.Name.Name == "Process" || fn.Name.Name == "Tick"
	case name == "graph":
		return slices.Contains([]string{"Process", "Sweep", "Flush", "Send", "Emit", "Free", "Follow", "Notify", "take", "arrive", "balance", "Cross"}, fn.Name.Name)
	case name == "fib":
		return slices.Contains([]string{"*Table4", "*Table6"}, types.ExprString(fn.Recv.List[0].Type)) &&
			slices.Contains([]string{"Lookup", "LookupLink", "LookupVector", "Leaves", "Choose", "Adj", "Via"}, fn.Name.Name)
	case name == "drivers/pcap":
		return false // writes files, and says so: it is for tests and bug reports
	case name == "tuntap" || strings.HasPrefix(name, "drivers/"):
		return fn.Name.Name == "Rx" || fn.Name.Name == "Tx"
	}
	return false
}

// coldPackages are those of the standard library and others that allocate,
// log, block or ask for the time.
var coldPackages = []string{"fmt", "log", "log/slog", "time", "os", "errors", "reflect", "strings", "strconv", "sync",
	"context", "net", "net/netip", "runtime", "io", "bufio", "go.uber.org/zap", "github.com/google/gopacket"}

// A method is a function of the module with its body.
type method struct {
	p  *pkg
	fn *ast.FuncDecl
}

// cold returns what functions that run for packets must not do and do all the
// same, with the way that leads there.
func cold(all []*pkg) (wrong []string) {
	bodies, from := reach(all)
	for name := range from {
		for _, w := range bodies[name].forbidden() {
			wrong = append(wrong, w+way(from, name))
		}
	}
	return wrong
}

// reach returns all functions with a body, and for each one that runs for
// packets who calls it; those that nothing calls are hot by themselves.
func reach(all []*pkg) (bodies map[string]method, from map[string]string) {
	bodies, from = map[string]method{}, map[string]string{}
	var todo []string
	for _, p := range all {
		for _, fn := range funcs(p) {
			name := p.info.Defs[fn.Name].(*types.Func).FullName()
			bodies[name] = method{p, fn}
			if hot(p, fn) {
				from[name] = ""
				todo = append(todo, name)
			}
		}
	}
	for ; len(todo) > 0; todo = todo[1:] {
		for _, callee := range bodies[todo[0]].calls() {
			name := callee.FullName()
			if _, seen := from[name]; !seen && bodies[name].fn != nil {
				from[name] = todo[0]
				todo = append(todo, name)
			}
		}
	}
	return bodies, from
}

// funcs returns the functions and methods of a package that have a body.
func funcs(p *pkg) (out []*ast.FuncDecl) {
	for _, f := range p.files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				out = append(out, fn)
			}
		}
	}
	return out
}

func way(from map[string]string, name string) (text string) {
	for ; name != ""; name = from[name] {
		text += " < " + strings.ReplaceAll(name, module+"/", "")
	}
	return text
}

// calls returns the functions that m calls, as far as the source tells.
func (m method) calls() (out []*types.Func) {
	ast.Inspect(m.fn.Body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if f := m.callee(call); f != nil {
				out = append(out, f.Origin())
			}
		}
		return true
	})
	return out
}

func (m method) callee(call *ast.CallExpr) *types.Func {
	switch f := ast.Unparen(call.Fun).(type) {
	case *ast.Ident:
		fn, _ := m.p.info.Uses[f].(*types.Func)
		return fn
	case *ast.SelectorExpr:
		fn, _ := m.p.info.Uses[f.Sel].(*types.Func)
		return fn
	}
	return nil
}

// forbidden returns what m does itself that costs more than packets may cost.
func (m method) forbidden() (wrong []string) {
	add := func(n ast.Node, what string) { wrong = append(wrong, fmt.Sprintf("%s: %s", m.p.at(n), what)) }
	ast.Inspect(m.fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if what := m.coldCall(n); what != "" {
				add(n, what)
			}
		case *ast.GoStmt:
			add(n, "starts a goroutine")
		case *ast.DeferStmt:
			add(n, "defers")
		case *ast.SendStmt:
			add(n, "sends on a channel")
		case *ast.SelectStmt:
			add(n, "selects")
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				add(n, "receives from a channel")
			}
		}
		return true
	})
	return wrong
}

func (m method) coldCall(call *ast.CallExpr) string {
	if id, ok := ast.Unparen(call.Fun).(*ast.Ident); ok {
		if b, ok := m.p.info.Uses[id].(*types.Builtin); ok && slices.Contains([]string{"panic", "recover", "print", "println", "new", "make"}, b.Name()) {
			return "calls " + b.Name()
		}
	}
	if f := m.callee(call); f != nil && f.Pkg() != nil && slices.Contains(coldPackages, f.Pkg().Path()) {
		return "calls " + f.FullName()
	}
	return ""
}

// TestHotPath: whatever runs for packets neither allocates, locks, logs, blocks,
// panics nor asks for the time, as far as the source tells. Allocations that
// the source does not tell are found by testing.AllocsPerRun elsewhere.
func TestHotPath(t *testing.T) {
	report(t, "not while packets wait", cold(loadAll(t)))
}

// TestHotPathSees tries the rule on code that breaks it.
func TestHotPathSees(t *testing.T) {
	w := cold([]*pkg{bad(t, "nodes", `package nodes
import ("fmt"; "sync"; "time")
type node struct{ mu sync.Mutex; c chan int }
func (n *node) Process() { n.inner(); helper() }
func (n *node) inner() { n.mu.Lock(); <-n.c; n.c <- 1; go helper() }
func helper() { _ = time.Now(); panic(fmt.Sprint(1)) }
func unused() { _ = time.Now() }
`)})
	if len(w) != 7 {
		t.Errorf("seven offences give %d:\n%s", len(w), strings.Join(w, "\n"))
	}
	_, from := reach(loadAll(t))
	for _, name := range []string{
		"(" + module + "/nodes.ip4Input).Process", module + "/nodes.ip4Check", "(*" + module + "/hdr.IPv4).Len",
		"(*" + module + "/graph.Worker).Sweep", "(*" + module + "/fib.Table4).LookupVector",
		"(*" + module + "/fib.Table6).Leaves", "(*" + module + "/fib.Table6).stepPages", "(*" + module + "/fib.batch).stepRanges",
		"(*" + module + "/drivers/afpacket.queue).Rx", "(*" + module + "/tuntap.Queue).Tx",
	} {
		if _, ok := from[name]; !ok {
			t.Errorf("%s does not count as one that runs for packets", name)
		}
	}
}
