package cni

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"
)

// retry is how often a lock is asked for that somebody else has.
const retry = 5 * time.Millisecond

// lock keeps other verbs from an attachment, also in other processes: between
// an ADD's address and its interface, a DEL would find neither.
func lock(ctx context.Context, runDir, name string) (unlock func(), err error) {
	dir := filepath.Join(runDir, "cni", "locks")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fail(types.ErrIOFailure, "%v", err)
	}
	path := filepath.Join(dir, name)
	for {
		f, err := tryLock(path)
		if err != nil {
			return nil, fail(types.ErrIOFailure, "lock: %v", err)
		}
		if f != nil {
			// The name goes while the lock is held: whoever opened the file
			// before finds it changed, and opens another.
			return func() { _ = os.Remove(path); _ = f.Close() }, nil
		}
		select {
		case <-ctx.Done():
			return nil, fail(types.ErrTryAgainLater, "another command for this attachment has not ended")
		case <-time.After(retry):
		}
	}
}

// tryLock returns nil if somebody else has the lock.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil && stillNamed(f, path) {
		return f, nil
	}
	_ = f.Close()
	if err != nil && !errors.Is(err, unix.EWOULDBLOCK) {
		return nil, err
	}
	return nil, nil
}

// stillNamed reports whether path leads to the open file.
func stillNamed(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}
