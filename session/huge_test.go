package session_test

import (
	"testing"

	"github.com/skein-dataplane/skein/internal/smaps"
	"github.com/skein-dataplane/skein/session"
)

// Tables lie in huge pages where the kernel has any; records in a file only
// where it has them for files too.
func TestHugePages(t *testing.T) {
	tab := table(t, session.Config{Capacity: 200_000})
	fill4(t, tab, 100_000, 1)
	for name, part := range tab.Memory() {
		m, err := smaps.Of(part)
		switch {
		case err != nil:
			t.Fatal(err)
		case !smaps.Enabled():
			t.Logf("the kernel gives no huge pages: %s %+v", name, m)
		case !m.HugeAsked:
			t.Errorf("%s: no huge pages asked for: %+v", name, m)
		default:
			t.Logf("%s: %+v", name, m)
		}
	}
}
