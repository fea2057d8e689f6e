package takeover

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked means that a daemon is at work on the uplinks of a directory.
var ErrLocked = errors.New("a daemon is running")

// A Lock says that nobody else takes uplinks over, or gives them back, with
// the records of a directory. It ends with the process.
type Lock struct{ file *os.File }

// leftMark is what a lock's file says while its holder has no supervisor.
const leftMark = "left for the next supervisor\n"

func lockPath(dir string) string { return filepath.Join(dir, "lock") }

// Acquire takes the lock of dir, and waits for it up to the given time. It
// wraps ErrLocked if somebody else keeps it.
func Acquire(dir string, wait time.Duration) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("takeover: %w", err)
	}
	path := lockPath(dir)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("takeover: lock: %w", err)
	}
	for end := time.Now().Add(wait); ; time.Sleep(time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			if err := f.Truncate(0); err != nil { // the mark was another's
				return nil, errors.Join(fmt.Errorf("takeover: lock: %w", err), f.Close())
			}
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

// SetLeft notes whether whoever has the lock of dir stays though its
// supervisor ends, so that nobody gives the uplinks back meanwhile. The next
// who takes the lock is not left any more.
func SetLeft(dir string, left bool) error {
	text := ""
	if left {
		text = leftMark
	}
	if err := os.WriteFile(lockPath(dir), []byte(text), 0o600); err != nil {
		return fmt.Errorf("takeover: lock: %w", err)
	}
	return nil
}

// Left reports whether somebody has the lock of dir who was left there.
func Left(dir string) bool {
	lock, err := Acquire(dir, 0)
	if err == nil {
		_ = lock.Release() // nobody has it
		return false
	}
	text, _ := os.ReadFile(lockPath(dir)) // no file, no mark
	return string(text) == leftMark
}

// Holder returns the process that has the lock of dir, as the kernel has it
// (proc_locks(5)).
func Holder(dir string) (pid int, err error) {
	var st unix.Stat_t
	if err := unix.Stat(lockPath(dir), &st); err != nil {
		return 0, fmt.Errorf("takeover: lock: %w", err)
	}
	text, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0, fmt.Errorf("takeover: lock: %w", err)
	}
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	for line := range strings.Lines(string(text)) {
		// 1: FLOCK ADVISORY WRITE 4711 00:19:42 0 EOF
		if f := strings.Fields(line); len(f) >= 6 && f[1] == "FLOCK" && f[5] == file {
			return strconv.Atoi(f[4])
		}
	}
	return 0, fmt.Errorf("takeover: lock: nobody has %s", lockPath(dir))
}
