package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/skein-dataplane/skein/configs"
	"github.com/skein-dataplane/skein/control"
	"github.com/skein-dataplane/skein/control/takeover"
)

func check(out io.Writer, path string) error {
	cfg, err := configs.Load(path)
	if err != nil {
		return err
	}
	if err := control.CheckPolicy(cfg.Policy); err != nil {
		return err
	}
	if err := control.CheckServices(cfg.Services); err != nil {
		return err
	}
	fmt.Fprintln(out, path, "is sound")
	return nil
}

// restoring says what is given back.
type restoring struct {
	pods    bool // TUNs as well
	stopped bool // the service has ended: see restoreStopped
}

// restore gives all uplinks back that the run directory has records of.
func restore(out io.Writer, path string, what restoring) (err error) {
	dir, wrong := runDir(path)
	defer func() { err = errors.Join(err, wrong) }()
	if err := needToRestore(); err != nil {
		return err
	}
	restore := func() ([]string, error) { return restoreAll(dir, lockWait) }
	if what.stopped {
		restore = func() ([]string, error) { return restoreStopped(dir) }
	}
	given, err := restore()
	for _, name := range given {
		fmt.Fprintln(out, "gave back", name)
	}
	if err != nil || !what.pods {
		return err
	}
	names, err := control.RemovePods(dir)
	for _, name := range names {
		fmt.Fprintln(out, "removed", name)
	}
	return err
}

// runDir returns the run directory that a configuration names. A file that is
// wrong must not leave the host without its uplink: besides the error, the
// directory is then the one that is used where none is named.
func runDir(path string) (string, error) {
	cfg, err := configs.Load(path)
	if err == nil {
		return cfg.RunDir, nil
	}
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return configs.Default().RunDir, err
}

const (
	// lockWait is how long a daemon that was just killed may take to be gone.
	lockWait = 2 * time.Second
	// orphanWait is how long a data plane that has lost its supervisor may take
	// to give the uplinks back, which is a matter of 0.1 s. The host is to have
	// them within a second also if it hangs; and nothing is lost if it is killed
	// while at it, for what is left to do is done from the record.
	orphanWait = 400 * time.Millisecond
)

// restoreAll gives back what it can, and returns what it has given back. wait
// is how long a daemon may take to be gone.
func restoreAll(dir string, wait time.Duration) (given []string, failed error) {
	uplinks, err := takeover.Records(dir)
	if err != nil || len(uplinks) == 0 {
		return nil, err
	}
	lock, err := takeover.Acquire(dir, wait)
	if err != nil {
		return nil, err
	}
	defer func() { failed = errors.Join(failed, lock.Release()) }()
	for _, name := range uplinks {
		if err := takeover.Restore(takeover.Options{Dir: dir, Uplink: name}); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		given = append(given, name)
	}
	return given, failed
}

// restoreStopped gives back what a service has left that has ended. A data
// plane that was left for the next instance goes on. Any other has lost its
// supervisor and gives back by itself; one that can't is killed.
func restoreStopped(dir string) (given []string, err error) {
	if takeover.Left(dir) {
		return nil, nil
	}
	given, err = restoreAll(dir, orphanWait)
	if !errors.Is(err, takeover.ErrLocked) {
		return given, err
	}
	if pid, gone := takeover.Holder(dir); gone == nil { // else it is through with it
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return nil, fmt.Errorf("kill the data plane %d, which nobody looks after: %w", pid, err)
		}
	}
	return restoreAll(dir, lockWait)
}
