package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Dir is where named namespaces are mounted, as `ip netns` expects them.
const Dir = "/run/netns"

// A Namespace is one network namespace of a lab.
type Namespace struct {
	name string
	path string
	id   identity
	fd   int
	nl   *netlink.Handle

	mu    sync.Mutex
	procs []*Process
}

// An identity tells namespaces apart, whatever they are called.
type identity struct{ dev, inode uint64 }

// identify returns the identity of the namespace that a file stands for.
func identify(path string) (identity, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return identity{}, fmt.Errorf("lab: identify %s: %w", path, err)
	}
	return identity{st.Dev, st.Ino}, nil
}

// Namespace makes a network namespace with its loopback up. IPv6 addresses in
// it are usable at once: duplicate address detection is off (RFC 4862, section
// 5.4, would take a second for each).
func (l *Lab) Namespace(name string) (*Namespace, error) {
	if name == "" || strings.ContainsAny(name, "/ \t\n") {
		return nil, fmt.Errorf("lab: namespace %q: not a name", name)
	}
	full := l.prefix + "-" + name
	if err := mountNew(filepath.Join(Dir, full)); err != nil {
		return nil, fmt.Errorf("lab: make namespace %s: %w", full, err)
	}
	n, err := l.open(name)
	if err != nil {
		return nil, errors.Join(err, unmount(filepath.Join(Dir, full)))
	}
	l.mu.Lock()
	l.spaces = append(l.spaces, n)
	l.mu.Unlock()
	for _, conf := range []string{"all", "default"} {
		if err := n.Sysctl("net.ipv6.conf."+conf+".accept_dad", "0"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return n, n.Up("lo")
}

func (l *Lab) open(name string) (*Namespace, error) {
	n := &Namespace{name: name, path: filepath.Join(Dir, l.prefix+"-"+name)}
	var err error
	if n.fd, err = unix.Open(n.path, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("lab: open namespace %s: %w", n.path, err)
	}
	if n.id, err = identify(n.path); err != nil {
		_ = unix.Close(n.fd)
		return nil, err
	}
	if n.nl, err = netlink.NewHandleAt(netns.NsHandle(n.fd), unix.NETLINK_ROUTE); err != nil {
		_ = unix.Close(n.fd)
		return nil, fmt.Errorf("lab: netlink in %s: %w", n.path, err)
	}
	return n, nil
}

// Name returns the name within the lab: "node".
func (n *Namespace) Name() string { return n.name }

// FullName returns the name that `ip netns` knows: "prefix-node".
func (n *Namespace) FullName() string { return filepath.Base(n.path) }

// Path returns the file that setns(2) and CNI_NETNS take.
func (n *Namespace) Path() string { return n.path }

// FD returns the namespace's descriptor, valid as long as the lab is open.
func (n *Namespace) FD() int { return n.fd }

// Netlink returns a handle for links, addresses and routes of the namespace.
func (n *Namespace) Netlink() *netlink.Handle { return n.nl }

func (n *Namespace) String() string { return n.FullName() }

// Do runs f on a thread that is inside the namespace, and returns its error.
// Goroutines that f starts are not inside; sockets that f opens stay inside.
func (n *Namespace) Do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(n.fd, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("lab: enter %s: %w", n, err)
		}
		return f()
	})
}

// onThread runs f on a thread of its own that may change its namespace. The
// thread goes back to where it was, or, where that fails, ends.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		err := errors.New("lab: the function has ended its goroutine")
		defer func() { done <- err }()
		runtime.LockOSThread()
		home, e := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if e != nil {
			err = fmt.Errorf("lab: own namespace: %w", e)
			return
		}
		// Deferred, because f may end the goroutine by runtime.Goexit, as
		// testing's FailNow does. A locked goroutine takes its thread with it.
		defer func() {
			if unix.Setns(home, unix.CLONE_NEWNET) == nil {
				runtime.UnlockOSThread()
			}
			_ = unix.Close(home)
		}()
		err = f()
	}()
	return <-done
}

// release closes what the process holds of the namespace.
func (n *Namespace) release() error {
	n.nl.Close()
	if err := unix.Close(n.fd); err != nil {
		return fmt.Errorf("lab: close %s: %w", n, err)
	}
	return nil
}

// delete ends the commands started in the namespace, and removes its name. The
// kernel destroys it when the last descriptor, socket and thread are gone.
func (n *Namespace) delete() error {
	n.mu.Lock()
	procs := n.procs
	n.procs = nil
	n.mu.Unlock()
	for _, p := range procs {
		_ = p.Stop() // it was ended from here: how does not matter
	}
	return errors.Join(n.release(), unmount(n.path))
}
