package supervise

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// A Predecessor is a data plane that another supervisor has started and left
// running. Its connection is a lease: when nobody holds the supervisor's end
// any more, the data plane stops, and gives the uplinks back.
type Predecessor struct {
	// Conn is the supervisor's end of the connection. It must not be asked for
	// its descriptor by Fd, which would make it block for all that have a copy.
	Conn *os.File
	PID  int
	// Replace has Run replace it at once. If that fails it is stopped:
	// whoever has asked for a restart is to see that it has failed.
	Replace bool
}

// adopt looks after a data plane that runs already.
func (s *supervisor) adopt(p *Predecessor) (*child, error) {
	w, err := newWireOf(p.Conn)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*child, error) {
		return nil, errors.Join(fmt.Errorf("supervise: the data plane that was left running: %w", err), w.conn.Close())
	}
	pidfd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return fail(os.NewSyscallError("pidfd_open", err))
	}
	proc, err := os.FindProcess(p.PID)
	if err == nil && !w.connected() { // else it lives, and its number is its own
		err = errDied
	}
	if err != nil {
		return fail(errors.Join(err, unix.Close(pidfd)))
	}
	s.oom = base(p.PID, s.oom)
	return newChild(proc, w, func() error { return ending(proc, pidfd) }), nil
}

// errUnknown is how a process has ended that is not a child of this one.
var errUnknown = errors.New("it has ended, and only its parent knows how")

// ending waits for the end of a process that need not be a child of this one,
// and returns how it has ended as far as that can be known. It closes the
// descriptor.
func ending(proc *os.Process, pidfd int) error {
	defer unix.Close(pidfd)
	state, err := proc.Wait()
	if err == nil {
		if state.Success() {
			return nil
		}
		return &exec.ExitError{ProcessState: state}
	}
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, -1)
		if n == 1 {
			return errUnknown
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("poll", err)
		}
	}
}

// lend calls f with what another supervisor needs to look after a child. The
// connection is f's only while it runs.
func (c *child) lend(f func(Predecessor) error) error {
	conn, err := c.wire.conn.File() // a copy, which leaves the original as it is
	if err != nil {
		return fmt.Errorf("supervise: %w", err)
	}
	return errors.Join(f(Predecessor{Conn: conn, PID: c.proc.Pid}), conn.Close())
}
