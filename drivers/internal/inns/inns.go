// Package inns answers one question: how does a driver open a socket in
// another network namespace? Maturity: stable.
package inns

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Do calls f on a thread that is in the network namespace at path, such as
// /run/netns/blue or /proc/self/fd/7, or in the caller's if path is empty.
// Sockets that f opens stay in that namespace; goroutines that it starts do
// not.
func Do(path string, f func() error) error {
	if path == "" {
		return f()
	}
	ns, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("inns: open network namespace: %w", err)
	}
	defer ns.Close()
	done := make(chan error)
	go func() { done <- enter(int(ns.Fd()), f) }()
	return <-done
}

// enter runs on a goroutine of its own: it leaves its thread locked if that
// cannot be brought back, so that the thread ends with the goroutine.
func enter(ns int, f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("inns: open own network namespace: %w", err)
	}
	defer home.Close()
	if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("inns: enter network namespace (needs CAP_SYS_ADMIN): %w", err)
	}
	err = f()
	if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
	return err
}
