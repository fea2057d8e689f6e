package tour

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// DataPlane returns the number of the process that moves packets, which is the
// daemon's child. The daemon itself is not asked: that would leave traces.
func (t *Tour) DataPlane() (pid int, err error) {
	if t.daemon == nil {
		return 0, errors.New("tour: no daemon runs")
	}
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, fmt.Errorf("tour: %w", err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// pid (name) state ppid …, and the name may have any character.
		id, _, _ := strings.Cut(string(text), " ")
		_, rest, _ := strings.Cut(string(text[bytes.LastIndexByte(text, ')')+1:]), " ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(t.daemon.PID()) {
			return strconv.Atoi(id)
		}
	}
	return 0, errors.New("tour: the daemon has no child")
}

// Upgrade has the daemon replace its data plane, and waits until it has, and
// until the supervisor has become of the new binary as well.
func (t *Tour) Upgrade(ctx context.Context) error {
	const done = "a data plane runs already"
	before := strings.Count(t.Log(), done)
	if err := t.daemon.Signal(syscall.SIGHUP); err != nil {
		return fmt.Errorf("tour: %w", err)
	}
	for strings.Count(t.Log(), done) == before {
		select {
		case <-t.daemon.Done():
			return fmt.Errorf("tour: the daemon has ended: %w\n%s", t.daemon.Wait(), t.Log())
		case <-ctx.Done():
			return fmt.Errorf("tour: the data plane is not replaced: %w\n%s", ctx.Err(), t.Log())
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// Crash kills the process that moves packets, and waits until the daemon has
// given the uplink back from its record and ended, which it has to with an error.
func (t *Tour) Crash(ctx context.Context) error {
	pid, err := t.DataPlane()
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("tour: kill the data plane: %w", err)
	}
	p := t.daemon
	select {
	case <-p.Done():
	case <-ctx.Done():
		return fmt.Errorf("tour: the daemon does not end: %w\n%s", ctx.Err(), p.Output())
	}
	t.daemon = nil
	if p.Wait() == nil {
		return errors.New("tour: the data plane was killed, and the daemon ends as if nothing had happened")
	}
	return nil
}

// KillAll kills both of the daemon's processes, the supervisor before it can do
// anything about it: what they have changed stays as it is.
func (t *Tour) KillAll(ctx context.Context) error {
	pid, err := t.DataPlane()
	if err != nil {
		return err
	}
	if err := t.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("tour: %w", err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("tour: kill the data plane: %w", err)
	}
	if err := t.KillSupervisor(ctx); err != nil {
		return err
	}
	for syscall.Kill(pid, 0) == nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("tour: the data plane does not die: %w", ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}
