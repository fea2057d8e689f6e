package tour_test

import (
	"strings"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/tour"
)

// A daemon that has brought everything in step leaves the host's routes alone:
// each change of its own would be news to it, and it would look again.
func TestNothingChangesAtRest(t *testing.T) {
	h := startHost(t, tour.Options{}, nil)
	time.Sleep(time.Second) // the kernel is done with addresses that are new
	out, err := h.Node.Exec(h.ctx, "timeout", "1", "ip", "monitor", "route", "address", "link")
	if err != nil && !strings.Contains(err.Error(), "124") { // timeout's own
		t.Fatal(err)
	}
	if len(out) > 0 {
		t.Errorf("at rest the node sees\n%s", out)
	}
}
