package tour_test

import (
	"context"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
	"github.com/skein-dataplane/skein/internal/tour"
)

// Somebody deletes the host's TAP: nothing can be mirrored on it any more, so
// the host gets its uplink back, and the daemon says why it has ended.
func TestTapDeleted(t *testing.T) {
	tr := newTour(t, tour.Options{Driver: "af_packet"})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := tr.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := tr.Node.Delete(lab.Uplink); err != nil {
		t.Fatal(err)
	}
	for _, remote := range []string{lab.RemoteAddr, lab.RemoteAddr6} {
		for {
			err := tr.Node.Reaches(ctx, remote, lab.Ping{Timeout: 200 * time.Millisecond})
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				t.Fatalf("the host is still cut off: %v", err)
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	if err := tr.Stop(ctx); err == nil {
		t.Error("the daemon has ended as if nothing had happened")
	}
}
