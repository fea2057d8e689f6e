package main

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/skein-dataplane/skein/internal/lab"
)

// A signal that has come before one lets go is seen; and one after listening
// again as well.
func TestStops(t *testing.T) {
	for _, again := range []bool{false, true} {
		s := newStops()
		if again {
			lab.Need(t, s.letGo())
			s.listen()
		}
		lab.Need(t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
		if !again {
			// The kernel has some thread of the process take it, in its own time.
			for end := time.Now().Add(10 * time.Second); len(s.signals) == 0 && s.ctx.Err() == nil && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			if err := s.letGo(); !errors.Is(err, s.ctx.Err()) || err == nil {
				t.Errorf("let go of a signal that had come: %v", err)
			}
		}
		select {
		case <-s.ctx.Done():
		case <-time.After(10 * time.Second):
			t.Errorf("again %t: a signal was lost", again)
		}
	}
}
