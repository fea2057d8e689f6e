// Package lab answers one question: how do nodes, pods, routers and remote
// hosts stand side by side on one machine?
//
// Each of them is a network namespace. A Lab makes them, joins them with veth
// pairs, runs functions, commands and bounded traffic inside, and takes all of
// it away again. It never touches a link or a route of the namespace that it
// was called in. Root (CAP_SYS_ADMIN and CAP_NET_ADMIN) is needed.
//
// The package serves tests and users alike, so it does not import testing: TB
// is what it wants from a test. Maturity: stable.
package lab

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// A Lab is a set of namespaces whose names share a prefix. Its methods may be
// called from several goroutines.
type Lab struct {
	prefix string

	mu      sync.Mutex
	spaces  []*Namespace
	deleted map[identity]string // names of the deleted namespaces
}

// maxPrefix keeps prefix, dash and name below what ip-netns prints in one
// column; the kernel's own bound is NAME_MAX, 255 bytes.
const maxPrefix = 32

// New returns a lab without namespaces. Its namespaces will be called
// prefix-name, also for `ip netns exec`.
func New(prefix string) (*Lab, error) {
	if prefix == "" || len(prefix) > maxPrefix || strings.ContainsAny(prefix, "/- \t\n") {
		return nil, fmt.Errorf("lab: prefix %q: want 1 to %d characters without slash, dash and space", prefix, maxPrefix)
	}
	return &Lab{prefix: prefix, deleted: map[identity]string{}}, nil
}

// Unique returns prefix with six random hexadecimal digits after it, so that
// labs of several processes do not meet.
func Unique(prefix string) string {
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return prefix + hex.EncodeToString(b[:])
}

// Open returns the lab that an earlier process has left standing under prefix.
func Open(prefix string) (*Lab, error) {
	l, err := New(prefix)
	if err != nil {
		return nil, err
	}
	names, err := named(prefix)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		n, err := l.open(strings.TrimPrefix(name, prefix+"-"))
		if err != nil {
			return nil, errors.Join(err, l.Release())
		}
		l.spaces = append(l.spaces, n)
	}
	return l, nil
}

// Prefix returns what the names of the lab's namespaces begin with.
func (l *Lab) Prefix() string { return l.prefix }

// Namespaces returns the lab's namespaces, oldest first.
func (l *Lab) Namespaces() []*Namespace {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.spaces)
}

// Get returns the namespace of that name, or nil.
func (l *Lab) Get(name string) *Namespace {
	for _, n := range l.Namespaces() {
		if n.name == name {
			return n
		}
	}
	return nil
}

// Close ends what was started in the lab's namespaces and deletes them. All of
// them are tried, whatever fails. A closed lab may be closed again.
func (l *Lab) Close() error {
	return l.each(func(n *Namespace) error {
		l.mu.Lock()
		l.deleted[n.id] = n.FullName()
		l.mu.Unlock()
		return n.delete()
	})
}

// Release lets go of the namespaces without deleting them; Open finds them
// again.
func (l *Lab) Release() error {
	return l.each((*Namespace).release)
}

func (l *Lab) each(f func(*Namespace) error) error {
	l.mu.Lock()
	spaces := l.spaces
	l.spaces = nil
	l.mu.Unlock()
	var errs []error
	for _, n := range slices.Backward(spaces) {
		errs = append(errs, f(n))
	}
	return errors.Join(errs...)
}

// Leftovers returns what is left of a lab that was closed: named namespaces,
// and threads and descriptors of this process that keep a deleted one alive.
func (l *Lab) Leftovers() ([]string, error) {
	left, err := named(l.prefix)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, pattern := range []string{"/proc/self/fd/*", "/proc/self/task/*/ns/net"} {
		paths, _ := filepath.Glob(pattern) // the pattern is sound
		for _, p := range paths {
			id, err := identify(p)
			if err != nil {
				continue // the thread or descriptor is gone
			}
			if name := l.deleted[id]; name != "" {
				left = append(left, name+": "+p)
			}
		}
	}
	return left, nil
}

// named lists the names under Dir that belong to prefix.
func named(prefix string) ([]string, error) {
	entries, err := os.ReadDir(Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("lab: list namespaces: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix+"-") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
