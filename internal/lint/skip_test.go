package lint

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// maySkip are the places where a test may be skipped: where somebody has asked
// for that by SKEIN_SKIP_ROOT=1.
var maySkip = []string{"internal/lab/tb.go", "drivers/internal/nstest/nstest.go"}

// skips reports whether a file skips tests.
func skips(f *ast.File) (found bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
				found = found || slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name)
			}
		}
		return !found
	})
	return found
}

// TestNoSilentSkips: a test that can't run fails, and says what it needs.
func TestNoSilentSkips(t *testing.T) {
	for name, text := range goFiles(t) {
		if !slices.Contains(maySkip, name) && skips(parse(t, name, text)) {
			t.Errorf("%s skips tests: let them fail with the way out, by lab.NeedRoot if they need root", name)
		}
	}
	if !skips(parse(t, "x_test.go", []byte("package x\nfunc f() { t.Skip() }"))) {
		t.Error("a skip is not seen")
	}
	if text := string(goFiles(t)[maySkip[0]]); !strings.Contains(text, "SKEIN_SKIP_ROOT") {
		t.Errorf("%s skips without being asked", maySkip[0])
	}
}
