// Package systemd answers one question: how does a service outlive its own
// restart?
//
// systemd closes what a service holds when it stops, but for descriptors that
// it has been given to keep (sd_notify(3), FDSTORE=1): the next instance gets
// them back. It lets go of them when the service is really stopped, or its
// start has failed for good. What is ahead, a restart or a stop, a service is
// not told; it can ask for its own job. Maturity: tested with systemd 252.
package systemd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// ErrAbsent means that no systemd has started the process as a service.
var ErrAbsent = errors.New("not a service of systemd")

// Restarting reports whether the service that the process belongs to is about
// to be started again once it has stopped.
func Restarting(ctx context.Context) (bool, error) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return false, ErrAbsent
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return false, fmt.Errorf("systemd: %w", err)
	}
	unit := unitOf(text)
	if unit == "" {
		return false, ErrAbsent
	}
	out, err := exec.CommandContext(ctx, "systemctl", "list-jobs", "--no-legend", "--no-pager", "--full", "--plain").Output()
	if err != nil {
		return false, fmt.Errorf("systemd: list jobs: %w", err)
	}
	return restarts(out, unit), nil
}

// unitOf returns the service from the text of /proc/self/cgroup: "0::/…" for
// the unified hierarchy, "1:name=systemd:/…" before it.
func unitOf(cgroups []byte) string {
	for line := range bytes.Lines(cgroups) {
		f := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		if len(f) != 3 || f[1] != "" && f[1] != "name=systemd" {
			continue
		}
		for dir := f[2]; dir != "/" && dir != "." && dir != ""; dir = path.Dir(dir) {
			if strings.HasSuffix(dir, ".service") {
				return path.Base(dir)
			}
		}
	}
	return ""
}

// restarts looks for a unit's restart in what systemctl list-jobs prints: job,
// unit, type, state.
func restarts(jobs []byte, unit string) bool {
	for line := range bytes.Lines(jobs) {
		if f := strings.Fields(string(line)); len(f) >= 3 && f[1] == unit && f[2] == "restart" {
			return true
		}
	}
	return false
}

// Store gives systemd a copy of a descriptor to keep for the next instance,
// and returns when it has taken the message in. Whether it keeps it depends on
// FileDescriptorStoreMax= of the unit.
func Store(ctx context.Context, name string, file *os.File) error {
	if err := send("FDSTORE=1\nFDNAME="+name, file); err != nil {
		return err
	}
	return barrier(ctx)
}

// barrier waits until systemd has taken in all messages so far: it is sent a
// pipe, and closes it (sd_notify_barrier(3)).
func barrier(ctx context.Context) error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("systemd: %w", err)
	}
	defer r.Close()
	err = send("BARRIER=1", w)
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	end, ok := ctx.Deadline()
	if !ok {
		end = time.Now().Add(time.Second)
	}
	if err := r.SetReadDeadline(end); err != nil {
		return fmt.Errorf("systemd: %w", err)
	}
	// Closing is all that is ever done to it.
	if _, err := r.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("systemd: it does not answer: %w", err)
	}
	return nil
}

// send sends a message with a descriptor to systemd. The file stays as it is:
// Fd would make it block.
func send(text string, file *os.File) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return ErrAbsent
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return fmt.Errorf("systemd: %w", err)
	}
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("systemd: %w", os.NewSyscallError("socket", err))
	}
	failed := raw.Control(func(fd uintptr) {
		err = unix.Sendmsg(socket, []byte(text), unix.UnixRights(int(fd)), &unix.SockaddrUnix{Name: path}, unix.MSG_NOSIGNAL)
	})
	if err = errors.Join(os.NewSyscallError("sendmsg", err), failed, unix.Close(socket)); err != nil {
		return fmt.Errorf("systemd: notify: %w", err)
	}
	return nil
}

// Stored returns the descriptors that systemd has kept for this instance, by
// name. Of several with one name it is the last. It is called once; children
// are not told of them.
func Stored() map[string]*os.File {
	out := map[string]*os.File{}
	for _, f := range activation.Files(true) {
		if double := out[f.Name()]; double != nil {
			_ = double.Close()
		}
		out[f.Name()] = f
	}
	return out
}
