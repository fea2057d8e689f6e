package takeover

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked means that a daemon is at work on the uplinks of a directory.
var ErrLocked = errors.New("a daemon is running")

// A Lock says that nobody else takes uplinks over, or gives them back, with
// the records of a directory. It ends with the process.
type Lock struct{ file *os.File }

// Acquire takes the lock of dir, and waits for it up to the given time. It
// wraps ErrLocked if somebody else keeps it.
func Acquire(dir string, wait time.Duration) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("takeover: %w", err)
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("takeover: lock: %w", err)
	}
	for end := time.Now().Add(wait); ; time.Sleep(time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return &Lock{f}, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("takeover: lock %s: %w", path, err), f.Close())
		}
		if !time.Now().Before(end) {
			return nil, errors.Join(fmt.Errorf("takeover: %w: it holds %s", ErrLocked, path), f.Close())
		}
	}
}

// Release gives the lock back.
func (l *Lock) Release() error { return l.file.Close() }
