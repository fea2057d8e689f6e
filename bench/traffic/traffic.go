// Package traffic answers one question: how much of what is sent arrives, and
// how soon?
//
// UDP, Connects and Requests are loads between two network namespaces. Each is
// bounded in time, and in count if one is given; the end of a context ends all
// of them early. The ends of TCP are plain blocking sockets, so that what is
// measured is not Go's scheduler. Nothing is sent from the namespace of the caller,
// unless that is what it gives. Maturity: stable.
package traffic

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// A Place is where sockets are opened: a network namespace. A lab.Namespace is
// one.
type Place interface {
	// Do runs f on a thread that is inside, and returns its error.
	Do(f func() error) error
}

// MaxDuration is how long a load may last.
const MaxDuration = time.Minute

// maxThreads is how many threads either end may have at work.
const maxThreads = 256

// bounded returns how long a load lasts: 1 s unless something is asked for.
func bounded(d time.Duration) (time.Duration, error) {
	if d < 0 || d > MaxDuration {
		return 0, fmt.Errorf("traffic: a duration of %v: not between 0 and %v", d, MaxDuration)
	}
	if d == 0 {
		d = time.Second
	}
	return d, nil
}

// share is what one of n has to do of count, at least 1 where any is given; 0
// is no bound.
func share(count uint64, i, n int) uint64 {
	part := count / uint64(n)
	if uint64(i) < count%uint64(n) {
		part++
	}
	return part
}

// patience is how long a blocking call takes before it looks whether it shall
// end.
const patience = 200 * time.Millisecond

// A socket is a blocking TCP socket. Its calls return unix.EAGAIN after patience.
type socket int

func newSocket(addr netip.Addr) (socket, error) {
	family := unix.AF_INET
	if addr.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("traffic: tcp socket: %w", err)
	}
	return socket(fd), nil
}

// prepare bounds the calls, and has what is written sent at once and nothing
// linger: a closed connection is gone by a reset, and its port is free.
func (s socket) prepare() error {
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	for _, opt := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(int(s), unix.SOL_SOCKET, opt, &limit); err != nil {
			return fmt.Errorf("traffic: timeout of a socket: %w", err)
		}
	}
	if err := unix.SetsockoptInt(int(s), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("traffic: TCP_NODELAY: %w", err)
	}
	if err := unix.SetsockoptLinger(int(s), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return fmt.Errorf("traffic: SO_LINGER: %w", err)
	}
	return nil
}

func (s socket) close() { _ = unix.Close(int(s)) }

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// listen returns a listening socket in a place, and its address with the port
// that was chosen if that was 0.
func listen(at Place, addr netip.AddrPort) (s socket, bound netip.AddrPort, err error) {
	err = at.Do(func() (err error) {
		s, err = newSocket(addr.Addr())
		return err
	})
	if err != nil {
		return -1, bound, err
	}
	fail := func(err error) (socket, netip.AddrPort, error) {
		s.close()
		return -1, bound, fmt.Errorf("traffic: listen at %v: %w", addr, err)
	}
	if err := s.prepare(); err != nil {
		return fail(err)
	}
	if err := unix.SetsockoptInt(int(s), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fail(err)
	}
	if err := unix.Bind(int(s), sockaddr(addr)); err != nil {
		return fail(err)
	}
	if err := unix.Listen(int(s), backlog); err != nil {
		return fail(err)
	}
	name, err := unix.Getsockname(int(s))
	if err != nil {
		return fail(err)
	}
	port := addr.Port()
	switch n := name.(type) {
	case *unix.SockaddrInet4:
		port = uint16(n.Port)
	case *unix.SockaddrInet6:
		port = uint16(n.Port)
	}
	return s, netip.AddrPortFrom(addr.Addr(), port), nil
}

// backlog is how many connections wait to be accepted: what the kernel allows
// by default (net.core.somaxconn).
const backlog = 4096

// seenAs is what the sender calls a bound address: by, if it has one.
func seenAs(by, bound netip.AddrPort) netip.AddrPort {
	if by.IsValid() {
		return by
	}
	return bound
}
