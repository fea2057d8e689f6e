package takeover

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// makeNetNS makes a network namespace that lives as long as the file path is
// mounted, also when the process dies. One that is there already is kept.
func makeNetNS(path string) error {
	if isNetNS(path) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("takeover: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o444)
	if err != nil {
		return fmt.Errorf("takeover: %w", err)
	}
	_ = file.Close() // nothing was written
	return inThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("takeover: make a network namespace: %w", err)
		}
		// The uplink is not to speak for itself there: no IPv6, so no router
		// solicitations and no addresses.
		if err := quietIPv6(); err != nil {
			return err
		}
		self := fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
		if err := unix.Mount(self, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("takeover: mount the network namespace at %s: %w", path, err)
		}
		return nil
	})
}

func quietIPv6() error {
	for _, name := range []string{"all", "default"} {
		err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("takeover: switch IPv6 off beside the uplink: %w", err)
		}
	}
	return nil
}

// isNetNS reports whether a network namespace is mounted at path.
func isNetNS(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.NSFS_MAGIC
}

// dropNetNS lets go of a namespace. What is left in it returns to the host if
// it is hardware, and is gone if not.
func dropNetNS(path string) error {
	if isNetNS(path) {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("takeover: unmount %s: %w", path, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("takeover: %w", err)
	}
	return nil
}

// inThread runs f in an operating system thread that is thrown away, so that f
// may change its namespace.
func inThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		done <- f()
	}()
	return <-done
}
