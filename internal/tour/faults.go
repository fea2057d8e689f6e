package tour

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/skein-dataplane/skein/api/skeinpb"
)

// DataPlane returns the process that moves packets, which is the daemon's
// child.
func (t *Tour) DataPlane(ctx context.Context) (pid int, err error) {
	c, err := t.Client(ctx)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	v, err := c.GetVersion(ctx, &skeinpb.GetVersionRequest{})
	if err != nil {
		return 0, fmt.Errorf("tour: %w", err)
	}
	return int(v.Pid), nil
}

// Upgrade has the daemon replace its data plane, and waits until it has.
func (t *Tour) Upgrade(ctx context.Context) error {
	const done = "the data plane was replaced"
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
// ended, which it has to with an error.
func (t *Tour) Crash(ctx context.Context) error {
	pid, err := t.DataPlane(ctx)
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
