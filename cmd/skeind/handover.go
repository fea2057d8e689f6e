package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skein-dataplane/skein/control/takeover"
	"github.com/skein-dataplane/skein/internal/supervise"
	"github.com/skein-dataplane/skein/internal/systemd"
)

// A data plane goes from one supervisor to the next by the supervisor's end of
// their connection: through systemd's store when the service is restarted, and
// as an open descriptor when the process becomes of another binary.

const (
	// storedPrefix and the data plane's number are the descriptor's name.
	storedPrefix = "data-plane-"
	// envKept has the descriptor and the data plane's number, "7 4711".
	envKept = "SKEIND_DATA_PLANE"
)

// predecessor returns the data plane that was left for this process, or nil.
func predecessor() (*supervise.Predecessor, error) {
	stored := systemd.Stored()
	if text := os.Getenv(envKept); text != "" {
		_ = os.Unsetenv(envKept) // it takes a name that is none to fail
		var fd, pid int
		if _, err := fmt.Sscan(text, &fd, &pid); err != nil {
			return nil, fmt.Errorf("%s is %q: %w", envKept, text, err)
		}
		unix.CloseOnExec(fd)
		return &supervise.Predecessor{Conn: os.NewFile(uintptr(fd), "data plane"), PID: pid}, nil
	}
	for name, file := range stored {
		number, ok := strings.CutPrefix(name, storedPrefix)
		if pid, err := strconv.Atoi(number); ok && err == nil {
			return &supervise.Predecessor{Conn: file, PID: pid, Replace: true}, nil
		}
	}
	return nil, nil
}

// askLimit is how long systemd may take to say whether this is a restart. If
// it does not, the uplink is given back.
const askLimit = 2 * time.Second

// leave leaves the data plane to the next instance of the service, if there is
// to be one.
func leave(dir string, p supervise.Predecessor) error {
	ctx, cancel := context.WithTimeout(context.Background(), askLimit)
	defer cancel()
	again, err := systemd.Restarting(ctx)
	if errors.Is(err, systemd.ErrAbsent) || err == nil && !again {
		return supervise.ErrNoNext
	}
	if err != nil {
		return err
	}
	if err := systemd.Store(ctx, storedPrefix+strconv.Itoa(p.PID), p.Conn); err != nil {
		return err
	}
	return takeover.SetLeft(dir, true)
}

// renew makes this process be of the binary that lies at a path. It returns
// only if that has failed.
func renew(exe string, p supervise.Predecessor, stop *stops) error {
	raw, err := p.Conn.SyscallConn()
	if err != nil {
		return err
	}
	fd := -1
	failed := raw.Control(func(conn uintptr) { fd, err = unix.FcntlInt(conn, unix.F_DUPFD, 0) })
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	// A hangup that comes before the new program listens must not end it, and
	// is lost. SIGTERM does end it, and by the signal: the data plane sees that,
	// and gives the uplink back. It can't be held back until the new program
	// listens: Go takes it out of an inherited mask, and does not keep it ignored
	// (os/signal). systemd takes such an end for a clean one
	// (SuccessExitStatus=, systemd.service(5)).
	signal.Ignore(syscall.SIGHUP)
	if err := stop.letGo(); err != nil {
		stop.listen()
		return errors.Join(fmt.Errorf("it is to stop: %w", err), unix.Close(fd))
	}
	defer stop.listen() // again, if it comes to that
	env := append(os.Environ(), fmt.Sprintf("%s=%d %d", envKept, fd, p.PID))
	err = syscall.Exec(exe, os.Args, env)
	return errors.Join(fmt.Errorf("exec %s: %w", exe, err), unix.Close(fd))
}
