package tuntap

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// inNetNS runs f on a thread that is in the namespace that path stands for, or
// on the calling one if path is "". A TUN's interface is made in the namespace
// in which /dev/net/tun was opened.
func inNetNS(path string, f func() error) error {
	if path == "" {
		return f()
	}
	ns, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open namespace %s: %w", path, err)
	}
	defer unix.Close(ns)
	done := make(chan error, 1)
	go func() {
		err := errors.New("interrupted")
		defer func() { done <- err }()
		runtime.LockOSThread()
		home, e := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if e != nil {
			err = fmt.Errorf("own namespace: %w", e)
			return
		}
		// A thread that cannot go home stays locked, and so ends here.
		defer func() {
			if unix.Setns(home, unix.CLONE_NEWNET) == nil {
				runtime.UnlockOSThread()
			}
			_ = unix.Close(home)
		}()
		if e := unix.Setns(ns, unix.CLONE_NEWNET); e != nil {
			err = fmt.Errorf("enter namespace %s: %w", path, e)
			return
		}
		err = f()
	}()
	return <-done
}
