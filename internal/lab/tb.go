package lab

import (
	"os"
	"slices"
	"time"
)

// TB is what the package wants from a test: *testing.T, *testing.B and
// *testing.F have it.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// SkipRoot is the environment variable that, set to 1, lets tests skip what
// needs root.
const SkipRoot = "SKEIN_SKIP_ROOT"

// NeedRoot fails the test where it cannot make network namespaces, and skips
// it where SKEIN_SKIP_ROOT=1 says that this is known.
func NeedRoot(t TB) {
	t.Helper()
	if os.Getenv(SkipRoot) == "1" {
		t.Skipf("needs root; skipped as %s=1 asks", SkipRoot)
	}
	if os.Geteuid() != 0 {
		t.Fatalf("needs root: CAP_SYS_ADMIN and CAP_NET_ADMIN for network namespaces; run as root, or set %s=1 to skip", SkipRoot)
	}
}

// Need ends the test if err is not nil.
func Need(t TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

// ForTest returns a lab that is closed when the test ends, also after a
// failure. The test fails if anything of it is left.
func ForTest(t TB) *Lab {
	t.Helper()
	NeedRoot(t)
	l, err := New(Unique("skeintest"))
	Need(t, err)
	t.Cleanup(func() { Finish(t, l) })
	return l
}

// Finish closes the lab and fails the test if anything of it is left.
func Finish(t TB, l *Lab) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Errorf("%v", err)
	}
	left, err := l.Leftovers()
	// A thread that the runtime ends takes a moment to be gone.
	for end := time.Now().Add(time.Second); len(left) > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
		left, err = l.Leftovers()
	}
	if err != nil {
		t.Errorf("%v", err)
	}
	if len(left) > 0 {
		slices.Sort(left)
		t.Errorf("left over: %v", left)
	}
}

// Add makes a namespace, or ends the test.
func (l *Lab) Add(t TB, name string) *Namespace {
	t.Helper()
	n, err := l.Namespace(name)
	Need(t, err)
	return n
}
