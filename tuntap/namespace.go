package tuntap

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrNoNetNS says that a path leads to something that is not a network
// namespace, such as what is left of one whose mount is gone.
var ErrNoNetNS = errors.New("not a network namespace")

// A NetNSID tells network namespaces apart, whatever they are called.
type NetNSID struct{ dev, inode uint64 }

// IdentifyNetNS returns the identity of the namespace that a file stands for.
// It wraps os.ErrNotExist where there is no file, and ErrNoNetNS where it is of
// something else.
func IdentifyNetNS(path string) (NetNSID, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return NetNSID{}, fmt.Errorf("tuntap: namespace: %w", &os.PathError{Op: "open", Path: path, Err: err})
	}
	defer unix.Close(fd)
	// NS_GET_NSTYPE (linux/nsfs.h) fails on what is not of a namespace.
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err != nil || kind != unix.CLONE_NEWNET {
		return NetNSID{}, fmt.Errorf("tuntap: %s: %w", path, ErrNoNetNS)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return NetNSID{}, fmt.Errorf("tuntap: namespace %s: %w", path, err)
	}
	return NetNSID{st.Dev, st.Ino}, nil
}

// gone reports whether an error says that there is no namespace any more.
func gone(err error) bool { return errors.Is(err, os.ErrNotExist) || errors.Is(err, ErrNoNetNS) }

// SetSysctl sets a parameter of the interface's namespace by its path below
// /proc/sys, which the caller has checked to be one.
func (l *Link) SetSysctl(key, value string) error {
	path := filepath.Join("/proc/sys", key)
	err := inNetNS(l.netNS, func() error { return os.WriteFile(path, []byte(value), 0) })
	return l.wrap("sysctl "+key, err)
}
