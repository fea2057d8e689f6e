package main

import (
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/internal/lab"
)

// A capability that is missing is named, and none that is there.
func TestNeedNamesWhatIsMissing(t *testing.T) {
	lab.NeedRoot(t)
	if err := needToRun(); err != nil {
		t.Fatalf("with all of them: %v", err)
	}
	for _, lost := range []capability{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_SYS_ADMIN} {
		run, restore := without(t, lost)
		if run == nil || !strings.HasPrefix(run.Error(), "needs "+lost.String()+", ") {
			t.Errorf("to run without %v: %v", lost, run)
		}
		if (restore != nil) != (lost != unix.CAP_NET_RAW) {
			t.Errorf("to restore without %v: %v", lost, restore)
		}
	}
}

// without asks on a thread that has given a capability up, and ends with it.
func without(t *testing.T, lost capability) (run, restore error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked
		var caps [2]unix.CapUserData
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		if err := unix.Capget(&header, &caps[0]); err != nil {
			t.Error(err)
			return
		}
		caps[lost/32].Effective &^= 1 << (lost % 32)
		if err := unix.Capset(&header, &caps[0]); err != nil {
			t.Error(err)
			return
		}
		run, restore = needToRun(), needToRestore()
	}()
	<-done
	return run, restore
}
